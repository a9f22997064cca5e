// Samplers: construction, the three paths, and the handle table.
#include "shim_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace {

constexpr float   neg_inf     = -std::numeric_limits<float>::infinity();
constexpr int32_t fast_top_k  = 128; // llama.cpp sorts this many with a heap as well
constexpr size_t  grammar_max = 1 << 20;

// Four floats; GCC and clang turn operators on it into the CPU's own SIMD.
typedef float vec4 __attribute__((vector_size(16)));

// The largest of n values, minus infinity if none is above it; NaN loses. Sixteen
// running maxima keep a vector unit busy: Qwen's vocabulary takes 8 µs so, and 70
// as a plain loop.
float max_of(const float * x, int32_t n) {
    vec4 acc[4];
    for (vec4 & a : acc) {
        a = vec4{ neg_inf, neg_inf, neg_inf, neg_inf };
    }
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int j = 0; j < 4; j++) {
            vec4 v;
            std::memcpy(&v, x + i + 4 * j, sizeof(v));
            acc[j] = v > acc[j] ? v : acc[j];
        }
    }
    float m = neg_inf;
    for (const vec4 & a : acc) {
        for (int j = 0; j < 4; j++) {
            m = a[j] > m ? a[j] : m;
        }
    }
    for (; i < n; i++) {
        m = x[i] > m ? x[i] : m;
    }
    return m;
}

bool by_logit_descending(const llama_token_data & a, const llama_token_data & b) { return a.logit > b.logit; }

void require(bool ok, const char * what) {
    if (!ok) {
        throw lx::error(LX_E_ARG, what);
    }
}

void validate(const lx_sampler_params & p, int32_t n_vocab) {
    require(std::isfinite(p.temperature), "temperature must be a finite number");
    require(p.top_p >= 0 && p.min_p >= 0 && p.min_p <= 1 && p.typical_p >= 0,
            "top_p, min_p and typical_p must not be negative, and min_p must not exceed 1");
    require(std::isfinite(p.repeat_penalty) && p.repeat_penalty > 0, "repeat_penalty must be a finite number above 0");
    require(std::isfinite(p.frequency_penalty) && std::isfinite(p.presence_penalty),
            "frequency_penalty and presence_penalty must be finite numbers");
    require(std::isfinite(p.dry_multiplier) && p.dry_multiplier >= 0 && std::isfinite(p.dry_base),
            "the DRY multiplier must not be negative and its base must be finite");
    require(p.penalty_last_n >= 0 && p.dry_penalty_last_n >= 0 && p.dry_allowed_length >= 0,
            "the windows of the penalties must not be negative");
    for (int32_t i = 0; i < p.n_bias; i++) {
        require(p.bias[i].token >= 0 && p.bias[i].token < n_vocab, "logit_bias names a token that the vocabulary does not have");
        require(!std::isnan(p.bias[i].bias) && p.bias[i].bias < INFINITY, "logit_bias must be below infinity");
    }
}

lx::sampler_ptr parse_grammar(const llama_vocab * vocab, const char * text) {
    require(std::strlen(text) <= grammar_max, "the grammar is larger than 1 MiB");
    lx::log_capture capture;
    lx::assert_guard guard;
    lx::sampler_ptr g(llama_sampler_init_grammar(vocab, text, "root"));
    if (!g) {
        throw lx::error(LX_E_ARG, "parse the grammar: " + capture.reason("no rule named root, or a syntax error"));
    }
    return g;
}

} // namespace

namespace lx {

int32_t argmax(const float * x, int32_t n) {
    constexpr int32_t block = 1024;
    float   best = neg_inf;
    int32_t at   = -1;
    for (int32_t i = 0; i < n; i += block) {
        const float m = max_of(x + i, std::min(block, n - i));
        if (m > best) {
            best = m;
            at   = i;
        }
    }
    while (at >= 0 && x[at] != best) {
        at++;
    }
    return at;
}

void select_top(const float * x, int32_t n, int32_t k, std::vector<llama_token_data> & out) {
    constexpr int32_t block = 64;
    out.clear();
    k = std::min(k, n);
    if (k <= 0) {
        return;
    }
    float least = neg_inf; // of the k kept, once there are k
    for (int32_t i = 0; i < n; i += block) {
        const int32_t end = std::min(i + block, n);
        if (!(max_of(x + i, end - i) > least)) {
            continue;
        }
        for (int32_t j = i; j < end; j++) {
            if (!(x[j] > least)) {
                continue;
            }
            if ((int32_t) out.size() == k) {
                std::pop_heap(out.begin(), out.end(), by_logit_descending);
                out.pop_back();
            }
            out.push_back({ j, x[j], 0.0f });
            std::push_heap(out.begin(), out.end(), by_logit_descending);
            if ((int32_t) out.size() == k) {
                least = out.front().logit;
            }
        }
    }
    std::sort(out.begin(), out.end(), by_logit_descending);
}

double log_sum_exp(const float * x, int32_t n) {
    const float m = max_of(x, n);
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += std::exp(x[i] - m);
    }
    return (double) m + std::log(sum);
}

sampler::sampler(const lx_model & model, const lx_sampler_params & p, int32_t n_ctx_seq)
    : n_vocab_(model.n_vocab), greedy_(p.temperature <= 0), generic_(p.force_generic != 0), top_k_(p.top_k) {
    validate(p, n_vocab_);
    bias_.assign(p.bias, p.bias + p.n_bias);

    if (p.penalty_last_n > 0 && (p.repeat_penalty != 1.0f || p.frequency_penalty != 0 || p.presence_penalty != 0)) {
        penalties_.reset(llama_sampler_init_penalties(n_vocab_, p.penalty_last_n, p.repeat_penalty,
                                                      p.frequency_penalty, p.presence_penalty));
        window_ = p.penalty_last_n;
    }
    if (p.dry_multiplier > 0 && p.dry_base >= 1.0f) {
        const int32_t last_n = p.dry_penalty_last_n > 0 ? p.dry_penalty_last_n : n_ctx_seq;
        std::vector<const char *> breakers(p.breakers, p.breakers + p.n_breakers);
        dry_.reset(llama_sampler_init_dry(model.vocab, p.dry_multiplier, p.dry_base, p.dry_allowed_length, last_n,
                                          breakers.data(), breakers.size()));
        window_ = std::max(window_, last_n);
    }
    recent_.reserve((size_t) window_);
    if (p.grammar != nullptr && p.grammar[0] != '\0') {
        grammar_ = parse_grammar(model.vocab, p.grammar);
    }

    llama_sampler_chain_params cp = llama_sampler_chain_default_params();
    chain_.reset(llama_sampler_chain_init(cp));
    if (greedy_) {
        llama_sampler_chain_add(chain_.get(), llama_sampler_init_greedy());
        return;
    }
    if (top_k_ > 0) {
        top_k_sampler_.reset(llama_sampler_init_top_k(top_k_));
    }
    if (p.typical_p > 0 && p.typical_p < 1) {
        llama_sampler_chain_add(chain_.get(), llama_sampler_init_typical(p.typical_p, 0));
    }
    if (p.top_p > 0 && p.top_p < 1) {
        llama_sampler_chain_add(chain_.get(), llama_sampler_init_top_p(p.top_p, 0));
    }
    if (p.min_p > 0) {
        llama_sampler_chain_add(chain_.get(), llama_sampler_init_min_p(p.min_p, 0));
    }
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_temp(p.temperature));
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_dist(p.seed));
}

void sampler::remember(int32_t token) {
    if (window_ == 0) {
        return;
    }
    if (recent_.size() < (size_t) window_) {
        recent_.push_back(token);
    } else {
        const int32_t old = recent_[recent_at_];
        if (--recent_count_[old] == 0) {
            recent_count_.erase(old);
        }
        recent_[recent_at_] = token;
        recent_at_ = (recent_at_ + 1) % (size_t) window_;
    }
    recent_count_[token]++;
}

void sampler::see(int32_t token) {
    remember(token);
    llama_sampler_accept(penalties_.get(), token);
    llama_sampler_accept(dry_.get(), token);
}

void sampler::adjust(float * logits) {
    for (const lx_logit_bias & b : bias_) {
        logits[b.token] += b.bias;
    }
    if (recent_count_.empty()) {
        return;
    }
    // Penalties and DRY look at each token alone and leave every token that was
    // not seen as it is, so an array of the seen ones is all they need.
    sparse_.clear();
    for (const auto & seen : recent_count_) {
        sparse_.push_back({ seen.first, logits[seen.first], 0.0f });
    }
    llama_token_data_array a = { sparse_.data(), sparse_.size(), -1, false };
    llama_sampler_apply(penalties_.get(), &a);
    llama_sampler_apply(dry_.get(), &a);
    for (size_t i = 0; i < a.size; i++) {
        logits[a.data[i].id] = a.data[i].logit;
    }
}

void sampler::fill(const float * logits, std::vector<llama_token_data> & out) const {
    out.resize((size_t) n_vocab_);
    for (int32_t i = 0; i < n_vocab_; i++) {
        out[(size_t) i] = { i, logits[i], 0.0f };
    }
}

// Candidates at minus infinity, and NaN, are dropped: llama.cpp's samplers take
// logarithms of their probabilities, and sort them.
int32_t sampler::draw_from(std::vector<llama_token_data> & candidates) {
    candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                    [](const llama_token_data & c) { return !(c.logit > neg_inf); }),
                     candidates.end());
    if (candidates.empty()) {
        return -1;
    }
    llama_token_data_array a = { candidates.data(), candidates.size(), -1, false };
    llama_sampler_apply(top_k_sampler_.get(), &a);
    llama_sampler_apply(chain_.get(), &a);
    return a.selected >= 0 && a.selected < (int64_t) a.size ? a.data[a.selected].id : -1;
}

int32_t sampler::draw(const float * logits, std::vector<llama_token_data> & scratch) {
    if (greedy_) {
        return argmax(logits, n_vocab_);
    }
    if (top_k_ > 0 && top_k_ <= fast_top_k) {
        select_top(logits, n_vocab_, top_k_, scratch);
        if (scratch.empty()) {
            return -1;
        }
        llama_token_data_array a = { scratch.data(), scratch.size(), -1, true };
        llama_sampler_apply(chain_.get(), &a);
        return a.selected >= 0 && a.selected < (int64_t) a.size ? a.data[a.selected].id : -1;
    }
    fill(logits, scratch);
    return draw_from(scratch);
}

// The chain as llama.cpp runs it, with no short cut: the reference in tests.
int32_t sampler::draw_generic(float * logits, std::vector<llama_token_data> & scratch, bool with_grammar) {
    fill(logits, scratch);
    for (const lx_logit_bias & b : bias_) {
        scratch[(size_t) b.token].logit += b.bias;
    }
    llama_token_data_array a = { scratch.data(), scratch.size(), -1, false };
    llama_sampler_apply(penalties_.get(), &a);
    llama_sampler_apply(dry_.get(), &a);
    if (with_grammar) {
        llama_sampler_apply(grammar_.get(), &a);
    }
    return draw_from(scratch);
}

bool sampler::grammar_allows(int32_t token) {
    llama_token_data one = { token, 1.0f, 0.0f };
    llama_token_data_array a = { &one, 1, -1, false };
    llama_sampler_apply(grammar_.get(), &a);
    return one.logit > neg_inf;
}

int32_t sampler::sample(float * logits, std::vector<llama_token_data> & scratch, int32_t & token) {
    if (!generic_) {
        adjust(logits);
    }
    token = generic_ ? draw_generic(logits, scratch, false) : draw(logits, scratch);
    if (token < 0) {
        return LX_SAMPLED_NOT_FINITE;
    }
    if (grammar_ && !grammar_allows(token)) {
        if (generic_) {
            token = draw_generic(logits, scratch, true);
        } else {
            fill(logits, scratch);
            llama_token_data_array a = { scratch.data(), scratch.size(), -1, false };
            llama_sampler_apply(grammar_.get(), &a);
            token = draw_from(scratch);
        }
        if (token < 0) {
            return LX_SAMPLED_GRAMMAR_END;
        }
    }
    see(token);
    llama_sampler_accept(grammar_.get(), token);
    return LX_SAMPLED;
}

} // namespace lx

int32_t lx_sampler_table::add(std::shared_ptr<lx::sampler> s) {
    std::lock_guard<std::mutex> lock(mutex);
    if (free_slots.empty()) {
        if (slots.size() >= (1u << 20)) {
            throw lx::error(LX_E_ARG, "more than a million samplers are alive: free those that are done");
        }
        slots.emplace_back();
        generations.push_back(0);
        free_slots.push_back((int32_t) slots.size() - 1);
    }
    const int32_t i = free_slots.back();
    free_slots.pop_back();
    slots[(size_t) i] = std::move(s);
    generations[(size_t) i] = (generations[(size_t) i] + 1) & 0x7ff;
    return (int32_t) (generations[(size_t) i] << 20) | i;
}

std::shared_ptr<lx::sampler> lx_sampler_table::get(int32_t handle) {
    std::lock_guard<std::mutex> lock(mutex);
    const size_t i = (size_t) handle & 0xfffff;
    if (handle < 0 || i >= slots.size() || generations[i] != (uint32_t) handle >> 20) {
        return nullptr;
    }
    return slots[i];
}

bool lx_sampler_table::remove(int32_t handle) {
    std::shared_ptr<lx::sampler> s = get(handle);
    if (!s) {
        return false;
    }
    std::lock_guard<std::mutex> lock(mutex);
    const size_t i = (size_t) handle & 0xfffff;
    if (slots[i] != s) {
        return false;
    }
    slots[i].reset(); // s keeps it until the lock is gone
    free_slots.push_back((int32_t) i);
    return true;
}

int32_t lx_sampler_new(lx_context * c, const lx_sampler_params * p, int32_t * handle, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        *handle = c->samplers.add(std::make_shared<lx::sampler>(*c->model, *p, c->n_ctx_seq));
    });
}

int32_t lx_sampler_free(lx_context * c, int32_t handle) noexcept {
    return c->samplers.remove(handle) ? LX_OK : LX_E_ARG;
}

int32_t lx_sampler_seed_history(lx_context * c, int32_t handle, const int32_t * tokens, int32_t n,
                                char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        std::shared_ptr<lx::sampler> s = c->samplers.get(handle);
        if (!s) {
            throw lx::error(LX_E_ARG, "unknown sampler");
        }
        for (int32_t i = std::max(0, n - s->window()); i < n; i++) {
            if (tokens[i] < 0 || tokens[i] >= c->model->n_vocab) {
                throw lx::error(LX_E_ARG, lx::format("token %d is not in the vocabulary", tokens[i]));
            }
            s->see(tokens[i]);
        }
    });
}

int32_t lx_sampler_count(lx_context * c) noexcept {
    std::lock_guard<std::mutex> lock(c->samplers.mutex);
    return (int32_t) (c->samplers.slots.size() - c->samplers.free_slots.size());
}

int32_t lx_test_draw(lx_context * c, int32_t handle, float * logits, int32_t * token, int32_t * status,
                     char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        std::shared_ptr<lx::sampler> s = c->samplers.get(handle);
        if (!s) {
            throw lx::error(LX_E_ARG, "unknown sampler");
        }
        *status = s->sample(logits, c->candidates, *token);
    });
}
