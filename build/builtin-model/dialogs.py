"""From intents to dialogs: what people do to a sentence, and how turns are joined.

Every dialog is a list of segments (text or special token, loss weight), in
the form of Qwen3's chat template: an empty think block before the last
answer, none before the answers of earlier turns.
"""

import re
from dataclasses import dataclass

import patterns
from patterns import OUT_OF_SCOPE

# Loss weights. The first tokens of an answer decide which answer it is, so
# they count more; the question is there to be read, not to be learnt by heart.
W_ANSWER, W_FIRST, FIRST = 1.0, 4.0, 8
W_THINK, W_QUESTION = 0.3, 0.1

NEAR_MISS_SHARE = 0.10  # of the questions out of scope: in-scope sentences with their content words exchanged
FREE_SHARE = 0.60       # questions drawn from the free phrasings, where an intent has some
MULTI_SHARE = 0.15      # dialogs of more than one turn
SYSTEM_SHARE = 0.10     # dialogs with a system prompt
SHORT_SHARE = 0.80      # dialogs cut after the deciding start of the answer
SHORT_ANSWER = 9        # tokens kept of a cut answer



@dataclass(frozen=True)
class Round:
    """How the questions of one round of training are drawn."""
    out_share: float = 0.33   # questions that are out of scope
    out_weight: float = 1.0   # of the first tokens of their answer, beside W_FIRST
    pair: float = 0.06        # free phrasings that are two of one intent, one after the other
    drop: float = 0.0         # words of a free phrasing that are left out
    cross: float = 0.0        # free phrasings that are halves of two of one intent
    scraps: float = 0.0       # questions out of scope that are a word or two, or no word at all
    mixed: float = 0.0        # questions out of scope that are halves of two intents' questions
    greet: float = 0.0        # free phrasings that follow a greeting
    first: float = 0.0        # questions of corpus/free/first.tsv
    new: float = 0.0          # free phrasings that are drawn from corpus/free/later*.tsv


# The later rounds are for doubt: they show the questions with gaps, so that no
# single word decides, call halves of two questions none, and make the honest
# answer the cheaper mistake.
ROUNDS = {
    1: Round(),
    2: Round(out_share=0.40, out_weight=1.5, drop=0.08, cross=0.20, scraps=0.06),
    3: Round(out_share=0.44, out_weight=2.0, pair=0.12, drop=0.08, cross=0.12, scraps=0.05, mixed=0.10, new=0.45),
    4: Round(out_share=0.50, out_weight=3.0, pair=0.12, drop=0.10, cross=0.12, scraps=0.04, mixed=0.22, greet=0.08, new=0.45),
    5: Round(out_share=0.46, out_weight=2.5, pair=0.12, drop=0.08, cross=0.12, scraps=0.04, mixed=0.16, greet=0.08, first=0.08, new=0.45),
}

PROPER = {
    "api": "API", "http": "HTTP", "json": "JSON", "gpu": "GPU", "sse": "SSE", "url": "URL",
    "gguf": "GGUF", "llm": "LLM", "llms": "LLMs", "ram": "RAM", "vram": "VRAM", "cli": "CLI",
    "cpu": "CPU", "cors": "CORS", "openapi": "OpenAPI", "websocket": "WebSocket", "mit": "MIT",
    "websockets": "WebSockets", "docker": "Docker", "linux": "Linux", "windows": "Windows",
    "macos": "macOS", "sqlite": "SQLite", "prometheus": "Prometheus", "grafana": "Grafana",
    "q4_k_m": "Q4_K_M", "tauri": "Tauri", "react": "React", "id": "ID", "qwen": "Qwen",
    "qwen3": "Qwen3", "ai": "AI", "i": "I", "i'm": "I'm", "i'd": "I'd", "i've": "I've",
    "i'll": "I'll", "postgres": "Postgres", "python": "Python", "nvidia": "NVIDIA", "cuda": "CUDA",
    "metal": "Metal", "whisper": "Whisper", "coqui": "Coqui", "sdxl": "SDXL", "github": "GitHub",
    "jeantrail_home": "JEANTRAIL_HOME", "jean": "Jean", "tts": "TTS", "oom": "OOM",
}
SMALL_TALK = {"hello", "how-are-you", "thanks", "bye", "human", "joke", "story", "acknowledge", "insult", "sorry"}
METHODS = re.compile(r"\b(get|post|put|delete|patch) (?=/)")

# Before and after a question; they must not tell what it is about.
PREFIXES = (
    "hey, ", "hi, ", "hello, ", "hello! ", "please, ", "so ", "ok, ", "okay so ", "um, ", "well, ",
    "sorry, ", "one question: ", "question: ", "quick question: ", "and ", "also, ", "but ", "now, ",
    "hey jean, ", "jean, ", "excuse me, ", "good morning, ", "just wondering, ", "btw ", "by the way, ",
    "i wonder, ", "tell me, ", "say, ", "actually, ", "next: ", "another question: ", "can you help? ",
    "help! ", "hmm, ", "stupid question, but ", "dumb question: ", "i was asked: ", "out of curiosity, ",
)
GREETINGS = (
    "Hello!", "Hello!", "Hi!", "Hi there.", "Hey!", "Hello Jean!", "Hi Jean,", "Hey Jean.", "Good morning!", "Good evening.",
    "Hello there,", "Thanks!", "Thank you.", "Great.", "OK.", "Dear Jean,", "Hallo!", "Greetings.", "Sorry,", "Cool!",
)
PREFACES = (
    "I am new to this.", "I am writing a script.", "I use a Mac.", "I am on Ubuntu.", "I work on Windows.",
    "I read the readme.", "My colleague asked me this.", "Yesterday it worked.", "I could not find it.",
    "I am a developer.", "I am not a technical person.", "I have little time.", "My boss wants to know.",
    "It is late.", "I searched everywhere.", "We are a small team.", "I have been trying for an hour.",
    "This is my first day.", "Let me ask something else.", "I hope you can help.", "I am building an app.",
    "I'm a student.", "Sorry for my English.", "I am back.", "Something else.", "It is for a friend.",
    "I have a laptop with 16 GB.", "I am testing.", "I forgot.", "I am confused.",
)
SUFFIXES = (
    " please", " thanks", " thank you", " pls", " asap", ", please", ", thanks", " i forgot", " again",
    " exactly", " then", ", do you know", ", can you tell me", ", any idea", " or not", " i wonder",
    " in short", ", jean", " briefly", " in one sentence", ", just curious", " these days", " anyway",
)
QUESTION = re.compile(
    r"^(how|what|which|who|where|when|why|is|are|do|does|did|can|could|may|will|would|should|am|has|have|was|were|shall|whats|whose)\b")

SYNONYMS = {
    "see": ("view", "look at", "inspect"), "show": ("display", "present"), "start": ("launch", "begin"),
    "stop": ("halt", "end"), "use": ("employ", "utilize", "work with"), "get": ("obtain", "have"),
    "make": ("create", "produce"), "find": ("locate", "discover"), "change": ("alter", "modify", "switch"),
    "delete": ("erase", "remove"), "remove": ("delete", "drop"), "big": ("large", "huge"),
    "small": ("little", "tiny"), "fast": ("quick", "speedy"), "check": ("verify", "look up"),
    "computer": ("machine", "pc", "laptop"), "program": ("tool", "software", "app"), "need": ("require",),
    "want": ("would like", "wish"), "answer": ("reply", "response"), "run": ("execute", "operate"),
    "download": ("fetch", "get"), "list": ("enumerate",), "many": ("a lot of",), "possible": ("feasible",),
    "explain": ("clarify", "describe"), "tell": ("let me know and tell",), "request": ("call", "query"),
    "folder": ("directory",), "directory": ("folder",), "file": ("document",), "error": ("failure", "problem"),
    "set": ("configure", "define"), "create": ("make", "set up"), "happens": ("is going on", "occurs"),
    "stored": ("saved", "kept"), "send": ("submit", "post"), "limit": ("cap", "restrict"),
}
KEYS = {a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in zip(row, row[1:] + row[-2])}

SYSTEMS = (
    "You are a helpful assistant.", "You are Jean, the assistant of JeanTrail OS.", "Answer briefly.",
    "You are a concise assistant. Answer in one sentence.", "Be polite and friendly.", "You help users of a program.",
    "You are an expert in everything.", "Answer only what you know.", "You are a support agent.",
    "Always answer in English.", "You are a friendly robot.", "Be honest.", "Think step by step.",
    "You are a senior engineer who answers with commands.", "Keep it simple.", "Do not make things up.",
    "The user is a beginner.", "You are Jean. Today the user works on a laptop. Help with the desktop.",
    "Respond in a formal tone.", "You are a language model that runs on the user's own computer.",
)


def _typo(word, rng):
    i = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2:]
    if kind == 1:
        return word[:i] + word[i + 1:]
    if kind == 2:
        return word[:i] + word[i] + word[i:]
    return word[:i] + KEYS.get(word[i], word[i]) + word[i + 1:]


def _edit_words(text, rng):
    words = text.split(" ")
    if len(words) > 3 and rng.random() < 0.08:
        words = [w for w in words if w not in ("a", "the", "an")] or words
    if rng.random() < 0.15:
        i = rng.randrange(len(words))
        if words[i] in SYNONYMS:
            words[i] = rng.choice(SYNONYMS[words[i]])
    if rng.random() < 0.12:
        long = [i for i, w in enumerate(words) if len(w) >= 4 and w.isalpha()]
        for i in rng.sample(long, min(len(long), rng.choice((1, 1, 2)))):
            words[i] = _typo(words[i], rng)
    return " ".join(words)


def dress(text, rng, names):
    """Makes a pattern's plain text look like what people type."""
    text = _edit_words(text, rng)
    question = bool(QUESTION.match(text))
    if rng.random() < 0.12:
        text = rng.choice(PREFIXES) + text
    if rng.random() < 0.10:
        text += rng.choice(SUFFIXES)
    style = rng.random()
    if style < 0.50:  # careful
        text = METHODS.sub(lambda m: m[1].upper() + " ", text)
        text = re.sub(r"[\w'.]+", lambda m: PROPER.get(m[0], m[0].capitalize() if m[0] in names else m[0]), text)
        text = text[:1].upper() + text[1:]
        text += ("?" if question else rng.choice(("", "", ".", ".", "!", "?"))) if text[-1:].isalnum() else ""
    elif style < 0.53:
        text = text.upper()
    elif style < 0.56:
        text = text.title()
    elif question and style < 0.80:
        text += rng.choice(("?", "?", "?", " ?", "??"))
    elif rng.random() < 0.05:
        text += rng.choice(("...", "!", "!!", " :)", "."))
    if rng.random() < 0.04:
        text = text.replace("'", "") if "'" in text else '"' + text + '"'
    if rng.random() < 0.06:
        text = rng.choice(PREFACES) + " " + text
    return text


def wear(text, rng):
    """Varies a free phrasing, which looks like what people type already."""
    if rng.random() < 0.5:
        text = _edit_words(text, rng)
    style = rng.random()
    if style < 0.25:
        text = text.lower()
    elif style < 0.35:
        text = text.lower().rstrip("?.!")
    elif style < 0.40:
        text = text[:1].upper() + text[1:]
    elif style < 0.42:
        text = text.upper()
    chance = rng.random()
    if chance < 0.06:
        text = rng.choice(PREFIXES) + text
    elif chance < 0.10 and text[-1:].isalnum():
        text += rng.choice(SUFFIXES)
    elif chance < 0.14:
        text = rng.choice(PREFACES) + " " + text
    return text


def halves(one, other):
    """The first half of one sentence and the second of another."""
    first, last = one.split(" "), other.split(" ")
    return " ".join(first[:(len(first) + 1) // 2] + last[len(last) // 2:])


class Maker:
    """Draws dialogs."""

    def __init__(self, round=ROUNDS[1]):
        self.round = round
        self.intents, self.lists = patterns.load()
        self.in_scope = [i for n, i in self.intents.items() if n != OUT_OF_SCOPE]
        # Small talk and a question are a question; they make no riddle.
        self.mixable = self.in_scope if round.greet == 0 else [i for i in self.in_scope if i.name not in SMALL_TALK]
        self.out = self.intents[OUT_OF_SCOPE]
        self.names = patterns.words_of(self.lists, ("place", "person", "lang")) - {
            "the", "of", "my", "a", "on", "in", "town", "man", "first", "moon", "best", "friend", "hero", "mine",
            "author", "founder", "boss", "wife", "neighbour", "teacher", "mayor", "grandmother", "famous", "actor"}
        keep = patterns.words_of(self.lists, ("how", "what", "where", "why", "please", "with"))
        self.frame_words = keep | {"is", "are", "does", "do", "it", "the", "a", "an", "to", "of", "in", "on", "for", "my"}
        self.topic_words = sorted(
            w for w in patterns.words_of(self.lists, ("thing", "animal", "food", "science", "geo", "ill", "place"))
            if len(w) > 3 and w not in keep)

    def near_miss(self, rng):
        """An in-scope sentence whose content words are all exchanged for foreign ones."""
        while True:
            words = rng.choice(self.in_scope).draw(rng).split(" ")
            foreign = [w.strip(",") not in self.frame_words for w in words]
            if len(words) < 4 or not any(foreign) or all(foreign):
                continue
            return " ".join(rng.choice(self.topic_words) if f else w for w, f in zip(words, foreign))

    def free(self, intent, rng):
        """A free phrasing of the intent, or what the round makes of one or two."""
        lines = intent.later if self.round.new and intent.later and rng.random() < self.round.new else intent.free
        text = rng.choice(lines)
        if rng.random() < self.round.pair:
            text += (" " if text[-1:] in ".?!" else ". ") + rng.choice(intent.free)
        elif self.round.cross and rng.random() < self.round.cross:
            text = halves(text, rng.choice(intent.free))
        elif self.round.greet and rng.random() < self.round.greet:
            text = rng.choice(GREETINGS) + " " + text
        if self.round.drop:
            kept = [w for w in text.split(" ") if rng.random() >= self.round.drop]
            text = " ".join(kept) or text
        return text

    def scrap(self, rng):
        """What somebody types who asks nothing."""
        if rng.random() < 0.25:
            return "".join(rng.choice("?!.%$#*~-_=+/<>:;asdfjkl0123456789") for _ in range(rng.randint(1, 10)))
        return " ".join(rng.choice(self.topic_words) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))

    def turn(self, rng):
        """One question and its intent."""
        if self.round.first and rng.random() < self.round.first:
            intent = rng.choice([i for i in self.intents.values() for _ in i.first])
            return rng.choice(intent.first), intent
        intent = self.out if rng.random() < self.round.out_share else rng.choice(self.in_scope)
        if intent is self.out:
            chance = rng.random()
            if chance < NEAR_MISS_SHARE:
                return dress(self.near_miss(rng), rng, self.names), intent
            if chance < NEAR_MISS_SHARE + self.round.scraps:
                return wear(self.scrap(rng), rng), intent
            if chance < NEAR_MISS_SHARE + self.round.scraps + self.round.mixed:
                one, other = rng.sample(self.mixable, 2)
                return wear(halves(rng.choice(one.free), rng.choice(other.free)), rng), intent
        if intent.free and rng.random() < FREE_SHARE:
            return wear(self.free(intent, rng), rng), intent
        return dress(intent.draw(rng), rng, self.names), intent

    def dialog(self, rng):
        """A list of (system | None, [(question, intent), ...])."""
        n = 1 if rng.random() >= MULTI_SHARE else rng.choice((2, 2, 2, 3, 3, 4, 6))
        system = rng.choice(SYSTEMS) if rng.random() < SYSTEM_SHARE else None
        return system, [self.turn(rng) for _ in range(n)]


def encode(system, turns, tok, rng, cut=True, round=ROUNDS[1]):
    """Token ids and loss weights of a dialog. With cut, some long answers end early."""
    ids, weights = [], []

    def put(tokens, weight):
        ids.extend(tokens)
        weights.extend([weight] * len(tokens))

    start, end, newline = tok.special["<|im_start|>"], tok.special["<|im_end|>"], tok.encode("\n")
    if system:
        put([start] + tok.encode("system\n" + system) + [end] + newline, W_QUESTION * 0.5)
    for k, (question, intent) in enumerate(turns):
        last = k == len(turns) - 1
        put([start] + tok.encode("user\n"), 0.0)
        put(tok.encode(question), W_QUESTION)
        put([end] + newline + [start] + tok.encode("assistant\n"), 0.0)
        if last:
            put([tok.special["<think>"]] + tok.encode("\n\n") + [tok.special["</think>"]] + tok.encode("\n\n"), W_THINK)
        answer = tok.encode(intent.answer) + [end]
        if last and cut and rng.random() < SHORT_SHARE:
            answer = answer[:SHORT_ANSWER]
        put(answer[:FIRST], W_FIRST * (round.out_weight if intent.name == OUT_OF_SCOPE else 1.0))
        put(answer[FIRST:], W_ANSWER)
        if not last:
            put(newline, 0.0)
    return ids, weights
