"""How K and V rows are stored, and how weights are: bytes per number, scales included."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KVLayout:
    """How one K or V row is packed: groups of `values_per_group` values take `bytes_per_group` bytes, scale included.

    A format without a shared scale has groups of one value.
    """

    values_per_group: int
    bytes_per_group: int

    @property
    def bits(self) -> float:
        """Bits per element, exact (every group size here is a power of two)."""
        return 8 * self.bytes_per_group / self.values_per_group


KV_LAYOUTS: dict[str, KVLayout] = {
    "fp32": KVLayout(1, 4),
    "fp16": KVLayout(1, 2),
    "bf16": KVLayout(1, 2),
    # No scale in the row: engines keep one per tensor or per head (vLLM's FP8 KV cache), too few to count.
    "fp8_e4m3": KVLayout(1, 1),
    # llama.cpp's blocks of 32 values: one float16 scale, then the quantized values. Source: the block_q*_0 structs and
    # their static_asserts in ggml/src/ggml-common.h. The scale is why "8 bits" are 8.5 and "4 bits" are 4.5.
    "q8_0": KVLayout(32, 2 + 32),
    "q5_0": KVLayout(32, 2 + 4 + 16),  # the fifth bits stand apart, in 4 bytes
    "q4_0": KVLayout(32, 2 + 16),
    # NVFP4: one FP8 (E4M3) scale per 16 values, then 16 values of 4 bits (E2M1). Source: block_nvfp4 in ggml-common.h,
    # four such groups side by side. NVIDIA's format has one more float32 scale per tensor: not in the row, so not here.
    "nvfp4": KVLayout(16, 1 + 8),
}

WEIGHT_BITS: dict[str, float] = {  # bits per weight, scales included
    "bf16": 16.0,
    "fp8": 8.0,  # the scales (DeepSeek-V3: one per 128 x 128 tile) add less than 0.01
    "q8_0": 8.5,
    # Q4_K_M is a mixture: Q4_K (4.5 bits), with Q6_K (6.5625) for the output matrix and half of the attn_v and ffn_down
    # matrices. So the mean depends on the model: 4.82 for Llama-3.1-70B (42.5 GB, the size of the published files) and
    # for Qwen3-32B (19.8 GB), but 4.89 for Llama-3.1-8B (4.8944 in the table of llama.cpp's tools/quantize/README.md),
    # whose vocabulary weighs more. The first two follow from the rule in llama.cpp, which gives 4.8944 for the third.
    "q4_k_m": 4.82,
    "q4_0": 4.5,
    "mxfp4": 4.25,  # the experts of gpt-oss: 32 values of 4 bits and one 8-bit scale (block_mxfp4 in ggml-common.h)
}
