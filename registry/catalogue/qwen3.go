package catalogue

// neverPublished are names that people ask for and nobody published weights for.
// They must not be taken for a misspelling of another size.
var neverPublished = []string{"qwen-3-72b", "qwen3-72b", "qwen3:72b"}

// apache is the licence of the whole family, by the model cards.
const apache = "Apache-2.0"

// qwenVocabulary is the height of the family's embedding matrices.
const qwenVocabulary = 151936

// dense is the shape of a dense model, with the family's heads of 128.
func dense(layers, embedding, feedForward, heads int64, tied bool) Shape {
	return Shape{
		Layers: layers, Embedding: embedding, FeedForward: feedForward,
		Heads: heads, KVHeads: 8, HeadLength: 128,
		Context: 40960, Vocabulary: qwenVocabulary, Tied: tied,
	}
}

// mixture is the shape of a mixture of 128 experts, 8 of which work on a token.
func mixture(layers, embedding, expertFeedForward, heads int64) Shape {
	return Shape{
		Layers: layers, Embedding: embedding,
		Heads: heads, KVHeads: 4, HeadLength: 128,
		Experts: 128, ExpertsUsed: 8, ExpertFeedForward: expertFeedForward,
		Context: 40960, Vocabulary: qwenVocabulary,
	}
}

// withContext is the shape with another trained length.
func withContext(s Shape, context int64) Shape {
	s.Context = context
	return s
}

// models is the catalogue. Shapes are those of the published config.json files
// and of the training tools that carry them; sizes and checksums those of the
// hub's files. The publisher's own repositories of the two smallest have only
// Q8_0, so the Q4_K_M of those come from unsloth's.
var models = []Model{
	{
		Name: "qwen3-0.6b", Aliases: []string{"qwen-3-0.6b", "qwen3:0.6b"}, Kind: KindChat,
		Repository: "unsloth/Qwen3-0.6B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-0.6B-Q4_K_M.gguf", 396705472, "ac2d97712095a558e31573f62f466a3f9d93990898b0ec79d7c974c1780d524a"}},
		Shape: dense(28, 1024, 3072, 16, true), GoodFor: "Short answers and classification on any machine.",
	},
	{
		Name: "qwen3-1.7b", Aliases: []string{"qwen-3-1.7b", "qwen3:1.7b"}, Kind: KindChat,
		Repository: "unsloth/Qwen3-1.7B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-1.7B-Q4_K_M.gguf", 1107409472, "b139949c5bd74937ad8ed8c8cf3d9ffb1e99c866c823204dc42c0d91fa181897"}},
		Shape: dense(28, 2048, 6144, 16, true), GoodFor: "Summaries and simple questions without a GPU.",
	},
	{
		Name: "qwen3-4b", Aliases: []string{"qwen-3-4b", "qwen3:4b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-4B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-4B-Q4_K_M.gguf", 2497280256, "7485fe6f11af29433bc51cab58009521f205840f5b4ae3a32fa7f92e8534fdf5"}},
		Shape: dense(36, 2560, 9728, 32, true), GoodFor: "Everyday chat and tools on a laptop.",
	},
	{
		Name: "qwen3-8b", Aliases: []string{"qwen-3-8b", "qwen3:8b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-8B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-8B-Q4_K_M.gguf", 5027783488, "d98cdcbd03e17ce47681435b5150e34c1417f50b5c0019dd560e4882c5745785"}},
		Shape: dense(36, 4096, 12288, 32, false), GoodFor: "Chat, code and tools with 8 GB of graphics memory or 16 GB of memory.",
	},
	{
		Name: "qwen3-14b", Aliases: []string{"qwen-3-14b", "qwen3:14b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-14B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-14B-Q4_K_M.gguf", 9001752960, "500a8806e85ee9c83f3ae08420295592451379b4f8cf2d0f41c15dffeb6b81f0"}},
		Shape: dense(40, 5120, 17408, 40, false), GoodFor: "Longer reasoning and code with 16 GB of graphics memory.",
	},
	{
		Name: "qwen3-30b-a3b", Aliases: []string{"qwen-3-30b-a3b", "qwen3:30b-a3b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-30B-A3B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-30B-A3B-Q4_K_M.gguf", 18556685824, "0d003f6662faee786ed5da3e31b29c978de5ae5d275c8794c606a7f3c01aa8f5"}},
		Shape: mixture(48, 2048, 768, 32), GoodFor: "The answers of a large model at the speed of a small one, given 32 GB of memory.",
	},
	{
		Name: "qwen3-32b", Aliases: []string{"qwen-3-32b", "qwen3:32b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-32B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{{"Qwen3-32B-Q4_K_M.gguf", 19762149024, "efd971561896866f0e910cce52761ca77b1b138090c7f15fe284676d57d1f689"}},
		Shape: dense(64, 5120, 25600, 64, false), GoodFor: "The hardest questions on one GPU with 24 GB.",
	},
	{
		Name: "qwen3-235b-a22b", Aliases: []string{"qwen-3-235b-a22b", "qwen3:235b-a22b"}, Kind: KindChat,
		Repository: "Qwen/Qwen3-235B-A22B-GGUF", Quantization: "Q4_K_M", License: apache,
		Files: []File{
			{"Q4_K_M/Qwen3-235B-A22B-Q4_K_M-00001-of-00005.gguf", 29742283872, "ce666f562eb8eefda48eec0aa93680ba40ca5727d0ba9918f3fb1771141375e6"},
			{"Q4_K_M/Qwen3-235B-A22B-Q4_K_M-00002-of-00005.gguf", 29974106496, "ac73c457aac5993d02444063c976062c70be609c03ca6584d0c3be0632e79ce6"},
			{"Q4_K_M/Qwen3-235B-A22B-Q4_K_M-00003-of-00005.gguf", 29933980640, "6357074e14a748446c2b0dcc64a1a7c64b1c124fbfb9cb48114147645d3310fe"},
			{"Q4_K_M/Qwen3-235B-A22B-Q4_K_M-00004-of-00005.gguf", 29936094304, "2eb47718eaeeebee3726cd2ca4ac11b5768faded5d7adddec5b754aeb7c387dd"},
			{"Q4_K_M/Qwen3-235B-A22B-Q4_K_M-00005-of-00005.gguf", 22567608864, "dbe2c7547c0d397d2ef16e08218a586383771dc12e9678cfd6fa8cc23e94e8f8"},
		},
		Shape: mixture(94, 4096, 1536, 64), GoodFor: "The largest of the family, for servers with 192 GB of memory or more.",
	},
	{
		Name: "qwen3-vl-4b", Aliases: []string{"qwen-3-vl-4b", "qwen3-vl-4b-instruct", "qwen3-vl:4b"}, Kind: KindVision,
		Repository: "Qwen/Qwen3-VL-4B-Instruct-GGUF", Quantization: "Q4_K_M", License: apache,
		Files:     []File{{"Qwen3VL-4B-Instruct-Q4_K_M.gguf", 2497281664, "66358cb18bb6b3b1b6675aa412c7a88ef01d228f481184d13668e5201c730a0a"}},
		Projector: File{"mmproj-Qwen3VL-4B-Instruct-Q8_0.gguf", 453974304, "30ba2c7dd3127a4561b6cba9d13d0f711c91bdb38742e2f56d73c8cb596bd06d"},
		Shape:     withContext(dense(36, 2560, 9728, 32, true), 262144),
		GoodFor:   "Questions about pictures, screens and scanned pages.",
		Unverified: []Doubt{{
			Fact: "embedding, feed-forward width and query heads",
			Why:  "taken from qwen3-4b, of which its language model has the layers, the KV cache and the size; the file says them once it is there",
		}},
	},
	{
		Name: "qwen3-embedding-0.6b", Aliases: []string{"qwen-3-embedding-0.6b", "qwen3-embedding:0.6b"}, Kind: KindEmbedding,
		Repository: "Qwen/Qwen3-Embedding-0.6B-GGUF", Quantization: "Q8_0", License: apache,
		Files:   []File{{"Qwen3-Embedding-0.6B-Q8_0.gguf", 639150592, "06507c7b42688469c4e7298b0a1e16deff06caf291cf0a5b278c308249c3e439"}},
		Shape:   withContext(dense(28, 1024, 3072, 16, true), 32768),
		GoodFor: "Search and comparison of texts by vectors of 1024 numbers.",
		Unverified: []Doubt{{
			Fact: "heads and feed-forward width",
			Why:  "taken from qwen3-0.6b, of which the model card says that it is made and whose layers and width it has",
		}},
	},
}
