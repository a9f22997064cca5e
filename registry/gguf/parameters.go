package gguf

import (
	"math"
	"slices"
)

// parameters are the numbers of a model's shape that llama.cpp reads for every
// architecture (llama_model_base::load_hparams), with its defaults.
type parameters struct {
	layers, embedding, context       int64
	heads, kvHeads, feedForward      []int64 // one per layer
	keyLength, valueLength, ropeDims int64   // per head
	experts, expertsUsed             int64
	expertFeedForward                int64
	expertGroups, expertGroupsUsed   int64
	nextnLayers                      int64
}

func checkModelParameters(f *File) *Error {
	_, err := readParameters(f)
	return err
}

// readParameters reads and checks the shape of a model. With an error it still
// returns what it has read so far.
func readParameters(f *File) (*parameters, *Error) {
	p := &parameters{}
	for _, step := range []func(*File) *Error{p.readSize, p.readExperts, p.readAttention, p.readRope} {
		if err := step(f); err != nil {
			return p, err
		}
	}
	return p, nil
}

// ranged reads a u32 that must lie in [low, high] if present.
func ranged(f *File, suffix string, low, high int64, dst *int64) *Error {
	v, found, err := optional[uint32](f, f.archKey(suffix))
	if err != nil || !found {
		return err
	}
	if int64(v) < low || int64(v) > high {
		return refuse(ReasonBadValue, "%s is %d, must be from %d to %d", f.archKey(suffix), v, low, high)
	}
	*dst = int64(v)
	return nil
}

func (p *parameters) readSize(f *File) *Error {
	for _, k := range []struct {
		suffix string
		high   int64
		dst    *int64
	}{
		{"context_length", MaxContextLength, &p.context},
		{"embedding_length", MaxWidth, &p.embedding},
		{"block_count", MaxLayers, &p.layers},
	} {
		if err := ranged(f, k.suffix, 1, k.high, k.dst); err != nil {
			return err
		}
		if *k.dst == 0 {
			return refuse(ReasonMissingKey, "metadata key %s is missing", f.archKey(k.suffix))
		}
	}
	if err := ranged(f, "nextn_predict_layers", 0, p.layers, &p.nextnLayers); err != nil {
		return err
	}
	var err *Error
	p.feedForward, err = perLayer(f, "feed_forward_length", p.layers, MaxWidth)
	return err
}

// perLayer reads a key that holds one number for all layers or an array with
// one for each. A missing key gives zeros.
func perLayer(f *File, suffix string, layers, high int64) ([]int64, *Error) {
	key := f.archKey(suffix)
	v, found := f.Metadata.Get(key)
	out := make([]int64, layers)
	if !found {
		return out, nil
	}
	var read func(i int) int64
	n := layers
	switch d := v.Any().(type) {
	case uint32:
		read = func(int) int64 { return int64(d) }
	case []uint32:
		n, read = int64(len(d)), func(i int) int64 { return int64(d[i]) }
	case []int32:
		n, read = int64(len(d)), func(i int) int64 { return int64(d[i]) }
	default:
		return nil, refuse(ReasonKeyType, "%s is %s, must be u32 or an array of u32 or i32", key, v.TypeName())
	}
	if n != layers {
		return nil, refuse(ReasonBadValue, "%s has %d entries for %d layers", key, n, layers)
	}
	for i := range out {
		if out[i] = read(i); out[i] < 0 || out[i] > high {
			return nil, refuse(ReasonBadValue, "%s is %d in layer %d, must be from 0 to %d", key, out[i], i, high)
		}
	}
	return out, nil
}

func (p *parameters) readExperts(f *File) *Error {
	if err := ranged(f, "expert_count", 0, MaxExperts, &p.experts); err != nil {
		return err
	}
	used, err := perLayer(f, "expert_used_count", p.layers, MaxExperts)
	if err != nil {
		return err
	}
	p.expertsUsed = slices.Max(used)
	if err := ranged(f, "expert_group_count", 0, MaxExperts, &p.expertGroups); err != nil {
		return err
	}
	if err := ranged(f, "expert_group_used_count", 0, MaxExperts, &p.expertGroupsUsed); err != nil {
		return err
	}
	lengths, err := perLayer(f, "expert_feed_forward_length", p.layers, MaxWidth)
	if err != nil {
		return err
	}
	p.expertFeedForward = lengths[0]
	// llama.cpp treats these two as dense when they claim a single expert.
	if arch := f.Architecture(); (arch == "hunyuan_vl" || arch == "hunyuan-dense") && p.experts <= 1 {
		p.experts, p.expertsUsed = 0, 0
	}
	return p.checkExperts()
}

// checkExperts repeats the assertions of llama_model_base::load_hparams.
func (p *parameters) checkExperts() *Error {
	bad := func(format string, args ...any) *Error { return refuse(ReasonBadValue, format, args...) }
	switch {
	case p.expertsUsed > p.experts:
		return bad("the model uses %d experts per token but has %d", p.expertsUsed, p.experts)
	case p.experts > 0 && p.expertsUsed == 0:
		return bad("the model has %d experts and uses none of them", p.experts)
	case p.experts == 0 && p.expertGroups != 0:
		return bad("the model has %d expert groups and no experts", p.expertGroups)
	case p.experts > 0 && p.expertGroups >= p.experts:
		return bad("the model has %d expert groups for %d experts", p.expertGroups, p.experts)
	case p.expertGroups > 1 && p.experts%p.expertGroups != 0:
		return bad("%d experts do not divide into %d groups", p.experts, p.expertGroups)
	case p.expertGroups > 1 && (p.expertGroupsUsed == 0 || p.expertGroupsUsed >= p.expertGroups):
		return bad("the model uses %d of %d expert groups, must be at least 1 and fewer than all", p.expertGroupsUsed, p.expertGroups)
	}
	return nil
}

func (p *parameters) readAttention(f *File) *Error {
	var err *Error
	if p.heads, err = perLayer(f, "attention.head_count", p.layers, MaxWidth); err != nil {
		return err
	}
	p.kvHeads = p.heads
	if _, found := f.Metadata.Get(f.archKey("attention.head_count_kv")); found {
		if p.kvHeads, err = perLayer(f, "attention.head_count_kv", p.layers, MaxWidth); err != nil {
			return err
		}
	}
	for il, h := range p.heads {
		if kv := p.kvHeads[il]; h > 0 && kv > 0 && h%kv != 0 {
			return refuse(ReasonBadValue, "layer %d has %d attention heads, not a multiple of its %d KV heads", il, h, kv)
		}
	}
	if p.heads[0] > 0 { // a recurrent layer has none
		p.keyLength = p.embedding / p.heads[0]
	}
	p.valueLength = p.keyLength
	if err := ranged(f, "attention.key_length", 1, MaxWidth, &p.keyLength); err != nil {
		return err
	}
	if err := ranged(f, "attention.value_length", 1, MaxWidth, &p.valueLength); err != nil {
		return err
	}
	if p.heads[0] > 0 && (p.keyLength == 0 || p.valueLength == 0) {
		return refuse(ReasonBadValue, "%d attention heads are more than the embedding length of %d", p.heads[0], p.embedding)
	}
	for il := range p.heads {
		if n := max(p.heads[il], p.kvHeads[il]) * max(p.keyLength, p.valueLength); n > MaxAttentionWidth {
			return refuse(ReasonBadValue, "attention in layer %d is %d wide, the limit is %d", il, n, MaxAttentionWidth)
		}
	}
	for _, eps := range []string{"attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"} {
		v, found, err := optional[float32](f, f.archKey(eps))
		if err != nil {
			return err
		}
		if found && !(v >= 0 && v < 1) { // also refuses NaN; ggml asserts eps >= 0
			return refuse(ReasonBadValue, "%s is %v, must be from 0 to 1", f.archKey(eps), v)
		}
	}
	return nil
}

func (p *parameters) readRope(f *File) *Error {
	p.ropeDims = p.keyLength
	if err := ranged(f, "rope.dimension_count", 0, MaxWidth, &p.ropeDims); err != nil {
		return err
	}
	if p.ropeDims > p.keyLength {
		return refuse(ReasonBadValue, "RoPE turns %d dimensions of heads that have %d", p.ropeDims, p.keyLength)
	}
	scaling, found, err := optional[string](f, f.archKey("rope.scaling.type"))
	if err != nil {
		return err
	}
	if found && !slices.Contains([]string{"none", "linear", "yarn", "longrope"}, scaling) {
		return refuse(ReasonBadValue, "%s is %s, must be none, linear, yarn or longrope", f.archKey("rope.scaling.type"), quoteShort(scaling))
	}
	for _, suffix := range []string{"rope.freq_base", "rope.scaling.factor"} {
		v, found, err := optional[float32](f, f.archKey(suffix))
		if err != nil {
			return err
		}
		// Not positive or not finite makes every position NaN. A factor of 0
		// means none.
		if found && (math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || v < 0 || suffix == "rope.freq_base" && v == 0) {
			return refuse(ReasonBadValue, "%s is %v, must be a positive number", f.archKey(suffix), v)
		}
	}
	return nil
}
