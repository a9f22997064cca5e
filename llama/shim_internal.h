// What the shim's C++ files share. Never included from Go.
#ifndef LX_SHIM_INTERNAL_H
#define LX_SHIM_INTERNAL_H

#if !__has_include("llama.h")
#error "llama.cpp is not built yet; run: make llama"
#endif

#include "shim.h"

#include "llama.h"

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace lx {

// An error with the status that it becomes.
struct error : std::runtime_error {
    int32_t status;
    error(int32_t status, const std::string & what) : std::runtime_error(what), status(status) {}
};

inline void copy_text(char * dst, int32_t cap, const char * src) {
    if (dst != nullptr && cap > 0) {
        std::snprintf(dst, (size_t) cap, "%s", src != nullptr ? src : "");
    }
}

// Copies s to memory that lx_string_free gives back.
void give_string(const std::string & s, char ** out, int64_t * out_len);

std::string format(const char * fmt, ...) __attribute__((format(printf, 1, 2)));

// While one lives, this thread's warnings and errors from llama.cpp are kept:
// llama.cpp tells why something failed in its log only.
class log_capture {
  public:
    log_capture();
    ~log_capture();
    // The kept lines as one line, or fallback if there are none.
    std::string reason(const char * fallback) const;

    std::string lines;

  private:
    log_capture * outer;
};

// While one lives, a failed GGML_ASSERT on this thread is thrown as an
// exception instead of ending the process. Only for calls that run on one
// thread, such as load and grammar parsing: an exception cannot leave an OpenMP
// region. What was half built is leaked.
class assert_guard {
  public:
    assert_guard();
    ~assert_guard();
    // Ends the guard before its time: from here on other threads compute too.
    static void off();
    assert_guard(const assert_guard &) = delete;

  private:
    bool outer;
};

// Runs f and maps what it throws to a status and a message.
template <typename F> int32_t guarded(char * err, int32_t cap, F && f) noexcept {
    try {
        f();
        return LX_OK;
    } catch (const error & e) {
        copy_text(err, cap, e.what());
        return e.status;
    } catch (const std::bad_alloc &) {
        copy_text(err, cap, "out of memory");
        return LX_E_EXCEPTION;
    } catch (const std::exception & e) {
        copy_text(err, cap, e.what());
        return LX_E_EXCEPTION;
    } catch (...) {
        copy_text(err, cap, "unknown C++ exception");
        return LX_E_EXCEPTION;
    }
}

struct free_sampler {
    void operator()(llama_sampler * s) const { llama_sampler_free(s); }
};
using sampler_ptr = std::unique_ptr<llama_sampler, free_sampler>;

struct free_model {
    void operator()(llama_model * m) const { llama_model_free(m); }
};
using model_ptr = std::unique_ptr<llama_model, free_model>;

struct free_context {
    void operator()(llama_context * c) const { llama_free(c); }
};

class sampler;

// Held around what changes the process's state: the fit and the crash file.
std::mutex & global_mutex();

llama_context_params to_llama(const lx_context_params & p);

bool valid_seq(const lx_context & c, int32_t seq);

// The position after the last one of a sequence in the cache.
int32_t seq_len(const lx_context & c, int32_t seq);

// Applies the first n_ops of the arena to the KV cache.
void apply_ops(lx_context & c, int32_t n_ops);

} // namespace lx

struct lx_load {
    std::atomic<float> progress{0.0f};
    std::atomic<bool>  cancelled{false};
};

struct lx_model {
    lx::model_ptr       llama;
    const llama_vocab * vocab = nullptr;
    int32_t             n_vocab = 0;
    int32_t             n_layers_offloaded = 0;
    bool                cpu_only   = false;
    bool                vocab_only = false;
    // The positions of an image may be fewer than its rows (M-RoPE), so that a
    // sequence goes on beyond the last position in the cache.
    bool                may_jump   = false;
};

// Sampler handles: the low 20 bits are an index, the rest a generation, so that
// a handle used after it was freed is noticed.
struct lx_sampler_table {
    std::mutex                                mutex;
    std::vector<std::shared_ptr<lx::sampler>> slots;
    std::vector<uint32_t>                     generations;
    std::vector<int32_t>                      free_slots;

    int32_t                      add(std::shared_ptr<lx::sampler> s);
    std::shared_ptr<lx::sampler> get(int32_t handle);
    bool                         remove(int32_t handle);
};

struct lx_context {
    lx_model * model = nullptr;

    // llama holds a pointer to abort_flag, and to the pools: they are declared
    // first, so that they go last.
    std::atomic<bool>  abort_flag{false};
    ggml_threadpool  * pool = nullptr;
    std::unique_ptr<llama_context, lx::free_context> llama;
    llama_memory_t     memory = nullptr;

    int32_t n_batch = 0, n_seq_max = 0, n_ctx_seq = 0;
    bool    unified = false;
    bool    copy_pending = false; // a cross-stream copy waits for the next decode

    lx_sampler_table samplers;

    // arenas
    std::vector<lx_mem_op> ops;
    std::vector<lx_span>   spans;
    std::vector<int32_t>   tokens;
    std::vector<lx_result> results;
    std::vector<lx_top>    top;
    lx_step_info           info{};
    char                   err[512] = {0};

    // the batch, and scratch of a step
    std::vector<llama_token>    batch_token;
    std::vector<llama_pos>      batch_pos;
    std::vector<int32_t>        batch_n_seq;
    std::vector<llama_seq_id>   seq_ids;   // 0 to n_seq_max-1, pointed into
    std::vector<llama_seq_id *> batch_seq;
    std::vector<int8_t>         batch_out;
    std::vector<int32_t>        order;     // of spans in the batch
    std::vector<int32_t>        out_row;   // batch row of the span's last token
    std::vector<int32_t>        next_pos;  // for each sequence
    std::vector<std::shared_ptr<lx::sampler>> span_sampler;
    std::vector<llama_token_data> candidates;
    std::vector<float>          raw_row;   // a copy of the logits, for log-probabilities
    std::vector<llama_pos>      image_pos; // of one batch of an image's rows, axis by axis

    ~lx_context();
};

#endif
