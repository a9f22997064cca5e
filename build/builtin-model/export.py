"""Writes the trained model as a GGUF file (version 3, F16).

    /usr/bin/python3 export.py WORK_DIR TEMPLATE.jinja OUT.gguf

TEMPLATE is models/templates/Qwen-Qwen3-0.6B.jinja of the pinned llama.cpp
source. It goes in byte for byte, so that its hash is the known one of Qwen3.
"""

import argparse
import struct
from pathlib import Path

import numpy as np
import torch

import tokenizer
from train import MAX_LENGTH

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TENSOR_F32, TENSOR_F16 = 0, 1
TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_USER_DEFINED = 1, 3, 4
FILE_TYPE_MOSTLY_F16 = 1

# The model's name in our layers -> its name in a GGUF file.
NAMES = {
    "attn_norm.weight": "attn_norm.weight", "attn.q.weight": "attn_q.weight", "attn.k.weight": "attn_k.weight",
    "attn.v.weight": "attn_v.weight", "attn.o.weight": "attn_output.weight",
    "attn.q_norm.weight": "attn_q_norm.weight", "attn.k_norm.weight": "attn_k_norm.weight",
    "ffn_norm.weight": "ffn_norm.weight", "gate.weight": "ffn_gate.weight", "up.weight": "ffn_up.weight",
    "down.weight": "ffn_down.weight",
}

DESCRIPTION = (
    "The small built-in model of jeantrail-ai. It has the Qwen3 architecture and was trained from scratch; it is not "
    "one of the Qwen models. It knows what the program is, its commands and endpoints, and simple conversation.")


def text(s):
    data = s if isinstance(s, bytes) else s.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind, v):
    if kind == STRING:
        return text(v)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], v)


def pair(key, kind, v):
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def array(key, kind, values):
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(value(kind, v) for v in values)


def metadata(shape, tok, template, context):
    a = "qwen3."
    types = [TOKEN_NORMAL] * len(tok.tokens)
    for t, i in tok.special.items():
        types[i] = TOKEN_CONTROL if t in tokenizer.CONTROL else TOKEN_USER_DEFINED
    return [
        pair("general.architecture", STRING, "qwen3"),
        pair("general.type", STRING, "model"),
        pair("general.name", STRING, "jeantrail builtin"),
        pair("general.description", STRING, DESCRIPTION),
        pair("general.author", STRING, "The JeanTrail project"),
        pair("general.license", STRING, "mit"),
        pair("general.size_label", STRING, "6M"),
        pair("general.file_type", U32, FILE_TYPE_MOSTLY_F16),
        pair("general.alignment", U32, ALIGNMENT),
        pair(a + "block_count", U32, shape["layers"]),
        pair(a + "context_length", U32, context),
        pair(a + "embedding_length", U32, shape["width"]),
        pair(a + "feed_forward_length", U32, shape["feed_forward"]),
        pair(a + "attention.head_count", U32, shape["heads"]),
        pair(a + "attention.head_count_kv", U32, shape["kv_heads"]),
        pair(a + "attention.key_length", U32, shape["head_dim"]),
        pair(a + "attention.value_length", U32, shape["head_dim"]),
        pair(a + "attention.layer_norm_rms_epsilon", F32, shape["eps"]),
        pair(a + "rope.freq_base", F32, shape["rope_base"]),
        pair("tokenizer.ggml.model", STRING, "gpt2"),
        pair("tokenizer.ggml.pre", STRING, "qwen2"),
        array("tokenizer.ggml.tokens", STRING, tok.tokens),
        array("tokenizer.ggml.token_type", I32, types),
        array("tokenizer.ggml.merges", STRING, [f"{x} {y}" for x, y in tok.merges]),
        pair("tokenizer.ggml.eos_token_id", U32, tok.special["<|im_end|>"]),
        pair("tokenizer.ggml.padding_token_id", U32, tok.special["<|endoftext|>"]),
        pair("tokenizer.ggml.add_bos_token", BOOL, False),
        pair("tokenizer.chat_template", STRING, template),
    ]


def tensors(weights):
    """GGUF name -> array; matrices in F16, norms in F32, as llama.cpp's own converter does."""
    for name, w in weights.items():
        if name == "embed.weight":
            out = "token_embd.weight"
        elif name == "norm.weight":
            out = "output_norm.weight"
        else:
            _, layer, rest = name.split(".", 2)
            out = f"blk.{layer}.{NAMES[rest]}"
        yield out, w.numpy().astype(np.float16 if w.dim() == 2 else np.float32)


def write(path, pairs, arrays):
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(arrays), len(pairs)) + b"".join(pairs)
    offset, infos, data = 0, b"", b""
    for name, a in arrays:
        kind = TENSOR_F16 if a.dtype == np.float16 else TENSOR_F32
        dims = a.shape[::-1]  # GGUF counts the fastest dimension first
        infos += text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        infos += struct.pack("<IQ", kind, offset)
        raw = a.tobytes()
        raw += b"\0" * (-len(raw) % ALIGNMENT)
        data += raw
        offset += len(raw)
    head = header + infos
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work", type=Path)
    ap.add_argument("template", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--context", type=int, default=2 * MAX_LENGTH)
    args = ap.parse_args()
    state = torch.load(args.work / "model.pt")
    tok = tokenizer.Tokenizer.load(args.work / "tokenizer.json")
    pairs = metadata(state["shape"], tok, args.template.read_bytes(), args.context)
    arrays = list(tensors(state["weights"]))
    write(args.out, pairs, arrays)
    print(f"{args.out}: {len(arrays)} tensors, {sum(a.size for _, a in arrays)} parameters, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
