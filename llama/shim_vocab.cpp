// The vocabulary: exported once, tokenised against from any thread.
#include "shim_internal.h"

namespace {

// Appends the text of a token, specials rendered, to out.
void append_piece(const llama_vocab * vocab, llama_token token, std::string & out) {
    char buf[256];
    int32_t n = llama_token_to_piece(vocab, token, buf, sizeof(buf), 0, true);
    if (n >= 0) {
        out.append(buf, (size_t) n);
        return;
    }
    std::string big((size_t) -n, '\0');
    n = llama_token_to_piece(vocab, token, &big[0], (int32_t) big.size(), 0, true);
    if (n < 0) {
        throw lx::error(LX_E_FAILED, lx::format("render token %d", token));
    }
    out.append(big, 0, (size_t) n);
}

uint8_t flags_of(const llama_vocab * vocab, llama_token token) {
    const int attr = llama_vocab_get_attr(vocab, token);
    int flags = 0;
    flags |= llama_vocab_is_eog(vocab, token) ? LX_TOKEN_EOG : 0;
    flags |= (attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0 ? LX_TOKEN_CONTROL : 0;
    flags |= (attr & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0 ? LX_TOKEN_USER_DEFINED : 0;
    flags |= (attr & LLAMA_TOKEN_ATTR_BYTE) != 0 ? LX_TOKEN_BYTE : 0;
    flags |= (attr & LLAMA_TOKEN_ATTR_UNUSED) != 0 ? LX_TOKEN_UNUSED : 0;
    return (uint8_t) flags;
}

} // namespace

int32_t lx_vocab_export(const lx_model * m, char ** text, int64_t * text_len, uint32_t * offsets, uint8_t * flags,
                        char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        std::string all;
        all.reserve((size_t) m->n_vocab * 8);
        for (int32_t i = 0; i < m->n_vocab; i++) {
            offsets[i] = (uint32_t) all.size();
            flags[i]   = flags_of(m->vocab, i);
            append_piece(m->vocab, i, all);
        }
        if (all.size() > UINT32_MAX) {
            throw lx::error(LX_E_FAILED, "the vocabulary's text is larger than 4 GiB");
        }
        offsets[m->n_vocab] = (uint32_t) all.size();
        lx::give_string(all, text, text_len);
    });
}

int32_t lx_tokenize(const lx_model * m, const char * text, int32_t len, int32_t * out, int32_t cap,
                    int32_t parse_special, int32_t * needed, char * err, int32_t err_cap) noexcept {
    int32_t n = 0;
    const int32_t rc = lx::guarded(err, err_cap, [&] {
        n = llama_tokenize(m->vocab, text, len, out, cap, false, parse_special != 0);
        if (n == INT32_MIN) {
            throw lx::error(LX_E_FAILED, "the text gives more tokens than can be counted");
        }
        if (n < 0) {
            *needed = -n;
            throw lx::error(LX_E_NOMEM, "the token buffer is too small");
        }
    });
    return rc == LX_OK ? n : rc;
}
