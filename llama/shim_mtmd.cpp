// Images: the projector, and its rows in the KV cache. libmtmd sees pixels only;
// what decodes a file is not C.
#include "shim_internal.h"

#include "mtmd.h"

#include <algorithm>
#include <cmath>

static_assert(MTMD_INPUT_CHUNK_TYPE_TEXT == 0 && MTMD_INPUT_CHUNK_TYPE_IMAGE == 1, "chunk types changed");

struct lx_vision {
    mtmd::context_ptr  mtmd;
    std::atomic<bool>  abort_flag{false};
    int32_t            n_nodes = 0; // of the graph that runs, counted by the encoding thread
    int32_t            n_embd = 0;
    int32_t            axes = 1;
};

namespace {

// So many nodes of a graph run before the abort flag is looked at again.
constexpr int32_t nodes_per_look = 32;

// ggml asks before a node whether to stop after it, and then whether to go on.
// What was computed of an aborted graph is not used.
bool on_node(ggml_tensor *, bool ask, void * user) {
    auto * v = static_cast<lx_vision *>(user);
    lx::assert_guard::off(); // the graph is built: what follows is computing
    const bool aborted = v->abort_flag.load(std::memory_order_relaxed);
    if (!ask) {
        return !aborted;
    }
    return aborted || ++v->n_nodes % nodes_per_look == 0;
}

bool on_progress(float progress, void * user) {
    auto * load = static_cast<lx_load *>(user);
    load->progress.store(progress, std::memory_order_relaxed);
    return !load->cancelled.load(std::memory_order_relaxed);
}

// Splits an image into parts. Without pixels the parts can be counted but not
// encoded.
mtmd::input_chunks_ptr tokenize(const lx_vision & v, const uint8_t * rgb, int32_t nx, int32_t ny) {
    if (nx <= 0 || ny <= 0) {
        throw lx::error(LX_E_ARG, lx::format("an image of %d by %d pixels", nx, ny));
    }
    lx::log_capture capture;
    lx::assert_guard guard; // preprocessing runs on this thread alone
    mtmd::bitmap_ptr bitmap(mtmd_bitmap_init((uint32_t) nx, (uint32_t) ny, rgb));
    mtmd::input_chunks_ptr chunks(mtmd_input_chunks_init());
    const mtmd_input_part part = { nullptr, bitmap.get() };
    const mtmd_input_part * parts[] = { &part };
    if (mtmd_tokenize_from_parts(v.mtmd.get(), chunks.get(), parts, 1, /*add_special=*/ false) != 0) {
        throw lx::error(LX_E_FAILED, capture.reason("libmtmd gave no reason"));
    }
    return chunks;
}

void encode_part(lx_vision & v, const mtmd_input_chunk * chunk, float * embd) {
    lx::log_capture capture;
    lx::assert_guard guard;
    v.n_nodes = 0;
    const int32_t rc = mtmd_encode_chunk(v.mtmd.get(), chunk);
    if (v.abort_flag.load(std::memory_order_relaxed)) {
        throw lx::error(LX_E_CANCELLED, "cancelled");
    }
    if (rc != 0) {
        throw lx::error(LX_E_FAILED, capture.reason("libmtmd gave no reason"));
    }
    const size_t n = mtmd_input_chunk_get_n_tokens(chunk) * (size_t) v.n_embd;
    std::copy_n(mtmd_get_output_embd(v.mtmd.get()), n, embd);
    // In a cache that sequences share, a row that is not finite would reach them all.
    if (!std::all_of(embd, embd + n, [](float x) { return std::isfinite(x); })) {
        throw lx::error(LX_E_FAILED, "the projector gave numbers that are not finite");
    }
}

void write_positions(const mtmd_input_chunk * chunk, int32_t * rel) {
    const mtmd_image_tokens * image = mtmd_input_chunk_get_tokens_image(chunk);
    const size_t n = mtmd_input_chunk_get_n_tokens(chunk);
    for (size_t i = 0; i < n; i++) {
        const mtmd_decoder_pos p = mtmd_image_tokens_get_decoder_pos(image, 0, i);
        const uint32_t axis[] = { p.t, p.y, p.x, p.z }; // the order of a batch's positions
        std::transform(std::begin(axis), std::end(axis), rel + 4 * i, [](uint32_t a) { return (int32_t) a; });
    }
}

struct part_writer {
    lx_image_part * parts;
    int32_t         parts_cap, n_parts = 0;
    int32_t       * tokens;
    int32_t         tokens_cap, n_tokens = 0;

    void add(const mtmd_input_chunk * chunk) {
        const bool is_image = mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_IMAGE;
        const int32_t n = (int32_t) mtmd_input_chunk_get_n_tokens(chunk);
        if (n_parts < parts_cap) {
            parts[n_parts] = { is_image ? 1 : 0, n, (int32_t) mtmd_input_chunk_get_n_pos(chunk), is_image ? 0 : n_tokens };
        }
        n_parts++;
        if (is_image) {
            return;
        }
        size_t count = 0;
        const llama_token * text = mtmd_input_chunk_get_tokens_text(chunk, &count);
        for (size_t i = 0; i < count; i++, n_tokens++) {
            if (n_tokens < tokens_cap) {
                tokens[n_tokens] = text[i];
            }
        }
    }
};

// Checks an image span against everything that llama.cpp would abort on.
void check_image(const lx_context & c, const lx_image_span & s) {
    if (!lx::valid_seq(c, s.seq)) {
        throw lx::error(LX_E_ARG, lx::format("the image names sequence %d of %d", s.seq, c.n_seq_max));
    }
    const int32_t n_embd = llama_model_n_embd_inp(c.model->llama.get());
    if (s.n_rows <= 0 || s.n_pos <= 0 || s.n_floats != (int64_t) s.n_rows * n_embd) {
        throw lx::error(LX_E_ARG, lx::format("the image has %d rows, %d positions and %lld numbers; the model takes %d a row",
                                             s.n_rows, s.n_pos, (long long) s.n_floats, n_embd));
    }
    if (c.model->may_jump != (s.rel != nullptr)) {
        throw lx::error(LX_E_ARG, c.model->may_jump ? "the model needs an image's positions on four axes"
                                                    : "the model has positions on one axis only");
    }
    const int32_t next = lx::seq_len(c, s.seq);
    if (c.model->may_jump ? s.pos < next : s.pos != next) {
        throw lx::error(LX_E_ARG, lx::format("the image starts at position %d, but sequence %d continues at %d", s.pos, s.seq, next));
    }
    if ((int64_t) s.pos + s.n_pos > c.n_ctx_seq) {
        throw lx::error(LX_E_ARG, lx::format("the image ends at position %d, beyond the %d of a sequence", s.pos + s.n_pos, c.n_ctx_seq));
    }
    const int32_t n_ubatch = (int32_t) std::min(llama_n_ubatch(c.llama.get()), llama_n_batch(c.llama.get()));
    if (s.non_causal != 0 && s.n_rows > n_ubatch) {
        throw lx::error(LX_E_ARG, lx::format("the image has %d rows that must be evaluated at once, n_ubatch is %d", s.n_rows, n_ubatch));
    }
}

class non_causal {
  public:
    non_causal(llama_context * c, bool on) : c(on ? c : nullptr) { set(false); }
    ~non_causal() { set(true); }
    non_causal(const non_causal &) = delete;

  private:
    void set(bool causal) {
        if (c != nullptr) {
            llama_set_causal_attn(c, causal);
        }
    }
    llama_context * c;
};

// A batch of rows [first, first+n) of an image.
llama_batch image_batch(lx_context & c, const lx_image_span & s, int32_t first, int32_t n) {
    const int32_t axes = s.rel != nullptr ? 4 : 1;
    c.image_pos.resize((size_t) axes * n);
    for (int32_t i = 0; i < n; i++) {
        c.batch_seq[(size_t) i] = &c.seq_ids[(size_t) s.seq];
        c.batch_out[(size_t) i] = 0;
        if (axes == 1) {
            c.image_pos[(size_t) i] = s.pos + first + i;
            continue;
        }
        const int32_t * rel = s.rel + (size_t) 4 * (first + i);
        for (int32_t a = 0; a < 4; a++) {
            // The fourth axis does not run with the text.
            c.image_pos[(size_t) a * n + i] = rel[a] + (a < 3 ? s.pos : 0);
        }
    }
    const int64_t n_embd = s.n_floats / s.n_rows;
    return llama_batch{ n, nullptr, const_cast<float *>(s.embd) + first * n_embd, c.image_pos.data(), c.batch_n_seq.data(),
                        c.batch_seq.data(), c.batch_out.data() };
}

void step_image(lx_context & c, int32_t n_ops, const lx_image_span & s) {
    const int64_t t0 = llama_time_us();
    lx::apply_ops(c, n_ops);
    check_image(c, s);
    const int64_t t1 = llama_time_us();
    c.info.us_memory = t1 - t0;
    {
        const non_causal mask(c.llama.get(), s.non_causal != 0);
        for (int32_t first = 0; first < s.n_rows && c.info.decode_rc == 0; first += c.n_batch) {
            c.info.decode_rc = llama_decode(c.llama.get(), image_batch(c, s, first, std::min(c.n_batch, s.n_rows - first)));
            c.copy_pending = c.copy_pending && c.info.decode_rc == -1;
        }
        llama_synchronize(c.llama.get());
    }
    if (c.info.decode_rc != 0 && !llama_memory_seq_rm(c.memory, s.seq, s.pos, -1)) {
        throw lx::error(LX_E_FAILED, "this model's memory cannot drop a part of an image");
    }
    c.info.us_decode = llama_time_us() - t1;
}

} // namespace

int32_t lx_vision_new(const lx_model * m, const char * path, const lx_vision_params * p, lx_load * load, lx_vision ** out,
                      char * err, int32_t err_cap) noexcept {
    *out = nullptr;
    return lx::guarded(err, err_cap, [&] {
        lx_init();
        if (path == nullptr || p->n_threads <= 0 || p->min_tokens < 0 || p->max_tokens < 0) {
            throw lx::error(LX_E_ARG, "give a path, at least one thread, and no negative numbers of tokens");
        }
        if (m->vocab_only) {
            throw lx::error(LX_E_ARG, "the model was loaded for its vocabulary only");
        }
        auto v = std::make_unique<lx_vision>();
        mtmd_context_params mp = mtmd_context_params_default();
        mp.use_gpu       = p->use_gpu != 0;
        mp.print_timings = false;
        mp.n_threads     = p->n_threads;
        mp.warmup        = p->no_warm_up == 0;
        mp.cb_eval           = on_node;
        mp.cb_eval_user_data = v.get();
        mp.progress_callback           = on_progress;
        mp.progress_callback_user_data = load;
        if (p->min_tokens > 0) {
            mp.image_min_tokens = p->min_tokens;
        }
        if (p->max_tokens > 0) {
            mp.image_max_tokens = p->max_tokens;
        }
        lx::log_capture capture;
        lx::assert_guard guard;
        v->mtmd.reset(mtmd_init_from_file(path, m->llama.get(), mp));
        if (!v->mtmd) {
            if (load->cancelled.load()) {
                throw lx::error(LX_E_CANCELLED, "cancelled");
            }
            throw lx::error(LX_E_FAILED, capture.reason("libmtmd gave no reason"));
        }
        if (!mtmd_support_vision(v->mtmd.get())) {
            throw lx::error(LX_E_FAILED, "the projector does not read images");
        }
        v->n_embd = llama_model_n_embd_inp(m->llama.get());
        v->axes   = mtmd_decode_use_mrope(v->mtmd.get()) ? 4 : 1;
        *out = v.release();
    });
}

void lx_vision_free(lx_vision * v) noexcept { delete v; }

void lx_vision_get_info(const lx_vision * v, lx_vision_info * i) noexcept {
    *i = lx_vision_info{};
    i->n_embd     = v->n_embd;
    i->axes       = v->axes;
    i->non_causal = mtmd_decode_use_non_causal(v->mtmd.get(), nullptr) ? 1 : 0;
}

int32_t lx_vision_layout(const lx_vision * v, int32_t nx, int32_t ny, lx_image_part * parts, int32_t parts_cap, int32_t * n_parts,
                         int32_t * tokens, int32_t tokens_cap, int32_t * n_tokens, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        const mtmd::input_chunks_ptr chunks = tokenize(*v, nullptr, nx, ny);
        part_writer w{ parts, parts_cap, 0, tokens, tokens_cap, 0 };
        for (size_t i = 0; i < mtmd_input_chunks_size(chunks.get()); i++) {
            w.add(mtmd_input_chunks_get(chunks.get(), i));
        }
        *n_parts  = w.n_parts;
        *n_tokens = w.n_tokens;
        if (w.n_parts > parts_cap || w.n_tokens > tokens_cap) {
            throw lx::error(LX_E_NOMEM, lx::format("the image has %d parts and %d tokens", w.n_parts, w.n_tokens));
        }
    });
}

int32_t lx_vision_encode(lx_vision * v, const uint8_t * rgb, int32_t nx, int32_t ny, float * embd, int64_t n_floats,
                         int32_t * rel, int64_t n_rel, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        const mtmd::input_chunks_ptr chunks = tokenize(*v, rgb, nx, ny);
        if ((v->axes == 4) != (rel != nullptr)) {
            throw lx::error(LX_E_ARG, "positions are asked for exactly if the model has four axes");
        }
        int64_t row = 0;
        for (size_t i = 0; i < mtmd_input_chunks_size(chunks.get()); i++) {
            const mtmd_input_chunk * chunk = mtmd_input_chunks_get(chunks.get(), i);
            if (mtmd_input_chunk_get_type(chunk) != MTMD_INPUT_CHUNK_TYPE_IMAGE) {
                continue;
            }
            const int64_t n = (int64_t) mtmd_input_chunk_get_n_tokens(chunk);
            if ((row + n) * v->n_embd > n_floats || (rel != nullptr && (row + n) * 4 > n_rel)) {
                throw lx::error(LX_E_NOMEM, "the image has more rows than its layout said");
            }
            encode_part(*v, chunk, embd + row * v->n_embd);
            if (rel != nullptr) {
                write_positions(chunk, rel + row * 4);
            }
            row += n;
        }
        if (row * v->n_embd != n_floats) {
            throw lx::error(LX_E_ARG, "the image has fewer rows than its layout said");
        }
    });
}

void lx_vision_abort(lx_vision * v, int32_t on) noexcept { v->abort_flag.store(on != 0, std::memory_order_relaxed); }

int32_t lx_step_image(lx_context * c, int32_t n_ops, const lx_image_span * s) noexcept {
    c->info   = lx_step_info{};
    c->err[0] = '\0';
    return lx::guarded(c->err, (int32_t) sizeof(c->err), [&] {
        if (n_ops < 0 || (size_t) n_ops > c->ops.size()) {
            throw lx::error(LX_E_ARG, lx::format("%d memory ops do not fit", n_ops));
        }
        step_image(*c, n_ops, *s);
    });
}
