// One sampler: a chain with fast paths in front of it.
#ifndef LX_SHIM_SAMPLER_H
#define LX_SHIM_SAMPLER_H

#include "shim_internal.h"

namespace lx {

// Index of the largest of n values, the first one among equals; -1 if none is
// larger than minus infinity. NaN is never the largest.
int32_t argmax(const float * x, int32_t n);

// The k largest of n values above minus infinity in out, largest first.
void select_top(const float * x, int32_t n, int32_t k, std::vector<llama_token_data> & out);

// Natural logarithm of the sum of exp(x[i]).
double log_sum_exp(const float * x, int32_t n);

// sampler draws tokens from rows of logits. The order of its chain is that of
// llama.cpp's common_sampler: bias, penalties, DRY, top-k, typical-p, top-p,
// min-p, temperature, draw; the grammar is checked after the draw, and only a
// refused draw is repeated with the grammar applied to the whole row first.
//
// Three ways lead to the same distribution:
//   greedy, no grammar     argmax on the row
//   top-k of at most 128   one pass that keeps the k largest, then the chain
//   anything else          a candidate array of the whole vocabulary
// Bias, penalties and DRY change few tokens, so they are applied in place to
// the row for exactly those.
class sampler {
  public:
    sampler(const lx_model & model, const lx_sampler_params & p, int32_t n_ctx_seq);

    // Draws from logits, which it may change, and accepts the token. Returns
    // LX_SAMPLED or a reason why there is none.
    int32_t sample(float * logits, std::vector<llama_token_data> & scratch, int32_t & token);

    // Shows a token that precedes generation to the penalties.
    void see(int32_t token);

    // How many of the preceding tokens the penalties look at.
    int32_t window() const { return window_; }

  private:
    void    remember(int32_t token);
    void    adjust(float * logits);
    int32_t draw(const float * logits, std::vector<llama_token_data> & scratch);
    int32_t draw_from(std::vector<llama_token_data> & candidates);
    void    fill(const float * logits, std::vector<llama_token_data> & out) const;
    int32_t draw_generic(float * logits, std::vector<llama_token_data> & scratch, bool with_grammar);
    bool    grammar_allows(int32_t token);

    int32_t n_vocab_;
    bool    greedy_;
    bool    generic_;
    int32_t top_k_;
    int32_t window_ = 0;

    std::vector<lx_logit_bias> bias_;
    sampler_ptr penalties_, dry_, grammar_, top_k_sampler_;
    sampler_ptr chain_; // typical-p, top-p, min-p, temperature, draw

    std::vector<int32_t>                 recent_; // ring of the last window_ tokens
    size_t                               recent_at_ = 0;
    std::unordered_map<int32_t, int32_t> recent_count_;
    std::vector<llama_token_data>        sparse_;
};

} // namespace lx

#endif
