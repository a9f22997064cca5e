// The KV state of one sequence, to memory and back.
#include "shim_internal.h"

namespace {

void check_seq(const lx_context * c, int32_t seq) {
    if (seq < 0 || seq >= c->n_seq_max) {
        throw lx::error(LX_E_ARG, lx::format("sequence %d of %d", seq, c->n_seq_max));
    }
    if (c->copy_pending) {
        throw lx::error(LX_E_ARG, "a copy between sequences waits for the next step that evaluates tokens");
    }
}

} // namespace

int64_t lx_state_size(lx_context * c, int32_t seq, char * err, int32_t err_cap) noexcept {
    int64_t n = 0;
    const int32_t rc = lx::guarded(err, err_cap, [&] {
        check_seq(c, seq);
        n = (int64_t) llama_state_seq_get_size(c->llama.get(), seq);
        if (n == 0) {
            throw lx::error(LX_E_FAILED, "llama.cpp gave no size");
        }
    });
    return rc == LX_OK ? n : rc;
}

int64_t lx_state_save(lx_context * c, int32_t seq, uint8_t * out, int64_t cap, char * err, int32_t err_cap) noexcept {
    int64_t n = 0;
    const int32_t rc = lx::guarded(err, err_cap, [&] {
        check_seq(c, seq);
        lx::log_capture capture;
        n = (int64_t) llama_state_seq_get_data(c->llama.get(), out, (size_t) cap, seq);
        if (n == 0) {
            throw lx::error(LX_E_FAILED, capture.reason("llama.cpp wrote nothing"));
        }
    });
    return rc == LX_OK ? n : rc;
}

int32_t lx_state_load(lx_context * c, int32_t seq, const uint8_t * data, int64_t len, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        check_seq(c, seq);
        if (llama_memory_seq_pos_max(c->memory, seq) >= 0) {
            throw lx::error(LX_E_ARG, lx::format("sequence %d is not empty", seq));
        }
        lx::log_capture capture;
        lx::assert_guard guard;
        if (llama_state_seq_set_data(c->llama.get(), data, (size_t) len, seq) == 0) {
            llama_memory_seq_rm(c->memory, seq, -1, -1); // half of a state is none
            throw lx::error(LX_E_FAILED, capture.reason("llama.cpp read nothing"));
        }
    });
}
