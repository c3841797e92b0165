"""What engines do with their KV caches today, as their own pages say: one row a fact, each with its source and day.

``python -m helpers.arithmetic.engines_today`` prints ``docs/engines.md``. This file computes nothing. What an option of
a plan does stands in ``tests/arithmetic/engine_options.py``, which takes its sources from here.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY = "2026-11-27"  # the day on which the rows below were last compared with their sources
NOTHING = "nothing found"  # in place of a fact; the source then says where one has looked

ENGINES = ("vLLM", "SGLang", "TensorRT-LLM", "llama.cpp", "transformers", "KVPress", "LMCache", "Ascend plug-in")
SUBJECTS = {
    "formats": "How rows are stored",
    "sharing": "What requests share",
    "eviction": "Who gives up rows, and in which unit",
    "compaction": "Whether rows move, so that blocks come back",
    "offloading": "Where else blocks may lie",
    "metrics": "What it says of itself",
    "flags": "What one sets",
    "hardware": "What it runs on",
}

# Sources that more than one row names, or that the options of a plan name too.
VLLM = (
    "docs.vllm.ai, engine arguments; listed for vLLM 0.27.1 by docs.cloudera.com, supported vLLM command line arguments"
)
PLUG_IN = "github.com/WeianMao/triattention, README.md, vLLM integration and recommended server settings"
LLAMA_CPP = "github.com/ggml-org/llama.cpp, tools/server/README.md, generated from llama-server --help"
SGLANG = "docs.sglang.io, advanced_features/server_arguments"
KV_CACHE = "nvidia.github.io/TensorRT-LLM/1.4.0rc4, llm-api/reference/KvCacheConfig"
TRIATTENTION = "nvidia.github.io/TensorRT-LLM/1.3.0rc27, llm-api/reference/TriAttentionKvCacheCompressionConfig"
EXAMPLE = "github.com/NVIDIA/TensorRT-LLM, examples/kv_cache_compression/triattention.md"
SERVE = "nvidia.github.io/TensorRT-LLM, commands/trtllm-serve, and the arguments of LLM that a config file names"
_VLLM_FORMATS = "docs.vllm.ai, features/quantization/quantized_kvcache"
_VLLM_PREFIXES = "docs.vllm.ai, design/prefix_caching"
_VLLM_OFFLOADING = "github.com/vllm-project/vllm, docs/features/kv_offloading_usage.md"
_SGLANG_FORMATS = "docs.sglang.io, advanced_features/quantized_kv_cache"
_SGLANG_EVICTION = "docs.sglang.io, advanced_features/radix_eviction_policy"
_COMPRESSION = "github.com/NVIDIA/TensorRT-LLM, docs/source/features/kv-cache-compression.md"
_KV_SYSTEM = "github.com/NVIDIA/TensorRT-LLM, docs/source/features/kvcache.md"
_SCHEDULER = "nvidia.github.io/TensorRT-LLM, performance tuning guide, useful runtime options"
_HICACHE = "github.com/sgl-project/sglang, docs/advanced_features/hicache_design.md"
_PRESSES = "github.com/NVIDIA/kvpress, README.md"
_TRIED = "kvpress 0.5.5, tried here on 400 tokens at ratio 0.5"
_LMCACHE = "github.com/LMCache/LMCache, docs/source/api_reference/configurations.rst"
_SERDE = "github.com/LMCache/LMCache, docs/source/mp/serde.rst"
_ASCEND = "github.com/vLLM-HUST/vllm-ascend-kvcompress-hust, README.md of 0.9.0"
_CACHES = "transformers 5.23.0, cache_utils.py, as installed"
_PAGED = "transformers 5.23.0, generation/continuous_batching, as installed"
_RUN = "run for docs/two_paged_engines.md"
_OPTIONS = "tests/arithmetic/engine_options.py, with sources"
_EXCERPT = "read in an excerpt"


@dataclass(frozen=True)
class Finding:
    """What one engine does in one respect.

    Attributes:
        engine: one of ``ENGINES``.
        subject: one of ``SUBJECTS``.
        says: the fact, in one or two plain sentences; ``NOTHING`` where no source was found.
        source: where that stands, or where one has looked; several are parted by "; ".
        doubt: what is not verified; empty where nothing is in doubt.
        date: when it was read there, YYYY-MM-DD.
    """

    engine: str
    subject: str
    says: str
    source: str
    doubt: str = ""
    date: str = DAY


# fmt: off
FINDINGS = (
    # --- How rows are stored ---
    Finding("vLLM", "formats",
            "As the model computes, or FP8 with a scale per tensor or per head. Its cache settings also name NVFP4, 4 "
            "and 8 bits with a scale per token and head, and TurboQuant.",
            f"{_VLLM_FORMATS}; github.com/vllm-project/vllm, vllm/config/cache.py at commit 002f10e0",
            "which of the newer ones run on which card"),
    Finding("SGLang", "formats",
            "As the model computes, FP8 (e4m3 or e5m2), or a 4-bit float with a scale per 16 values, called "
            "experimental.",
            _SGLANG_FORMATS),
    Finding("TensorRT-LLM", "formats",
            "As the model computes, FP8 or NVFP4. Pages on host or disk can be NVFP4 whatever the card holds.",
            f"{KV_CACHE}; {_COMPRESSION}"),
    Finding("llama.cpp", "formats",
            "f32, f16, bf16, or 4 to 8 bits in blocks of 32, turned by a Hadamard matrix since April 2026. A quantized "
            "V needs flash attention. Stock CUDA builds have its kernels for f16, bf16, q8_0 and q4_0, K and V alike "
            "(others: -DGGML_CUDA_FA_QUANTS); Metal's want both alike.",
            f"{LLAMA_CPP}; github.com/ggml-org/llama.cpp, pull requests 21038, 28079, issues 24485, 25900, 28455"),
    Finding("transformers", "formats",
            "QuantizedCache: 2 or 4 bits by quanto, 1 to 8 by hqq, or fp8. The paged engine stores rows in the model's "
            "own type.",
            f"{_CACHES}; {_PAGED}"),
    Finding("KVPress", "formats", "None of its own; it takes transformers' QuantizedCache.", _PRESSES),
    Finding("LMCache", "formats",
            "What the engine hands it. On the way to a disk or a remote store rows may become FP8, or CacheGen's "
            "streams.",
            f"{_SERDE}; {_LMCACHE}"),
    Finding("Ascend plug-in", "formats", "BF16 and FP16; a quantized cache is refused.", _ASCEND),

    # --- What requests share ---
    Finding("vLLM", "sharing",
            "Full blocks with the same tokens and the same beginning, found by hash; on by default, since August 2026 "
            "in hybrid models too. A salt keeps tenants apart.",
            f"{_VLLM_PREFIXES}; github.com/vllm-project/vllm, pull request 50991"),
    Finding("SGLang", "sharing",
            "A tree of prefixes: requests share the path from its root, in whole pages.", _HICACHE),
    Finding("TensorRT-LLM", "sharing",
            "A tree of blocks, on by default; also the beginning of a block, which is copied.", _KV_SYSTEM),
    Finding("llama.cpp", "sharing",
            "A slot keeps its last prompt's rows; --cache-reuse shifts chunks further on into place. With sliding "
            "windows or a recurrent state a prompt may only go on; going back takes a checkpoint (--ctx-checkpoints), "
            "else it reads all again. In a unified cache the n answers to one request share cells.",
            f"{LLAMA_CPP}; github.com/ggml-org/llama.cpp, pull requests 13194, 15293 and 17775, issue 27616"),
    Finding("transformers", "sharing",
            "Full blocks, by hash, on by default: of prompts, and of answers that come out alike.",
            f"{_PAGED}; {_RUN}"),
    Finding("KVPress", "sharing", NOTHING, _PRESSES),
    Finding("LMCache", "sharing",
            "Chunks of 256 tokens, by hash, between engines too. Blending takes text that is no prefix, and computes "
            "15% of it anew by default.",
            _LMCACHE),
    Finding("Ascend plug-in", "sharing",
            "With the prefix cache on, compressed rows go to blocks of their own and shared ones stay as they are.",
            _ASCEND, "its example for models with full attention alone turns the prefix cache off"),

    # --- Who gives up rows, and in which unit ---
    Finding("vLLM", "eviction",
            "Blocks that no request uses, least recently used first; when all are in use, a whole request, which is "
            "computed again. Single tokens: nothing merged (RFC 10646 stale, pull requests 47967 and 56673 open).",
            f"{_VLLM_PREFIXES}; docs.vllm.ai, configuration/optimization; "
            "github.com/vllm-project/vllm, issue 10646, pull requests 47967 and 56673"),
    Finding("SGLang", "eviction",
            "Prefixes that no request uses, from the leaves of the tree, least recently used first or by another "
            "policy. When the pool is full, running requests are retracted: they wait and are computed again. One that "
            "is too long alone is aborted.",
            f"{_SGLANG_EVICTION}; github.com/sgl-project/sglang, issue 26248, pull requests 19881 and 37260",
            _EXCERPT),
    Finding("TensorRT-LLM", "eviction",
            "Blocks that no request uses, by priority (0 to 100), then least recently used. By default a started "
            "request is never paused (GUARANTEED_NO_EVICT); with MAX_UTILIZATION it may be. TriAttention evicts single "
            "tokens of an answer and keeps the prompt.",
            f"{_KV_SYSTEM}; {_SCHEDULER}; {_COMPRESSION}"),
    Finding("llama.cpp", "eviction",
            "By default none: a full sequence ends. With --context-shift the oldest tokens after the first --keep go. "
            "A full unified pool (the default without --parallel: four slots) gives up idle slots, then ends all that "
            "run.",
            f"{LLAMA_CPP}; github.com/ggml-org/llama.cpp, pull requests 16736 and 17997, issue 23652",
            "eviction by score was found in forks only"),
    Finding("transformers", "eviction",
            "Whole requests: at their end, or thrown back when the pool is full, and computed again. Blocks of ended "
            "requests that are remembered for sharing go all at once.",
            f"{_PAGED}; {_RUN}"),
    Finding("KVPress", "eviction",
            "Rows, by score, once the prompt is read; DecodingPress, experimental, also during an answer. Version "
            "0.5.5 has no press for TriAttention.",
            _PRESSES),
    Finding("LMCache", "eviction",
            "Whole chunks, by LRU, LFU or FIFO.",
            "github.com/LMCache/LMCache, docs/source/kv_cache/caching_policies.rst"),
    Finding("Ascend plug-in", "eviction",
            "Single tokens, by TriAttention: first and latest tokens stay, the middle gives up evenly. Version 0.10.0 "
            "reports 1.33% more output, and first tokens 8.65% later at the 95th percentile, from one pair of runs.",
            f"{_ASCEND}; vllm-ascend-kvcompress-hust, description of version 0.10.0"),

    # --- Whether rows move, so that blocks come back ---
    Finding("vLLM", "compaction",
            "Nothing merged; issue 55463 asks for it. Outside it the authors' TriAttention plug-in, for 0.19.0, moves "
            "survivors to the front and gives the tail of the block list back, and R-KV is a patch for 0.25.1.",
            f"github.com/vllm-project/vllm, issue 55463; {PLUG_IN}; github.com/Zefan-Cai/R-KV, pull request 38"),
    Finding("SGLang", "compaction",
            "Nothing merged; issue 38357 asks for it. In discussion 32384 evicting scattered tokens freed no page.",
            "github.com/sgl-project/sglang, issue 38357; github.com/sgl-project/sglang, discussion 32384",
            f"the discussion was {_EXCERPT}"),
    Finding("TensorRT-LLM", "compaction",
            "TriAttention moves survivors forward in place and releases the pages left over at the end. That it is "
            "configured does not prove that it ran, its pages say.",
            f"{EXAMPLE}; {_COMPRESSION}; github.com/NVIDIA/TensorRT-LLM, pull request 16836"),
    Finding("llama.cpp", "compaction",
            "A cell is one token, so nothing need move; the threshold for defragmenting is deprecated.", LLAMA_CPP),
    Finding("transformers", "compaction",
            "None: blocks are copied for a forked request, and rows never move.", f"{_PAGED}; {_RUN}"),
    Finding("KVPress", "compaction",
            "Survivors are gathered into shorter tensors. Presses that choose by head, as AdaKV, only mask: of 400 "
            "rows all 400 stay.",
            f"{_TRIED}; github.com/NVIDIA/kvpress, kvpress/attention_patch.py"),
    Finding("LMCache", "compaction",
            NOTHING, "github.com/LMCache/LMCache, docs/source",
            "vLLM's RFC 10646 names a branch of LMCache with a prototype"),
    Finding("Ascend plug-in", "compaction",
            "Survivors are copied after a step, positions stay, and the old blocks go back before the next.", _ASCEND),

    # --- Where else blocks may lie ---
    Finding("vLLM", "offloading",
            "Full blocks are copied to main memory, and from there to files, object stores or other instances.",
            _VLLM_OFFLOADING),
    Finding("SGLang", "offloading",
            "HiCache: main memory as a second level, a store that a cluster shares as a third.", _HICACHE),
    Finding("TensorRT-LLM", "offloading",
            "Main memory, off by default, and disk; blocks of low priority (below 35 by default) are dropped instead.",
            f"{_KV_SYSTEM}; {KV_CACHE}"),
    Finding("llama.cpp", "offloading",
            "Earlier prompts in main memory, 8,192 MiB by default; a slot can be saved to a file; the whole cache can "
            "stay off the card.",
            LLAMA_CPP),
    Finding("transformers", "offloading",
            "The paged engine keeps requests that it throws back in main memory, if given room (0 by default). Other "
            "caches can move whole layers there.",
            f"{_CACHES}; {_PAGED}", "not run"),
    Finding("KVPress", "offloading", NOTHING, _PRESSES),
    Finding("LMCache", "offloading",
            "What it is for: main memory, then disks and remote stores, such as S3, Redis, Valkey and Mooncake.",
            "github.com/LMCache/LMCache, docs/source/kv_cache/storage_backends"),
    Finding("Ascend plug-in", "offloading", "None: moving KV rows between processes is refused.", _ASCEND),

    # --- What it says of itself ---
    Finding("vLLM", "metrics",
            "A line at the start (`KV cache size: 46,592 tokens`); vllm:kv_cache_usage_perc, num_preemptions_total, "
            "prefix_cache_hits_total; with --kv-cache-metrics also how long blocks live.",
            "docs.vllm.ai, usage/metrics", _EXCERPT),
    Finding("SGLang", "metrics",
            "With --enable-metrics: sglang:token_usage, cache_hit_rate, kv_used_tokens, kv_available_tokens, "
            "kv_evictable_tokens, num_retracted_reqs.",
            "docs.sglang.io, references/production_metrics; github.com/sgl-project/sglang, pull request 7030",
            _EXCERPT),
    Finding("TensorRT-LLM", "metrics",
            "At /prometheus/metrics: trtllm_kv_cache_utilization, trtllm_kv_cache_hit_rate.",
            "nvidia.github.io/TensorRT-LLM, examples/prometheus_metrics", _EXCERPT),
    Finding("llama.cpp", "metrics",
            "Lines at the start (`llama_kv_cache: size = ...`); /slots; with --metrics counts and speeds, and the most "
            "tokens seen. How full the cache is was taken out.",
            f"{LLAMA_CPP}; github.com/ggml-org/llama.cpp, pull requests 13660 and 22879"),
    Finding("transformers", "metrics",
            "No endpoint; a program can ask the engine's cache for compute_free_capacity().", f"{_PAGED}; {_RUN}"),
    Finding("KVPress", "metrics", "None; a notebook measures peak memory and time.", _PRESSES),
    Finding("LMCache", "metrics",
            "lmcache_mp.lookup_requested and lookup_hit in tokens, l1_evicted in chunks; with sampling also how long "
            "blocks of the engine live.",
            "github.com/LMCache/LMCache, docs/source/mp/observability/metrics.rst"),
    Finding("Ascend plug-in", "metrics", NOTHING, _ASCEND),

    # --- What one sets ---
    Finding("vLLM", "flags",
            "Those that a plan gives stand in the list of options. Beside them: --kv-cache-dtype-skip-layers, "
            "--kv-offloading-size (GiB of main memory), --kv-transfer-config; on a CPU VLLM_CPU_KVCACHE_SPACE, in GiB.",
            f"{_OPTIONS}; {_VLLM_FORMATS}; {_VLLM_OFFLOADING}; github.com/vllm-project/vllm, pull request 32421"),
    Finding("SGLang", "flags",
            "Those that a plan gives stand in the list of options. Beside them: --page-size, --radix-eviction-policy, "
            "--enable-hierarchical-cache, --hicache-ratio, --hicache-size, --hicache-write-policy.",
            f"{_OPTIONS}; {_SGLANG_EVICTION}; {_HICACHE}"),
    Finding("TensorRT-LLM", "flags",
            "Those that a plan gives stand in the list of options. Beside them, of kv_cache_config: tokens_per_block "
            "(32), host_cache_size, secondary_offload_min_priority, enable_partial_reuse.",
            f"{_OPTIONS}; {KV_CACHE}"),
    Finding("llama.cpp", "flags",
            "Those that a plan gives stand in the list of options. Beside them: --context-shift, --keep, "
            "--cache-reuse, --kv-unified, --cache-idle-slots, --ubatch-size (512), --ctx-checkpoints (32), --fit (on: "
            "without --ctx-size it takes fewer cells where a card is short of memory).",
            f"{_OPTIONS}; {LLAMA_CPP}; github.com/ggml-org/llama.cpp, pull request 16653"),
    Finding("transformers", "flags",
            "ContinuousBatchingConfig: page_size (256), num_blocks, max_batch_tokens, allow_block_sharing, "
            "safety_margin, cpu_offload_space.",
            _PAGED),
    Finding("KVPress", "flags",
            "compression_ratio; of DecodingPress compression_interval (10), target_size (1024), "
            "hidden_states_buffer_size (128).",
            _PRESSES, "its example writes other names than its list"),
    Finding("LMCache", "flags",
            "chunk_size (256), max_local_cpu_size (5 GB), local_disk, remote_url, cache_policy; of its server "
            "--l1-size-gb, --eviction-policy, --l2-adapter.",
            f"{_LMCACHE}; github.com/LMCache/LMCache, docs/source/mp/configuration.rst; {_SERDE}"),
    Finding("Ascend plug-in", "flags",
            "A JSON file, named by VLLM_ASCEND_KVCOMPRESS_CONFIG; its example keeps 8,192 tokens, with 128 first and "
            "512 latest ones protected. Counts are multiples of the block size, 128.",
            _ASCEND),

    # --- What it runs on ---
    Finding("vLLM", "hardware",
            "Cards of NVIDIA, AMD and Intel, Apple's chips, CPUs (x86, Arm, IBM Z); others by plug-ins.",
            "github.com/vllm-project/vllm, docs/getting_started/installation/README.md"),
    Finding("SGLang", "hardware",
            "Cards of NVIDIA, AMD and Intel, NVIDIA Jetson, Ascend, TPU, CPU servers.",
            "docs.sglang.io, hardware-platforms/overview"),
    Finding("TensorRT-LLM", "hardware",
            "NVIDIA only. NVFP4 rows need Blackwell, FP8 rows Ampere or newer, TriAttention compute capability SM100 "
            "or SM103.",
            f"nvidia.github.io/TensorRT-LLM, features/quantization; {_COMPRESSION}"),
    Finding("llama.cpp", "hardware",
            "CPUs, and cards and chips by CUDA, Metal, HIP, Vulkan, SYCL, CANN, MUSA, OpenCL and others.",
            "github.com/ggml-org/llama.cpp, docs/build.md"),
    Finding("transformers", "hardware",
            "Wherever PyTorch runs; the paged engine on a CPU too, by SDPA. On an Apple chip it warns that it is slow "
            "below torch 2.14.",
            f"{_PAGED}; {_RUN}"),
    Finding("KVPress", "hardware",
            "Wherever PyTorch runs, several cards through accelerate; version 0.5.5 with transformers below 5.3.",
            f"{_PRESSES}; {_TRIED}"),
    Finding("LMCache", "hardware",
            "Builds for CUDA and ROCm (MI300X to MI355X), and a plug-in for Ascend.",
            "github.com/LMCache, releases of LMCache and wiki of LMCache-Ascend", _EXCERPT),
    Finding("Ascend plug-in", "hardware",
            "Ascend NPUs, with the two packages of the host in the versions that it names.", _ASCEND),
)
# fmt: on

_OPENING = f"""# What engines do today

How eight programs keep, share, evict and move their KV caches, as their own pages say it. It is a table to look things
up in; the lessons say what the words mean, and [two paged engines](two_paged_engines.md) shows one of these engines
beside the course's own cache, measured.

- A table per question, a row per engine: read across engines. Numbers lead to the sources at the end.
- **It ages.** Each row names the day on which its sources were read. That was in stored copies, which need not be the
  newest: before you rely on a row, open its source.
- "{NOTHING}" means that nobody here found a source, not that the engine cannot do it. Doubts, and what was not
  verified, stand in square brackets.
- KVPress and LMCache are no engines of their own: the one works in transformers, the other beside an engine. The Ascend
  plug-in is vllm-ascend-kvcompress-hust, TriAttention for vLLM on Ascend.

"""


def page() -> str:
    """``docs/engines.md``: a table per subject with a row per engine, and all sources at the end, numbered."""
    sources = list(dict.fromkeys(source for row in FINDINGS for source in row.source.split("; ")))
    tables = [_table(subject, sources) for subject in SUBJECTS]
    listed = "\n".join(f"{number}. {source}" for number, source in enumerate(sources, 1))
    written = "This page is written by `python -m helpers.arithmetic.engines_today` from the data in that file.\n"
    return _OPENING + "\n\n".join([*tables, f'<a id="sources"></a>\n\n## Sources\n\n{listed}', written])


def _table(subject: str, sources: list[str]) -> str:
    rows = {row.engine: row for row in FINDINGS if row.subject == subject}
    lines = [f"## {SUBJECTS[subject]}", "", "| engine | what its sources say | sources | read |", "|---|---|---|---|"]
    for engine in ENGINES:
        row = rows[engine]
        says = f"{row.says} [{row.doubt}]" if row.doubt else row.says
        numbers = ", ".join(str(sources.index(source) + 1) for source in row.source.split("; "))
        lines.append(f"| {engine} | {says} | [{numbers}](#sources) | {row.date} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
