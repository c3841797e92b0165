"""What engines make of a cache, held by lines that they printed on other people's machines."""

import random
from dataclasses import replace

import pytest

from helpers.arithmetic import (
    GiB,
    KVShape,
    MiB,
    llama_cpp_cells,
    llama_cpp_states,
    transformers_rows,
    vllm_blocks,
    vllm_hybrid_blocks,
    vllm_hybrid_page,
)
from tests.arithmetic.engine_logs import (
    BLOCKS,
    CELLS,
    EXCEPTIONS,
    GPT_OSS_20B,
    HYBRID_POOL,
    LLAMA_8B,
    OLD_HYBRID,
    PAGES,
    STATES,
    delta_state,
)
from tests.arithmetic.public_configs import QWEN_27, V4_FLASH

PLAIN = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
GPT = KVShape.from_config(GPT_OSS_20B)


def name(line):
    return f"{line.model}-{line.where.rsplit('/', 1)[-1]}"


@pytest.mark.parametrize("line", CELLS, ids=name)
def test_llama_cpp_printed_it(line):
    caches = {cache.kind: cache for cache in llama_cpp_cells(KVShape.from_config(line.fields), **line.settings)}
    cache = caches[line.kind]
    assert round(cache.size / MiB, 2) == line.mib
    assert line.cells in (None, cache.cells)


def bounds(line):
    """vLLM's blocks at the ends of what a figure of two digits may stand for."""
    half = 0 if line.exact else 0.005
    shape = KVShape.from_config(line.fields)
    return [vllm_blocks(shape, gib * GiB, **line.settings) for gib in (line.gib - half, line.gib + half)]


def printed(blocks, figure):
    return round(blocks.concurrency, 2) if figure == "x" else getattr(blocks, figure)


@pytest.mark.parametrize("line", BLOCKS, ids=name)
def test_vllm_printed_it(line):
    low, high = bounds(line)
    for figure, value in line.figures.items():
        assert printed(low, figure) <= value <= printed(high, figure)
        assert printed(high, figure) - printed(low, figure) <= max(0.011, 0.005 * value), "nearly all would do"


@pytest.mark.parametrize("line", [line for line in BLOCKS if "tokens" in line.figures], ids=name)
def test_blocks_of_16_go_into_every_printed_size(line):
    low, _ = bounds(line)
    assert line.figures["tokens"] % low.block == 0


@pytest.mark.parametrize("line", [line for line in BLOCKS if "x" in line.figures], ids=name)
def test_from_the_blocks_that_were_printed_the_rest_follows_to_the_last_digit(line):
    shape, groups = KVShape.from_config(line.fields), bounds(line)[0].groups
    blocks = line.figures.get("blocks") or line.figures["tokens"] // 16 * groups
    free = blocks * shape.bytes(16) / line.settings.get("gpus", 1) / groups
    pool = vllm_blocks(shape, free, **line.settings)
    assert {figure: printed(pool, figure) for figure in line.figures} == line.figures


@pytest.mark.parametrize("line", PAGES, ids=name)
def test_vllm_enlarged_a_hybrids_blocks_to_it(line):
    page = vllm_hybrid_page(KVShape.from_config(line.fields), line.state, **line.settings)
    assert page.tokens == line.tokens
    assert line.percent in (None, round(100 * page.padding, 2))


def test_a_hybrids_pool_holds_pages_of_state_too():
    page_line, line = HYBRID_POOL
    shape = KVShape.from_config(line.fields)
    page = vllm_hybrid_page(shape, page_line.state, **page_line.settings)
    ends = [vllm_hybrid_blocks(shape, gib * GiB, page=page, **line.settings) for gib in (4.985, 4.99, 4.995)]
    assert {(pool.tokens, round(pool.concurrency, 2)) for pool in ends} == {(line.figures["tokens"], line.figures["x"])}
    rows = shape.bytes_per_token("fp8_e4m3") / 2
    assert line.gib * GiB / rows > 1.05 * line.figures["tokens"]
    assert (ends[1].groups, ends[1].why.split()[3:7]) == (4, ["3", "of", "the", "4"])


@pytest.mark.parametrize("line", STATES, ids=name)
def test_llama_cpp_printed_its_recurrent_states(line):
    states = llama_cpp_states(line.fields, **line.settings)
    assert round(states.size / MiB, 2) == line.mib
    plain = KVShape.from_config(line.fields).fixed_bytes
    assert states.copies == 1 + line.settings.get("drafted", 0) and plain < states.size


def test_one_number_of_blocks_gives_both_figures_that_vllm_0_19_printed_of_a_hybrid():
    shape = KVShape.from_config(OLD_HYBRID.fields)
    page = vllm_hybrid_page(shape, delta_state(16, 48))
    pools = [vllm_hybrid_blocks(shape, n * page.size * 16, page=page, **OLD_HYBRID.settings) for n in range(2_000)]
    printed_by = [
        pool.blocks
        for pool in pools
        if (pool.blocks // pool.groups * pool.block, round(pool.concurrency, 2)) == (*OLD_HYBRID.figures.values(),)
    ]
    assert printed_by == [1_487]


def test_a_model_without_such_a_state_is_refused():
    for config in (LLAMA_8B, V4_FLASH):
        with pytest.raises(ValueError, match="no recurrent state with a convolution"):
            llama_cpp_states(config)


def test_there_are_more_than_thirty_lines_each_with_its_place():
    lines = [*CELLS, *BLOCKS, *PAGES, *STATES, HYBRID_POOL[1], OLD_HYBRID]
    assert len(lines) >= 45 and len({line.model for line in lines}) >= 20
    assert all(line.where.startswith("https://") for line in [*lines, *EXCEPTIONS.values()])


def test_lines_that_cannot_be_predicted_stay_named():
    [other_gpu] = EXCEPTIONS.values()
    low, _ = bounds(other_gpu)
    assert low.tokens > other_gpu.figures["tokens"], "if this fails the line is no exception any more"
    with pytest.raises(ValueError, match="state"):
        vllm_blocks(KVShape.from_config(QWEN_27), GiB, 4096)


# --- The steps themselves -------------------------------------------------------------------------------------------
def test_transformers_keeps_rows_and_nothing_else():
    assert transformers_rows(GPT, 1000, 3).size == GPT.bytes(1000, 3)


def test_gpt_oss_keeps_six_times_its_sliding_rows_in_llama_cpp():
    full, sliding = llama_cpp_cells(GPT, 8192)
    assert (full.cells, sliding.cells, sliding.size / MiB) == (8192, 768, 18.0)
    only = replace(GPT, n_layers=12, layers=tuple(layer for layer in GPT.layers if layer.kind == "sliding"))
    assert round(only.bytes(8192) / MiB, 2) == 2.98
    assert "768 cells" in sliding.why and "batch of 512" in sliding.why


def test_one_cache_for_all_keeps_a_window_of_each():
    assert [cache.cells for cache in llama_cpp_cells(GPT, 32_768, sequences=4, unified=True)] == [32_768, 1024]
    assert [(c.cells, c.streams) for c in llama_cpp_cells(GPT, 32_768, sequences=4)] == [(8192, 4), (768, 4)]


def test_a_sliding_cache_is_never_longer_than_the_context():
    assert [cache.cells for cache in llama_cpp_cells(GPT, 300)] == [512, 512]


def test_cells_are_never_fewer_than_what_was_asked_for():
    rng = random.Random(7)
    for _ in range(200):
        context, sequences, unified = rng.randint(1, 99_999), rng.randint(1, 8), rng.random() < 0.5
        [cache] = llama_cpp_cells(PLAIN, context, sequences=sequences, unified=unified)
        assert cache.cells * cache.streams >= context and not cache.cells % 256
        assert cache.cells * cache.streams - context < 256 * (sequences + 1)
        assert cache.size == PLAIN.bytes(cache.cells, cache.streams)


def test_blocks_fill_what_is_free_but_for_less_than_one():
    rng = random.Random(8)
    shape = KVShape.from_config(LLAMA_8B)
    for _ in range(200):
        free, block = rng.randint(10**8, 10**11), rng.choice([16, 32, 128])
        pool = vllm_blocks(shape, free, longest=4096, block=block)
        assert 0 <= free - shape.bytes(pool.tokens) < shape.bytes(block)


def test_two_kinds_of_layers_share_a_pool():
    pool = vllm_blocks(GPT, 10 * GiB, longest=131_072)
    assert (pool.groups, pool.tokens) == (2, pool.blocks // 2 * 16)
    assert pool.concurrency > pool.tokens / 131_072, "the sliding half needs few blocks"
    assert pool.why == "vLLM floors what is free to whole blocks of 16 tokens, which 2 groups of 12 layers share."


def test_a_cpus_blocks_are_longer():
    assert vllm_blocks(PLAIN, GiB, longest=4096, block=128).tokens == 46_592


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: llama_cpp_cells(PLAIN, 0), "context is 0"),
        (lambda: llama_cpp_cells(PLAIN, 1, batch=0), "batch is 0"),
        (lambda: llama_cpp_cells(PLAIN, 1, "f16"), "kv_format is 'f16'"),
        (lambda: vllm_blocks(PLAIN, GiB, 0), "longest is 0"),
        (lambda: vllm_blocks(KVShape.from_config(QWEN_27), GiB, 4096), "another size"),
        (lambda: vllm_hybrid_page(GPT, 0), "state is 0"),
        (lambda: vllm_hybrid_blocks(GPT, GiB, 4096, vllm_hybrid_page(GPT, 4096)), "no layers with state"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_layers_of_two_kinds_with_unequal_pages_are_refused():
    wide = tuple(replace(layer, k_dim=128) if layer.kind == "full" else layer for layer in GPT.layers)
    with pytest.raises(ValueError, match="pages of two sizes"):
        vllm_blocks(replace(GPT, layers=wide), GiB, 4096)
