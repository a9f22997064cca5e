// The step: memory operations, one decode, and a sample for each span that
// wants one. This is the hot path; it allocates nothing once warm.
#include "shim_sampler.h"

#include <algorithm>
#include <numeric>

bool lx::valid_seq(const lx_context & c, int32_t seq) { return seq >= 0 && seq < c.n_seq_max; }

int32_t lx::seq_len(const lx_context & c, int32_t seq) { return llama_memory_seq_pos_max(c.memory, seq) + 1; }

namespace {

using lx::seq_len;
using lx::valid_seq;

void apply_copy(lx_context & c, const lx_mem_op & op, int32_t i) {
    if (!valid_seq(c, op.dst) || op.dst == op.seq) {
        throw lx::error(LX_E_ARG, lx::format("memory op %d copies to sequence %d, which it cannot", i, op.dst));
    }
    if (seq_len(c, op.dst) != 0) {
        throw lx::error(LX_E_ARG, lx::format("memory op %d copies to sequence %d, which is not empty", i, op.dst));
    }
    const int32_t len = seq_len(c, op.seq);
    const bool whole = op.p0 <= 0 && (op.p1 < 0 || op.p1 >= len);
    if (!c.unified && !whole) {
        throw lx::error(LX_E_ARG, lx::format("memory op %d copies a part of sequence %d, which needs unified KV", i, op.seq));
    }
    llama_memory_seq_cp(c.memory, op.seq, op.dst, whole ? -1 : op.p0, whole ? -1 : op.p1);
    c.copy_pending = c.copy_pending || !c.unified;
}

} // namespace

void lx::apply_ops(lx_context & c, int32_t n_ops) {
    lx::assert_guard guard;
    for (int32_t i = 0; i < n_ops; i++) {
        const lx_mem_op & op = c.ops[(size_t) i];
        if (!valid_seq(c, op.seq)) {
            throw lx::error(LX_E_ARG, lx::format("memory op %d names sequence %d of %d", i, op.seq, c.n_seq_max));
        }
        switch (op.kind) {
            case LX_OP_REMOVE:
                if (!llama_memory_seq_rm(c.memory, op.seq, std::max(op.p0, 0), op.p1)) {
                    throw lx::error(LX_E_FAILED, lx::format("memory op %d: this model's memory cannot drop a part of a sequence", i));
                }
                break;
            case LX_OP_COPY:
                apply_copy(c, op, i);
                break;
            default:
                throw lx::error(LX_E_ARG, lx::format("memory op %d is of unknown kind %d", i, op.kind));
        }
    }
}

namespace {

// Checks one span against everything that llama.cpp would refuse or abort on.
void check_span(lx_context & c, int32_t i, int32_t & n_rows, int32_t & n_out) {
    const lx_span & s = c.spans[(size_t) i];
    if (!valid_seq(c, s.seq)) {
        throw lx::error(LX_E_ARG, lx::format("span %d names sequence %d of %d", i, s.seq, c.n_seq_max));
    }
    if (s.n_tok <= 0 || s.tok_off < 0 || (int64_t) s.tok_off + s.n_tok > (int64_t) c.tokens.size()) {
        throw lx::error(LX_E_ARG, lx::format("span %d has %d tokens at %d", i, s.n_tok, s.tok_off));
    }
    int32_t & next = c.next_pos[(size_t) s.seq];
    if (c.model->may_jump ? s.pos < next : s.pos != next) {
        throw lx::error(LX_E_ARG, lx::format("span %d starts at position %d, but sequence %d continues at %d", i, s.pos, s.seq, next));
    }
    if ((int64_t) s.pos + s.n_tok > c.n_ctx_seq) {
        throw lx::error(LX_E_ARG, lx::format("span %d ends at position %d, beyond the %d of a sequence", i, s.pos + s.n_tok, c.n_ctx_seq));
    }
    next = s.pos + s.n_tok;
    n_rows += s.n_tok;
    if (n_rows > c.n_batch) {
        throw lx::error(LX_E_ARG, lx::format("the spans have more than n_batch = %d tokens", c.n_batch));
    }
    for (int32_t j = 0; j < s.n_tok; j++) {
        const int32_t t = c.tokens[(size_t) (s.tok_off + j)];
        if (t < 0 || t >= c.model->n_vocab) {
            throw lx::error(LX_E_ARG, lx::format("span %d holds token %d, which is not in the vocabulary", i, t));
        }
    }
    if ((s.flags & LX_SPAN_SAMPLE) == 0) {
        return;
    }
    if (++n_out > c.n_seq_max) {
        throw lx::error(LX_E_ARG, lx::format("more than %d spans want a sample", c.n_seq_max));
    }
    if (s.n_top < 0 || s.n_top > LX_MAX_TOP) {
        throw lx::error(LX_E_ARG, lx::format("span %d wants %d log-probabilities of at most %d", i, s.n_top, (int) LX_MAX_TOP));
    }
    c.span_sampler[(size_t) i] = c.samplers.get(s.sampler);
    if (!c.span_sampler[(size_t) i]) {
        throw lx::error(LX_E_ARG, lx::format("span %d names an unknown sampler", i));
    }
}

int32_t check_spans(lx_context & c, int32_t n_spans) {
    for (int32_t i = 0; i < n_spans; i++) {
        const int32_t seq = c.spans[(size_t) i].seq;
        if (valid_seq(c, seq)) {
            c.next_pos[(size_t) seq] = seq_len(c, seq);
        }
    }
    int32_t n_rows = 0, n_out = 0;
    for (int32_t i = 0; i < n_spans; i++) {
        check_span(c, i, n_rows, n_out);
    }
    return n_rows;
}

llama_batch fill_batch(lx_context & c, int32_t n_spans, int32_t n_rows) {
    std::iota(c.order.begin(), c.order.begin() + n_spans, 0);
    if (!c.unified) {
        // A ubatch may only span streams with consecutive increasing ids. Two
        // spans of one sequence keep their order.
        std::stable_sort(c.order.begin(), c.order.begin() + n_spans, [&](int32_t a, int32_t b) {
            return c.spans[(size_t) a].seq < c.spans[(size_t) b].seq;
        });
    }
    int32_t row = 0;
    for (int32_t o = 0; o < n_spans; o++) {
        const int32_t i = c.order[(size_t) o];
        const lx_span & s = c.spans[(size_t) i];
        for (int32_t j = 0; j < s.n_tok; j++, row++) {
            c.batch_token[(size_t) row] = c.tokens[(size_t) (s.tok_off + j)];
            c.batch_pos  [(size_t) row] = s.pos + j;
            c.batch_seq  [(size_t) row] = &c.seq_ids[(size_t) s.seq];
            c.batch_out  [(size_t) row] = 0;
        }
        c.out_row[(size_t) i] = row - 1;
        c.batch_out[(size_t) (row - 1)] = (s.flags & LX_SPAN_SAMPLE) != 0 ? 1 : 0;
    }
    return llama_batch{ n_rows, c.batch_token.data(), nullptr, c.batch_pos.data(), c.batch_n_seq.data(),
                        c.batch_seq.data(), c.batch_out.data() };
}

// Log-probabilities are those of the row as the model gave it, before bias,
// penalties and temperature.
void take_top(lx_context & c, const lx_span & s, const float * logits, double lse, lx_result & r, int32_t & top_at) {
    lx::select_top(logits, c.model->n_vocab, s.n_top, c.candidates);
    r.top_off = top_at;
    for (const llama_token_data & d : c.candidates) {
        c.top[(size_t) top_at++] = { d.id, (float) (d.logit - lse) };
    }
    r.n_top = top_at - r.top_off;
}

void sample_span(lx_context & c, int32_t i, lx_result & r, int32_t & top_at) {
    const lx_span & s = c.spans[(size_t) i];
    r = lx_result{};
    r.span = i;
    float * logits = llama_get_logits_ith(c.llama.get(), c.out_row[(size_t) i]);
    if (logits == nullptr) {
        throw lx::error(LX_E_FAILED, "llama.cpp gave no logits for a row that asked for them");
    }
    const double lse = s.n_top > 0 ? lx::log_sum_exp(logits, c.model->n_vocab) : 0;
    std::vector<float> & raw = c.raw_row;
    if (s.n_top > 0) {
        take_top(c, s, logits, lse, r, top_at);
        raw.assign(logits, logits + c.model->n_vocab); // the sampler changes the row
    }
    try {
        r.status = c.span_sampler[(size_t) i]->sample(logits, c.candidates, r.token);
    } catch (const std::exception & e) {
        r.status = LX_SAMPLED_EXCEPTION;
        lx::copy_text(c.err, sizeof(c.err), e.what());
    }
    if (r.status != LX_SAMPLED) {
        return;
    }
    r.eog     = llama_vocab_is_eog(c.model->vocab, r.token) ? 1 : 0;
    r.logprob = s.n_top > 0 ? (float) (raw[(size_t) r.token] - lse) : 0;
}

void sample_all(lx_context & c, int32_t n_spans) {
    lx::assert_guard guard; // samplers run on this thread alone
    int32_t top_at = 0;
    for (int32_t i = 0; i < n_spans; i++) {
        if ((c.spans[(size_t) i].flags & LX_SPAN_SAMPLE) != 0) {
            sample_span(c, i, c.results[(size_t) c.info.n_results], top_at);
            c.info.n_results++;
        }
    }
}

void step(lx_context & c, int32_t n_ops, int32_t n_spans) {
    const int64_t t0 = llama_time_us();
    lx::apply_ops(c, n_ops);
    const int32_t n_rows = check_spans(c, n_spans);
    const int64_t t1 = llama_time_us();
    c.info.us_memory = t1 - t0;
    if (n_spans == 0) {
        return;
    }
    c.info.decode_rc = llama_decode(c.llama.get(), fill_batch(c, n_spans, n_rows));
    llama_synchronize(c.llama.get());
    const int64_t t2 = llama_time_us();
    c.info.us_decode = t2 - t1;
    c.copy_pending = c.copy_pending && c.info.decode_rc == -1; // every other result ran the update
    if (c.info.decode_rc != 0) {
        return;
    }
    sample_all(c, n_spans);
    c.info.us_sample = llama_time_us() - t2;
}

} // namespace

int32_t lx_step(lx_context * c, int32_t n_ops, int32_t n_spans) noexcept {
    c->info   = lx_step_info{};
    c->err[0] = '\0';
    const int32_t rc = lx::guarded(c->err, (int32_t) sizeof(c->err), [&] {
        if (n_ops < 0 || (size_t) n_ops > c->ops.size() || n_spans < 0 || (size_t) n_spans > c->spans.size()) {
            throw lx::error(LX_E_ARG, lx::format("%d memory ops and %d spans do not fit", n_ops, n_spans));
        }
        step(*c, n_ops, n_spans);
    });
    // A sampler freed during the step goes now.
    std::fill_n(c->span_sampler.begin(), std::max(n_spans, 0) <= (int32_t) c->span_sampler.size() ? std::max(n_spans, 0) : 0, nullptr);
    return rc;
}
