"""First vectors of the tokens: which intents a token speaks for.

From random vectors the network learns every answer by heart within a few
hundred steps and then, for a long time, does not look at the question at all.
A classifier that only sums the vectors of a question's tokens learns in seconds
which of them matter and which mean the same. Its vectors are where the
network's embeddings begin.
"""

import numpy as np
import torch
from torch.nn import functional as F

PASSES, BATCH, RATE = 4, 512, 5e-3


@torch.enable_grad()
def vectors(data, vocab, width, std, seed):
    """Returns a (vocab, width) tensor with the given standard deviation, and the share classified right."""
    tokens, ends = torch.from_numpy(data["questions"].astype(np.int64)), data["question_ends"]
    starts = np.concatenate([[0], ends[:-1]])
    answers = torch.from_numpy(data["answers"])
    table = torch.nn.EmbeddingBag(vocab, width, mode="sum")
    torch.nn.init.normal_(table.weight, 0.0, 0.1)
    head = torch.nn.Linear(width, int(answers.max()) + 1)
    opt = torch.optim.Adam([*table.parameters(), *head.parameters()], lr=RATE)
    order, right, seen = np.random.default_rng(seed), 0, 0
    for k in range(PASSES):
        for g in opt.param_groups:
            g["lr"] = RATE * (1 - k / PASSES)
        permuted = order.permutation(len(ends))
        for at in range(0, len(permuted), BATCH):
            rows = permuted[at:at + BATCH]
            bags = [tokens[starts[r]:ends[r]] for r in rows]
            offsets = torch.tensor([0] + [len(b) for b in bags[:-1]]).cumsum(0)
            # Some tokens are left out, so that no question hangs on a single one.
            keep = (torch.rand(sum(map(len, bags))) > 0.1).float()
            scores = head(table(torch.cat(bags), offsets, per_sample_weights=keep))
            loss = F.cross_entropy(scores, answers[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if k == PASSES - 1:
                right += int((scores.argmax(-1) == answers[rows]).sum())
                seen += len(rows)
    v = table.weight.detach()
    return v * (std / v.std()), right / seen
