// Loading, describing and quantising models.
#include "shim_internal.h"

#include "fit.h"
#include "llama-ext.h"

#include <algorithm>
#include <cstring>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

struct close_file {
    void operator()(FILE * f) const { std::fclose(f); }
};
using file_ptr = std::unique_ptr<FILE, close_file>;

// A file without a name that holds data: llama.cpp reads files only.
file_ptr anonymous_file(const void * data, size_t len) {
    FILE * f = nullptr;
#ifdef __linux__
    const int fd = memfd_create("jeantrail-model", MFD_CLOEXEC);
    if (fd >= 0 && (f = fdopen(fd, "w+b")) == nullptr) {
        close(fd);
    }
#endif
    if (f == nullptr) {
        f = std::tmpfile();
    }
    if (f == nullptr) {
        throw lx::error(LX_E_FAILED, "create a temporary file for the model: no permission or no space");
    }
    file_ptr file(f);
    if (std::fwrite(data, 1, len, f) != len || std::fflush(f) != 0) {
        throw lx::error(LX_E_FAILED, "write the model to a temporary file: no space left");
    }
    std::rewind(f);
    return file;
}

bool on_progress(float progress, void * user) {
    auto * load = static_cast<lx_load *>(user);
    load->progress.store(progress, std::memory_order_relaxed);
    return !load->cancelled.load(std::memory_order_relaxed);
}

bool have_gpu() {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != nullptr ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU) != nullptr;
}

// What common_fit_params fills, which must live until the load is over.
struct fitted {
    std::vector<float> tensor_split;
    std::vector<llama_model_tensor_buft_override> overrides;
};

// Lowers n_gpu_layers, and moves tensors, until model and context fit the
// devices with 1 GiB to spare on each, as llama-server does by default.
void fit_to_devices(const lx_model_params & p, llama_model_params & mp, fitted & fit) {
    llama_context_params cp = lx::to_llama(p.fit_context);
    fit.tensor_split.assign(llama_max_devices(), 0.0f);
    fit.overrides.assign(llama_max_tensor_buft_overrides(), llama_model_tensor_buft_override{});
    std::vector<size_t> margins(llama_max_devices(), (size_t) 1 << 30);
    const auto status = common_fit_params(p.path, &mp, &cp, fit.tensor_split.data(), fit.overrides.data(),
                                          margins.data(), 4096, nullptr, GGML_LOG_LEVEL_ERROR);
    if (status == COMMON_PARAMS_FIT_STATUS_ERROR) {
        throw lx::error(LX_E_FAILED, "measure the model's memory need: llama.cpp could not read the file");
    }
}

} // namespace

lx_load * lx_load_new(void) noexcept { return new (std::nothrow) lx_load; }
void lx_load_free(lx_load * l) noexcept { delete l; }
float lx_load_progress(const lx_load * l) noexcept { return l->progress.load(std::memory_order_relaxed); }
void lx_load_cancel(lx_load * l) noexcept { l->cancelled.store(true, std::memory_order_relaxed); }

int32_t lx_model_load(const lx_model_params * p, lx_load * load, lx_model ** out, char * err, int32_t err_cap) noexcept {
    *out = nullptr;
    return lx::guarded(err, err_cap, [&] {
        if ((p->path != nullptr) == (p->data != nullptr)) {
            throw lx::error(LX_E_ARG, "give either a path or the model's bytes");
        }
        lx_init();

        llama_model_params mp = llama_model_default_params();
        mp.n_gpu_layers    = p->n_gpu_layers;
        mp.load_mode       = (enum llama_load_mode) p->load_mode;
        mp.main_gpu        = p->main_gpu;
        mp.split_mode      = (enum llama_split_mode) p->split_mode;
        mp.use_extra_bufts = p->use_extra_bufts != 0;
        mp.check_tensors   = p->check_tensors != 0;
        mp.vocab_only      = p->vocab_only != 0;

        ggml_backend_dev_t no_devices[] = { nullptr };
        const bool on_gpu = p->cpu_only == 0 && p->n_gpu_layers != 0 && have_gpu();
        if (!on_gpu) {
            mp.devices      = no_devices;
            mp.n_gpu_layers = 0;
        }

        lx::log_capture capture;
        lx::assert_guard guard;

        fitted fit;
        if (on_gpu && p->n_gpu_layers < 0 && p->path != nullptr && p->vocab_only == 0) {
            std::lock_guard<std::mutex> lock(lx::global_mutex()); // the fit swaps the process's logger
            fit_to_devices(*p, mp, fit);
            mp.tensor_split          = fit.tensor_split.data();
            mp.tensor_buft_overrides = fit.overrides.data();
        }
        // After the fit, which loads the model's metadata and would report that.
        mp.progress_callback           = on_progress;
        mp.progress_callback_user_data = load;

        auto model = std::make_unique<lx_model>();
        if (p->path != nullptr) {
            model->llama.reset(llama_model_load_from_file(p->path, mp));
        } else {
            file_ptr file = anonymous_file(p->data, (size_t) p->data_len);
            model->llama.reset(llama_model_load_from_file_ptr(file.get(), mp));
        }
        if (!model->llama) {
            if (load->cancelled.load()) {
                throw lx::error(LX_E_CANCELLED, "cancelled");
            }
            throw lx::error(LX_E_FAILED, capture.reason("llama.cpp gave no reason"));
        }
        model->vocab      = llama_model_get_vocab(model->llama.get());
        model->n_vocab    = llama_vocab_n_tokens(model->vocab);
        model->cpu_only   = !on_gpu;
        model->vocab_only = p->vocab_only != 0;
        const llama_rope_type rope = llama_model_rope_type(model->llama.get());
        model->may_jump = rope == LLAMA_ROPE_TYPE_MROPE || rope == LLAMA_ROPE_TYPE_IMROPE;
        if (on_gpu) {
            const int32_t n_all = llama_model_n_layer(model->llama.get()) + 1; // the output layer counts
            model->n_layers_offloaded = mp.n_gpu_layers < 0 ? n_all : std::min(mp.n_gpu_layers, n_all);
        }
        load->progress.store(1.0f);
        *out = model.release();
    });
}

void lx_model_free(lx_model * m) noexcept { delete m; }

void lx_model_get_info(const lx_model * m, lx_model_info * i) noexcept {
    *i = lx_model_info{};
    const llama_model * model = m->llama.get();
    llama_model_meta_val_str(model, "general.architecture", i->architecture, sizeof(i->architecture));
    llama_model_meta_val_str(model, "general.name", i->name, sizeof(i->name));
    llama_model_desc(model, i->description, sizeof(i->description));
    if (m->n_layers_offloaded > 0 && llama_model_n_devices(model) > 0) {
        lx::copy_text(i->device, sizeof(i->device), ggml_backend_dev_description(llama_model_get_device(model, 0)));
    }
    i->n_vocab     = m->n_vocab;
    i->n_ctx_train = llama_model_n_ctx_train(model);
    i->n_embd      = llama_model_n_embd(model);
    i->n_layer     = llama_model_n_layer(model);
    if (!m->vocab_only) {
        i->n_head    = llama_model_n_head(model);
        i->n_head_kv = llama_model_n_head_kv(model);
    }
    i->ftype              = llama_model_ftype(model);
    i->n_layers_offloaded = m->n_layers_offloaded;
    i->bos      = llama_vocab_bos(m->vocab);
    i->eos      = llama_vocab_eos(m->vocab);
    i->eot      = llama_vocab_eot(m->vocab);
    i->add_bos  = llama_vocab_get_add_bos(m->vocab) ? 1 : 0;
    i->n_params = (int64_t) llama_model_n_params(model);
    i->n_bytes  = (int64_t) llama_model_size(model);
}

const char * lx_model_chat_template(const lx_model * m) noexcept {
    return llama_model_chat_template(m->llama.get(), nullptr);
}

int32_t lx_model_meta(const lx_model * m, const char * key, char * out, int32_t cap) noexcept {
    try {
        return llama_model_meta_val_str(m->llama.get(), key, out, (size_t) cap);
    } catch (...) {
        return -1;
    }
}

int32_t lx_quantize(const char * in, const char * out, int32_t ftype, int32_t n_threads, int32_t requantize,
                    char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        lx_init();
        llama_model_quantize_params qp = llama_model_quantize_default_params();
        qp.ftype            = (enum llama_ftype) ftype;
        qp.nthread          = n_threads;
        qp.allow_requantize = requantize != 0;
        lx::log_capture capture;
        lx::assert_guard guard;
        if (llama_model_quantize(in, out, &qp) != 0) {
            throw lx::error(LX_E_FAILED, capture.reason("llama.cpp gave no reason"));
        }
    });
}
