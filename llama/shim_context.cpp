// Contexts: creation, facts, arenas.
#include "shim_sampler.h"

#include "llama-ext.h"

#include <algorithm>
#include <cstring>

namespace {

constexpr size_t max_ops = 4096;

bool on_abort(void * user) { return static_cast<std::atomic<bool> *>(user)->load(std::memory_order_relaxed); }

bool built_with_openmp() {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr) {
        return false;
    }
    auto * get = (ggml_backend_get_features_t) ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu),
                                                                                 "ggml_backend_get_features");
    for (ggml_backend_feature * f = get != nullptr ? get(ggml_backend_dev_backend_reg(cpu)) : nullptr;
         f != nullptr && f->name != nullptr; f++) {
        if (std::strcmp(f->name, "OPENMP") == 0) {
            return true;
        }
    }
    return false;
}

void validate(const lx_context_params & p) {
    const bool ok = p.n_ctx >= 0 && p.n_batch > 0 && p.n_ubatch > 0 && p.n_seq_max > 0 &&
                    p.n_seq_max <= (int32_t) llama_max_parallel_sequences() && p.n_threads > 0 && p.n_threads_batch > 0;
    if (!ok) {
        throw lx::error(LX_E_ARG, lx::format("context sizes out of range: n_ctx %d, n_batch %d, n_ubatch %d, n_seq_max %d (at most %d), "
                                             "n_threads %d and %d", p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max,
                                             (int) llama_max_parallel_sequences(), p.n_threads, p.n_threads_batch));
    }
}

void make_arenas(lx_context & c) {
    const size_t rows = (size_t) c.n_batch, seqs = (size_t) c.n_seq_max;
    c.ops.resize(max_ops);
    c.spans.resize(rows);
    c.tokens.resize(rows);
    c.results.resize(seqs);
    c.top.resize(seqs * LX_MAX_TOP);
    c.batch_token.resize(rows);
    c.batch_pos.resize(rows);
    c.batch_n_seq.assign(rows, 1);
    c.batch_seq.resize(rows);
    c.batch_out.resize(rows);
    c.order.resize(rows);
    c.out_row.resize(rows);
    c.next_pos.resize(seqs);
    c.span_sampler.resize(rows);
    c.seq_ids.resize(seqs);
    for (size_t i = 0; i < seqs; i++) {
        c.seq_ids[i] = (llama_seq_id) i;
    }
}

// Without OpenMP, and without a pool of its own, ggml makes and joins threads
// for every graph.
void attach_pool(lx_context & c, int32_t n_threads) {
    if (built_with_openmp()) {
        return;
    }
    ggml_threadpool_params tp = ggml_threadpool_params_default(n_threads);
    c.pool = ggml_threadpool_new(&tp);
    if (c.pool == nullptr) {
        throw lx::error(LX_E_FAILED, lx::format("start %d compute threads", n_threads));
    }
    llama_attach_threadpool(c.llama.get(), c.pool, nullptr);
}

} // namespace

lx_context::~lx_context() {
    llama.reset();
    if (pool != nullptr) {
        ggml_threadpool_free(pool);
    }
}

llama_context_params lx::to_llama(const lx_context_params & p) {
    llama_context_params cp = llama_context_default_params();
    cp.n_ctx           = (uint32_t) p.n_ctx;
    cp.n_batch         = (uint32_t) p.n_batch;
    cp.n_ubatch        = (uint32_t) std::min(p.n_ubatch, p.n_batch);
    cp.n_seq_max       = (uint32_t) p.n_seq_max;
    // One row of logits for each sequence. The default, one for each row of a
    // batch, would reserve n_ubatch x n_vocab floats: 300 MiB for Qwen's vocabulary.
    cp.n_outputs_max   = (uint32_t) p.n_seq_max;
    cp.n_threads       = p.n_threads;
    cp.n_threads_batch = p.n_threads_batch;
    cp.flash_attn_type = (enum llama_flash_attn_type) p.flash_attn;
    cp.type_k          = (enum ggml_type) p.type_k;
    cp.type_v          = (enum ggml_type) p.type_v;
    cp.kv_unified      = p.kv_unified != 0;
    cp.offload_kqv     = p.offload_kqv != 0;
    cp.op_offload      = p.op_offload != 0;
    cp.no_perf         = true;
    return cp;
}

int32_t lx_context_new(lx_model * m, const lx_context_params * p, lx_context ** out, char * err, int32_t err_cap) noexcept {
    *out = nullptr;
    return lx::guarded(err, err_cap, [&] {
        validate(*p);
        if (m->vocab_only) {
            throw lx::error(LX_E_ARG, "the model was loaded for its vocabulary only");
        }
        auto c = std::make_unique<lx_context>();
        c->model = m;

        llama_context_params cp = lx::to_llama(*p);
        if (m->cpu_only) {
            cp.offload_kqv = false;
            cp.op_offload  = false;
        }
        cp.abort_callback      = on_abort;
        cp.abort_callback_data = &c->abort_flag;

        lx::log_capture capture;
        lx::assert_guard guard;
        c->llama.reset(llama_init_from_model(m->llama.get(), cp));
        if (!c->llama) {
            throw lx::error(LX_E_FAILED, capture.reason("llama.cpp gave no reason"));
        }
        attach_pool(*c, p->n_threads);

        c->memory    = llama_get_memory(c->llama.get());
        c->n_batch   = (int32_t) llama_n_batch(c->llama.get());
        c->n_seq_max = (int32_t) llama_n_seq_max(c->llama.get());
        c->n_ctx_seq = (int32_t) llama_n_ctx_seq(c->llama.get());
        c->unified   = cp.kv_unified || cp.n_seq_max == 1;
        make_arenas(*c);
        *out = c.release();
    });
}

void lx_context_free(lx_context * c) noexcept { delete c; }

void lx_context_arenas(lx_context * c, lx_arenas * a) noexcept {
    a->ops      = c->ops.data();      a->n_ops     = (int32_t) c->ops.size();
    a->spans    = c->spans.data();    a->n_spans   = (int32_t) c->spans.size();
    a->tokens   = c->tokens.data();   a->n_tokens  = (int32_t) c->tokens.size();
    a->results  = c->results.data();  a->n_results = (int32_t) c->results.size();
    a->top      = c->top.data();      a->n_top     = (int32_t) c->top.size();
    a->info     = &c->info;
    a->err      = c->err;
    a->err_cap  = (int32_t) sizeof(c->err);
}

void lx_context_get_info(const lx_context * c, lx_context_info * i) noexcept {
    *i = lx_context_info{};
    const llama_context * ctx = c->llama.get();
    i->n_ctx      = (int32_t) llama_n_ctx(ctx);
    i->n_ctx_seq  = c->n_ctx_seq;
    i->n_batch    = c->n_batch;
    i->n_ubatch   = (int32_t) llama_n_ubatch(ctx);
    i->n_seq_max  = c->n_seq_max;
    i->kv_unified = c->unified ? 1 : 0;
    i->n_threads       = llama_n_threads(c->llama.get());
    i->n_threads_batch = llama_n_threads_batch(c->llama.get());
    try {
        for (const auto & part : llama_get_memory_breakdown(ctx)) {
            i->kv_bytes      += (int64_t) part.second.context;
            i->compute_bytes += (int64_t) part.second.compute;
            // The layouts of the CPU's own are buffers that nobody else may look into.
            ggml_backend_dev_t dev = ggml_backend_buft_get_device(part.first);
            if (dev != nullptr && ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU && !ggml_backend_buft_is_host(part.first)) {
                i->copied_bytes += (int64_t) part.second.model;
            }
        }
    } catch (...) { // the sizes are for display
    }
}

int32_t lx_seq_len(const lx_context * c, int32_t seq) noexcept {
    if (seq < 0 || seq >= c->n_seq_max) {
        return LX_E_ARG;
    }
    return llama_memory_seq_pos_max(c->memory, seq) + 1;
}

void lx_abort(lx_context * c, int32_t on) noexcept { c->abort_flag.store(on != 0, std::memory_order_relaxed); }

int32_t lx_warm_up(lx_context * c, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        llama_token t = llama_vocab_bos(c->model->vocab);
        if (t == LLAMA_TOKEN_NULL) {
            t = 0;
        }
        const int32_t rc = llama_decode(c->llama.get(), llama_batch_get_one(&t, 1));
        llama_synchronize(c->llama.get());
        // Cell data may stay: nothing reads a cell without a position.
        llama_memory_clear(c->memory, false);
        if (rc != 0) {
            throw lx::error(LX_E_FAILED, lx::format("llama_decode gave %d", rc));
        }
    });
}
