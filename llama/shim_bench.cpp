// Benchmark loops that do what llama-bench and llama-batched-bench do, so that
// the figures can be set beside theirs: random tokens, no sampling, no text.
#include "shim_internal.h"

#include <algorithm>

namespace {

int32_t first_token(const lx_context & c, std::mt19937 & rng) {
    if (llama_vocab_get_add_bos(c.model->vocab)) {
        return llama_vocab_bos(c.model->vocab);
    }
    return (int32_t) (rng() % (uint32_t) c.model->n_vocab);
}

void decode(lx_context & c, const llama_batch & batch) {
    const int32_t rc = llama_decode(c.llama.get(), batch);
    if (rc != 0) {
        throw lx::error(LX_E_FAILED, lx::format("llama_decode gave %d", rc));
    }
}

void check_room(const lx_context & c, int64_t n) {
    if (n <= 0 || n > c.n_ctx_seq) {
        throw lx::error(LX_E_ARG, lx::format("%lld tokens do not fit a sequence of %d", (long long) n, c.n_ctx_seq));
    }
}

// Rows with explicit positions and sequences, evaluated n_batch at a time.
class rows {
  public:
    explicit rows(lx_context & c) : c_(c) {}

    void add(int32_t seq, int32_t pos, bool out) {
        token_.push_back((int32_t) (rng_() % (uint32_t) c_.model->n_vocab));
        pos_.push_back(pos);
        n_seq_.push_back(1);
        seq_.push_back(&c_.seq_ids[(size_t) seq]);
        out_.push_back(out ? 1 : 0);
    }

    void run(bool synchronize) {
        for (size_t at = 0; at < token_.size(); at += (size_t) c_.n_batch) {
            const int32_t n = (int32_t) std::min(token_.size() - at, (size_t) c_.n_batch);
            decode(c_, llama_batch{ n, token_.data() + at, nullptr, pos_.data() + at, n_seq_.data() + at,
                                    seq_.data() + at, out_.data() + at });
            if (synchronize) {
                llama_synchronize(c_.llama.get());
            }
        }
        token_.clear(); pos_.clear(); n_seq_.clear(); seq_.clear(); out_.clear();
    }

  private:
    lx_context & c_;
    std::mt19937 rng_{1};
    std::vector<llama_token>    token_;
    std::vector<llama_pos>      pos_;
    std::vector<int32_t>        n_seq_;
    std::vector<llama_seq_id *> seq_;
    std::vector<int8_t>         out_;
};

// Gives all sequences the prompt of sequence 0.
void share_prompt(lx_context & c, rows & r, int32_t n_prompt, int32_t n_seq) {
    for (int32_t s = 1; s < n_seq; s++) {
        llama_memory_seq_cp(c.memory, 0, s, -1, -1);
    }
    if (!c.unified) { // the copy happens in the next decode
        r.add(0, n_prompt, true);
        r.run(true);
        llama_memory_seq_rm(c.memory, 0, n_prompt, -1);
    }
}

} // namespace

int32_t lx_bench_pp(lx_context * c, int32_t n_prompt, int64_t * us, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        check_room(*c, n_prompt);
        llama_memory_clear(c->memory, false);
        std::mt19937 rng(1);
        std::vector<llama_token> tokens((size_t) c->n_batch);
        const int64_t t0 = llama_time_us();
        for (int32_t done = 0; done < n_prompt;) {
            const int32_t n = std::min(n_prompt - done, c->n_batch);
            for (int32_t i = 0; i < n; i++) {
                tokens[(size_t) i] = done + i == 0 ? first_token(*c, rng) : (int32_t) (rng() % (uint32_t) c->model->n_vocab);
            }
            decode(*c, llama_batch_get_one(tokens.data(), n));
            done += n;
        }
        llama_synchronize(c->llama.get());
        *us = llama_time_us() - t0;
        llama_memory_clear(c->memory, false);
    });
}

int32_t lx_bench_tg(lx_context * c, int32_t n_gen, int64_t * us, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        check_room(*c, n_gen);
        llama_memory_clear(c->memory, false);
        std::mt19937 rng(1);
        llama_token token = first_token(*c, rng);
        const int64_t t0 = llama_time_us();
        for (int32_t i = 0; i < n_gen; i++) {
            decode(*c, llama_batch_get_one(&token, 1));
            llama_synchronize(c->llama.get());
            token = (int32_t) (rng() % (uint32_t) c->model->n_vocab);
        }
        *us = llama_time_us() - t0;
        llama_memory_clear(c->memory, false);
    });
}

int32_t lx_bench_batched(lx_context * c, int32_t n_prompt, int32_t n_gen, int32_t n_seq, int32_t shared,
                         int64_t * us_prompt, int64_t * us_gen, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        check_room(*c, (int64_t) n_prompt + n_gen);
        if (n_seq <= 0 || n_seq > c->n_seq_max) {
            throw lx::error(LX_E_ARG, lx::format("%d sequences of %d", n_seq, c->n_seq_max));
        }
        llama_memory_clear(c->memory, false);
        rows r(*c);
        for (int32_t s = 0; s < (shared != 0 ? 1 : n_seq); s++) {
            for (int32_t i = 0; i < n_prompt; i++) {
                r.add(s, i, i == n_prompt - 1);
            }
        }
        const int64_t t0 = llama_time_us();
        r.run(false);
        llama_synchronize(c->llama.get());
        const int64_t t1 = llama_time_us();
        if (shared != 0) {
            share_prompt(*c, r, n_prompt, n_seq);
        }
        const int64_t t2 = llama_time_us();
        for (int32_t i = 0; i < n_gen; i++) {
            for (int32_t s = 0; s < n_seq; s++) {
                r.add(s, n_prompt + i, true);
            }
            r.run(true);
        }
        *us_gen    = llama_time_us() - t2;
        *us_prompt = t1 - t0;
        llama_memory_clear(c->memory, false);
    });
}
