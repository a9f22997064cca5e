package policy_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

// labelled are requests as people write them, by what they are for.
var labelled = map[string][]string{
	policy.TaskSimple: {
		"", "   \n\t ", "Hello", "hi!", "Thanks, that helped.", "What is the capital of France?", "Who wrote the novel Dune?",
		"What is a haiku?", "Is it open 24/7?", "When did the Titanic sink?", "How are you? I am fine. Bye.", "yes", "ok",
		"What's the country code for Germany?", "Name three fruits.", "Was heißt das?", "Wie spät ist es in Tokio?",
		"Quelle est la capitale du Japon ?", "¿Quién pintó el Guernica?", "Qual è il fiume più lungo d'Italia?", "Qual é a capital do Brasil?",
		"Привет, как дела?", "法国的首都是哪里？", "日本の首都はどこですか。", "프랑스의 수도는 어디입니까?", "ما هي عاصمة فرنسا؟", "फ्रांस की राजधानी क्या है?",
		"👍", "What does HTTP stand for?", "Does the iPhone 15 plus have USB-C?", "Improve my resume headline: baker with ten years of work.",
		"Is a tomato a fruit?", "Make it shorter.", "3", "Türkiye'nin başkenti neresi?",
	},
	policy.TaskCode: {
		"Write a Python function to extract numbers from a string", "Fix this:\n```go\nfunc main() {\n```", "How do I revert a git commit?",
		"What does a segfault mean?", "Refactor this code to use generics", "SELECT name FROM users WHERE id == 3;\nwhy does it fail",
		"Write a function that generates a poem", "def add(a, b):\n    return (a + b)\n", "Translate this function to Rust:\n```python\ndef f(): pass\n```",
		"Write a script that renames my files", "Implement an algorithm for topological sorting", "Why is my Dockerfile so slow?",
		"Create a regex for e-mail addresses", "Schreibe eine Funktion, die eine Liste umdreht", "Écris une fonction qui trie une liste",
		"Escribe una función que ordene una lista", "Напиши функцию для сортировки списка", "写一个排序函数", "配列を並べ替える関数を書いて",
		"Explain this code:\nfor (int i = 0; i < n; i++) {\n  sum += a[i];\n}", "Traceback (most recent call last)\n  File \"a.py\", line 3, in self.run\nTypeError",
		"What is the difference between a linked list and an array?",
	},
	policy.TaskMath: {
		"2+2", "What is 144/12?", "Solve 2x + 3 = 11 for x", "What is the integral of x^2?", "Calculate the area of a circle with radius 5",
		"If a train goes 60 km in 2 hours, how far does it go in 5?", "What is 15 percent of 80?", "What is the square root of 169?",
		"Prove that the sum of two even numbers is even.", "Is 97 a prime number?", "Simplify \\frac{6}{8}", "what is 5 plus 7",
		"Tom has 3 apples and buys 4 more. How many does he have?", "12 * (3 + 4)", "(a+b)^2 = ?", "Berechne 17 mal 23", "Löse die Gleichung x² = 9",
		"Combien font 12 fois 8 ?", "Resuelve la ecuación de segundo grado", "Calcola 15 diviso 3", "Сколько будет 12 умножить на 3?", "计算3加5", "解方程 x+2=5",
		"12-5", "What is 17% of 250?",
	},
	policy.TaskTranslation: {
		"Translate to French: good morning", "How do you say 'thank you' in Japanese?", "Please translate this poem into German.",
		"Übersetze ins Englische: Guten Tag", "Traduis en anglais : bonjour", "Traduce al inglés: buenos días", "Traduci in inglese: buongiorno",
		"Traduza para o inglês: bom dia", "Переведи на английский: доброе утро", "把这句话翻译成英文：你好", "PDF翻译成中文", "次の文を英語に翻訳して：こんにちは",
		"다음 문장을 영어로 번역해 주세요: 안녕하세요", "ترجم إلى الإنجليزية: صباح الخير", "What is the French translation of 'cheese'?", "Comment dit-on « merci » en allemand ?",
	},
	policy.TaskSummary: {
		"Summarise the following article: the council met on Monday.", "Summarize this email in one sentence.", "TL;DR of this thread please",
		"Give me a summary of Hamlet", "What are the key points of this report?", "Fasse den Text zusammen: Der Rat tagte am Montag.",
		"Kannst du das bitte zusammenfassen?", "Résume ce texte en deux phrases.", "Resume este texto en dos frases.", "Riassumi questo articolo.",
		"Кратко изложи содержание статьи", "总结一下这篇文章", "この記事を要約してください", "이 글을 요약해 주세요",
		strings.Repeat("The council met on Monday and spoke of roads. ", 300) + "Please summarise the text above.",
	},
	policy.TaskExtraction: {
		"Extract all e-mail addresses from this text: a@b.c, d@e.f", "List all the people mentioned in the article: Ann met Bob.",
		"Find the dates in the following text: we met on 3 May.", "Give me name and address as JSON: Ann, 1 High St.", "Who is named in this email?",
		"Pull out the invoice number: No. 4711", "Extrahiere alle Namen: Anna traf Bert.", "Extrais les dates : le 3 mai.", "Extrae los nombres: Ana y Luis.",
		"Estrai le date dal testo: il 3 maggio.", "Извлеки все имена: Анна и Борис.", "从下面的句子中提取人名：小明见了小红", "次の文から日付を抽出して：5月3日",
		"Extract the function names from this:\n```go\nfunc a() {}\n```",
	},
	policy.TaskCreative: {
		"Write a poem about Python", "Tell me a joke", "Write a short story about a lighthouse keeper.", "Compose a haiku on autumn",
		"Come up with a slogan for a bakery", "Brainstorm names for a cat", "Imagine you are a pirate. Greet me.", "Schreib ein Gedicht über den Herbst",
		"Erzähl mir einen Witz", "Écris un poème sur la mer", "Raconte une histoire drôle", "Escribe un cuento sobre un dragón", "Scrivi una poesia sul mare",
		"Напиши стихотворение о море", "写一首关于春天的诗", "秋についての俳句を書いて", "Write song lyrics about the rain", "Draft a fairy tale with a fox in it",
	},
	policy.TaskComplex: {
		"Explain how photosynthesis works.", "Compare the French and the American revolution.", "What are the pros and cons of remote work?",
		"Plan a five day trip to Rome for a family with two children.", "Analyse the causes of the First World War", "Design an onboarding process for new nurses.",
		"Give me a detailed description of the water cycle", "What is the difference between a crocodile and an alligator?", "Erkläre mir die Relativitätstheorie",
		"Explique la photosynthèse étape par étape", "Compara el clima de Chile con el de Perú", "Spiegami la fotosintesi", "Объясни теорию относительности",
		"解释一下相对论", "相対性理論を説明してください", "광합성을 설명해 주세요",
		strings.Repeat("My neighbour has a dog that barks all night, and I do not know whom to ask. ", 4),
		"I am late. The bus is gone. It rains. My phone is dead. Now what?", "one\ntwo\nthree\nfour",
		strings.Repeat("word ", 2000),
	},
}

func TestClassify(t *testing.T) {
	count := 0
	for _, class := range policy.TaskTypes() {
		if len(labelled[class]) < 10 {
			t.Errorf("only %d examples of %s", len(labelled[class]), class)
		}
		for _, text := range labelled[class] {
			count++
			if got := policy.Classify(text); got != class {
				t.Errorf("%.80q is %s, not %s", text, got, class)
			}
		}
	}
	if count < 60 {
		t.Errorf("only %d examples", count)
	}
}

// What stands between the beginning and the end of a long text does not matter,
// whatever it is, and a cut through a character does no harm.
func TestClassifyLooksAtBothEndsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := strings.Repeat(rapid.StringN(1, 20, 80).Draw(t, "head"), 4096)[:4096]
		tail := strings.Repeat(rapid.StringN(1, 20, 80).Draw(t, "tail"), 512)
		tail = tail[len(tail)-512:]
		one := rapid.StringN(1, 200, 800).Draw(t, "middle")
		other := rapid.SampledFrom([]string{"```go\nfunc f() {}\n```", "translate", "x^2 = 4", strings.Repeat("explain ", 100)}).Draw(t, "other middle")
		if got, want := policy.Classify(head+one+tail), policy.Classify(head+other+tail); got != want {
			t.Fatalf("%s with one middle, %s with the other", got, want)
		}
	})
}

// Any text has one of the classes, always the same, and white space around it
// and the case of its letters do not matter to a question of one line.
func TestClassifyIsSteady(t *testing.T) {
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom(slices.Concat(labelled[policy.TaskSimple], labelled[policy.TaskMath],
		labelled[policy.TaskCode], labelled[policy.TaskTranslation])), rapid.StringOf(rapid.RuneFrom([]rune("0123+-*/^= ()x`\n{};ab"))))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, "pieces"), " ")
		class := policy.Classify(text)
		if !slices.Contains(policy.TaskTypes(), class) {
			t.Fatalf("%q is %q", text, class)
		}
		if again := policy.Classify(strings.Clone(text)); again != class {
			t.Fatalf("%q is %s and then %s", text, class, again)
		}
		if padded := policy.Classify("  \n" + text + "\n "); padded != class && len(text) < 4000 {
			t.Fatalf("%q is %s, but %s with space around it", text, class, padded)
		}
		if class == policy.TaskSimple && utf8.RuneCountInString(strings.TrimSpace(text)) > 200 {
			t.Fatalf("%d characters are simple", utf8.RuneCountInString(text))
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	long := strings.Repeat("The council met on Monday and spoke of roads. ", 1000)
	b.ReportAllocs()
	for b.Loop() {
		policy.Classify(long)
	}
}
