package gguf

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Token types, as tokenizer.ggml.token_type numbers them.
const (
	TokenNormal      int32 = 1
	TokenUnknown     int32 = 2
	TokenControl     int32 = 3
	TokenUserDefined int32 = 4
	TokenUnused      int32 = 5
	TokenByte        int32 = 6
)

// specialTokenKeys are the ids llama.cpp reads. An id outside the vocabulary
// makes it fall back to a default that belongs to another model.
var specialTokenKeys = [...]string{
	"bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "cls", "mask",
	"fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep", "prefix", "suffix", "middle",
}

func checkVocabulary(f *File) *Error {
	model, err := required[string](f, "tokenizer.ggml.model")
	if err != nil {
		return err
	}
	// llama.cpp asserts on every use of a model without a vocabulary.
	if model == "none" || model == "no_vocab" {
		return refuse(ReasonVocabulary, "the model has no vocabulary (tokenizer.ggml.model is %q)", model)
	}
	if !slices.Contains([]string{"llama", "bert", "gpt2", "t5", "rwkv", "plamo2", "gemma4", "hybriddna", "whitespace"}, model) {
		return refuse(ReasonVocabulary, "tokenizer %s is not known to this build of llama.cpp", quoteShort(model))
	}
	if _, _, err := optional[string](f, "tokenizer.ggml.pre"); err != nil {
		return err
	}
	tokens, err := required[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return err
	}
	if len(tokens) == 0 || len(tokens) > MaxVocabulary {
		return refuse(ReasonVocabulary, "the vocabulary has %d tokens, must be 1 to %d", len(tokens), MaxVocabulary)
	}
	if err := checkUnique(tokens); err != nil {
		return err
	}
	if err := checkTokenTypes(f, tokens); err != nil {
		return err
	}
	if err := checkScores(f, len(tokens)); err != nil {
		return err
	}
	if err := checkMerges(f, model); err != nil {
		return err
	}
	return checkSpecialTokens(f, len(tokens), model)
}

// checkUnique repeats llama.cpp's rule that as many distinct texts as tokens
// remain, after it has named each empty token [EMPTY_<id>].
func checkUnique(tokens []string) *Error {
	seen := make(map[string]int, len(tokens))
	for id, text := range tokens {
		if text == "" {
			text = "[EMPTY_" + strconv.Itoa(id) + "]"
		}
		if first, dup := seen[text]; dup {
			return refuse(ReasonDuplicateToken, "tokens %d and %d are both %s", first, id, quoteShort(text))
		}
		seen[text] = id
	}
	return nil
}

func checkTokenTypes(f *File, tokens []string) *Error {
	const key = "tokenizer.ggml.token_type"
	types, found, err := optional[[]int32](f, key)
	if err != nil || !found {
		return err
	}
	if len(types) != len(tokens) {
		return refuse(ReasonVocabulary, "%s has %d entries for %d tokens", key, len(types), len(tokens))
	}
	for id, typ := range types {
		// llama.cpp cuts the value of a byte token out of its text unchecked.
		if typ == TokenByte && !isByteToken(tokens[id]) {
			return refuse(ReasonVocabulary, "token %d (%s) is a byte token but not of the form <0xHH>", id, quoteShort(tokens[id]))
		}
	}
	return nil
}

func isByteToken(text string) bool {
	if len(text) != len("<0x00>") || !strings.HasPrefix(text, "<0x") || text[5] != '>' {
		return false
	}
	_, err := strconv.ParseUint(text[3:5], 16, 8)
	return err == nil
}

func checkScores(f *File, tokens int) *Error {
	const key = "tokenizer.ggml.scores"
	v, found := f.Metadata.Get(key)
	if !found {
		return nil
	}
	n := -1
	switch d := v.Any().(type) {
	case []float32:
		n = len(d)
	case []int32:
		n = len(d)
	}
	switch {
	case n < 0:
		return refuse(ReasonKeyType, "%s is %s, must be an array of f32", key, v.TypeName())
	case n != tokens:
		return refuse(ReasonVocabulary, "%s has %d entries for %d tokens", key, n, tokens)
	}
	return nil
}

func checkMerges(f *File, model string) *Error {
	const key = "tokenizer.ggml.merges"
	merges, found, err := optional[[]string](f, key)
	if err != nil {
		return err
	}
	if pre, _ := Get[string](&f.Metadata, "tokenizer.ggml.pre"); !found && model == "gpt2" && pre != "kimi-k2" {
		return refuse(ReasonMissingKey, "metadata key %s is missing, which a byte-pair tokenizer needs", key)
	}
	for i, m := range merges {
		// As llama.cpp looks for it: from the second byte on.
		if len(m) < 3 || !strings.Contains(m[1:], " ") {
			return refuse(ReasonVocabulary, "merge %d (%s) is not a pair of tokens with a space between", i, quoteShort(m))
		}
	}
	return nil
}

func checkSpecialTokens(f *File, tokens int, model string) *Error {
	given := make(map[string]bool)
	for _, name := range specialTokenKeys {
		key := "tokenizer.ggml." + name + "_token_id"
		id, found, err := optional[uint32](f, key)
		if err != nil {
			return err
		}
		if found && int64(id) >= int64(tokens) {
			return refuse(ReasonSpecialToken, "%s is %d, but the vocabulary has %d tokens", key, id, tokens)
		}
		given[name] = found
	}
	// llama.cpp asserts when it is to add a token that it does not know. Of the
	// defaults it has, only those inside this vocabulary count.
	defaults := map[string]int{"llama": 2, "bert": 101, "gpt2": 11, "t5": 1}
	for _, name := range []string{"bos", "eos"} {
		key := "tokenizer.ggml.add_" + name + "_token"
		add, _, err := optional[bool](f, key)
		if err != nil {
			return err
		}
		id, known := defaults[model]
		if add && !given[name] && (!known || id >= tokens) {
			return refuse(ReasonSpecialToken, "%s is true, but tokenizer.ggml.%s_token_id is missing", key, name)
		}
	}
	return nil
}

// checkTemplates bounds the chat templates, which are programs to be parsed.
func checkTemplates(f *File) *Error {
	for key, v := range f.Metadata.All() {
		if key != keyTemplate && !strings.HasPrefix(key, keyTemplate+".") {
			continue
		}
		text, ok := As[string](v)
		switch {
		case !ok:
			return refuse(ReasonKeyType, "%s is %s, must be str", quoteShort(key), v.TypeName())
		case len(text) > MaxTemplateBytes:
			return refuse(ReasonTemplateTooLarge, "%s has %d bytes, the limit is %d", quoteShort(key), len(text), MaxTemplateBytes)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			return refuse(ReasonTemplateMalformed, "%s is not text: it has invalid UTF-8 or zero bytes", quoteShort(key))
		}
	}
	return nil
}

const keyTemplate = "tokenizer.chat_template"
