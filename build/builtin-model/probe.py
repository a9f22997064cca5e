"""A quick look for gaps in the corpus, without training the model.

    /usr/bin/python3 probe.py QUESTIONS.tsv

Fits a linear classifier on words, word pairs and pieces of words of 60,000
drawn questions, which takes half a minute, and prints the held-out questions
that it puts to the wrong intent: mostly those whose words the corpus lacks.
"""

import random
import re
import sys
from pathlib import Path

import torch

import dialogs
from eval import read

BUCKETS = 1 << 16
DRAWN, PASSES, BATCH = 60_000, 3, 256


def features(text):
    words = re.findall(r"[\w./-]+", text.lower())
    found = words + [a + " " + b for a, b in zip(words, words[1:])]
    found += ["<" + w[:4] for w in words if len(w) > 4] + [f"#{w}>"[i:i + 5] for w in words for i in range(len(w) - 2)]
    # Python's own hash of strings differs from run to run.
    return [sum(ord(c) * 131 ** (i % 9) for i, c in enumerate(f)) % BUCKETS for f in found] or [0]


def bags(rows):
    flat = [f for r in rows for f in r]
    starts = [0]
    for r in rows[:-1]:
        starts.append(starts[-1] + len(r))
    return torch.tensor(flat), torch.tensor(starts)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    rng, maker = random.Random(7), dialogs.Maker()
    names = list(maker.intents)
    drawn = [maker.turn(rng) for _ in range(DRAWN)]
    rows = [(features(q), names.index(i.name)) for q, i in drawn]
    table = torch.nn.EmbeddingBag(BUCKETS, len(names), mode="sum", sparse=True)
    torch.nn.init.zeros_(table.weight)
    opt = torch.optim.Adagrad(table.parameters(), lr=0.3)
    for _ in range(PASSES):
        rng.shuffle(rows)
        for k in range(0, len(rows), BATCH):
            part = rows[k:k + BATCH]
            loss = torch.nn.functional.cross_entropy(table(*bags([r for r, _ in part])), torch.tensor([y for _, y in part]))
            opt.zero_grad()
            loss.backward()
            opt.step()
    asked = list(read(Path(sys.argv[1])))
    best = table(*bags([features(q) for q, _ in asked])).argmax(-1)
    right = 0
    for (question, accepted), b in zip(asked, best):
        ok = names[b] in accepted
        right += ok
        if not ok:
            print(f"{','.join(accepted):24} {names[b]:18} {question}")
    print(f"{right} of {len(asked)}")


if __name__ == "__main__":
    main()
