"""Draws the dialogs, learns the tokenizer, writes both as numbers for train.py.

    /usr/bin/python3 prepare.py WORK_DIR [--round 1] [--dialogs 160000] [--seed 1]

The second round keeps the tokenizer of the first.
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
    ap.add_argument("--dialogs", type=int, default=160_000)
    ap.add_argument("--round", type=int, default=1, choices=dialogs.ROUNDS)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    round = dialogs.ROUNDS[args.round]
    maker, rng = dialogs.Maker(round), random.Random(args.seed)
    if args.round == 1:
        learn_tokenizer(maker, rng).save(args.work / "tokenizer.json")
    draw(args, maker, rng, tokenizer.Tokenizer.load(args.work / "tokenizer.json"), round)


def learn_tokenizer(maker, rng):
    sample = []
    for _ in range(TOKENIZER_SAMPLE):
        system, turns = maker.dialog(rng)
        sample += [q for q, _ in turns] + ([system] if system else [])
    # Answers are few and repeat: a weight of their own keeps them at one or two
    # tokens a word without letting them crowd out the words of questions.
    sample += [i.answer for i in maker.intents.values()] * 100 + ["system\n", "user\n", "assistant\n"] * 2000
    return tokenizer.train(sample, VOCAB)


def draw(args, maker, rng, tok, round):
    ids, weights, ends, questions, answers = [], [], [], [], []
    numbers = {name: k for k, name in enumerate(maker.intents)}
    total = 0
    for _ in range(args.dialogs):
        system, turns = maker.dialog(rng)
        d_ids, d_weights = dialogs.encode(system, turns, tok, rng, round=round)
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
