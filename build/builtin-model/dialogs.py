"""From intents to dialogs: what people do to a sentence, and how turns are joined.

Every dialog is a list of segments (text or special token, loss weight), in
the form of Qwen3's chat template: an empty think block before the last
answer, none before the answers of earlier turns.
"""

import re

import patterns
from patterns import OUT_OF_SCOPE

# Loss weights. The first tokens of an answer decide which answer it is, so
# they count more; the question is there to be read, not to be learnt by heart.
W_ANSWER, W_FIRST, FIRST = 1.0, 4.0, 8
W_THINK, W_QUESTION = 0.3, 0.1

OUT_SHARE = 0.30        # dialogs whose last question is out of scope
NEAR_MISS_SHARE = 0.10  # of these: an in-scope sentence with its content words exchanged
MULTI_SHARE = 0.15      # dialogs of more than one turn
SYSTEM_SHARE = 0.10     # dialogs with a system prompt
SHORT_SHARE = 0.80      # dialogs cut after the deciding start of the answer
SHORT_ANSWER = 9        # tokens kept of a cut answer

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
METHODS = re.compile(r"\b(get|post|put|delete|patch) (?=/)")

# Before and after a question; they must not tell what it is about.
PREFIXES = (
    "hey, ", "hi, ", "hello, ", "hello! ", "please, ", "so ", "ok, ", "okay so ", "um, ", "well, ",
    "sorry, ", "one question: ", "question: ", "quick question: ", "and ", "also, ", "but ", "now, ",
    "hey jean, ", "jean, ", "excuse me, ", "good morning, ", "just wondering, ", "btw ", "by the way, ",
    "i wonder, ", "tell me, ", "say, ", "actually, ", "next: ", "another question: ", "can you help? ",
    "help! ", "hmm, ", "stupid question, but ", "dumb question: ", "i was asked: ", "out of curiosity, ",
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


class Maker:
    """Draws dialogs."""

    def __init__(self):
        self.intents, self.lists = patterns.load()
        self.in_scope = [i for n, i in self.intents.items() if n != OUT_OF_SCOPE]
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

    def turn(self, rng):
        """One question and its intent."""
        if rng.random() < OUT_SHARE:
            text = self.near_miss(rng) if rng.random() < NEAR_MISS_SHARE else self.out.draw(rng)
            return dress(text, rng, self.names), self.out
        intent = rng.choice(self.in_scope)
        return dress(intent.draw(rng), rng, self.names), intent

    def dialog(self, rng):
        """A list of (system | None, [(question, intent), ...])."""
        n = 1 if rng.random() >= MULTI_SHARE else rng.choice((2, 2, 2, 3, 3, 4, 6))
        system = rng.choice(SYSTEMS) if rng.random() < SYSTEM_SHARE else None
        return system, [self.turn(rng) for _ in range(n)]


def encode(system, turns, tok, rng, cut=True):
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
        put(answer[:FIRST], W_FIRST)
        put(answer[FIRST:], W_ANSWER)
        if not last:
            put(newline, 0.0)
    return ids, weights
