"""Trains the model on the dialogs that prepare.py drew. Fixed steps and seed.

    /usr/bin/python3 train.py WORK_DIR [--steps N] [--seed 1] [--go-on]

With --go-on the weights that an earlier training left in WORK_DIR are where it
begins, at a lower rate.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp

import words
from dialogs import FIRST, W_FIRST
from model import Model, Shape, parameters
from tokenizer import CONTROL, USER_DEFINED

# Two processes of one thread each, that meet once a step to share gradients:
# on a machine that others use too, threads that meet at every matrix product
# mostly wait for each other. Fixed: sums in another order give another model.
WORKERS = 2
TOKENS = 2048        # of one worker's part of a step, padding included
PEAK = 1.5e-3        # highest learning rate
PEAK_GO_ON = 7e-4    # the same when the weights are not new
EMBED_STD = 0.1      # of the embeddings at the start
DECAY = 0.05         # weight decay
WARMUP = 50
DROPOUT = 0.1
MAX_LENGTH = 512
AVERAGE = 0.99       # of the moving average of the weights, which is what is kept


def batches(data, seed):
    """Batches of dialogs of like length, endlessly; each dialog once per pass."""
    ends, rng = data["ends"], np.random.default_rng(seed)
    starts = np.concatenate([[0], ends[:-1]])
    length = np.minimum(ends - starts, MAX_LENGTH)
    while True:
        # A little noise in the key mixes neighbours anew in every pass.
        order = np.argsort(length + rng.uniform(0, 4, len(length)), kind="stable")
        groups, group, longest = [], [], 0
        for i in order:
            longest = max(longest, length[i])
            if group and longest * (len(group) + 1) > TOKENS:
                groups.append(group)
                group, longest = [], length[i]
            group.append(i)
        groups.append(group)
        for g in rng.permutation(len(groups)):
            yield collate(data, starts, length, groups[g])


def collate(data, starts, length, group):
    t = int(length[group].max())
    ids, weights = np.zeros((len(group), t), np.int64), np.zeros((len(group), t), np.float32)
    for row, i in enumerate(group):
        a, n = starts[i], length[i]
        ids[row, :n], weights[row, :n] = data["ids"][a:a + n], data["weights"][a:a + n]
    return torch.from_numpy(ids), torch.from_numpy(weights)


def loss_of(model, ids, weights, dropout):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = model.hidden(ids[:, :-1], dropout)
        w = weights[:, 1:].reshape(-1)
        kept = w > 0  # no logits for positions that do not count
        logits = h.reshape(-1, h.shape[-1])[kept] @ model.embed.weight.T
    nll = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:].reshape(-1)[kept], reduction="none")
    w = w[kept]
    # What the start of an answer costs in all: without reading the question, its entropy.
    start = nll.detach()[w >= W_FIRST]
    return (nll * w).sum() / w.sum(), start.mean().item() * FIRST


def rate(step, steps, peak):
    if step < WARMUP:
        return peak * (step + 1) / WARMUP
    x = (step - WARMUP) / max(1, steps - WARMUP)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * x)))


def exchange(model, rank, shared, barrier):
    """Puts the mean of all workers' gradients into this worker's parameters."""
    shared[rank].copy_(torch.cat([p.grad.reshape(-1) for p in model.parameters()]))
    barrier.wait()
    mean, at = shared.mean(0), 0
    barrier.wait()  # nobody writes the next gradients before everybody has read these
    for p in model.parameters():
        p.grad.copy_(mean[at:at + p.numel()].view_as(p))
        at += p.numel()


def keep_average(average, model, step):
    share = 1 - min(AVERAGE, (1 + step) / (10 + step))
    with torch.no_grad():
        for k, p in model.named_parameters():
            average[k].lerp_(p, share)


def begin(model, data, vocab, args, rank):
    with torch.no_grad():
        vectors, right = words.vectors(data, vocab, model.shape.width, EMBED_STD, args.seed)
        model.embed.weight.copy_(vectors)
        # Embeddings are tied and begin larger than usual: the last norm keeps the first logits small.
        model.norm.weight.fill_(0.04 / EMBED_STD)
    if rank == 0:
        print(f"words alone: {100 * right:.1f} % right", flush=True)


def work(rank, args, vocab, shared, barrier):
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    model = Model(Shape(vocab=vocab))  # the same weights in every worker
    data = dict(np.load(args.work / "dialogs.npz"))
    if args.go_on:
        model.load_state_dict(torch.load(args.work / "model.pt")["weights"], strict=False)
    else:
        begin(model, data, vocab, args, rank)
    torch.manual_seed(args.seed * WORKERS + rank)  # but other dropout
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    opt = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), eps=1e-8, weight_decay=DECAY)
    peak = PEAK_GO_ON if args.go_on else PEAK
    source, begun, seen = batches(data, args.seed), time.time(), 0
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = rate(step, args.steps, peak)
        parts = [next(source) for _ in range(WORKERS)]
        loss, start = loss_of(model, *parts[rank], DROPOUT)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        exchange(model, rank, shared, barrier)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if rank > 0:
            continue
        seen += sum(ids.numel() for ids, _ in parts)
        keep_average(average, model, step)
        if step % 20 == 0 or step == args.steps - 1:
            took = time.time() - begun
            print(f"step {step:5} loss {loss.item():.4f} start {start:.4f} rate {rate(step, args.steps, peak):.5f} "
                  f"tokens {seen} seconds {took:.0f} tokens/s {seen / took:.0f}", flush=True)
        if step % 100 == 99 or step == args.steps - 1:
            torch.save({"shape": vars(model.shape), "weights": average, "step": step + 1}, args.work / "model.pt")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work", type=Path)
    ap.add_argument("--steps", type=int, default=2200)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--go-on", action="store_true")
    args = ap.parse_args()
    merges = json.loads((args.work / "tokenizer.json").read_text(encoding="utf-8"))["merges"]
    vocab = 256 + len(CONTROL) + len(USER_DEFINED) + len(merges)
    count = parameters(Model(Shape(vocab=vocab)))
    print(f"parameters {count} steps {args.steps} seed {args.seed} workers {WORKERS}", flush=True)
    shared = torch.zeros(WORKERS, count).share_memory_()
    mp.spawn(work, (args, vocab, shared, mp.get_context("spawn").Barrier(WORKERS)), nprocs=WORKERS)


if __name__ == "__main__":
    main()
