"""Policies, selection and compressor against their definitions, written in lists and loops.

Two references: ``Simulated`` keeps a sequence in Python lists and knows nothing of tensors; ``DenseRun`` decodes with
transformers' eager attention over a DynamicCache, from which it drops rows itself.
"""

import functools
import itertools
import math
import random
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from helpers import eviction
from helpers.arithmetic import KVShape
from helpers.cache import PagedCache, attending
from helpers.decoding import generate, replay
from helpers.eviction import H2O, Compressor, KeyNorm, Oracle, Policy, Random, SnapKV, StreamingLLM, TriAttention
from helpers.eviction.behind import Behind
from helpers.eviction.selection import SELECTIONS, group_scores, ranks, select
from helpers.models import make_worksheets
from tests.cache.test_attention import refused
from tests.cache.test_paged_cache import shuffle
from tests.families import VOCABULARY, WINDOW, build, plain

FIXED = settings(deadline=None, derandomize=True, database=None)
SPREAD = {"initializer_range": 0.3, "head_dim": 16}
FAMILIES = {
    "Llama": plain("llama", **SPREAD),
    "Qwen3": plain("qwen3", **SPREAD),
    "Granite": plain("granite", attention_multiplier=0.4, **SPREAD),
    "Mistral with a window": plain("mistral", sliding_window=WINDOW, **SPREAD),
}
BATCH, N_LAYERS, N_HEADS, N_KV_HEADS = 2, 3, 4, 2


@functools.cache
def model_of(family, implementation="sdpa"):
    """The family's small model, which never ends a sequence; its norms scale, as trained ones do."""
    model = build(FAMILIES[family])
    model.set_attn_implementation(implementation)
    model.generation_config.eos_token_id = None
    for weight in (weight for weight in model.parameters() if weight.ndim == 1):
        weight.data.uniform_(0.5, 1.5)
    return model


def random_ids(length, batch=BATCH, seed=3):
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode(False)
def new_cache(model, num_blocks=60, batch=BATCH, kv_format="fp32", block_size=4):
    cache = PagedCache.for_model(model, num_blocks, block_size, kv_format, batch)
    shuffle(cache)
    return cache


def poison(cache):
    """What ``test_paged_cache.poison`` does, quickly enough for every step."""
    free = list(cache.pool.free_queue)
    for store in cache.stores:
        rows = store.memory.unflatten(2, (-1, cache.pool.block_size))
        rows[:, :, free] = torch.nan if rows.is_floating_point() else 255


# --- Selection, in lists ----------------------------------------------------------------------------------------------
def z_scores(values):
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return [(value - mean) / deviation if deviation else 0.0 for value in values]


def naive_groups(scores, n_kv_heads):
    """``scores[head][row]`` to one list per KV head."""
    size = len(scores) // n_kv_heads
    z = [z_scores(of_head) for of_head in scores]
    return [[max(column) for column in zip(*z[h * size : (h + 1) * size], strict=True)] for h in range(n_kv_heads)]


def naive_select(scores, count, selection):
    """``scores[layer][head][row]`` of one sequence to the places kept, ``[layer][head]``."""
    n_layers, n_heads, rows = len(scores), len(scores[0]), range(len(scores[0][0]))
    if selection == "union":
        best = [max(scores[i][h][r] for i in range(n_layers) for h in range(n_heads)) for r in rows]
        scores = [[best] * n_heads] * n_layers
    if selection in ("shared", "per_head"):
        mean = [[sum(scores[i][h][r] for i in range(n_layers)) / n_layers for r in rows] for h in range(n_heads)]
        scores = [mean] * n_layers
    if selection == "shared":
        best = [max(scores[0][h][r] for h in range(n_heads)) for r in rows]
        scores = [[best] * n_heads] * n_layers
    return [[naive_best(of_head, count) for of_head in layer] for layer in scores]


def naive_best(scores, count):
    best_first = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return sorted(best_first[:count])


@FIXED
@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 9)),
    scale=st.sampled_from([1e-6, 1, 1e5]),
    seed=st.integers(0, 10**6),
)
def test_groups_are_z_scored_per_head_and_then_the_maximum(sizes, scale, seed):
    batch, n_kv_heads, group_size, rows = sizes
    generator = torch.Generator().manual_seed(seed)
    n_heads = n_kv_heads * group_size
    ranges = torch.rand(batch, n_heads, 1, generator=generator) * scale
    scores = torch.randn(batch, n_heads, rows, generator=generator) * ranges + ranges
    got = group_scores(scores, n_kv_heads)
    wanted = torch.tensor([naive_groups(sequence, n_kv_heads) for sequence in scores.tolist()])
    assert torch.allclose(got, wanted, atol=1e-3)
    assert torch.allclose(group_scores(3 * scores + 2 * scale, n_kv_heads), wanted, atol=5e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e20, 1e-20])
@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_rows_that_all_score_alike_get_0(value, rows):
    assert not group_scores(torch.full((2, 4, rows), value), 2).any()


def test_a_head_that_scores_all_alike_leaves_the_choice_to_the_others():
    scores = torch.stack([torch.full((6,), 0.1), torch.tensor([0.0, 0, 3, 0, 0, 1])])[None]
    kept = select(group_scores(scores, 1)[None], 2, "shared")
    assert kept.flatten().tolist() == [2, 5]


@FIXED
@given(st.data())
def test_the_best_rows_are_kept_in_order_and_ties_go_to_the_earlier(data):
    n_layers, batch, n_heads, rows = (data.draw(st.integers(1, most)) for most in (4, 2, 3, 8))
    count, selection = data.draw(st.integers(0, rows)), data.draw(st.sampled_from(SELECTIONS))
    draw = st.lists(st.integers(-2, 2), min_size=rows, max_size=rows)
    scores = [[[data.draw(draw) for _ in range(n_heads)] for _ in range(batch)] for _ in range(n_layers)]
    scores_tensor = torch.tensor(scores, dtype=torch.float32)
    got = select(scores_tensor, count, selection)
    below = (ranks(scores_tensor, selection) < count).expand(n_layers, batch, n_heads, rows)
    assert below.nonzero()[:, -1].view(got.shape).equal(got)
    assert got.shape == (n_layers, batch, n_heads, count)
    for b in range(batch):
        assert got[:, b].tolist() == naive_select([layer[b] for layer in scores], count, selection)


# --- Compressor, against a sequence in lists --------------------------------------------------------------------------
class Scripted(Policy):
    """Scores from a table ``[layer, sequence, head, token]``; which tokens are left it knows from ``kept`` alone."""

    def __init__(self, table):
        self.table = table

    def begin(self, shape, prompt_length, token_index):
        self.tokens = [torch.empty(self.table.shape[1], shape.n_kv_heads, 0, dtype=torch.long)] * shape.n_layers
        self.prompt_length, self.calls = prompt_length, []

    def score(self, layer, keys, position):
        old = self.tokens[layer]
        new = torch.arange(position + 1)[position + 1 - (keys.shape[2] - old.shape[2]) :]
        self.tokens[layer] = torch.cat([old, new.expand(*old.shape[:2], -1)], dim=-1)
        self.calls.append((layer, position))
        group_size = self.table.shape[2] // keys.shape[1]
        return self.table[layer].gather(-1, self.tokens[layer].repeat_interleave(group_size, dim=1))

    def kept(self, layer, keep):
        assert (keep.diff() > 0).all()
        self.tokens[layer] = self.tokens[layer].gather(-1, keep)


class Simulated:
    """One sequence: the tokens that each head of each layer holds, and the tokens that each block was given."""

    def __init__(self, case, table):
        self.case, self.table = case, table  # table[layer][head][token]
        self.alive = [[[] for _ in range(case.n_kv_heads)] for _ in range(case.n_layers)]
        self.blocks, self.seen = [], 0
        self.protected = case.prompt if case.protect_prompt else 0

    def add(self, count):
        for token in range(self.seen, self.seen + count):
            for head in self.heads:
                head.append(token)
            if not self.blocks or len(self.blocks[-1]) == self.case.block_size:
                self.blocks.append([])
            self.blocks[-1].append(token)
        self.seen += count

    @property
    def heads(self):
        return [head for layer in self.alive for head in layer]

    @property
    def is_due(self):
        return len(self.heads[0]) - self.protected >= self.case.budget + self.case.interval

    def compress(self):
        case, first, last = self.case, self.protected, len(self.heads[0]) - self.case.recent
        scores = []
        for heads, table in zip(self.alive, self.table, strict=True):
            own = [heads[h * case.n_kv_heads // len(table)] for h in range(len(table))]
            rows = [[t[token] for token in tokens[first:last]] for t, tokens in zip(table, own, strict=True)]
            scores.append(naive_groups(rows, case.n_kv_heads))
        kept = naive_select(scores, case.budget - case.recent, case.selection)
        self.alive = [
            [head[:first] + [head[first + i] for i in places] + head[last:] for head, places in zip(*pair, strict=True)]
            for pair in zip(self.alive, kept, strict=True)
        ]
        self.give_back()

    def give_back(self):
        if self.case.compact:
            n_alive, size = len(self.heads[0]), self.case.block_size
            self.blocks = [list(range(i, min(i + size, n_alive))) for i in range(0, n_alive, size)]
        else:
            live = {token for head in self.heads for token in head}
            self.blocks = [block for block in self.blocks if live & set(block)]


class Pair:
    """A PagedCache with a compressor, and a simulated sequence for each of its own, fed with the same rows."""

    def __init__(self, case):
        generator, dim = torch.Generator().manual_seed(case.seed), 3
        self.length = case.prompt + case.budget + 4 * case.interval
        shape = KVShape(case.n_layers, case.n_kv_heads, dim)
        self.rows = torch.randn(2, case.n_layers, case.batch, case.n_kv_heads, self.length, dim, generator=generator)
        n_heads = case.n_kv_heads * case.group_size
        table = torch.rand(case.n_layers, case.batch, n_heads, self.length, generator=generator)
        table = torch.full_like(table, 0.1) if case.constant else table
        self.case, self.cache = case, PagedCache(shape, 3 * self.length + 3, case.block_size, "fp32", case.batch)
        shuffle(self.cache, case.seed)
        self.compressor = Compressor(
            Scripted(table),
            case.budget,
            case.interval,
            case.selection,
            case.compact,
            case.protect_prompt,
            case.recent,
        )
        self.simulated = [Simulated(case, table[:, b].tolist()) for b in range(case.batch)]
        self.compressor.begin(self.cache, case.prompt)

    def read(self, count):
        """One pass: the compression that came of it, and the one that should have."""
        first = self.cache.tokens_seen
        for layer in range(self.case.n_layers):
            self.cache.update(*self.rows[:, layer, :, :, first : first + count], layer)
        for sequence in self.simulated:
            sequence.add(count)
        before = len(self.simulated[0].heads[0]), sum(len(s.blocks) for s in self.simulated)
        compression, due = self.compressor.after_pass(self.cache), self.simulated[0].is_due
        if due:
            for sequence in self.simulated:
                sequence.compress()
        assert (compression is not None) == due
        if due:
            self.check_compression(compression, *before)
        self.check()
        return compression

    def check_compression(self, compression, rows_before, blocks_before):
        case, rows_after = self.case, self.simulated[0].protected + self.case.budget
        freed = blocks_before - sum(len(s.blocks) for s in self.simulated)
        assert (compression.tokens_seen, compression.rows_before) == (self.cache.tokens_seen, rows_before)
        assert (compression.rows_after, compression.tokens_evicted) == (rows_after, rows_before - rows_after)
        block_bytes = 2 * case.n_layers * case.n_kv_heads * 3 * 4 * case.block_size
        assert (compression.blocks_freed, compression.bytes_freed) == (freed, freed * block_bytes)
        assert {len(head) for s in self.simulated for head in s.heads} == {rows_after}
        sequence = self.simulated[0]
        for head in (head for s in self.simulated for head in s.heads):
            assert head[: sequence.protected] == list(range(sequence.protected))
            assert head[len(head) - case.recent :] == list(range(sequence.seen - case.recent, sequence.seen))

    def check(self):
        """Tokens, rows, blocks: cache and simulation agree."""
        poison(self.cache)
        self.cache.pool.check_integrity(self.cache.tables)
        assert [len(table.blocks) for table in self.cache.tables] == [len(s.blocks) for s in self.simulated]
        for layer in range(self.case.n_layers):
            tokens = [s.alive[layer] for s in self.simulated]
            assert self.cache.token_index(layer).tolist() == tokens
            for got, rows in zip(self.cache.read(layer), self.rows[:, layer], strict=True):
                wanted = [[rows[b, h, t] for h, t in enumerate(heads)] for b, heads in enumerate(tokens)]
                assert torch.equal(got, torch.stack([torch.stack(heads) for heads in wanted]))


def at_least_three_candidates(case):
    """Of two rows one has z-score 1 and the other -1, in every head: then rounding would decide between heads."""
    case.recent = min(case.recent, case.budget)
    case.interval += case.budget - case.recent + case.interval == 2
    return case


CASES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 2),
        "n_layers": st.integers(1, 3),
        "n_kv_heads": st.integers(1, 3),
        "group_size": st.integers(1, 2),
        "block_size": st.integers(1, 5),
        "prompt": st.integers(1, 12),
        "budget": st.integers(1, 9),
        "interval": st.integers(1, 7),
        "selection": st.sampled_from(SELECTIONS),
        "compact": st.booleans(),
        "protect_prompt": st.booleans(),
        "constant": st.sampled_from([False, False, False, True]),
        "recent": st.integers(0, 9),
        "seed": st.integers(0, 10**6),
    }
).map(lambda fields: at_least_three_candidates(SimpleNamespace(**fields)))


@settings(FIXED, max_examples=120)
@given(CASES)
def test_the_cache_holds_what_a_sequence_in_lists_holds_at_every_step(case):
    pair = Pair(case)
    passes = [case.prompt] + [1] * (pair.length - case.prompt)
    compressions = [i for i, count in enumerate(passes) if pair.read(count)]
    if case.protect_prompt:  # the saw-tooth: pass i has read i decoded tokens
        assert compressions == [case.budget + k * case.interval for k in (1, 2, 3, 4)]
    else:
        assert len(compressions) >= 3 and set(list(map(int.__sub__, compressions[1:], compressions))) == {case.interval}


@settings(FIXED, max_examples=30)
@given(CASES, st.lists(st.integers(1, 6), min_size=1))
def test_passes_of_several_tokens_are_cut_back_to_the_budget_all_the_same(case, counts):
    pair = Pair(case)
    pair.read(case.prompt)
    for count in counts:
        if pair.cache.tokens_seen + count <= pair.length:
            pair.read(count)


def case_of(**fields):
    plain_case = dict(batch=2, n_layers=3, n_kv_heads=2, group_size=2, block_size=4, prompt=5, budget=12, interval=9)
    plain_case |= dict(selection="per_head", compact=True, protect_prompt=True, constant=False, recent=3, seed=0)
    return SimpleNamespace(**plain_case | fields)


def tokens_after_compressions(case):
    """Which tokens each head holds, ``[layer, sequence, head, rows]``, right after the last compression."""
    pair = Pair(case)
    pair.read(case.prompt)
    times = 4
    while times:
        times -= pair.read(1) is not None
    return torch.stack([pair.cache.token_index(layer) for layer in range(case.n_layers)])


def are_same(tokens, dim):
    return torch.equal(tokens, tokens.narrow(dim, 0, 1).expand_as(tokens))


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("protect_prompt", [False, True])
@pytest.mark.parametrize(
    ("selection", "same_in_layers", "same_in_heads"),
    [("shared", True, True), ("union", True, True), ("per_head", True, False), ("per_layer_per_head", False, False)],
)
def test_what_layers_and_heads_share_in_each_mode(selection, same_in_layers, same_in_heads, compact, protect_prompt):
    case = case_of(selection=selection, compact=compact, protect_prompt=protect_prompt)
    tokens = tokens_after_compressions(case)
    assert (are_same(tokens, 0), are_same(tokens, 2), are_same(tokens, 1)) == (same_in_layers, same_in_heads, False)
    assert tokens.shape[-1] == 12 + 5 * protect_prompt


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("protect_prompt", [False, True])
def test_of_rows_that_score_alike_the_earliest_survive(selection, protect_prompt):
    tokens = tokens_after_compressions(case_of(selection=selection, protect_prompt=protect_prompt, constant=True))
    oldest, length = range(9 + 5 * protect_prompt), 12 + 4 * 9 + 5 * protect_prompt
    assert tokens.unique(dim=-2).flatten(0, -2).unique(dim=0).tolist() == [[*oldest, *range(length - 3, length)]]


def test_a_policy_is_asked_once_per_layer_with_the_position_of_the_last_token():
    pair = Pair(case_of())
    pair.read(5)
    assert pair.compressor.policy.prompt_length == 5
    while pair.cache.tokens_seen < pair.length:
        pair.read(1)
    assert pair.compressor.policy.calls == [(layer, 4 + 12 + 9 * k) for k in (1, 2, 3, 4) for layer in range(3)]


def test_a_compressor_can_be_used_for_a_second_run():
    pair = Pair(case_of())
    for _ in range(2):
        pair.read(5)
        while pair.cache.tokens_seen < pair.length:
            pair.read(1)
        pair.cache.reset()
        pair.simulated = [Simulated(pair.case, s.table) for s in pair.simulated]
        pair.compressor.begin(pair.cache, 5)


# --- Policies, against decoding over a DynamicCache with eager attention ----------------------------------------------
PROMPT, BUDGET, INTERVAL, RECENT, STEPS = 6, 14, 9, 5, 65


class DenseRun:
    """Greedy decoding with transformers alone. Rows are dropped by hand, and every weight is kept, by token."""

    def __init__(self, model):
        self.model, self.cache = model, DynamicCache()
        self.tokens = [torch.empty(BATCH, N_KV_HEADS, 0, dtype=torch.long)] * N_LAYERS
        self.grids = [[] for _ in range(N_LAYERS)]  # per layer and pass [batch, n_heads, new, tokens]
        self.seen, self.compressed_at = 0, []

    def step(self, ids):
        new = torch.arange(self.seen, self.seen + ids.shape[1])
        output = self.model(ids, past_key_values=self.cache, position_ids=new[None], output_attentions=True)
        self.seen += ids.shape[1]
        for layer, weights in enumerate(output.attentions):
            self.tokens[layer] = torch.cat([self.tokens[layer], new.expand(BATCH, N_KV_HEADS, -1)], dim=-1)
            by_token = torch.zeros(*weights.shape[:-1], PROMPT + STEPS)
            places = self.by_head(self.tokens[layer])[:, :, None].expand_as(weights)
            self.grids[layer].append(by_token.scatter(-1, places, weights))
        return output.logits[:, -1].argmax(-1)

    def by_head(self, of_kv_heads):
        return of_kv_heads.repeat_interleave(N_HEADS // N_KV_HEADS, dim=1)

    def rows_of(self, layer, by_token):
        """``[batch, n_heads, tokens]`` at the rows alive."""
        return by_token.gather(-1, self.by_head(self.tokens[layer]))

    def compress(self, score, selection):
        scores = [score(self, layer) for layer in range(N_LAYERS)]
        end = PROMPT + BUDGET + INTERVAL
        prompt, candidates, recent = range(PROMPT), range(PROMPT, end - RECENT), range(end - RECENT, end)
        kept = []  # [sequence][layer][head]
        for b in range(BATCH):
            grouped = [naive_groups(of_layer[b, :, PROMPT : end - RECENT].tolist(), N_KV_HEADS) for of_layer in scores]
            kept.append(naive_select(grouped, BUDGET - RECENT, selection))
        survivors = DynamicCache()
        for i, layer in enumerate(self.cache.layers):
            best = [[[candidates[place] for place in of_head] for of_head in sequence[i]] for sequence in kept]
            keep = torch.tensor([[[*prompt, *of_head, *recent] for of_head in heads] for heads in best])
            self.tokens[i] = self.tokens[i].gather(-1, keep)
            places = keep[..., None].expand(-1, -1, -1, 16)
            survivors.update(layer.keys.gather(2, places), layer.values.gather(2, places), i)
        self.cache = survivors
        self.compressed_at.append(self.seen)

    @torch.inference_mode()
    def decode(self, prompt, score, selection):
        tokens, step_input = [], prompt
        for _ in range(STEPS):
            tokens.append(self.step(step_input))
            if len(self.tokens[0][0, 0]) == PROMPT + BUDGET + INTERVAL:
                self.compress(score, selection)
            step_input = tokens[-1][:, None]
        return torch.stack(tokens, dim=1).tolist()


def column_sums(run, layer):
    return run.rows_of(layer, sum(grid.sum(-2) for grid in run.grids[layer]))


def mean_of_last_queries(run, layer, window=4, kernel_size=3):
    last = torch.cat(run.grids[layer], dim=2)[:, :, -window:]
    weights = run.rows_of(layer, last.mean(-2))
    half, rows = kernel_size // 2, weights.shape[-1]
    around = [[j for j in range(i - half, i + half + 1) if 0 <= j < rows] for i in range(rows)]
    return torch.stack([weights[..., near].sum(-1) / kernel_size for near in around], dim=-1)


def shortness_of_keys(run, layer):
    """To twelve binary digits, so that equal words tie."""
    lengths = run.cache.layers[layer].keys.double().square().sum(-1).sqrt()
    step = 2 ** (lengths.clamp(min=2**-20).log2().floor() - 11)  # a key may be all zeros
    return -(lengths / step).round() * step


def sinks_then_latest(run, layer):
    tokens = run.tokens[layer].double()
    return tokens + 1000 * (tokens < 4)


def the_seed_s_numbers(run, layer):
    return Random(seed=5).score(layer, run.cache.layers[layer].keys, run.seen - 1)


SHEETS = make_worksheets(BATCH, n_lines=6, seed=8)
NEVER = 10_000.0


def soonness_of_use(run, layer):
    return -torch.tensor(
        [
            [[naive_next_use(sheet, token, run.seen - 1, PROMPT) for token in head] for head in heads]
            for sheet, heads in zip(SHEETS, run.tokens[layer].tolist(), strict=True)
        ]
    )


def naive_next_use(sheet, token, position, prompt_length):
    """Tokens from the one that is decided next until this one's value is restated, by reading the gold text."""
    words = f"{sheet.thought} {sheet.answer}".split()
    at, decided_next = token - prompt_length, position + 2 - prompt_length
    if not 0 < at < len(words) or not words[at].isdigit():
        return NEVER
    copies = [i for i in range(1, len(words)) if words[i].isdigit() and words[i - 1] == words[at - 1]]
    return float(min((i - decided_next for i in copies if i > at and i >= decided_next), default=NEVER))


POLICIES = {
    "H2O": (H2O, column_sums),
    "SnapKV": (lambda: SnapKV(window=4, kernel_size=3), mean_of_last_queries),
    "KeyNorm": (KeyNorm, shortness_of_keys),
    "StreamingLLM": (StreamingLLM, sinks_then_latest),
    "Random": (lambda: Random(seed=5), the_seed_s_numbers),
    "Oracle": (lambda: Oracle(SHEETS), soonness_of_use),
}


# Not KeyNorm layer by layer: in layer 0 a token's key is as long wherever it stands, and rounding decides between them.
RUNS = [pair for pair in itertools.product(POLICIES, SELECTIONS) if pair != ("KeyNorm", "per_layer_per_head")]


@functools.cache
def dense_run(name, selection, family="Llama"):
    run = DenseRun(model_of(family, "eager"))
    return run, run.decode(random_ids(PROMPT), POLICIES[name][1], selection)


def compressed_run(name, selection, compact=True, family="Llama"):
    model, policy = model_of(family), POLICIES[name][0]()
    cache = new_cache(model)
    compressor = Compressor(policy, BUDGET, INTERVAL, selection, compact, protect_recent=RECENT)
    trace = generate(model, random_ids(PROMPT), cache, compressor, STEPS, on_step=lambda _: poison(cache))
    return policy, cache, trace


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(("name", "selection"), RUNS)
@torch.inference_mode()
def test_a_run_is_the_one_over_a_dense_cache_from_which_the_rows_were_dropped_by_hand(name, selection, compact):
    dense, tokens = dense_run(name, selection)
    _, cache, trace = compressed_run(name, selection, compact)
    assert [c.tokens_seen for c in trace.compressions.values()] == dense.compressed_at
    assert len(dense.compressed_at) == 5
    assert trace.tokens == tokens
    for layer, of_layer in enumerate(dense.cache.layers):
        assert torch.equal(cache.token_index(layer), dense.tokens[layer])
        for got, wanted in zip(cache.read(layer), (of_layer.keys, of_layer.values), strict=True):
            assert torch.allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Granite"])
@pytest.mark.parametrize(
    ("name", "selection"), [("H2O", "per_layer_per_head"), ("SnapKV", "per_layer_per_head"), ("KeyNorm", "per_head")]
)
@torch.inference_mode()
def test_scores_are_those_of_the_definition_after_several_evictions(name, selection, family):
    dense, tokens = dense_run(name, selection, family)
    policy, cache, trace = compressed_run(name, selection, family=family)
    assert trace.tokens == tokens
    for layer in range(N_LAYERS):
        assert torch.equal(cache.token_index(layer), dense.tokens[layer])
        got = policy.score(layer, cache.read_keys(layer), cache.tokens_seen - 1)
        assert torch.allclose(got.double(), POLICIES[name][1](dense, layer).double(), atol=1e-4)


def test_the_reference_runs_differ_and_so_do_their_tokens():
    runs = [dense_run(*pair) for pair in RUNS]
    assert len({str(tokens) for _, tokens in runs}) > 9
    assert len({str(run.tokens) for run, _ in runs}) == 4 + 4 + 3 + 4 + 2  # two look at neither head nor layer


def test_h2o_pays_for_its_grids_and_the_others_for_none():
    cost = compressed_run("H2O", "per_head")[2].weights_cost
    decoded = [n if n <= BUDGET + INTERVAL else BUDGET + 1 + (n - BUDGET - 1) % INTERVAL for n in range(1, STEPS)]
    grids = [BATCH * N_HEADS * new * rows * 4 for new, rows in [(PROMPT, PROMPT), *((1, PROMPT + n) for n in decoded)]]
    assert (cost.bytes_written, cost.largest) == (N_LAYERS * sum(grids), max(grids))
    for name in POLICIES.keys() - {"H2O"}:
        assert compressed_run(name, "per_head")[2].weights_cost.bytes_written == 0


# --- All policies of the register ------------------------------------------------------------------------------------
def compressor_of(name, worksheets=SHEETS, behind=lambda policy: policy):
    """A policy of the register in a compressor with the least budget that all of them allow; None if it is unsuited."""
    policy = eviction.POLICIES[name](eviction.Subject(model_of("Llama"), random_ids(80), worksheets))
    recent = policy and max(4, policy.least_recent)
    return policy and Compressor(
        behind(policy), 20, 5, "per_layer_per_head", protect_prompt=False, protect_recent=recent
    )


class Checked(Behind):
    """Holds scores to what ``Policy.score`` promises."""

    def score(self, layer, keys, position):
        untouched = keys.clone()
        scores = super().score(layer, keys, position)
        assert torch.equal(keys, untouched)
        assert scores.shape in [(BATCH, heads, keys.shape[2]) for heads in (N_HEADS, N_KV_HEADS)]
        assert scores.isfinite().all()
        return scores


@pytest.mark.parametrize("name", eviction.POLICIES)
def test_a_policy_gives_every_row_a_finite_score_and_changes_no_key(name):
    model, compressor = model_of("Llama"), compressor_of(name, behind=Checked)
    trace = generate(model, random_ids(12), new_cache(model), compressor, max_new_tokens=30)
    assert len(trace.compressions) >= 3


class Untold(Behind):
    """Lets nobody ask which tokens are where."""

    def begin(self, shape, prompt_length, token_index):
        super().begin(shape, prompt_length, None)


def test_triattention_does_not_ask_which_token_a_row_holds():
    model, compressor = model_of("Llama"), compressor_of("TriAttention", behind=Untold)
    assert generate(model, random_ids(12), new_cache(model), compressor, max_new_tokens=30).compressions


@pytest.mark.parametrize("name", eviction.SHOWN)
def test_a_policy_that_was_used_before_starts_anew(name):
    model, runs = model_of("Llama"), []
    used, fresh = compressor_of(name), compressor_of(name)
    first_batch = 1 if compressor_of(name, worksheets=None) else BATCH
    generate(model, random_ids(20, first_batch, seed=1), new_cache(model, batch=first_batch), used, max_new_tokens=30)
    for compressor in (used, fresh):
        cache = new_cache(model)
        tokens = generate(model, random_ids(12, seed=2), cache, compressor, max_new_tokens=30).tokens
        runs.append((tokens, [cache.token_index(layer).tolist() for layer in range(N_LAYERS)]))
    assert runs[0] == runs[1]


# --- Policies, one by one ---------------------------------------------------------------------------------------------
SHAPE = KVShape(2, 2, 8)


def keys_of(rows, batch=2, seed=0):
    return torch.randn(batch, 2, rows, 8, generator=torch.Generator().manual_seed(seed))


def snapkv_in_loops(queries, keys, kernel_size):
    """``queries`` of the last rows, scaled ``[batch, n_heads, n, dim]``: one list of scores per sequence and head."""
    batch, n_heads, n, _ = queries.shape
    rows, group_size, scores = keys.shape[2], n_heads // keys.shape[1], torch.zeros(batch, n_heads, keys.shape[2])
    for b, h in ((b, h) for b in range(batch) for h in range(n_heads)):
        mean = [0.0] * rows
        for i in range(n):
            seen = range(rows - n + i + 1)
            odds = [math.exp(float(queries[b, h, i] @ keys[b, h // group_size, j])) for j in seen]
            for j in seen:
                mean[j] += odds[j] / sum(odds) / n
        half = kernel_size // 2
        scores[b, h] = torch.tensor([sum(mean[max(0, j - half) : j + half + 1]) / kernel_size for j in range(rows)])
    return scores


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("chunks", [[9], [1] * 9, [4, 5], [7, 1, 1], [2]])
@pytest.mark.parametrize("window", [1, 3, 6])
def test_snapkv_is_the_mean_weight_of_its_last_queries(window, chunks, kernel_size):
    keys, queries = keys_of(12), torch.randn(2, 4, sum(chunks), 8, generator=torch.Generator().manual_seed(1))
    policy = SnapKV(window, kernel_size)
    policy.begin(SHAPE, 3, None)
    for part in queries.split(chunks, dim=2):
        policy.see_queries(1, part, 0.3)
    wanted = snapkv_in_loops(0.3 * queries[:, :, -window:], keys, kernel_size)
    assert torch.allclose(policy.score(1, keys, 11), wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_streaming_llm_keeps_the_sinks_and_the_latest(seed):
    rng = random.Random(seed)
    n_sinks, interval, recent = rng.randint(0, 4), rng.randint(1, 5), rng.randint(0, 5)
    budget = n_sinks + recent + rng.randint(1, 5)
    pair = Pair(case_of(budget=budget, interval=interval, recent=recent, protect_prompt=False, seed=seed))
    pair.compressor.policy = StreamingLLM(n_sinks)
    seen = feed_until_compressed(pair, 3)
    wanted = [*range(n_sinks), *range(seen - budget + n_sinks, seen)]
    assert all(head == wanted for layer in range(3) for s in pair.cache.token_index(layer).tolist() for head in s)


def feed_until_compressed(pair, times):
    """Feed the cache alone, with a policy that is not scripted; returns the tokens seen."""
    count = pair.case.prompt
    while times:
        first = pair.cache.tokens_seen
        for layer in range(pair.case.n_layers):
            pair.cache.update(*pair.rows[:, layer, :, :, first : first + count], layer)
        times -= pair.compressor.after_pass(pair.cache) is not None
        count = 1
    return pair.cache.tokens_seen


def test_streaming_llm_with_room_for_fewer_sinks_keeps_the_first():
    pair = Pair(case_of(budget=5, recent=3, protect_prompt=False))
    pair.compressor.policy = StreamingLLM(n_sinks=4)
    seen = feed_until_compressed(pair, 1)
    assert pair.cache.token_index(0)[0, 0].tolist() == [0, 1, *range(seen - 3, seen)]


@pytest.mark.parametrize("seed", range(4))
def test_key_norm_keeps_the_shortest_keys(seed):
    pair = Pair(case_of(selection="per_layer_per_head", recent=0, seed=seed))
    pair.compressor.policy = KeyNorm()
    seen = feed_until_compressed(pair, 1)
    for layer in range(3):
        norms = pair.rows[0, layer, :, :, 5:seen].norm(dim=-1)
        shortest = norms.topk(12, largest=False).indices.sort(-1).values + 5
        assert torch.equal(pair.cache.token_index(layer)[..., 5:], shortest)


@torch.inference_mode()
def test_key_norm_scores_a_word_alike_wherever_it_stands_in_the_first_layer():
    """There a key is its word's, turned: between its rows rounding must not decide, or no two runs agree.

    A length beside a step of the scale may still fall on both sides of it: one word of a thousand, by arithmetic.
    """
    model, ids = model_of("Llama"), random_ids(800)
    cache = new_cache(model, num_blocks=400)
    model(ids, past_key_values=cache)
    scores = KeyNorm().score(0, cache.read_keys(0), 799)
    kinds = [len(scores[:, head][ids == word].unique()) for word in ids.unique().tolist() for head in range(N_KV_HEADS)]
    assert max(kinds) <= 2 and kinds.count(2) <= len(kinds) / 50


def test_random_is_the_same_for_a_seed_and_differs_between_layers_heads_positions_and_seeds():
    keys = keys_of(9)
    scores = [
        Random(seed).score(layer, keys, position) for seed in (0, 0, 1) for layer in (0, 1) for position in (30, 31)
    ]
    assert all(torch.equal(a, b) for a, b in zip(scores[:4], scores[4:8], strict=True))
    rows = torch.cat([of_layer.flatten(0, 1) for of_layer in scores[4:]])
    assert len(rows.unique(dim=0)) == len(rows) == 8 * 4
    assert ((rows >= 0) & (rows < 1)).all()


def test_random_ranks_every_row_first_about_as_often():
    first = torch.stack([Random(0).score(0, keys_of(5), position).argmax(-1) for position in range(500)])
    assert torch.allclose(first.flatten().bincount() / 2000, torch.full((5,), 0.2), atol=0.03)


class BlindOracle(Oracle):
    """Lets chance choose, so that every layer and head keeps others."""

    def score(self, layer, keys, position):
        return Random(2).score(layer, keys, position)


def oracle_run(turns, **options):
    """Decode in one or several turns over one cache; after each the Oracle is held to the cache."""
    model, sheets = model_of("Llama"), make_worksheets(BATCH, 6, seed=21)
    cache, policy = new_cache(model), BlindOracle(sheets)
    for turn in range(turns):
        prompt_length = cache.tokens_seen + 5
        compressor = Compressor(policy, 12, 7, protect_recent=3, **options)
        generate(model, random_ids(5, seed=turn), cache, compressor, max_new_tokens=12 + 3 * 7 + 1)
        yield policy, cache, sheets, prompt_length


def assert_ranked_by_next_use(scores, uses):
    """As many below 0 as there are tokens until then; a token that is never used again stands below all others."""
    assert all(-score == use for score, use in zip(scores, uses, strict=True) if use < NEVER)
    last_use = max((use for use in uses if use < NEVER), default=-1)
    assert all(-score > last_use for score, use in zip(scores, uses, strict=True) if use == NEVER)


@pytest.mark.parametrize("protect_prompt", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("turns", [1, 2])
@torch.inference_mode()
def test_the_oracle_knows_which_token_each_row_holds(turns, selection, protect_prompt):
    for policy, cache, sheets, prompt_length in oracle_run(turns, selection=selection, protect_prompt=protect_prompt):
        position = cache.tokens_seen - 1
        for layer in range(N_LAYERS):
            scores, tokens = Oracle.score(policy, layer, cache.read_keys(layer), position), cache.token_index(layer)
            for b, sheet in enumerate(sheets):
                uses = [naive_next_use(sheet, token, position, prompt_length) for token in tokens[b].flatten().tolist()]
                assert_ranked_by_next_use(scores[b].flatten().tolist(), uses)


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_counts_the_tokens_until_the_next_use(seed):
    [sheet] = make_worksheets(1, 12, seed=seed)
    prompt_length = 7
    for position in range(prompt_length - 1, prompt_length + len(sheet.thought.split())):
        oracle, in_order = Oracle([sheet]), torch.arange(position + 1).expand(1, 2, -1)
        oracle.begin(SHAPE, prompt_length, lambda layer, tokens=in_order: tokens)
        scores = oracle.score(0, keys_of(position + 1, batch=1), position)[0]
        uses = [naive_next_use(sheet, token, position, prompt_length) for token in range(position + 1)]
        for of_head in scores.tolist():
            assert_ranked_by_next_use(of_head, uses)


def test_the_base_policy_says_what_a_subclass_must_write():
    with pytest.raises(NotImplementedError, match=r"^Policy must write score\(layer, keys, position\)$"):
        Policy().score(0, keys_of(3), 2)


# --- After a compression ----------------------------------------------------------------------------------------------
def gathered_by_hand(tokens_before, rows, tokens_after):
    """The survivors' rows, looked up one by one among those that were there before."""
    survivors = torch.empty(*tokens_after.shape, rows.shape[-1])
    for b, h in itertools.product(range(BATCH), range(N_KV_HEADS)):
        before = tokens_before[b, h].tolist()
        survivors[b, h] = torch.stack([rows[b, h, before.index(token)] for token in tokens_after[b, h].tolist()])
    return survivors


@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Granite"])
@torch.inference_mode()
def test_the_next_step_after_a_compression_attends_over_the_survivors_alone(family, selection, new):
    model, ids = model_of(family), random_ids(30 + new)
    cache, compressor = new_cache(model), Compressor(Random(1), 9, 12, selection, compact=False, protect_recent=2)
    compressor.begin(cache, 9)
    with attending(model, compressor.policy):
        for part in ids[:, :30].split([9, 20, 1], dim=1):
            assert not compressor.after_pass(cache)
            model(part, past_key_values=cache)
        before = [(cache.token_index(i), *(rows.clone() for rows in cache.read(i))) for i in range(N_LAYERS)]
        assert compressor.after_pass(cache).rows_after == 18
        survivors = DynamicCache()
        for layer, (tokens, *pair) in enumerate(before):
            survivors.update(*(gathered_by_hand(tokens, rows, cache.token_index(layer)) for rows in pair), layer)
        caches = [cache, cache.fork()]
        assert caches[1].compact() <= 0  # its blocks are shared: nothing comes back yet
        for each in caches:
            for layer, of_layer in enumerate(survivors.layers):
                for got, wanted in zip(each.read(layer), (of_layer.keys, of_layer.values), strict=True):
                    assert torch.equal(got, wanted)
        got = [model(ids[:, 30:], past_key_values=each).logits for each in caches]
    positions = torch.arange(30, 30 + new)[None]
    wanted = model_of(family, "eager")(ids[:, 30:], past_key_values=survivors, position_ids=positions).logits
    assert all(torch.allclose(logits, wanted, atol=1e-4) for logits in got)


# --- Bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"budget": 0}, ["budget", "0", "1 or more"]),
        ({"budget": -3}, ["budget", "-3", "1 or more"]),
        ({"budget": 0.1}, ["budget", "0.1", "whole number"]),
        ({"budget": 20.0}, ["budget", "20.0", "whole number"]),
        ({"budget": math.nan}, ["budget", "nan", "whole number"]),
        ({"budget": None}, ["budget", "None", "whole number"]),
        ({"interval": 0}, ["interval", "0", "1 or more"]),
        ({"interval": -1}, ["interval", "-1", "1 or more"]),
        ({"interval": 1.5}, ["interval", "1.5", "whole number"]),
        ({"policy": "h2o"}, ["policy", "'h2o'", "Policy"]),
        ({"policy": Random}, ["policy", "Random", "Policy"]),
        ({"policy": None}, ["policy", "None", "Policy"]),
        ({"selection": "per_token"}, ["selection", "'per_token'", *SELECTIONS]),
        ({"selection": None}, ["selection", "None", *SELECTIONS]),
        ({"protect_recent": 21}, ["protect_recent", "21", "0 to 20", "budget"]),
        ({"protect_recent": -1}, ["protect_recent", "-1", "0 or more"]),
        ({"protect_recent": 2.5}, ["protect_recent", "2.5", "whole number"]),
        ({"budget": 8}, ["protect_recent", "16", "0 to 8", "budget"]),
        ({"policy": SnapKV(), "protect_recent": 15}, ["protect_recent", "15", "SnapKV", "16 or more"]),
        ({"policy": SnapKV(window=4), "protect_recent": 3}, ["protect_recent", "3", "SnapKV", "4 or more"]),
    ],
)
def test_a_compressor_says_which_argument_what_it_was_and_what_it_may_be(fields, words):
    with refused(*words):
        Compressor(**{"policy": Random(), "budget": 20} | fields)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SnapKV(window=0), ["window", "0", "1 or more"]),
        (lambda: SnapKV(window=2.5), ["window", "2.5", "whole number"]),
        (lambda: SnapKV(kernel_size=4), ["kernel_size", "4", "odd"]),
        (lambda: SnapKV(kernel_size=0), ["kernel_size", "0", "1 or more"]),
        (lambda: StreamingLLM(n_sinks=-1), ["n_sinks", "-1", "0 or more"]),
    ],
)
def test_a_policy_says_which_argument_what_it_was_and_what_it_may_be(make, words):
    with refused(*words):
        make()


def small(policy=None, budget=8, **options):
    return Compressor(policy or Random(), budget, **{"interval": 4, "protect_recent": 2} | options)


def other_calibration():
    return TriAttention(torch.ones(1, 2, 4, dtype=torch.complex64), torch.ones(1, 2, 4), torch.ones(4))


def contents(cache):
    tensors = [(cache.token_index(i), *(rows.clone() for rows in cache.read(i))) for i in range(N_LAYERS)]
    return cache.stats(), [tensor for of_layer in tensors for tensor in of_layer]


CALLS = {
    "generate": lambda model, ids, cache, compressor: generate(model, ids, cache, compressor, max_new_tokens=40),
    "replay": lambda model, ids, cache, compressor: replay(model, ids, 3, cache, compressor),
}
TEXT = random_ids(30)


@pytest.mark.parametrize("run", CALLS)
@pytest.mark.parametrize(
    ("make", "ids", "words"),
    [
        (lambda: small(budget=400), TEXT, ["budget", "400", "blocks", "the pool has 60"]),
        (lambda: small(interval=500), TEXT, ["interval", "500", "blocks", "the pool has 60"]),
        (lambda: small(Oracle(SHEETS[:1])), TEXT, ["Oracle", "1 worksheets", "2 sequences"]),
        (lambda: small(Oracle([*SHEETS, SHEETS[0]])), TEXT, ["Oracle", "3 worksheets", "2 sequences"]),
        (lambda: small(other_calibration()), TEXT, ["TriAttention", "1 layers of 2 KV heads of 8", "3 layers"]),
        (small, random_ids(30, batch=3), ["batch", "3 sequences", "made for 2"]),
        (small, TEXT[0], ["input_ids", "(30,)", "[batch,"]),
        (small, TEXT[:, :0], ["input_ids", "(2, 0)", "not empty"]),
        (small, [[4, 5, 6], [7, 8]], ["input_ids", "[batch,"]),
    ],
)
@torch.inference_mode()
def test_what_does_not_fit_together_is_refused_and_the_cache_is_as_before(make, ids, words, run):
    model = model_of("Llama")
    cache = new_cache(model)
    generate(model, TEXT[:, :7], cache, small(), max_new_tokens=20)
    before = contents(cache)
    with refused(*words):
        CALLS[run](model, ids, cache, make())
    assert model.config._attn_implementation == "sdpa"
    cache.pool.check_integrity(cache.tables)
    assert cache.stats() == before[0]
    assert all(map(torch.equal, before[1], contents(cache)[1]))


@pytest.mark.parametrize(
    ("prompt", "protect_prompt", "rows"), [(5, True, 5 + 8 + 4), (5, False, 8 + 4), (30, False, 30), (30, True, 42)]
)
def test_a_pool_that_just_holds_the_peak_will_do_and_one_block_less_is_refused(prompt, protect_prompt, rows):
    model, needed = model_of("Llama"), BATCH * math.ceil(rows / 4)
    compressor = small(protect_prompt=protect_prompt)
    with refused("budget is 8", f"takes {needed} blocks", f"has {needed - 1}"):
        generate(model, TEXT[:, :prompt], new_cache(model, needed - 1), compressor, max_new_tokens=1)
    trace = generate(model, TEXT[:, :prompt], new_cache(model, needed), compressor, max_new_tokens=20)
    assert max(trace.blocks_held) == needed


@pytest.mark.parametrize("run", CALLS)
def test_a_compressor_refuses_a_cache_without_blocks(run):
    model = model_of("Llama")
    cache = DynamicCache(config=model.config)
    with refused("cache", "DynamicCache", "PagedCache"):
        CALLS[run](model, TEXT, cache, small())
    assert cache.get_seq_length() == 0


@pytest.mark.parametrize("run", CALLS)
def test_a_compressor_refuses_a_model_with_a_sliding_window(run):
    model = model_of("Mistral with a window")
    cache = new_cache(model)
    before = cache.stats()
    with refused("sliding-window"):
        CALLS[run](model, TEXT, cache, small())
    assert cache.stats() == before


@pytest.mark.parametrize("compressor", [None, small()])
@pytest.mark.parametrize(
    ("prompt_length", "words"),
    [
        (0, ["prompt_length", "0", "1 or more"]),
        (-2, ["prompt_length", "-2", "1 or more"]),
        (31, ["prompt_length", "31", "1 to 30"]),
        (2.5, ["prompt_length", "2.5", "whole number"]),
        (None, ["prompt_length", "None", "whole number"]),
    ],
)
def test_a_replay_says_which_prompt_length_it_takes(prompt_length, words, compressor):
    model = model_of("Llama")
    cache = new_cache(model)
    before = cache.stats()
    with refused(*words):
        replay(model, TEXT, prompt_length, cache, compressor)
    assert cache.stats() == before
