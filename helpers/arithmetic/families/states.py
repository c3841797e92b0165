"""Bytes of what a recurrent layer carries of one sequence, however long the text: a state, and a convolution's window.

The state is float32 unless the file says otherwise, as transformers keeps it; the window has the model's dtype.
"""

from __future__ import annotations

from helpers.arithmetic.fields import Fields


def state_dtype_bytes(fields: Fields) -> int:
    """Bytes of an element of the recurrent state."""
    return fields.element_bytes("mamba_ssm_dtype", "mamba_ssm_cache_dtype")


def gated_delta(fields: Fields) -> int:
    """Gated delta rule (Qwen3-Next, OLMo-Hybrid): one matrix per value head; K, Q and V pass the convolution."""
    k_heads, k_dim = fields.count("linear_num_key_heads"), fields.count("linear_key_head_dim")
    v_heads, v_dim = fields.count("linear_num_value_heads"), fields.count("linear_value_head_dim")
    window = (2 * k_heads * k_dim + v_heads * v_dim) * fields.count("linear_conv_kernel_dim") * fields.dtype_bytes
    return window + v_heads * k_dim * v_dim * state_dtype_bytes(fields)


def kda(fields: Fields) -> int:
    """Kimi delta attention: a square matrix per head; Q, K and V pass the convolution."""
    heads, dim = fields.count("linear_num_heads"), fields.count("linear_head_dim")
    window = 3 * heads * dim * fields.count("linear_conv_kernel_dim") * fields.dtype_bytes
    return window + heads * dim * dim * state_dtype_bytes(fields)


def lightning(fields: Fields) -> int:
    """Lightning attention (MiniMax-01, Ring): a square matrix per head, in the model's dtype, and no convolution."""
    heads = fields.count("lightning_nkv", "num_attention_heads")
    names = ("lightning_head_dim", "head_dim")
    dim = fields.count(*names) if any(map(fields.get, names)) else fields.count("hidden_size") // heads
    return heads * dim * dim * fields.dtype_bytes


def mamba_1(fields: Fields) -> int:
    """Mamba (Jamba, Zamba): a row of ``d_state`` numbers per channel; all channels pass the convolution."""
    channels = fields.count("mamba_expand") * fields.count("hidden_size")
    window = channels * fields.count("mamba_d_conv") * fields.dtype_bytes
    return window + channels * fields.count("mamba_d_state") * state_dtype_bytes(fields)


def mamba_2(fields: Fields) -> int:
    """Mamba 2 (Bamba, Granite 4, Nemotron-H, Falcon-H1): a matrix per head; its inputs pass the convolution too."""
    heads, d_state = fields.count("mamba_n_heads"), fields.count("mamba_d_state")
    if fields.get("mamba_d_head") in (None, "auto"):
        width = fields.count("mamba_expand") * fields.count("hidden_size") // heads
    else:
        width = fields.count("mamba_d_head")
    channels = heads * width + 2 * fields.count("mamba_n_groups") * d_state
    window = channels * fields.count("mamba_d_conv") * fields.dtype_bytes
    return window + heads * width * d_state * state_dtype_bytes(fields)


def convolution(fields: Fields) -> int:
    """LFM2: nothing but the window of a short convolution."""
    return fields.count("hidden_size") * fields.count("conv_L_cache") * fields.dtype_bytes
