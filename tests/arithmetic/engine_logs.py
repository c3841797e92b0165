"""What engines printed of their KV caches on other people's machines, line by line, and where each was found.

``date`` is that of the post or of the log as it was read there; None where neither shows one. A setting that the place
does not show, and that follows from the line itself, stands in ``inferred``.
"""

from dataclasses import dataclass
from typing import Any

from tests.arithmetic.public_configs import DELTA, QWEN_27, QWEN_35, V4_FLASH, text

ISSUES = "https://github.com/{}/issues/{}"
PULLS = "https://github.com/{}/pull/{}"
BLOB = "https://github.com/{}/blob/{}/{}"


@dataclass(frozen=True)
class CellsLine:
    """llama.cpp: the MiB of one of its caches, K and V together, and the cells where it names them."""

    model: str
    fields: dict[str, Any]
    settings: dict[str, Any]
    mib: float
    cells: int | None
    where: str
    date: str | None
    kind: str = "full"
    inferred: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlocksLine:
    """vLLM: what it made of ``gib`` (printed to two digits, or exact): blocks, tokens, sequences of the longest."""

    model: str
    fields: dict[str, Any]
    gib: float
    settings: dict[str, Any]
    figures: dict[str, float]
    where: str
    date: str | None
    exact: bool = False


@dataclass(frozen=True)
class PageLine:
    """vLLM: tokens of a hybrid's attention block, and by what per cent the recurrent page was padded, if printed."""

    model: str
    fields: dict[str, Any]
    state: int
    settings: dict[str, Any]
    tokens: int
    percent: float | None
    where: str
    date: str | None
    inferred: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatesLine:
    """llama.cpp: the MiB of its recurrent states (its "RS buffer")."""

    model: str
    fields: dict[str, Any]
    settings: dict[str, int]
    mib: float
    where: str
    date: str | None
    inferred: tuple[str, ...] = ()


GPT_OSS_20B = text("gpt_oss", 24, 64, 8, 2880, head_dim=64, sliding_window=128)
GPT_OSS_120B = text("gpt_oss", 36, 64, 8, 2880, head_dim=64, sliding_window=128)
OLMOE = text("olmoe", 16, 16, 16, 2048)
COMMAND_R = text("cohere", 40, 64, 64, 8192)
GEMMA_7B = text("gemma", 28, 16, 16, 3072, head_dim=256)
GEMMA_E4B = text("gemma4_text", 42, 8, 2, 2560, head_dim=256, global_head_dim=512, sliding_window=512)
GEMMA_E4B |= {"layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 7, "num_kv_shared_layers": 18}
MIXTRAL = text("mixtral", 32, 32, 8, 4096, sliding_window=None)
MISTRAL_7B = text("mistral", 32, 32, 8, 4096, sliding_window=None)
LLAMA_8B = text("llama", 32, 32, 8, 4096)
LLAMA_70B = text("llama", 80, 64, 8, 8192)
LLAMA_30B = text("llama", 60, 52, 52, 6656)
YI_6B = text("llama", 32, 32, 4, 4096)
YI_34B = text("llama", 60, 56, 8, 7168)
QWEN15_4B = text("qwen2", 40, 20, 20, 2560, use_sliding_window=False)
QWEN15_32B = text("qwen2", 64, 40, 8, 5120, use_sliding_window=False)
QWEN2_7B = text("qwen2", 28, 28, 4, 3584, use_sliding_window=False)
QWEN3_14B = text("qwen3", 40, 40, 8, 5120, head_dim=128, use_sliding_window=False)
QWEN3_235B = text("qwen3_moe", 94, 64, 4, 4096, head_dim=128, use_sliding_window=False)
QWEN3_CODER = text("qwen3_moe", 62, 96, 8, 6144, head_dim=128, use_sliding_window=False)

FALCON_H1 = text("falcon_h1", 24, 8, 2, 2048, head_dim=128, mamba_d_conv=4, mamba_d_head=64, mamba_d_ssm=3072)
FALCON_H1 |= {"mamba_d_state": 256, "mamba_n_groups": 1, "mamba_n_heads": 48}

AI_PLAYGROUND = ISSUES.format("intel/AI-Playground", 325)
GENIE = ISSUES.format("GeniePod/genie-claw", 410)
OLLAMA = ISSUES.format("ollama/ollama", 16480)
HEXAGON = BLOB.format("ggml-org/llama.cpp", "{}", "docs/backend/hexagon/{}")
OLMOE_LOG = HEXAGON.format("37c56d57ff10476e388b1fdd9a5488da960caea3", "README.md")
GPT_LOG = HEXAGON.format("dbe3e7886a6df1f15151630af6b00180f1518e19", "developer.md")
TABLE = "https://huggingface.co/dranger003/c4ai-command-r-v01-iMat.GGUF/discussions/6"
YI = "https://huggingface.co/TheBloke/Yi-34B-200K-GGUF/discussions/1"
SHORT = {"context": 2000, "padding": 32}
BOTH = {"context": 262_144, "sequences": 2, "batch": 1024}
Q8 = {"context": 8192, "kv_format": "q8_0", "batch": 128}
AT_2048 = {"context": 2048}

CELLS = (
    CellsLine("gpt-oss-120b", GPT_OSS_120B, SHORT, 70.88, 2016, AI_PLAYGROUND, None),
    CellsLine("gpt-oss-120b", GPT_OSS_120B, SHORT, 22.50, 640, AI_PLAYGROUND, None, "sliding"),
    CellsLine("gpt-oss-120b", GPT_OSS_120B, BOTH, 9216.00, 131_072, OLLAMA, "2026-06-04"),
    CellsLine("gpt-oss-120b", GPT_OSS_120B, BOTH, 90.00, 1280, OLLAMA, "2026-06-04", "sliding"),
    CellsLine("gpt-oss-20b", GPT_OSS_20B, Q8, 102.00, 8192, GPT_LOG, None),
    CellsLine("gpt-oss-20b", GPT_OSS_20B, Q8, 3.19, 256, GPT_LOG, None, "sliding"),
    CellsLine("OLMoE-1B-7B-0125", OLMOE, Q8, 544.00, 8192, OLMOE_LOG, "2025-10-11"),
    CellsLine(
        "Gemma-4-E4B",
        GEMMA_E4B,
        {"context": 131_072, "kv_format": "bf16", "sequences": 2, "unified": True, "batch": 2048},
        120.00,
        3072,
        ISSUES.format("ggml-org/llama.cpp", 24376),
        None,
        "sliding",
        ("context", "batch"),
    ),
    CellsLine(
        "DeepSeek-V4-Flash",
        V4_FLASH,
        {"context": 64_000, "kv_format": "bf16", "batch": 4096},
        182.75,
        4352,
        ISSUES.format("ggml-org/llama.cpp", 27680),
        None,
        "sliding",
        ("batch",),
    ),
    CellsLine(
        "Qwen3.6-35B-A3B",
        QWEN_35,
        {"context": 65_536, "batch": 1088},
        1280.00,
        65_536,
        PULLS.format("ggml-org/llama.cpp", 23269),
        None,
        "full",
        ("model",),
    ),
    CellsLine("Falcon-H1-1.5B", FALCON_H1, {"context": 32_768}, 768.00, 32_768, GENIE, None),
    CellsLine("Command-R", COMMAND_R, {"context": 4096}, 5120.00, None, PULLS.format("ggml-org/llama.cpp", 6122), None),
    CellsLine("Mixtral-8x7B-Holodeck", MIXTRAL, AT_2048, 256, None, TABLE, None),
    CellsLine("Llama-3-8B", LLAMA_8B, AT_2048, 256, None, TABLE, None),
    CellsLine("Llama-3-70B", LLAMA_70B, AT_2048, 640, None, TABLE, None),
    CellsLine("Qwen1.5-32B", QWEN15_32B, AT_2048, 512, None, TABLE, None),
    CellsLine("Yi-1.5-34B", YI_34B, AT_2048, 480, None, TABLE, None),
    CellsLine("functionary-small-v2.4", MISTRAL_7B, AT_2048, 256, None, TABLE, None),
    CellsLine("Command-R", COMMAND_R, AT_2048, 2560, None, TABLE, None),
    CellsLine("Yi-6B-200K", YI_6B, {"context": 200_000, "padding": 1}, 12500.00, None, YI, None),
    CellsLine("Yi-34B-200K", YI_34B, {"context": 50_000, "padding": 1}, 11718.75, None, YI, None),
    CellsLine(
        "LLaMA-30B",
        LLAMA_30B,
        {"context": 512, "kv_format": "fp32"},
        1560.00,
        None,
        ISSUES.format("abetlen/llama-cpp-python", 66),
        "2023-04-11",
    ),
    CellsLine(
        "Gemma-7B",
        GEMMA_7B,
        AT_2048,
        896.00,
        None,
        "https://github.com/christiancadieux/rag-go-ollama (README.md)",
        "2024-02-24",
    ),
)

LEE = BLOB.format("dennislee22/vLLM-benchmarking", "{}", "log/vllm-{}.log")
LEE_QUARTER = LEE.format("391660db66f5a6e44ea8ed82decf48a88e55e992", "7B-1gpuA10080GB-0.25GRAM")
LEE_HALF = LEE.format("608c86e90fc1ab6071c6bb8a673046ab9cd65062", "7B-1gpuA10080GB-0.5GRAM")
LEE_TWO = LEE.format("89771826649777b1127b11adaf18514eb24ff099", "7B-2gpuA10040GB-0.5GRAM-diff-nodes")
LEE_GPT = LEE.format("0787d88e1a6fc0e37a4eaf3d3e691b36eda25352", "120B-4gpuA10080GB-0.8GRAM-diff-nodes")
VLLM = "vllm-project/vllm"
RELATION = ISSUES.format(VLLM, 10517)
RECIPE = PULLS.format("vllm-project/recipes", 12)
AT_16K = {"longest": 16_384}

# "# CPU blocks" are those of the swap space, 4 GiB unless told otherwise: exact.
BLOCKS = (
    BlocksLine(
        "Llama-3.1-8B", LLAMA_8B, 3.81, {"longest": 20_000}, {"blocks": 1952, "x": 1.56}, RELATION, "2024-12-02"
    ),
    BlocksLine(
        "Llama-3.1-8B", LLAMA_8B, 2.89, {"longest": 29_000}, {"blocks": 1478, "x": 0.82}, RELATION, "2024-12-02"
    ),
    BlocksLine("Llama-3.1-8B", LLAMA_8B, 4, {"longest": 20_000}, {"blocks": 2048}, RELATION, "2024-12-02", True),
    BlocksLine(
        "Llama-3-8B",
        LLAMA_8B,
        11.12,
        {"longest": 8192},
        {"blocks": 5691, "x": 11.12},
        ISSUES.format(VLLM, 12330),
        "01-13",
    ),
    BlocksLine(
        "Sailor-4B-Chat",
        QWEN15_4B,
        4,
        {"longest": 32_768},
        {"blocks": 655},
        "https://huggingface.co/spaces/yusufs/vllm-inference/commit/4a9e328471fa0975c70a7ce9677eca3877e860b3",
        "11-27",
        True,
    ),
    BlocksLine(
        "Qwen2.5-7B", QWEN2_7B, 4, {"longest": 4096}, {"blocks": 4681}, ISSUES.format(VLLM, 13882), "02-26", True
    ),
    BlocksLine(
        "Qwen3-14B",
        QWEN3_14B,
        6.51,
        {"longest": 32_768},
        {"tokens": 42_656, "x": 1.30},
        ISSUES.format("LMCache/LMCache", 1739),
        "10-03",
    ),
    BlocksLine("Qwen2-7B", QWEN2_7B, 5.01, AT_16K, {"blocks": 5867, "tokens": 93_872, "x": 5.73}, LEE_QUARTER, "09-04"),
    BlocksLine(
        "Qwen2-7B", QWEN2_7B, 24.83, AT_16K, {"blocks": 29_053, "tokens": 464_848, "x": 28.37}, LEE_HALF, "09-04"
    ),
    BlocksLine(
        "Qwen2-7B",
        QWEN2_7B,
        11.03,
        AT_16K | {"gpus": 2},
        {"blocks": 25_809, "tokens": 412_944, "x": 25.20},
        LEE_TWO,
        "2025-09-03",
    ),
    BlocksLine(
        "gpt-oss-120b",
        GPT_OSS_120B,
        45.32,
        AT_16K | {"gpus": 4},
        {"tokens": 2_640_144, "x": 284.25},
        LEE_GPT,
        "2025-09-10",
    ),
    BlocksLine("Qwen3-Coder-480B", QWEN3_CODER, 48.66, {"longest": 262_144}, {"tokens": 205_728}, RECIPE, "2025-08-04"),
    BlocksLine("Qwen3-Coder-480B", QWEN3_CODER, 55.65, {"longest": 262_144}, {"tokens": 235_296}, RECIPE, "2025-08-04"),
)


def delta_state(k_heads: int, v_heads: int, drafts: int = 0) -> int:
    """Bytes of a gated-delta layer's state in vLLM: float32 matrices, and three tokens and the drafted ones in bf16."""
    return (2 * k_heads + v_heads) * 128 * (3 + drafts) * 2 + v_heads * 128 * 128 * 4


FP8_TWO = {"kv_format": "fp8_e4m3", "gpus": 2}
PAGES = (
    PageLine(
        "Qwen3.6-35B-A3B",
        QWEN_35,
        delta_state(16, 32),
        {"gpus": 4},
        528,
        None,
        ISSUES.format(VLLM, 42966),
        "2026-05-18",
    ),
    PageLine(
        "Qwen3.6-27B", QWEN_27, delta_state(16, 48), {"gpus": 2}, 784, None, ISSUES.format(VLLM, 36010), "2026-08-15"
    ),
    PageLine(
        "Qwen3.8-27B-FP8",
        QWEN_27,
        delta_state(16, 48),
        FP8_TWO,
        1568,
        None,
        PULLS.format("mitchross/talos-argocd-proxmox", 1995),
        "2026-08-16",
    ),
    PageLine(
        "Qwen3.8-27B",
        QWEN_27,
        delta_state(16, 48, drafts=7),
        FP8_TWO,
        1648,
        0.73,
        ISSUES.format("noonghunna/club-3090", 1107),
        "08-26",
        ("drafts", "kv_format"),
    ),
    PageLine(
        "Qwen3.8-27B, 16-bit rows",
        QWEN_27,
        delta_state(16, 48),
        {},
        784,
        None,
        PULLS.format("LMCache/LMCache", 5079),
        "2026-09-12",
    ),
)

QWEN_SMALL = text("qwen3_5_text", 32, 16, 4, 4096, head_dim=256, linear_num_value_heads=32, **DELTA)
STATES = (
    StatesLine("Qwen3.5, 27B", QWEN_27, {"sequences": 2}, 299.25, PULLS.format("ggml-org/llama.cpp", 23792), None),
    StatesLine(
        "Qwen3.6-35B-A3B", QWEN_35, {"drafted": 2}, 188.44, PULLS.format("ggml-org/llama.cpp", 23269), None, ("model",)
    ),
    StatesLine(
        "Qwen3.5, 32 layers",
        QWEN_SMALL,
        {},
        50.25,
        ISSUES.format("JamePeng/llama-cpp-python", 78),
        None,
        ("linear_num_value_heads",),
    ),
    StatesLine(
        "Falcon-H1-1.5B",
        FALCON_H1,
        {},
        72.98,
        GENIE,
        None,
        ("mamba_n_groups", "mamba_d_state", "mamba_n_heads"),
    ),
)

# vLLM 0.19 printed blocks // groups x block beside sequences of the longest: no size of the pool fits one alone.
OLD_HYBRID = BlocksLine(
    "Qwen3.5-27B",
    QWEN_27,
    0,
    {"longest": 32_768, "state_pages": 1},
    {"tokens": 290_864, "x": 33.04},
    ISSUES.format(VLLM, 40691),
    "2026-04-23",
)

# A hybrid's pool, and the page that it is cut into.
HYBRID_POOL = (
    PAGES[2],
    BlocksLine(
        "Qwen3.8-27B-FP8",
        QWEN_27,
        4.99,
        {"longest": 131_072},
        {"tokens": 302_921, "x": 2.31},
        PULLS.format("mitchross/talos-argocd-proxmox", 1995),
        "2026-08-16",
    ),
)

# Lines that the formulas do not give, and why; they are kept so that nobody tunes a formula to them.
EXCEPTIONS = {
    "of four GPUs the least decides (likely): the post shows one, and 0.09 GiB less explain it": BlocksLine(
        "Qwen3-235B-A22B-FP8",
        QWEN3_235B,
        8.11,
        {"longest": 40_960, "gpus": 4},
        {"tokens": 178_880},
        ISSUES.format(VLLM, 21348),
        "2025-07-22",
    ),
}
