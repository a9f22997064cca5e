package gguf

import "strings"

// textArchitectures lists what the pinned llama.cpp (v0.5.0, LLM_ARCH_NAMES of
// src/llama-arch.cpp) loads as a model that generates text. Go over it whenever
// the pin moves.
const textArchitectures = `
afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bitnet bloom chameleon chatglm
codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4
dots1 dots3note dream ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma2 gemma3
gemma3n gemma4 glm-dsa glm4 glm4moe gpt-oss gpt2 gptj gptneox granite granite_swa granitehybrid granitemoe
graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2
jamba kimi-k3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama llama4 maincoder mamba mamba2 maple mellum
mimo2 minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 mpt muse-glimmer nanbeige nemotron
nemotron_h nemotron_h_moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo
plamo2 plamo3 plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3vl qwen3vlmoe
qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm starcoder
starcoder2 step35 t5 talkie xverse
`

// otherArchitecture names those that llama.cpp knows too, with what they are
// instead of a text generator.
func otherArchitecture(arch string) string {
	switch arch {
	case "bert",
		"eurobert",
		"gemma-embedding",
		"jina-bert-v2",
		"jina-bert-v3",
		"llama-embed",
		"modern-bert",
		"neo-bert",
		"nomic-bert",
		"nomic-bert-moe",
		"t5encoder":
		return "an embedding model"
	case "wavtokenizer-dec":
		return "a speech decoder"
	case "pockettts", "qwen3tts":
		return "a speech model"
	case "dflash", "eagle3", "gemma4-assistant":
		return "a draft head for speculative decoding"
	}
	return ""
}

// Architectures returns the architectures that Validate accepts, sorted.
func Architectures() []string { return strings.Fields(textArchitectures) }

func checkArchitecture(f *File) *Error {
	arch, err := required[string](f, "general.architecture")
	if err != nil {
		return err
	}
	if arch == "clip" {
		return refuse(ReasonNotTextModel, "the file is a multimodal projector (mmproj) and generates no text").
			hint("Give the .gguf file of the text model that it belongs to as model_path, and this one as mmproj_path.")
	}
	// An adapter carries the architecture of the model it belongs to.
	if typ, _ := Get[string](&f.Metadata, "general.type"); typ != "" && typ != "model" {
		return refuse(ReasonNotTextModel, "the file is of type %q, not a model of its own", typ).
			hint("Give the .gguf file of the model itself.")
	}
	if what := otherArchitecture(arch); what != "" {
		return refuse(ReasonNotTextModel, "architecture %q is %s and generates no text", arch, what).
			hint("Give the .gguf file of a text model.")
	}
	for _, known := range Architectures() {
		if arch == known {
			return nil
		}
	}
	return refuse(ReasonArchitecture, "architecture %s is not known to this build of llama.cpp", quoteShort(arch)).
		hint("Use a model of a known architecture such as qwen3, or a newer release of this program.")
}
