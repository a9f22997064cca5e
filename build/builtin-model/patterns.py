"""The corpus language: patterns, shared lists, intents.

A pattern is one line of text in which (a|b|c) stands for one of its
alternatives and <name> for one entry of a shared list. An empty alternative
is allowed; alternatives and list entries may themselves hold patterns.

    <how> (remove|delete) (a model|old models) <please>

A corpus file holds intents:

    [intent-name]
    = The one answer to everything below.
    pattern
    pattern

A later file may add patterns to an intent by naming it again without an answer.

Beside the patterns stand free phrasings, written one by one by several writers
who knew the answers but neither the patterns nor each other's lines:
corpus/free/*.tsv, a line each: intent, tab, text. Those of later*.tsv came after
the first two rounds of training and are drawn from the third on; those of
first.tsv are for the last.
"""

import math
import random
import re
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
OUT_OF_SCOPE = "out-of-scope"

_TOKEN = re.compile(r"[()|]|<[a-z]+>|[^()|<]+|<")


class Lists:
    """The shared lists of frames.txt and topics.txt, each entry parsed once."""

    def __init__(self):
        self.entries = {}
        for name in ("frames.txt", "topics.txt"):
            for line in (CORPUS / name).read_text(encoding="utf-8").splitlines():
                if not line.strip() or line.startswith("#"):
                    continue
                head, tail = line.split("=", 1)
                key = head.strip()[1:-1]
                self.entries[key] = [parse(p, self) for p in split_top(tail)]


def split_top(text):
    """Splits at the | that stand outside every parenthesis."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == "|" and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return parts


def parse(text, lists):
    """Parses a pattern into a sequence: str | list of alternatives | ('ref', name)."""
    tokens = _TOKEN.findall(text)
    seq, rest = _parse_seq(tokens, 0, lists)
    if rest != len(tokens):
        raise ValueError(f"unbalanced parenthesis in pattern: {text!r}")
    return seq


def _parse_seq(tokens, i, lists):
    seq = []
    while i < len(tokens) and tokens[i] not in (")", "|"):
        t = tokens[i]
        if t == "(":
            alternatives = []
            while True:
                sub, i = _parse_seq(tokens, i + 1, lists)
                alternatives.append(sub)
                if i >= len(tokens):
                    raise ValueError(f"missing ) in {''.join(tokens)!r}")
                if tokens[i] == ")":
                    break
            seq.append(alternatives)
        elif re.fullmatch(r"<[a-z]+>", t) and t[1:-1] in lists.entries:
            seq.append(("ref", t[1:-1]))
        else:
            seq.append(t)
        i += 1
    return seq, i


def size(seq, lists):
    """How many texts a sequence can become (an upper bound)."""
    n = 1
    for item in seq:
        if isinstance(item, tuple):
            n *= sum(size(e, lists) for e in lists.entries[item[1]])
        elif isinstance(item, list):
            n *= sum(size(a, lists) for a in item)
    return n


def sample(seq, lists, rng):
    out = []
    _sample(seq, lists, rng, out)
    return re.sub(r"\s+", " ", "".join(out)).replace(" ,", ",").strip(" ,")


def _sample(seq, lists, rng, out):
    for item in seq:
        if isinstance(item, str):
            out.append(item)
        elif isinstance(item, tuple):
            out.append(" ")
            _sample(rng.choice(lists.entries[item[1]]), lists, rng, out)
            out.append(" ")
        else:
            _sample(rng.choice(item), lists, rng, out)


class Intent:
    """One answer and the ways to ask for it."""

    def __init__(self, name, answer, lists):
        self.name, self.answer, self.lists = name, answer, lists
        self.patterns, self.weights = [], []
        self.free, self.later, self.first = [], [], []

    def add(self, patterns):
        parsed = [parse(p, self.lists) for p in patterns]
        self.patterns += parsed
        # A pattern with many expansions is drawn more often, but only by the
        # logarithm: a keyword such as "port" must not drown beside <how>.
        self.weights += [1 + 0.35 * math.log(size(p, self.lists)) for p in parsed]

    def draw(self, rng):
        for _ in range(20):
            text = sample(rng.choices(self.patterns, self.weights)[0], self.lists, rng)
            if text:
                return text
        raise ValueError(f"intent {self.name}: patterns give only empty texts")


def load():
    """Returns (intents by name, shared lists)."""
    lists, intents = Lists(), {}
    for path in sorted(CORPUS.glob("[0-9]*.txt")):
        name, answer, patterns = None, None, []

        def flush():
            if name is None:
                return
            if name in intents and answer:
                raise ValueError(f"{path.name}: intent {name} has an answer already")
            if name not in intents:
                if not answer:
                    raise ValueError(f"{path.name}: intent {name} has no answer")
                intents[name] = Intent(name, answer, lists)
            intents[name].add(patterns)

        for line in path.read_text(encoding="utf-8").splitlines():
            line = line.strip()
            if line.startswith("[") and line.endswith("]"):
                flush()
                name, answer, patterns = line[1:-1], None, []
            elif line.startswith("= "):
                answer = line[2:]
            elif line and not line.startswith("#"):
                patterns.append(line)
        flush()
    for path in sorted((CORPUS / "free").glob("*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            name, tab, text = line.partition("\t")
            if not tab or not text or name not in intents:
                raise ValueError(f"{path.name}:{number}: want an intent, a tab and a text, not {line!r}")
            {"later": intents[name].later, "first": intents[name].first}.get(path.stem[:5], intents[name].free).append(text)
    return intents, lists


def words_of(lists, keys):
    """Every plain word in the named lists."""
    found = set()

    def walk(seq):
        for item in seq:
            if isinstance(item, str):
                found.update(re.findall(r"[^\W\d_][\w'.-]*", item.lower()))
            elif isinstance(item, list):
                for a in item:
                    walk(a)

    for k in keys:
        for e in lists.entries[k]:
            walk(e)
    return found


if __name__ == "__main__":
    intents, lists = load()
    rng = random.Random(1)
    for it in intents.values():
        total = sum(size(p, lists) for p in it.patterns)
        print(f"{it.name:18} {len(it.free):4} free {len(it.patterns):4} patterns {total:>14,} texts   {it.draw(rng)}")
