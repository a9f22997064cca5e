/* The C face of the shim over llama.cpp. Everything Go calls is declared here.
 *
 * Rules that hold for every function:
 *   - no llama.cpp type appears; handles are opaque, structs hold fixed-width
 *     integers and floats only;
 *   - no C++ exception leaves it; a failure is a negative lx_status and a
 *     message in err (at most err_cap bytes, NUL-terminated);
 *   - no pointer passed in is kept after the return, except that a handle keeps
 *     the handles it was made from;
 *   - it never calls back into Go.
 */
#ifndef LX_SHIM_H
#define LX_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define LX_NOEXCEPT noexcept
#else
#define LX_NOEXCEPT
#endif

typedef struct lx_load    lx_load;    /* progress and cancel of one load; any thread */
typedef struct lx_model   lx_model;   /* immutable after load; any thread */
typedef struct lx_chat    lx_chat;    /* parsed chat templates; immutable; any thread */
typedef struct lx_context lx_context; /* one thread at a time, but for lx_abort and the sampler calls */
typedef struct lx_vision  lx_vision;  /* a projector; lx_vision_encode one thread at a time, the rest any */

typedef enum {
    LX_OK          =  0,
    LX_E_ARG       = -1, /* refused before llama.cpp saw it */
    LX_E_EXCEPTION = -2, /* a C++ exception, or a failed assertion turned into one */
    LX_E_FAILED    = -3, /* llama.cpp reported a failure */
    LX_E_CANCELLED = -4, /* lx_load_cancel */
    LX_E_NOMEM     = -5, /* the output buffer is too small; the size is told */
} lx_status;

/* ---- process (shim_init.cpp, shim_log.cpp) ---- */

void lx_init(void) LX_NOEXCEPT;
int32_t lx_set_crash_file(const char * path) LX_NOEXCEPT;
const char * lx_version(void) LX_NOEXCEPT;
const char * lx_system_info(void) LX_NOEXCEPT;

/* Instruction-set extensions the CPU code in the archives was compiled for. The
 * call runs none of them. Bits: lx_cpu_feature. */
typedef enum {
    LX_CPU_SSE3, LX_CPU_SSSE3, LX_CPU_AVX, LX_CPU_AVX_VNNI, LX_CPU_AVX2, LX_CPU_BMI2, LX_CPU_F16C, LX_CPU_FMA,
    LX_CPU_AVX512, LX_CPU_AVX512_VBMI, LX_CPU_AVX512_VNNI, LX_CPU_AVX512_BF16, LX_CPU_AMX_INT8,
    LX_CPU_NEON, LX_CPU_ARM_FMA, LX_CPU_FP16_VA, LX_CPU_DOTPROD, LX_CPU_MATMUL_INT8, LX_CPU_SVE, LX_CPU_SME,
    LX_CPU_COUNT,
} lx_cpu_feature;
uint64_t lx_cpu_built_for(void) LX_NOEXCEPT;

/* Records in the log ring, oldest first, each: u8 level (ggml_log_level), u32
 * length (native order), text. Returns the bytes written, whole records only. */
int32_t lx_log_drain(uint8_t * out, int32_t cap, int64_t * n_dropped) LX_NOEXCEPT;

typedef struct {
    char    name[128];
    char    description[256];
    int32_t kind; /* ggml_backend_dev_type */
    int32_t pad;
    int64_t free_bytes, total_bytes;
} lx_device;
int32_t lx_devices(lx_device * out, int32_t cap) LX_NOEXCEPT; /* returns how many there are */

/* Facts of the linked archives, to be compared with what Go was written for. */
typedef struct {
    int32_t state_seq_version, session_version, max_seq;
    int32_t ftype_q4_k_m, attr_control, attr_user_defined, type_f16, type_q8_0;
    int32_t sizeof_model_params, sizeof_context_params, sizeof_batch, sizeof_quantize_params;
    /* fields of default parameters as the archive fills them: they shift when
     * archive and header disagree about a struct */
    int32_t def_n_batch, def_n_ubatch, def_n_seq_max, def_type_k, def_n_gpu_layers, def_load_mode, def_swa_full;
    int32_t sizeof_lx_span, sizeof_lx_result, sizeof_lx_mem_op, sizeof_lx_step_info;
} lx_layout;
void lx_get_layout(lx_layout * out) LX_NOEXCEPT;

/* ---- model (shim_load.cpp) ---- */

lx_load * lx_load_new(void) LX_NOEXCEPT;
void  lx_load_free(lx_load *) LX_NOEXCEPT;
float lx_load_progress(const lx_load *) LX_NOEXCEPT; /* 0 to 1 */
void  lx_load_cancel(lx_load *) LX_NOEXCEPT;

typedef struct {
    int32_t n_ctx, n_batch, n_ubatch, n_seq_max;
    int32_t n_threads, n_threads_batch;
    int32_t kv_unified;   /* 0: one KV stream for each sequence */
    int32_t flash_attn;   /* llama_flash_attn_type */
    int32_t type_k, type_v; /* ggml_type */
    int32_t offload_kqv, op_offload;
} lx_context_params;

typedef struct {
    const char * path;  /* one of path and data */
    const void * data;
    int64_t data_len;
    int32_t n_gpu_layers; /* -1: as many as fit, judged with fit_context */
    int32_t load_mode;    /* llama_load_mode */
    int32_t main_gpu, split_mode;
    int32_t use_extra_bufts, check_tensors, vocab_only, cpu_only;
    lx_context_params fit_context;
} lx_model_params;
int32_t lx_model_load(const lx_model_params *, lx_load *, lx_model ** out, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_model_free(lx_model *) LX_NOEXCEPT;

typedef struct {
    char    architecture[64];
    char    name[256];
    char    description[256];
    char    device[128]; /* that holds the layers; "" for the CPU */
    int32_t n_vocab, n_ctx_train, n_embd, n_layer, n_head, n_head_kv;
    int32_t ftype, n_layers_offloaded;
    int32_t bos, eos, eot, add_bos;
    int64_t n_params, n_bytes;
} lx_model_info;
void lx_model_get_info(const lx_model *, lx_model_info *) LX_NOEXCEPT;
const char * lx_model_chat_template(const lx_model *) LX_NOEXCEPT; /* NULL if none; lives as long as the model */
int32_t lx_model_meta(const lx_model *, const char * key, char * out, int32_t cap) LX_NOEXCEPT; /* length, or -1 */
int32_t lx_quantize(const char * in, const char * out, int32_t ftype, int32_t n_threads, int32_t requantize,
                    char * err, int32_t err_cap) LX_NOEXCEPT;

/* ---- vocabulary (shim_vocab.cpp) ---- */

enum { LX_TOKEN_EOG = 1, LX_TOKEN_CONTROL = 2, LX_TOKEN_USER_DEFINED = 4, LX_TOKEN_BYTE = 8, LX_TOKEN_UNUSED = 16 };
/* offsets has n_vocab+1 entries and flags n_vocab; the text of token i, specials
 * rendered, is text[offsets[i]:offsets[i+1]]. Free text with lx_string_free. */
int32_t lx_vocab_export(const lx_model *, char ** text, int64_t * text_len, uint32_t * offsets, uint8_t * flags,
                        char * err, int32_t err_cap) LX_NOEXCEPT;
/* Returns the number of tokens, or LX_E_*. With LX_E_NOMEM, needed is the number. */
int32_t lx_tokenize(const lx_model *, const char * text, int32_t len, int32_t * out, int32_t cap,
                    int32_t parse_special, int32_t * needed, char * err, int32_t err_cap) LX_NOEXCEPT;

/* ---- chat (shim_chat.cpp); strings in *out are freed with lx_string_free ---- */

int32_t lx_chat_new(const lx_model *, const char * template_override, lx_chat ** out, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_chat_free(lx_chat *) LX_NOEXCEPT;
enum { LX_CHAT_THINKING = 1, LX_CHAT_GENERATION_PROMPT = 2, LX_CHAT_RENDER_ONLY = 4 };
/* messages and tools are JSON arrays in OpenAI's form; tools may be NULL. */
int32_t lx_chat_apply(const lx_chat *, const char * messages, const char * tools, uint32_t flags,
                      char ** out, int64_t * out_len, char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_schema_to_gbnf(const char * schema, char ** out, int64_t * out_len, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_string_free(char *) LX_NOEXCEPT;

/* ---- context and step (shim_context.cpp, shim_step.cpp) ---- */

enum { LX_OP_REMOVE = 0, LX_OP_COPY = 1 };
typedef struct { int32_t kind, seq, dst, p0, p1; } lx_mem_op;

enum { LX_SPAN_SAMPLE = 1 };
enum { LX_MAX_TOP = 32 };
typedef struct {
    int32_t  seq, pos;
    int32_t  tok_off, n_tok; /* slice of the token arena */
    int32_t  sampler;        /* used with LX_SPAN_SAMPLE */
    int32_t  n_top;          /* most likely tokens wanted, with logprob; 0 for none */
    uint32_t flags;
} lx_span;

enum { LX_SAMPLED = 0, LX_SAMPLED_GRAMMAR_END = 1, LX_SAMPLED_NOT_FINITE = 2, LX_SAMPLED_EXCEPTION = 3 };
typedef struct {
    int32_t span, status, token, eog;
    float   logprob;
    int32_t top_off, n_top; /* slice of the top arena */
} lx_result;
typedef struct { int32_t token; float logprob; } lx_top;

typedef struct {
    int32_t decode_rc; /* llama_decode's result; 0 if there were no spans */
    int32_t n_results;
    int64_t us_memory, us_decode, us_sample;
} lx_step_info;

/* The arenas through which a step's data crosses: C memory that Go views, so
 * that a step allocates nothing and cgo checks no pointers. */
typedef struct {
    lx_mem_op * ops;     int32_t n_ops;
    lx_span   * spans;   int32_t n_spans;
    int32_t   * tokens;  int32_t n_tokens; /* capacity; equals n_batch */
    lx_result * results; int32_t n_results;
    lx_top    * top;     int32_t n_top;
    lx_step_info * info;
    char      * err;     int32_t err_cap;
} lx_arenas;

int32_t lx_context_new(lx_model *, const lx_context_params *, lx_context ** out, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_context_free(lx_context *) LX_NOEXCEPT;
void    lx_context_arenas(lx_context *, lx_arenas *) LX_NOEXCEPT;

typedef struct {
    int32_t n_ctx, n_ctx_seq, n_batch, n_ubatch, n_seq_max, kv_unified, n_threads, n_threads_batch;
    int64_t kv_bytes, compute_bytes;
    int64_t copied_bytes; /* weights that the CPU has in another layout than the file */
} lx_context_info;
void    lx_context_get_info(const lx_context *, lx_context_info *) LX_NOEXCEPT;

/* Applies ops, evaluates spans, samples. Reads and writes the arenas. */
int32_t lx_step(lx_context *, int32_t n_ops, int32_t n_spans) LX_NOEXCEPT;
int32_t lx_seq_len(const lx_context *, int32_t seq) LX_NOEXCEPT;
void    lx_abort(lx_context *, int32_t on) LX_NOEXCEPT; /* any thread */
int32_t lx_warm_up(lx_context *, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_release_threads(void) LX_NOEXCEPT; /* ends the calling thread's OpenMP workers */

/* Applies ops, then puts the rows of one image part into the cache at pos of
 * seq: all of them or, when decode_rc in the info is not 0, none. rel is as
 * lx_vision_encode gives it; NULL if positions count rows. Nothing is sampled. */
typedef struct {
    int32_t seq, pos;
    int32_t n_rows, n_pos;
    int32_t non_causal; /* every row sees every other */
    int32_t pad;
    int64_t n_floats; /* in embd */
    const float   * embd;
    const int32_t * rel;
} lx_image_span;
int32_t lx_step_image(lx_context *, int32_t n_ops, const lx_image_span *) LX_NOEXCEPT;

/* ---- vision (shim_mtmd.cpp, over libmtmd) ---- */

typedef struct {
    int32_t use_gpu, n_threads;
    int32_t min_tokens, max_tokens; /* of an image, for projectors that scale it; 0: the file's own */
    int32_t no_warm_up;
} lx_vision_params;
/* The model must outlive the projector. */
int32_t lx_vision_new(const lx_model *, const char * path, const lx_vision_params *, lx_load *, lx_vision ** out,
                      char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_vision_free(lx_vision *) LX_NOEXCEPT;
typedef struct {
    int32_t n_embd;      /* floats of a row */
    int32_t axes;        /* positions of a row: 1, or 4 with M-RoPE */
    int32_t non_causal;
    int32_t pad;
} lx_vision_info;
void    lx_vision_get_info(const lx_vision *, lx_vision_info *) LX_NOEXCEPT;

/* An image in a prompt is a few parts, in order: text tokens, or rows that only
 * the encoder can make. */
typedef struct {
    int32_t is_image;
    int32_t n_tokens;
    int32_t n_pos;   /* positions it takes up: n_tokens, but less for an image with M-RoPE */
    int32_t tok_off; /* of a text part, in tokens */
} lx_image_part;
/* How an image of nx times ny pixels will lie in a prompt. With LX_E_NOMEM the
 * numbers tell what room it takes. Any thread. */
int32_t lx_vision_layout(const lx_vision *, int32_t nx, int32_t ny, lx_image_part * parts, int32_t parts_cap, int32_t * n_parts,
                         int32_t * tokens, int32_t tokens_cap, int32_t * n_tokens, char * err, int32_t err_cap) LX_NOEXCEPT;
/* Computes the rows of every image part, one part after the other. rgb has
 * nx * ny * 3 bytes, embd room for n_embd floats a row. rel, NULL unless axes is
 * 4, gets four numbers a row: its time, y, x and z, counted from the part's
 * position. LX_E_CANCELLED after lx_vision_abort. */
int32_t lx_vision_encode(lx_vision *, const uint8_t * rgb, int32_t nx, int32_t ny, float * embd, int64_t n_floats,
                         int32_t * rel, int64_t n_rel, char * err, int32_t err_cap) LX_NOEXCEPT;
void    lx_vision_abort(lx_vision *, int32_t on) LX_NOEXCEPT; /* any thread */

/* ---- samplers (shim_sampler.cpp); any thread ---- */

typedef struct { int32_t token; float bias; } lx_logit_bias;
typedef struct {
    float    temperature, top_p, min_p, typical_p;
    int32_t  top_k;
    float    repeat_penalty, frequency_penalty, presence_penalty;
    int32_t  penalty_last_n;
    float    dry_multiplier, dry_base;
    int32_t  dry_allowed_length, dry_penalty_last_n;
    uint32_t seed;
    int32_t  force_generic; /* never take a fast path; for tests */
    int32_t  n_bias, n_breakers;
    const lx_logit_bias * bias;
    const char * const * breakers;
    const char * grammar; /* GBNF; NULL or "" for none */
} lx_sampler_params;
int32_t lx_sampler_new(lx_context *, const lx_sampler_params *, int32_t * handle, char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_sampler_free(lx_context *, int32_t handle) LX_NOEXCEPT;
int32_t lx_sampler_seed_history(lx_context *, int32_t handle, const int32_t * tokens, int32_t n,
                                char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_sampler_count(lx_context *) LX_NOEXCEPT;

/* ---- sequence state (shim_state.cpp) ---- */

int64_t lx_state_size(lx_context *, int32_t seq, char * err, int32_t err_cap) LX_NOEXCEPT;
int64_t lx_state_save(lx_context *, int32_t seq, uint8_t * out, int64_t cap, char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_state_load(lx_context *, int32_t seq, const uint8_t * data, int64_t len, char * err, int32_t err_cap) LX_NOEXCEPT;

/* ---- benchmark loops (shim_bench.cpp); they clear the KV cache ---- */

int32_t lx_bench_pp(lx_context *, int32_t n_prompt, int64_t * us, char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_bench_tg(lx_context *, int32_t n_gen, int64_t * us, char * err, int32_t err_cap) LX_NOEXCEPT;
int32_t lx_bench_batched(lx_context *, int32_t n_prompt, int32_t n_gen, int32_t n_seq, int32_t shared,
                         int64_t * us_prompt, int64_t * us_gen, char * err, int32_t err_cap) LX_NOEXCEPT;

/* Throws inside the shim's guard: what a test needs to see an exception mapped. */
int32_t lx_test_throw(int32_t kind, char * err, int32_t err_cap) LX_NOEXCEPT;
/* Draws from a row of n_vocab logits, which it may change. *status is lx_result's. */
int32_t lx_test_draw(lx_context *, int32_t sampler, float * logits, int32_t * token, int32_t * status,
                     char * err, int32_t err_cap) LX_NOEXCEPT;
/* Ends the process as llama.cpp would: 0 by a failed assertion, 1 by an uncaught
 * exception. */
void lx_test_crash(int32_t kind) LX_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
