"""The Qwen3 architecture, small: what llama.cpp runs as general.architecture = "qwen3"."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Shape:
    vocab: int = 4096
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    feed_forward: int = 768
    rope_base: float = 1e6   # Qwen3's
    eps: float = 1e-6        # Qwen3's


class Normalise(torch.autograd.Function):
    """x / rms(x), with a backward pass of its own: on a CPU the memory traffic
    of the small operations, not the matrix products, is most of a step."""

    @staticmethod
    def forward(ctx, x, eps):
        n = x.shape[-1]
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(length * length / n + eps).to(x.dtype)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx, grad):
        y, inverse = ctx.saved_tensors
        return (grad - y * (grad * y).mean(-1, keepdim=True)) * inverse, None


class RMSNorm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(n)), eps

    def forward(self, x):
        return Normalise.apply(x, self.eps) * self.weight.to(x.dtype)


def drop(x, p, training):
    """Dropout of whole channels of a sequence: one small mask instead of a large one."""
    if not training or p == 0.0:
        return x
    keep = torch.empty(x.shape[0], 1, x.shape[2]).bernoulli_(1 - p).div_(1 - p)
    return x * keep.to(x.dtype)


def rope_tables(length, dim, base):
    angle = torch.arange(length)[:, None] / base ** (torch.arange(0, dim, 2)[None, :] / dim)
    return torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q = nn.Linear(s.width, s.heads * s.head_dim, bias=False)
        self.k = nn.Linear(s.width, s.kv_heads * s.head_dim, bias=False)
        self.v = nn.Linear(s.width, s.kv_heads * s.head_dim, bias=False)
        self.o = nn.Linear(s.heads * s.head_dim, s.width, bias=False)
        self.q_norm, self.k_norm = RMSNorm(s.head_dim, s.eps), RMSNorm(s.head_dim, s.eps)

    def forward(self, x, cos, sin, mask):
        s, (b, t, _) = self.s, x.shape
        group = s.heads // s.kv_heads
        q = rotate(self.q_norm(self.q(x).view(b, t, s.heads, s.head_dim)), cos, sin)
        k = rotate(self.k_norm(self.k(x).view(b, t, s.kv_heads, s.head_dim)), cos, sin)
        v = self.v(x).view(b, t, s.kv_heads, s.head_dim).transpose(1, 2)
        # The query heads that share a key head are laid one after another, so that no key is copied.
        q = q.view(b, t, s.kv_heads, group, s.head_dim).permute(0, 2, 3, 1, 4).reshape(b, s.kv_heads, group * t, -1)
        score = (q @ k.permute(0, 2, 3, 1)) * (1 / math.sqrt(s.head_dim))
        p = (score.view(b, s.kv_heads, group, t, t) + mask).softmax(-1).view_as(score)
        y = (p.to(v.dtype) @ v).view(b, s.kv_heads, group, t, s.head_dim)
        return self.o(y.permute(0, 3, 1, 2, 4).reshape(b, t, -1))


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.attn_norm, self.attn = RMSNorm(s.width, s.eps), Attention(s)
        self.ffn_norm = RMSNorm(s.width, s.eps)
        self.gate = nn.Linear(s.width, s.feed_forward, bias=False)
        self.up = nn.Linear(s.width, s.feed_forward, bias=False)
        self.down = nn.Linear(s.feed_forward, s.width, bias=False)

    def forward(self, x, cos, sin, mask, dropout):
        x = x + drop(self.attn(self.attn_norm(x), cos, sin, mask), dropout, self.training)
        y = self.ffn_norm(x)
        return x + drop(self.down(F.silu(self.gate(y)) * self.up(y)), dropout, self.training)


class Model(nn.Module):
    def __init__(self, shape, max_length=2048):
        super().__init__()
        s = self.shape = shape
        self.embed = nn.Embedding(s.vocab, s.width)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.width, s.eps)
        cos, sin = rope_tables(max_length, s.head_dim, s.rope_base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # Residual outputs start smaller, so that the sum over layers keeps its scale (GPT-2).
                std = 0.02 / math.sqrt(2 * s.layers) if name.endswith(("o.weight", "down.weight")) else 0.04
                nn.init.normal_(p, 0.0, std)

    def hidden(self, ids, dropout=0.0):
        t = ids.shape[1]
        x = drop(self.embed(ids), dropout, self.training)
        if torch.is_autocast_cpu_enabled():
            x = x.to(torch.bfloat16)  # half the traffic between the matrix products
        cos, sin = self.cos[:t, None].to(x.dtype), self.sin[:t, None].to(x.dtype)
        mask = torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
        for layer in self.layers:
            x = layer(x, cos, sin, mask, dropout)
        return self.norm(x)

    def forward(self, ids):
        return self.hidden(ids) @ self.embed.weight.T  # embeddings are tied


def parameters(model):
    return sum(p.numel() for p in model.parameters())
