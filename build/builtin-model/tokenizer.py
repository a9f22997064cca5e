"""A byte-level BPE tokenizer in the form of Qwen2's: training, encoding, saving."""

import collections
import heapq
import json

import regex

# The pre-tokenizer of Qwen2 and Qwen3 (tokenizer.ggml.pre = "qwen2").
PRE = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")


def byte_symbols():
    """GPT-2's table: one printable character for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in printable:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


BYTES = byte_symbols()


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = [BYTES[b] for b in range(256)] + [a + b for a, b in self.merges]
        self.special = {}
        for t in CONTROL + USER_DEFINED:
            self.special[t] = len(self.tokens)
            self.tokens.append(t)
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self._cache = {}

    def encode(self, text):
        """Token ids of plain text; special tokens in it are only text."""
        out = []
        for word in PRE.findall(text):
            ids = self._cache.get(word)
            if ids is None:
                ids = self._cache[word] = self._bpe(word)
            out.extend(ids)
        return out

    def _bpe(self, word):
        parts = [BYTES[b] for b in word.encode("utf-8")]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in self.rank:
                break
            parts[best:best + 2] = [parts[best] + parts[best + 1]]
        return [self.ids[p] for p in parts]

    def decode(self, ids):
        back = {c: b for b, c in BYTES.items()}
        data = bytearray()
        for i in ids:
            t = self.tokens[i]
            data += t.encode() if t in self.special else bytes(back[c] for c in t)
        return data.decode("utf-8", errors="replace")

    def save(self, path):
        path.write_text(json.dumps({"merges": self.merges}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path):
        return cls(json.loads(path.read_text(encoding="utf-8"))["merges"])


def train(texts, vocab_size):
    """Learns merges from texts. Ties break by the pair itself, so that the result is always the same."""
    # The think block is "\n\n" twice: it must be one token, as in Qwen3, whatever the corpus counts say.
    newline = BYTES[10]
    merges = [(newline, newline)]
    counts = collections.Counter(w for t in texts for w in PRE.findall(t))
    words = []
    for w, n in sorted(counts.items()):
        parts = [BYTES[b] for b in w.encode("utf-8")]
        while newline * 1 in parts and (newline, newline) in list(zip(parts, parts[1:])):
            i = list(zip(parts, parts[1:])).index((newline, newline))
            parts[i:i + 2] = [newline + newline]
        words.append((parts, n))
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for k, (parts, n) in enumerate(words):
        for p in zip(parts, parts[1:]):
            pairs[p] += n
            where[p].add(k)
    heap = [(-n, p) for p, n in pairs.items()]
    heapq.heapify(heap)
    target = vocab_size - 256 - len(CONTROL) - len(USER_DEFINED)
    while len(merges) < target and heap:
        n, pair = heapq.heappop(heap)
        if pairs.get(pair, 0) != -n:
            continue  # an outdated entry; the present count is in the heap as well
        if -n < 2:
            break
        merges.append(pair)
        _merge(pair, words, pairs, where, heap)
    if len(merges) < target:
        raise ValueError(f"the corpus gives only {len(merges)} merges of {target}")
    return Tokenizer(merges)


def _merge(pair, words, pairs, where, heap):
    touched = set()
    for k in where.pop(pair):
        parts, n = words[k]
        for p in zip(parts, parts[1:]):
            pairs[p] -= n
            touched.add(p)
        i = 0
        while i < len(parts) - 1:
            if (parts[i], parts[i + 1]) == pair:
                parts[i:i + 2] = [pair[0] + pair[1]]
            i += 1
        for p in zip(parts, parts[1:]):
            pairs[p] += n
            where[p].add(k)
            touched.add(p)
    pairs.pop(pair, None)
    for p in touched:
        if pairs.get(p, 0) > 0:
            heapq.heappush(heap, (-pairs[p], p))
