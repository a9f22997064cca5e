"""Draws the dialogs, learns the tokenizer, writes both as numbers for train.py.

    /usr/bin/python3 prepare.py WORK_DIR [--dialogs 300000] [--seed 1]
"""

import argparse
import random
from pathlib import Path

import numpy as np

import dialogs
import tokenizer

VOCAB = 4096
TOKENIZER_SAMPLE = 60_000


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work", type=Path)
    ap.add_argument("--dialogs", type=int, default=300_000)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    maker, rng = dialogs.Maker(), random.Random(args.seed)
    sample = []
    for _ in range(TOKENIZER_SAMPLE):
        system, turns = maker.dialog(rng)
        sample += [q for q, _ in turns] + ([system] if system else [])
    # Answers are few and repeat: a weight of their own keeps them at one or two
    # tokens a word without letting them crowd out the words of questions.
    sample += [i.answer for i in maker.intents.values()] * 100 + ["system\n", "user\n", "assistant\n"] * 2000
    tok = tokenizer.train(sample, VOCAB)
    tok.save(args.work / "tokenizer.json")

    ids, weights, ends, questions, answers = [], [], [], [], []
    numbers = {name: k for k, name in enumerate(maker.intents)}
    total = 0
    for _ in range(args.dialogs):
        system, turns = maker.dialog(rng)
        d_ids, d_weights = dialogs.encode(system, turns, tok, rng)
        questions += [np.array(tok.encode(q), np.uint16) for q, _ in turns]
        answers += [numbers[i.name] for _, i in turns]
        ids.append(np.array(d_ids, np.uint16))
        weights.append(np.array(d_weights, np.float16))
        total += len(d_ids)
        ends.append(total)
    np.savez(args.work / "dialogs.npz", ids=np.concatenate(ids), weights=np.concatenate(weights), ends=np.array(ends),
             questions=np.concatenate(questions), question_ends=np.cumsum([len(q) for q in questions]),
             answers=np.array(answers, np.int64))
    print(f"{args.dialogs} dialogs, {total} tokens, {len(maker.intents)} intents, vocabulary {len(tok.tokens)}")


if __name__ == "__main__":
    main()
