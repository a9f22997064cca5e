// Facts of the build and the machine.
#include "shim_internal.h"

#include <cstdlib>
#include <cstring>
#include <type_traits>

// What Go and the shim were written for. A failure here means that the pin moved:
// read third_party/README.md before changing a number.
static_assert(LLAMA_STATE_SEQ_VERSION == 3, "sequence state format changed");
static_assert(LLAMA_SESSION_VERSION == 10, "session format changed");
static_assert(LLAMA_LOAD_MODE_AUTO == -1 && LLAMA_LOAD_MODE_NONE == 0 && LLAMA_LOAD_MODE_MMAP == 1, "load modes changed");
static_assert(LLAMA_FLASH_ATTN_TYPE_AUTO == -1 && LLAMA_FLASH_ATTN_TYPE_ENABLED == 1, "flash attention modes changed");
static_assert(LLAMA_FTYPE_MOSTLY_Q4_K_M == 15 && LLAMA_FTYPE_MOSTLY_F16 == 1, "file types changed");
static_assert(GGML_TYPE_F32 == 0 && GGML_TYPE_F16 == 1 && GGML_TYPE_Q8_0 == 8, "tensor types changed");
static_assert(GGML_LOG_LEVEL_DEBUG == 1 && GGML_LOG_LEVEL_ERROR == 4, "log levels changed");
static_assert(std::is_same<llama_token, int32_t>::value && std::is_same<llama_pos, int32_t>::value, "token and position types");
static_assert(std::is_standard_layout<lx_span>::value && sizeof(lx_span) == 28, "lx_span layout");
static_assert(sizeof(lx_result) == 28 && sizeof(lx_top) == 8 && sizeof(lx_mem_op) == 20, "arena layouts");
static_assert(sizeof(lx_step_info) == 32, "lx_step_info layout");

void lx::give_string(const std::string & s, char ** out, int64_t * out_len) {
    char * copy = (char *) std::malloc(s.size() + 1);
    if (copy == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(copy, s.data(), s.size());
    copy[s.size()] = '\0';
    *out     = copy;
    *out_len = (int64_t) s.size();
}

void lx_string_free(char * s) noexcept { std::free(s); }

const char * lx_version(void) noexcept { return llama_version(); }

const char * lx_system_info(void) noexcept {
    lx_init();
    static std::string info;
    static std::once_flag once;
    // llama.cpp returns a buffer that the next call rewrites: take it once.
    std::call_once(once, [] { info = llama_print_system_info(); });
    return info.c_str();
}

uint64_t lx_cpu_built_for(void) noexcept {
    // Each of these returns a constant that was fixed when the CPU code was
    // compiled. None executes the extension that it reports.
    int (*const has[LX_CPU_COUNT])(void) = {
        ggml_cpu_has_sse3, ggml_cpu_has_ssse3, ggml_cpu_has_avx, ggml_cpu_has_avx_vnni, ggml_cpu_has_avx2,
        ggml_cpu_has_bmi2, ggml_cpu_has_f16c, ggml_cpu_has_fma,
        ggml_cpu_has_avx512, ggml_cpu_has_avx512_vbmi, ggml_cpu_has_avx512_vnni, ggml_cpu_has_avx512_bf16,
        ggml_cpu_has_amx_int8,
        ggml_cpu_has_neon, ggml_cpu_has_arm_fma, ggml_cpu_has_fp16_va, ggml_cpu_has_dotprod,
        ggml_cpu_has_matmul_int8, ggml_cpu_has_sve, ggml_cpu_has_sme,
    };
    uint64_t bits = 0;
    for (int i = 0; i < LX_CPU_COUNT; i++) {
        if (has[i]() != 0) {
            bits |= (uint64_t) 1 << i;
        }
    }
    return bits;
}

int32_t lx_devices(lx_device * out, int32_t cap) noexcept {
    lx_init();
    const int32_t n = (int32_t) ggml_backend_dev_count();
    for (int32_t i = 0; i < n && i < cap; i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get((size_t) i);
        lx_device & d = out[i];
        d = lx_device{};
        lx::copy_text(d.name, sizeof(d.name), ggml_backend_dev_name(dev));
        lx::copy_text(d.description, sizeof(d.description), ggml_backend_dev_description(dev));
        d.kind = (int32_t) ggml_backend_dev_type(dev);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
        d.free_bytes  = (int64_t) free_bytes;
        d.total_bytes = (int64_t) total_bytes;
    }
    return n;
}

void lx_get_layout(lx_layout * l) noexcept {
    const llama_context_params cp = llama_context_default_params();
    const llama_model_params   mp = llama_model_default_params();
    *l = lx_layout{};
    l->state_seq_version = LLAMA_STATE_SEQ_VERSION;
    l->session_version   = LLAMA_SESSION_VERSION;
    l->max_seq           = (int32_t) llama_max_parallel_sequences();
    l->ftype_q4_k_m      = LLAMA_FTYPE_MOSTLY_Q4_K_M;
    l->attr_control      = LLAMA_TOKEN_ATTR_CONTROL;
    l->attr_user_defined = LLAMA_TOKEN_ATTR_USER_DEFINED;
    l->type_f16          = GGML_TYPE_F16;
    l->type_q8_0         = GGML_TYPE_Q8_0;
    l->sizeof_model_params    = sizeof(llama_model_params);
    l->sizeof_context_params  = sizeof(llama_context_params);
    l->sizeof_batch           = sizeof(llama_batch);
    l->sizeof_quantize_params = sizeof(llama_model_quantize_params);
    l->def_n_batch      = (int32_t) cp.n_batch;
    l->def_n_ubatch     = (int32_t) cp.n_ubatch;
    l->def_n_seq_max    = (int32_t) cp.n_seq_max;
    l->def_type_k       = cp.type_k;
    l->def_swa_full     = cp.swa_full ? 1 : 0;
    l->def_n_gpu_layers = mp.n_gpu_layers;
    l->def_load_mode    = mp.load_mode;
    l->sizeof_lx_span      = sizeof(lx_span);
    l->sizeof_lx_result    = sizeof(lx_result);
    l->sizeof_lx_mem_op    = sizeof(lx_mem_op);
    l->sizeof_lx_step_info = sizeof(lx_step_info);
}
