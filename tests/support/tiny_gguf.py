"""A tiny random GGUF, so that a real llama.cpp server can be had without any weights.

A llama of two blocks whose answers are gibberish bytes (broken UTF-8 among them): 0.5 MB, written in
milliseconds, always the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

EMBEDDING = 64
FEED_FORWARD = 128
HEADS = 4
BLOCKS = 2
CONTEXT = 2048
SEED = 20261109

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""Knows no tools: /props says ``supports_tools: false``."""

UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6


def write_tiny_gguf(path: Path, *, template: str = PLAIN_TEMPLATE, context: int = CONTEXT) -> Path:
    """Write the model to `path`, with a chat template and `context` tokens of trained context; return it."""
    random = np.random.default_rng(SEED)
    tokens: list[bytes] = [b"<unk>", b"<s>", b"</s>"]
    types = [UNKNOWN, CONTROL, CONTROL]
    tokens += [f"<0x{byte:02X}>".encode() for byte in range(256)]
    types += [BYTE] * 256
    pieces = ("▁", "▁a", "▁the", "▁hello", "▁world", "▁is", "▁of", "▁and")
    tokens += [piece.encode() for piece in pieces]
    types += [NORMAL] * len(pieces)
    scores = [0.0] * 259 + [-float(place) for place in range(1, len(pieces) + 1)]

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(template)

    def noise(*shape: int) -> np.ndarray:
        return random.normal(0.0, 0.02, shape).astype(np.float32)

    ones = np.ones(EMBEDDING, dtype=np.float32)
    writer.add_tensor("token_embd.weight", noise(len(tokens), EMBEDDING))
    writer.add_tensor("output.weight", noise(len(tokens), EMBEDDING))
    writer.add_tensor("output_norm.weight", ones)
    for block in range(BLOCKS):
        prefix = f"blk.{block}"
        writer.add_tensor(f"{prefix}.attn_norm.weight", ones)
        writer.add_tensor(f"{prefix}.ffn_norm.weight", ones)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{prefix}.{name}.weight", noise(EMBEDDING, EMBEDDING))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"{prefix}.{name}.weight", noise(FEED_FORWARD, EMBEDDING))
        writer.add_tensor(f"{prefix}.ffn_down.weight", noise(EMBEDDING, FEED_FORWARD))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    print(write_tiny_gguf(Path(sys.argv[1])))  # noqa: T201
