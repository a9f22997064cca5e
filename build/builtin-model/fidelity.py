"""Checks that llama.cpp runs the exported model as PyTorch does.

    /usr/bin/python3 fidelity.py WORK_DIR LLAMA_SERVER F16.gguf Q4_K_M.gguf

1. The tokenizer here and llama.cpp's give the same tokens for drawn questions
   and for strings that are hard to cut.
2. The log-probability that llama.cpp gives the first token of an answer is PyTorch's.
3. Greedy answers of F16 are PyTorch's, token by token.
4. Greedy answers of Q4_K_M are those of F16.

Ends with 1 when the tokenizer differs, or when more than one in a hundred of
the others does (two nearly equal tokens may change places in F16).
"""

import argparse
import random
import sys
from pathlib import Path

import torch

import dialogs
import tokenizer
from eval import Server
from model import Model, Shape

HARD = (
    "", " ", "  ", "\n", "\n\n", "\n\n\n", " \n", "\t\tx", "a  b", "don't", "I'LL", "we've it's", "x=1;y=22", "3.14", "12345", "１２",
    "naïve café", "¿Qué?", "你好，世界", "привет", "日本語 text", "😀 ok", "é", "a\u0301", "\u200b", "#!?", " ...", "--port 0",
    "GET /job/{id}/events?after=N", "JEANTRAIL_HOME=/tmp", "`x`", "<|im_end|>", "a\r\nb", "end ",
    "ﬁ", "ß", "İ", "\u00a0x", "x\u2028y", "\ufeff", "1e-5", "C++/CLI", "''s", "'S", "_a_", "e\u0301\u0301", "٣", "क्षि")


def greedy(model, tok, prompt, limit=100):
    ids = list(prompt)
    out, margin = [], None
    with torch.no_grad():
        for _ in range(limit):
            logits = model(torch.tensor([ids]))[0, -1].float()
            if margin is None:
                margin = logits.log_softmax(-1)
            nxt = int(logits.argmax())
            if nxt in (tok.special["<|im_end|>"], tok.special["<|endoftext|>"]):
                break
            ids.append(nxt)
            out.append(nxt)
    return out, margin


def prompt_of(tok, question):
    sp = tok.special
    return ([sp["<|im_start|>"]] + tok.encode("user\n" + question) + [sp["<|im_end|>"]] + tok.encode("\n")
            + [sp["<|im_start|>"]] + tok.encode("assistant\n") + [sp["<think>"]] + tok.encode("\n\n")
            + [sp["</think>"]] + tok.encode("\n\n"))


def complete(server, prompt, probabilities=0):
    return server.post("/completion", {
        "prompt": prompt, "temperature": 0, "n_predict": 100, "cache_prompt": False, "return_tokens": True,
        "n_probs": probabilities})


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work", type=Path)
    ap.add_argument("server", type=Path)
    ap.add_argument("f16", type=Path)
    ap.add_argument("q4", type=Path)
    ap.add_argument("--questions", type=int, default=200)
    ap.add_argument("--strings", type=int, default=600)
    args = ap.parse_args()
    torch.set_num_threads(1)
    tok = tokenizer.Tokenizer.load(args.work / "tokenizer.json")
    state = torch.load(args.work / "model.pt")
    model = Model(Shape(**state["shape"])).eval()
    model.load_state_dict(state["weights"], strict=True)
    maker, rng = dialogs.Maker(), random.Random(99)
    strings = list(HARD) + [maker.turn(rng)[0] for _ in range(args.strings)]
    questions = [maker.turn(rng)[0] for _ in range(args.questions)]

    with Server(args.server, args.f16, 38472) as server:
        # parse_special false: control tokens in user text are only text. (User-defined ones, such as
        # <think>, llama.cpp finds in any text; the program cuts around them before it gets there.)
        bad = [s for s in strings
               if server.post("/tokenize", {"content": s, "add_special": False, "parse_special": False})["tokens"] != tok.encode(s)]
        print(f"tokenizer: {len(strings) - len(bad)} of {len(strings)} equal {bad[:5]}")
        differ, worst, f16 = 0, 0.0, []
        for q in questions:
            prompt = prompt_of(tok, q)
            mine, logprobs = greedy(model, tok, prompt)
            reply = complete(server, prompt, 1)
            f16.append(reply["tokens"])
            first = reply["completion_probabilities"][0]
            worst = max(worst, abs(first["logprob"] - float(logprobs[first["id"]])))
            differ += [t for t in reply["tokens"] if t != tok.special["<|im_end|>"]] != mine
        print(f"first token: log-probability differs by at most {worst:.4f}")
        print(f"greedy: F16 equals PyTorch on {len(questions) - differ} of {len(questions)}")
    with Server(args.server, args.q4, 38472) as server:
        other = sum(complete(server, prompt_of(tok, q))["tokens"] != f for q, f in zip(questions, f16))
        print(f"greedy: Q4_K_M equals F16 on {len(questions) - other} of {len(questions)}")
    allowed = len(questions) // 100
    sys.exit(1 if bad or differ > allowed else 0)


if __name__ == "__main__":
    main()
