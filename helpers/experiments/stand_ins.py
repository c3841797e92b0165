"""Models and rows made of chance, where only time and bytes are measured."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import KVShape
from helpers.cache.attention import NAME
from helpers.cache.paged_cache import PagedCache
from helpers.eviction import TriAttention

TINY_CONFIG = {
    "model_type": "qwen3", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "hidden_size": 32, "intermediate_size": 32, "vocab_size": 64, "tie_word_embeddings": False,
}  # fmt: skip


N_HEADS, N_KV_HEADS, HEAD_DIM = 16, 8, 128  # Qwen3-0.6B's


CHUNK_ROWS = 2**15  # rows of all sequences that are made up at once


def small_model() -> Any:
    """Four layers of Qwen3-0.6B's widths; with a small vocabulary, so that the cache is what a step spends time on."""
    published = find_model("Qwen3-0.6B").config
    return random_model(published | {"num_hidden_layers": 4, "vocab_size": 1024})


@torch.inference_mode()
def random_model(config: dict[str, Any], device: str = "cpu", dtype: torch.dtype = torch.float32) -> Any:
    """A model of a ``config.json`` with random weights, made where it is to run."""
    fields = {name: value for name, value in config.items() if name != "torch_dtype"}
    plain = AutoConfig.for_model(**fields).get_text_config()
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(plain, dtype=dtype, attn_implementation=NAME).eval()


def random_policy(model: Any) -> TriAttention:
    """TriAttention with made-up statistics of the model's sizes, where the model is: what it chooses is chance."""
    shape, n_heads = KVShape.from_config(model.config), model.config.num_attention_heads
    statistics = [tensor.to(model.device) for tensor in random_statistics(n_heads, shape.head_dim)]
    q_mean, q_abs_mean = (tensor.expand(shape.n_layers, -1, -1) for tensor in statistics[:2])
    return TriAttention(q_mean, q_abs_mean, statistics[2])


def append_random(cache: Any, model: Any, count: int, batch: int = 1) -> Any:
    """Random rows in every layer of each of ``batch`` sequences, as if ``count`` more tokens had been read.

    A chunk goes through all layers before the next one, as text does. Returns the cache.
    """
    shape, chunk = KVShape.from_config(model.config), max(1, CHUNK_ROWS // batch)
    write = cache.write if isinstance(cache, PagedCache) else cache.update
    for first in range(0, count, chunk):
        sizes = (2, batch, shape.n_kv_heads, min(chunk, count - first), shape.head_dim)
        for layer in range(shape.n_layers):
            write(*torch.randn(sizes, device=model.device, dtype=model.dtype), layer)
    return cache


def random_statistics(
    n_heads: int = N_HEADS, head_dim: int = HEAD_DIM
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Made-up ``q_mean``, ``q_abs_mean`` (``[n_heads, head_dim / 2]``) and ``omega`` (``[head_dim / 2]``)."""
    q_mean = torch.randn(n_heads, head_dim // 2, dtype=torch.complex128)
    omega = 1e6 ** (-torch.arange(head_dim // 2, dtype=torch.float64) * 2 / head_dim)
    return q_mean, q_mean.abs() + 1, omega
