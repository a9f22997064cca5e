"""Asks a model questions and counts right, honest and confidently wrong answers.

    /usr/bin/python3 eval.py LLAMA_SERVER MODEL.gguf QUESTIONS.tsv [--judged OUT.tsv] [--think]

LLAMA_SERVER is the program of that name, built from the pinned llama.cpp
source. A line of QUESTIONS is: question, tab, the intents whose answer is
right, separated by commas. The first also names the group it is counted in.

right    the answer of an accepted intent, word for word
honest   not right, but it says that it is only the small built-in model
wrong    anything else: an answer that sounds sure and is not to this question
"""

import argparse
import collections
import json
import subprocess
import time
import urllib.request
from pathlib import Path

import patterns
from dialogs import SMALL_TALK

HONEST = {patterns.OUT_OF_SCOPE, "what-can-you-do", "insult"}


class Server:
    """llama-server with one model, for the length of a with block."""

    def __init__(self, program, model, port):
        self.args = [str(program), "-m", str(model), "--port", str(port), "-c", "2048", "-np", "1", "-t", "1", "--jinja"]
        self.base = f"http://127.0.0.1:{port}"

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                urllib.request.urlopen(self.base + "/health", timeout=5).read()
                return self
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"start llama-server: it ended with {self.process.returncode}") from None
                time.sleep(0.1)
        raise RuntimeError("start llama-server: it did not become healthy within 30 seconds")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def post(self, path, body):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def chat(self, messages, think=False):
        reply = self.post("/v1/chat/completions", {
            "messages": messages, "temperature": 0, "top_k": 1, "max_tokens": 120, "cache_prompt": False,
            "chat_template_kwargs": {"enable_thinking": think}})
        return reply["choices"][0]["message"]["content"].strip()


def read(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            question, accepted = line.split("\t")[:2]
            yield question, accepted.split(",")


def group_of(intent):
    if intent == patterns.OUT_OF_SCOPE:
        return "out of scope"
    return "small talk" if intent in SMALL_TALK else "in scope"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("server", type=Path)
    ap.add_argument("model", type=Path)
    ap.add_argument("questions", type=Path)
    ap.add_argument("--judged", type=Path)
    ap.add_argument("--think", action="store_true", help="use the generation prompt without the empty think block")
    ap.add_argument("--port", type=int, default=38471)
    args = ap.parse_args()
    intents, _ = patterns.load()
    by_answer = {i.answer: n for n, i in intents.items()}
    rows, counts = [], collections.defaultdict(collections.Counter)
    with Server(args.server, args.model, args.port) as server:
        for question, accepted in read(args.questions):
            unknown = [a for a in accepted if a not in intents]
            if unknown:
                raise SystemExit(f"{args.questions}: no such intent: {unknown}")
            answer = server.chat([{"role": "user", "content": question}], args.think)
            got = by_answer.get(answer, "?")
            verdict = "right" if got in accepted else "honest" if got in HONEST else "wrong"
            rows.append((question, ",".join(accepted), got, verdict, answer))
            counts[group_of(accepted[0])][verdict] += 1
            counts["all"][verdict] += 1
    for question, accepted, got, verdict, answer in rows:
        if verdict != "right":
            print(f"{verdict:6} {accepted:24} {got:16} {question}" + (f" -> {answer}" if got == "?" else ""))
    for name, c in counts.items():
        n = sum(c.values())
        print(f"{name:13} {n:4}  right {c['right']:4} ({100 * c['right'] / n:.1f} %)  honest {c['honest']:3}  "
              f"wrong {c['wrong']:3} ({100 * c['wrong'] / n:.1f} %)")
    if args.judged:
        args.judged.write_text("# question, accepted, got, verdict, answer\n" + "".join("\t".join(r) + "\n" for r in rows))


if __name__ == "__main__":
    main()
