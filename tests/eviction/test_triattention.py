"""TriAttention against the paper's definition, written out key by key in float64, and against models' own queries.

What a model's queries and keys are before RoPE is worked out here by hand, from the hidden states that enter each
attention layer; how fast RoPE turns them likewise, from the config.
"""

import gc
import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache, row_store
from helpers.decoding import generate
from helpers.eviction import Compressor, TriAttention, score, triattention
from helpers.models import load_reasoner
from tests.families import EXPERTS, FAMILIES, build, plain

ALL_OFFSETS = [2**i for i in range(17)]
FEW_EXPERTS = {"num_local_experts": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
LLAMA_3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {
    "Llama": plain("llama", head_dim=16),
    "Qwen2": plain("qwen2", head_dim=16),
    "Qwen3": plain("qwen3", head_dim=16),
    "Qwen3-MoE": plain("qwen3_moe", head_dim=16, **EXPERTS),
    "Mistral": plain("mistral", head_dim=16, sliding_window=None),
    "OLMo-2": plain("olmo2", head_dim=16),
    "Granite": plain("granite", head_dim=16),
    "Llama, group of 1": plain("llama", head_dim=16, num_key_value_heads=4),
    "Llama-3.1": plain(
        "llama",
        head_dim=16,
        rope_parameters={"rope_type": "llama3", "rope_theta": 1e4, "original_max_position_embeddings": 64} | LLAMA_3,
    ),
    "Llama, linear": plain(
        "llama", head_dim=16, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    ),
    "Llama, YaRN": plain("llama", head_dim=16, rope_parameters=YARN),
    "Llama, YaRN, its own factor": plain("llama", head_dim=16, rope_parameters=YARN | {"attention_factor": 1.7}),
    "Llama, proportional": plain(
        "llama",
        head_dim=16,
        rope_parameters={"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
    ),
    # Partial RoPE: of each head the first half, quarter or three quarters turn.
    "Phi": plain("phi", hidden_size=64, partial_rotary_factor=0.5),
    "StableLM": plain("stablelm", hidden_size=64, use_qkv_bias=True, partial_rotary_factor=0.25),
    "GPT-NeoX": plain("gpt_neox", hidden_size=64, num_key_value_heads=4),
    "Nemotron": plain("nemotron", head_dim=16),
    "Phi-3": plain("phi3", hidden_size=64, sliding_window=None, partial_rotary_factor=0.75),
    "GLM-4-MoE": plain("glm4_moe", head_dim=16, use_qk_norm=True, **FEW_EXPERTS | EXPERTS),
}
TURNING_BANDS = {"Phi": 4, "StableLM": 2, "GPT-NeoX": 2, "Nemotron": 4, "Phi-3": 6, "GLM-4-MoE": 4}  # 8 for the rest


# --- The paper, written out ------------------------------------------------------------------------------------------
def paper_score(q_mean, q_abs_mean, keys, places, omega, position, offsets, aggregation="mean"):
    """Equations 6 to 11, key by key: ``keys`` are complex, not turned, and stood at ``places``."""
    group_size = len(q_mean) // len(keys)
    scores = np.empty((len(q_mean), keys.shape[1]))
    for head, token in np.ndindex(scores.shape):
        q, abs_q, k = q_mean[head], q_abs_mean[head], keys[head // group_size, token]
        phi, distance = np.angle(q) - np.angle(k), position - places[token]
        trig = [np.sum(np.abs(q) * np.abs(k) * np.cos(omega * (distance + d) + phi)) for d in offsets]
        norm = np.sum((1 - np.abs(q) / abs_q) * abs_q * np.abs(k))
        scores[head, token] = {"mean": np.mean, "max": np.max}[aggregation](trig) + norm
    return scores


def in_bands(rows, n_turning):
    """Rows ``[..., head_dim]`` as complex bands: first those that turn, then what stands still, paired in order."""
    turning, still = rows[..., : 2 * n_turning], rows[..., 2 * n_turning :]
    parts = [x[..., : x.shape[-1] // 2] + 1j * x[..., x.shape[-1] // 2 :] for x in (turning, still)]
    return np.concatenate(parts, -1)


def in_halves(bands):
    return np.concatenate([bands.real, bands.imag], -1)


def complex_normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


class Case:
    """Random statistics, keys turned in float64, and where they stood; plain tensors and the numbers behind them."""

    def __init__(self, seed, n_kv_heads=2, group_size=2, bands=8, tokens=12, position=131_072, still=0, dtype=None):
        rng = np.random.default_rng(seed)
        self.position, self.places = position, np.sort(rng.integers(0, position + 1, tokens))
        self.omega = rng.choice([1e4, 1e6]) ** (-np.arange(bands) / bands)
        self.omega[rng.permutation(bands)[:still]] = 0
        self.q_mean = complex_normal(rng, n_kv_heads * group_size, bands)
        self.q_abs_mean = np.abs(self.q_mean) * (1 + rng.random(self.q_mean.shape))
        turned = complex_normal(rng, n_kv_heads, tokens, bands) * self.turn(self.places)
        self.rotated = torch.from_numpy(in_halves(turned)).to(dtype or torch.float32)
        rounded = in_bands(self.rotated.double().numpy(), bands)
        self.keys = rounded / self.turn(self.places)  # as they were before RoPE, but for the cache's rounding

    def turn(self, places):
        return np.exp(1j * np.asarray(places)[..., None] * self.omega)

    def expected(self, offsets, aggregation="mean"):
        statistics = self.q_mean, self.q_abs_mean, self.keys, self.places, self.omega
        return paper_score(*statistics, self.position, offsets, aggregation)

    def score(self, offsets, aggregation="mean", keys=None, position=None):
        statistics = (torch.from_numpy(x) for x in (self.q_mean, self.q_abs_mean, self.omega))
        keys = self.rotated if keys is None else keys
        return score(keys, *statistics, self.position if position is None else position, offsets, aggregation)


def assert_close(scores, expected, tolerance):
    assert scores.shape == expected.shape and np.isfinite(expected).all()
    error = np.abs(np.asarray(scores, float) - expected).max() / np.abs(expected).max()
    assert error < tolerance


offset_lists = st.lists(st.sampled_from(ALL_OFFSETS), min_size=1, max_size=17, unique=True)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4, 7]),
    st.sampled_from([4, 5, 8, 32, 64]),
    st.integers(4, 12),
    st.integers(0, 131_072),
    st.integers(0, 4),
    offset_lists,
    st.sampled_from(["mean", "max"]),
)
@settings(max_examples=40, deadline=None)
def test_the_score_is_the_paper_s(seed, n_kv_heads, group_size, bands, tokens, position, still, offsets, aggregation):
    case = Case(seed, n_kv_heads, group_size, bands, tokens, position, still)
    assert_close(case.score(offsets, aggregation), case.expected(offsets, aggregation), 1e-5)


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.bfloat16, 1e-2), (torch.float16, 1e-3)], ids=str
)
def test_keys_of_another_precision_score_as_far_as_it_goes(dtype, tolerance, aggregation):
    case = Case(1, group_size=4, bands=32, dtype=dtype)
    scores = case.score(ALL_OFFSETS, aggregation)
    assert scores.dtype == torch.promote_types(dtype, torch.float32)
    assert_close(
        scores.float() if dtype != torch.float64 else scores, case.expected(ALL_OFFSETS, aggregation), tolerance
    )


def test_large_keys_in_float16_have_finite_scores():
    """A number of 300 is no rarity in keys with biases (Qwen2); it fits into float16, its square does not."""
    case = Case(1, bands=32)
    assert np.abs(300 * case.expected(ALL_OFFSETS)).max() < 32_000
    assert case.score(ALL_OFFSETS, keys=(300 * case.rotated).half()).isfinite().all()


@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_leading_dimensions_are_scored_one_by_one(aggregation):
    case = Case(2, n_kv_heads=3, group_size=4)
    keys = torch.randn(2, 5, *case.rotated.shape, generator=torch.manual_seed(0))
    scores = case.score([1, 8, 64], aggregation, keys)
    assert scores.shape == (2, 5, 12, 12)
    for place in np.ndindex(2, 5):
        assert torch.allclose(scores[place], case.score([1, 8, 64], aggregation, keys[place]), atol=1e-4)


def test_scores_need_no_positions_of_keys():
    """After an eviction, or in another order, the rows that are left score what they scored."""
    case = Case(3, tokens=30)
    left = torch.randperm(30, generator=torch.manual_seed(0))[:11]
    assert torch.allclose(
        case.score(ALL_OFFSETS)[:, left], case.score(ALL_OFFSETS, keys=case.rotated[:, left]), atol=1e-4
    )


@given(st.integers(0, 60_000), st.integers(1, 70_000))
@settings(max_examples=10, deadline=None)
def test_a_key_and_a_query_moved_by_the_same_distance_score_alike(position, distance):
    case = Case(4, position=position)
    there = in_halves(case.keys * case.turn(case.places + distance))
    moved = case.score(ALL_OFFSETS, keys=torch.from_numpy(there), position=position + distance)
    assert_close(moved, case.expected(ALL_OFFSETS), 1e-5)


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@given(offset_lists)
@settings(max_examples=10, deadline=None)
def test_all_offsets_at_once_are_each_offset_alone_and_then_their_mean_or_maximum(aggregation, offsets):
    case = Case(5, group_size=7)
    alone = torch.stack([case.score([offset]) for offset in offsets])
    together = alone.mean(0) if aggregation == "mean" else alone.amax(0)
    assert torch.allclose(case.score(offsets, aggregation), together, atol=1e-4)


def test_an_offset_and_a_later_position_are_the_same():
    case = Case(6)
    assert torch.allclose(case.score([512]), case.score([12], position=case.position + 500), atol=1e-4)


@pytest.mark.parametrize("offset", [1, 7, 65_536])
def test_if_all_queries_are_alike_the_score_is_the_logit_to_come(offset):
    case = Case(7)
    case.q_abs_mean = np.abs(case.q_mean)  # R = 1
    queries = in_halves(case.q_mean * case.turn(case.position + offset))
    logits = [[float(np.dot(q, k)) for k in case.rotated[head // 2].double().numpy()] for head, q in enumerate(queries)]
    assert_close(case.score([offset]), np.array(logits), 1e-5)


@pytest.mark.parametrize(("horizon", "offsets"), [(65536, ALL_OFFSETS), (1, [1]), (100, [1, 2, 4, 8, 16, 32, 64])])
def test_offsets_double_up_to_the_horizon(horizon, offsets):
    assert TriAttention(*statistics(), horizon=horizon).offsets == offsets


def statistics(layers=3, heads=4, bands=8):
    q_mean = torch.randn(layers, heads, bands, dtype=torch.complex128, generator=torch.manual_seed(0))
    return q_mean, 1.5 * q_mean.abs(), torch.tensor([10.0 ** (-i / 2) for i in range(bands)]).double()


# --- A model's queries and keys before RoPE, worked out by hand ------------------------------------------------------
def text(tokens, batch=1, seed=1, vocabulary=64):
    return torch.randint(3, vocabulary, (batch, tokens), generator=torch.manual_seed(seed))


def lively(config, dtype=torch.float32):
    """A random model whose biases and norm weights are random too: transformers begins with zeros and ones."""
    model = build(config, dtype)
    generator = torch.manual_seed(5)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.copy_(0.5 + torch.randn(parameter.shape, generator=generator))
    return model


def by_hand(model, ids, cache=None):
    """Queries and keys of each layer before RoPE: ``[batch, heads, tokens, head_dim]`` each, float64."""
    modules = [
        m for m in model.modules() if hasattr(m, "layer_idx") and any("q" in name for name, _ in m.named_children())
    ]
    inputs = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda m, args, kwargs: inputs.update({m.layer_idx: args[0] if args else kwargs["hidden_states"]}),
            with_kwargs=True,
        )
        for module in modules
    ]
    with torch.no_grad():
        model(ids, past_key_values=cache, use_cache=cache is not None)
    for hook in hooks:
        hook.remove()
    return [project(module, inputs[module.layer_idx].double().numpy(), model.config) for module in modules]


def project(module, hidden, config):
    n_heads, n_kv_heads = config.num_attention_heads, getattr(config, "num_key_value_heads", config.num_attention_heads)
    if hasattr(module, "query_key_value"):  # GPT-NeoX: each head's query, key and value side by side
        rows = linear(module.query_key_value, hidden)
        q, k, _ = np.split(rows.reshape(*rows.shape[:2], n_heads, -1), 3, -1)
        return q.swapaxes(1, 2), k.swapaxes(1, 2)
    if hasattr(module, "qkv_proj"):  # Phi-3: all queries, then all keys, then all values
        rows = linear(module.qkv_proj, hidden)
        dim = rows.shape[-1] // (n_heads + 2 * n_kv_heads)
        q, k = rows[..., : n_heads * dim], rows[..., n_heads * dim : (n_heads + n_kv_heads) * dim]
    else:
        q, k = linear(module.q_proj, hidden), linear(module.k_proj, hidden)
    return tuple(
        normed(getattr(module, name, None), rows, heads).swapaxes(1, 2)
        for name, rows, heads in (("q_norm", q, n_heads), ("k_norm", k, n_kv_heads))
    )


def linear(layer, rows):
    bias = 0 if layer.bias is None else layer.bias.detach().double().numpy()
    return rows @ layer.weight.detach().double().numpy().T + bias


def normed(norm, rows, heads):
    """RMSNorm of each head (Qwen3) or of the whole projection (OLMo-2): the length of the weight tells."""
    by_head = rows.reshape(*rows.shape[:2], heads, -1)
    if norm is None:
        return by_head
    weight = norm.weight.detach().double().numpy()
    x = by_head if len(weight) == by_head.shape[-1] else rows
    x = weight * x / np.sqrt((x**2).mean(-1, keepdims=True) + norm.variance_epsilon)
    return x.reshape(by_head.shape)


def omega_by_hand(config, n_turning):
    """Radians per position of each band, and the factor on what RoPE turns."""
    rope = config.rope_parameters
    plain_omega = [rope["rope_theta"] ** (-f / n_turning) for f in range(n_turning)]
    if rope["rope_type"] == "proportional":
        return [omega if 2 * f < n_turning else 0 for f, omega in enumerate(plain_omega)], 1.0
    if rope["rope_type"] == "linear":
        return [omega / rope["factor"] for omega in plain_omega], 1.0
    if rope["rope_type"] == "llama3":
        return [llama_3(omega) for omega in plain_omega], 1.0
    if rope["rope_type"] == "yarn":
        factor = rope.get("attention_factor") or 0.1 * math.log(4) + 1
        # 64 positions: no band makes 32 turns in them; one with 1 turn would be band 2.01, and the ramp ends at 3.
        ramp = [min(f / 3, 1) for f in range(n_turning)]
        return [omega * (1 - r) + omega / 4 * r for omega, r in zip(plain_omega, ramp, strict=True)], factor
    assert rope["rope_type"] == "default"
    return plain_omega, 1.0


def llama_3(omega):
    """Bands that turn 4 times in 64 positions keep their speed, those that turn less than once lose 7 eighths of it."""
    turns = 64 * omega / (2 * math.pi)
    kept = min(max((turns - 1) / (4 - 1), 0), 1)
    return kept * omega + (1 - kept) * omega / 8


@pytest.fixture(scope="module", params=MODELS)
def calibrated(request):
    """A model, its policy, and E[q], E|q| and omega by hand."""
    model, ids = lively(MODELS[request.param]), text(90, batch=2)
    n_turning = TURNING_BANDS.get(request.param, 8)
    omega, factor = omega_by_hand(model.config, n_turning)
    omega = np.array(omega + [0.0] * (8 - n_turning))
    queries = [factor * in_bands(q, n_turning) for q, _ in by_hand(model, ids)]
    q_mean = np.array([q.mean((0, 2)) for q in queries])
    q_abs_mean = np.array([np.abs(q).mean((0, 2)) for q in queries])
    return model, TriAttention.calibrate(model, ids), (q_mean, q_abs_mean, omega, factor, n_turning)


def test_calibration_measures_the_model_s_queries_before_rope(calibrated):
    _, policy, (q_mean, q_abs_mean, omega, _, _) = calibrated
    assert_close(policy.q_mean.numpy().real, q_mean.real, 1e-5)
    assert_close(policy.q_mean.numpy().imag, q_mean.imag, 1e-5)
    assert_close(policy.q_abs_mean, q_abs_mean, 1e-5)
    assert np.allclose(policy.omega, omega, rtol=1e-6, atol=0)


def test_concentration_is_the_length_of_the_mean_over_the_mean_length(calibrated):
    _, policy, (q_mean, q_abs_mean, *_) = calibrated
    assert ((policy.concentration >= 0) & (policy.concentration <= 1)).all()
    assert_close(policy.concentration, np.abs(q_mean) / q_abs_mean, 1e-4)
    for n_bands in (1, 2, 3):
        for place in np.ndindex(q_mean.shape[:2]):
            strongest_first = sorted(zip(q_abs_mean[place], np.abs(q_mean[place]), strict=True), reverse=True)
            expected = np.mean([mean / abs_mean for abs_mean, mean in strongest_first[:n_bands]])
            assert policy.head_concentration(n_bands)[place].item() == pytest.approx(expected, rel=1e-4)
    assert torch.equal(policy.head_concentration(), policy.head_concentration(2))


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@pytest.mark.parametrize("paged", [True, False], ids=["PagedCache", "DynamicCache"])
def test_rows_of_a_cache_score_as_the_paper_says(calibrated, paged, aggregation):
    model, policy, (q_mean, q_abs_mean, _, factor, n_turning) = calibrated
    policy = TriAttention(policy.q_mean, policy.q_abs_mean, policy.omega, 65536, aggregation, policy.n_turning)
    cache = PagedCache.for_model(model, 30, 8, "fp32", batch_size=2) if paged else DynamicCache(config=model.config)
    layers = by_hand(model, text(21, batch=2, seed=2), cache)
    turning = np.arange(8) < n_turning
    for layer, (_, keys) in enumerate(layers):
        held = cache.read_keys(layer) if paged else cache.layers[layer].keys
        scores = policy.score(layer, held, position=20)
        for sequence, before in enumerate(in_bands(keys, n_turning) * np.where(turning, factor, 1)):
            own = q_mean[layer], q_abs_mean[layer], before, np.arange(21), policy.omega.numpy()
            assert_close(scores[sequence], paper_score(*own, 20, ALL_OFFSETS, aggregation), 1e-4)


def test_after_evictions_rows_score_as_where_their_tokens_stood():
    """Heads then hold rows of different tokens. The first layer's keys, which depend on the token alone, by hand."""
    model = lively(MODELS["Qwen3"])
    model.generation_config.eos_token_id = None
    policy, cache, prompt = (
        TriAttention.calibrate(model, text(150)),
        PagedCache.for_model(model, 12, 8, "fp32"),
        text(5),
    )
    positions, score_rows = [], policy.score
    policy.score = lambda layer, keys, position: positions.append(position) or score_rows(layer, keys, position)
    trace = generate(model, prompt, cache, Compressor(policy, 12, 6, protect_recent=2), max_new_tokens=50)
    assert positions == [c.tokens_seen - 1 for c in trace.compressions.values() for _ in range(3)]
    assert len(trace.compressions) > 4

    read = torch.cat([prompt, torch.tensor(trace.tokens)], -1)[:, : cache.tokens_seen]
    keys = in_bands(by_hand(model, read)[0][1], 8)[0]
    with torch.inference_mode():
        scores = score_rows(0, cache.read_keys(0), cache.tokens_seen - 1)[0]
    places = cache.token_index(0)[0].numpy()
    assert (places[0] != places[1]).any()
    for head in range(2):
        group, rows = slice(2 * head, 2 * head + 2), places[head]
        statistics = policy.q_mean[0, group].numpy(), policy.q_abs_mean[0, group].numpy(), keys[head : head + 1, rows]
        expected = paper_score(*statistics, rows, policy.omega.numpy(), cache.tokens_seen - 1, policy.offsets)
        assert_close(scores[group], expected, 1e-4)


# --- How alike queries are -------------------------------------------------------------------------------------------
def one_query_model():
    """A Qwen2 in which every token has the same query, the bias: R = 1 in every band."""
    model = build(plain("qwen2", head_dim=16))
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data.zero_()
        layer.self_attn.q_proj.bias.data.normal_(generator=torch.manual_seed(3))
        layer.self_attn.k_proj.weight.data.normal_(generator=torch.manual_seed(4))
    return model


@pytest.mark.parametrize("offset", [1, 4, 10])
def test_in_a_model_whose_queries_are_all_alike_scores_are_the_logits_of_a_later_token(offset):
    """Attention weights are logits up to a constant per query; so are their logarithms."""
    model = one_query_model()
    policy = TriAttention.calibrate(model, text(200))
    assert (policy.concentration > 1 - 1e-6).all()
    ids, cache = text(30 + offset, seed=2), DynamicCache(config=model.config)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(ids, past_key_values=cache, output_attentions=True)
    policy.offsets = [offset]
    for layer, weights in enumerate(output.attentions):
        logits = weights[0, :, -1, :30].log() * math.sqrt(16)
        scores = policy.score(layer, cache.layers[layer].keys[0, :, :30], position=29)
        assert (scores - logits).std(-1).max() < 1e-4 * scores.std()


def test_queries_that_point_anywhere_have_a_concentration_near_0():
    model = build(plain("llama", head_dim=16, vocab_size=5000))
    every_token_once = torch.randperm(5000, generator=torch.manual_seed(0)).view(50, 100)
    policy = TriAttention.calibrate(model, every_token_once)
    assert policy.concentration[0].max() < 0.06  # that of 5,000 random phases is 0.013 on average
    assert policy.head_concentration()[0].max() < 0.06


def test_a_band_without_queries_has_concentration_0():
    q_mean, q_abs_mean, omega = statistics()
    q_mean[1, 2, 3] = q_abs_mean[1, 2, 3] = 0
    assert TriAttention(q_mean, q_abs_mean, omega).concentration[1, 2, 3] == 0


# --- What calibration does with a text and a model -------------------------------------------------------------------
def assert_same(one, other, layers=slice(None)):
    assert torch.allclose(one.q_mean[layers], other.q_mean[layers], atol=1e-6)
    assert torch.allclose(one.q_abs_mean[layers], other.q_abs_mean[layers], atol=1e-6)


@pytest.fixture(scope="module")
def qwen():
    return lively(MODELS["Qwen3"])


@pytest.mark.parametrize("at_once", [1, 2 * 40 * 16, 2 * 2 * 40 * 16 + 5, 2**22])
def test_a_batch_is_scored_some_sequences_at_a_time_with_the_same_result(at_once, monkeypatch):
    """By the number of keys that may be scored at once: one sequence at least, two, or all five."""
    make = torch.Generator().manual_seed(3)
    q_mean = torch.randn(1, 4, 8, dtype=torch.complex64, generator=make)
    policy = TriAttention(q_mean, q_mean.abs() + 0.1, torch.rand(8, generator=make), horizon=64)
    keys = torch.randn(5, 2, 40, 16, generator=make)
    wanted = torch.stack([policy.score(0, each, 100) for each in keys])
    sizes, score = [], triattention.score
    monkeypatch.setattr(triattention, "score", lambda keys, *rest: (sizes.append(len(keys)), score(keys, *rest))[1])
    monkeypatch.setattr(row_store, "AT_ONCE", {"cpu": at_once})
    assert torch.allclose(policy.score(0, keys, 100), wanted, atol=1e-6)
    assert sizes == {1: [1] * 5, 2 * 40 * 16: [1] * 5, 2 * 2 * 40 * 16 + 5: [2, 2, 1], 2**22: [5]}[at_once]


def test_one_text_and_a_batch_of_one_are_the_same(qwen):
    ids = text(150)
    assert_same(TriAttention.calibrate(qwen, ids), TriAttention.calibrate(qwen, ids[0]))


def test_a_batch_of_texts_is_the_mean_of_each_in_any_order(qwen):
    ids = text(150, batch=3)
    together = TriAttention.calibrate(qwen, ids)
    alone = [TriAttention.calibrate(qwen, one) for one in ids]
    mean = (torch.stack([getattr(p, name) for p in alone]).mean(0) for name in ("q_mean", "q_abs_mean"))
    assert_same(together, TriAttention(*mean, together.omega))
    assert_same(together, TriAttention.calibrate(qwen, ids.flip(0)))


def test_a_text_cut_in_two_is_the_same_only_where_no_token_sees_another(qwen):
    """Queries of the first layer depend on their token alone, wherever it stands; later ones on what stood before."""
    whole, halves = (TriAttention.calibrate(qwen, ids) for ids in (text(300), text(300).view(2, 150)))
    assert_same(whole, halves, layers=0)
    assert not torch.allclose(whole.q_mean[1:], halves.q_mean[1:], atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("refused", [True, False])
def test_calibration_leaves_the_model_as_it_was(refused, implementation, training):
    model = build(plain("cohere" if refused else "qwen3"))
    model.set_attn_implementation(implementation)
    model.train(training)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    if refused:
        refusal(TriAttention.calibrate, model, text(128))
    else:
        policy = TriAttention.calibrate(model, text(128))
        assert not policy.q_mean.requires_grad and not policy.q_mean.is_inference()
    assert model.config._attn_implementation == implementation
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


def test_calibration_keeps_nothing_that_grows_with_layers_and_text():
    """Tensors alive with a dimension of the text's length are as many bytes after one layer as after another."""
    model, tokens, alive = build(plain("qwen3", num_hidden_layers=5)), 139, []

    def count(module, args, output):
        if args[0].shape[1] == tokens:
            tensors = (x for x in gc.get_objects() if type(x) is torch.Tensor and tokens in x.shape)
            alive.append(sum(x.nbytes for x in tensors))

    for layer in model.model.layers:
        layer.register_forward_hook(count)
    TriAttention.calibrate(model, text(tokens))
    assert len(alive) == 5
    assert len(set(alive[1:])) == 1  # the first layer's input is the embedding, which the model itself keeps


# --- Refusals --------------------------------------------------------------------------------------------------------
def refusal(function, *args, **kwargs):
    """The message of the ValueError, which is one line."""
    with pytest.raises(ValueError) as error:
        function(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message and 20 < len(message) < 250
    return message


INTERLEAVED = {
    "Cohere": plain("cohere"),
    "GLM": plain("glm", head_dim=16),
    "GLM-4": plain("glm4", head_dim=16),
    "ERNIE-4.5": plain("ernie4_5", head_dim=16),
    "Helium": plain("helium", head_dim=8),
}


@pytest.mark.parametrize("family", INTERLEAVED)
def test_interleaved_rope_is_refused(family):
    model = build(INTERLEAVED[family])
    halves_of_pairs = inspect.getmodule(type(model)).rotate_half(torch.arange(1.0, 9))
    assert halves_of_pairs.tolist() == [-2, 1, -4, 3, -6, 5, -8, 7]  # neighbours turn, so it is interleaved
    assert "interleaved" in refusal(TriAttention.calibrate, model, text(128))


ROPE = {"rope_theta": 1e4, "original_max_position_embeddings": 64}
REFUSED = {
    "Llama-4, interleaved by complex numbers": (FAMILIES["Llama-4"], "interleaved"),
    "DeepSeek-V3, RoPE in the last numbers only": (FAMILIES["DeepSeek-V3"], "does not turn the queries of layer 0"),
    "GPT-2, no RoPE": (plain("gpt2"), "has no RoPE"),
    "OPT, no RoPE": (plain("opt"), "has no RoPE"),
    "SmolLM3, every fourth layer without": (plain("smollm3", num_hidden_layers=4), "layer 3"),
    "SmolLM3, the first layer without": (plain("smollm3", no_rope_layers=[0, 1, 1]), "layer 0"),
    "EXAONE-4, every fourth layer without": (plain("exaone4", num_hidden_layers=4), "layer 3"),
    "Gemma-3, two kinds of layers": (FAMILIES["Gemma-3 with another pattern"], "no RoPE with one set of frequencies"),
    "NanoChat, turned the other way": (plain("nanochat"), "does not turn the queries of layer 0"),
    "dynamic": (plain("llama", rope_parameters=ROPE | {"rope_type": "dynamic", "factor": 4.0}), "'dynamic'"),
    "longrope": (
        plain(
            "phi3",
            sliding_window=None,
            rope_parameters=ROPE | {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4},
        ),
        "'longrope'",
    ),
    "Gemma-2, soft cap": (FAMILIES["Gemma-2"], "softcap"),
    "gpt-oss, sinks": (FAMILIES["gpt-oss-20b"], "sinks"),
}


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_whose_queries_do_not_turn_as_one_rope_is_refused(family):
    config, reason = REFUSED[family]
    assert reason in refusal(TriAttention.calibrate, build(config), text(128))


def test_a_norm_after_rope_is_refused():
    """HunYuan weighs the numbers of a query once RoPE has turned them: turned back, they depend on the position."""
    assert "layer 0" in refusal(TriAttention.calibrate, lively(plain("hunyuan_v1_dense", head_dim=16)), text(128))


@pytest.mark.parametrize("n_layers, dtype", [(3, "bfloat16"), (12, "bfloat16"), (12, "float16"), (12, "float32")])
@pytest.mark.parametrize("family", MODELS)
def test_no_precision_and_no_depth_is_refused(family, n_layers, dtype):
    model = lively(MODELS[family] | {"num_hidden_layers": n_layers}, getattr(torch, dtype))
    assert len(TriAttention.calibrate(model, text(128)).q_mean) == n_layers


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Mistral", "Granite"])
def test_a_model_that_magnifies_rounding_is_not_refused(family):
    """Weights this large make attention sharp, and bfloat16's rounding of position 100 grows from layer to layer."""
    config = MODELS[family] | {"num_hidden_layers": 24, "initializer_range": 0.5}
    TriAttention.calibrate(build(config, torch.bfloat16), text(128))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_reasoner_is_accepted_in_every_dtype(dtype):
    reasoner = load_reasoner()
    policy = TriAttention.calibrate(reasoner.model.to(dtype), text(300))
    policy.begin(reasoner.shape, 10, None)
    assert policy.q_mean.shape == (
        reasoner.shape.n_layers,
        reasoner.model.config.num_attention_heads,
        reasoner.shape.head_dim // 2,
    )


def test_calibration_takes_the_horizon_as_given(qwen):
    assert TriAttention.calibrate(qwen, text(128)).offsets == ALL_OFFSETS
    assert TriAttention.calibrate(qwen, text(128), 100).offsets == ALL_OFFSETS[:7]


@pytest.mark.parametrize("shape", [(127,), (1, 127), (2, 63), (0,), (1, 0)])
def test_too_little_text_is_refused(shape, qwen):
    message = refusal(TriAttention.calibrate, qwen, torch.ones(shape, dtype=torch.long))
    assert f"token_ids holds {math.prod(shape)} tokens" in message and "128" in message


@pytest.mark.parametrize("shape", [(128,), (1, 128), (2, 64), (128, 1)])
def test_128_tokens_are_enough_text(shape, qwen):
    TriAttention.calibrate(qwen, text(128)[0].view(shape))


@pytest.mark.parametrize("horizon", [0, -1, 2.5, "100", None])
def test_a_horizon_must_be_a_whole_number(horizon, qwen):
    assert f"horizon is {horizon!r}" in refusal(TriAttention.calibrate, qwen, text(128), horizon)
    assert f"horizon is {horizon!r}" in refusal(TriAttention, *statistics(), horizon)


def test_an_unknown_aggregation_is_refused():
    assert "aggregation is 'median'" in refusal(TriAttention, *statistics(), aggregation="median")


def test_an_unknown_aggregation_is_refused_by_the_function_too():
    assert "aggregation is 'median'" in refusal(Case(0).score, [1, 2], "median")


OTHER_SHAPES = {
    "more layers": {"num_hidden_layers": 4},
    "a wider head": {"head_dim": 32},
    "KV heads that do not divide": {"num_attention_heads": 6, "num_key_value_heads": 3},
    "more KV heads than query heads": {"num_attention_heads": 8, "num_key_value_heads": 8},
    "twice the heads of either kind": {"num_attention_heads": 8, "num_key_value_heads": 4},
}


@pytest.mark.parametrize("other", OTHER_SHAPES)
def test_a_policy_calibrated_on_a_model_of_another_shape_is_refused(other, qwen):
    policy, model = TriAttention.calibrate(qwen, text(128)), build(MODELS["Qwen3"] | OTHER_SHAPES[other])
    assert "calibrated on 3 layers of 2 KV heads of 16" in refusal(
        policy.begin, KVShape.from_config(model.config), 5, None
    )
    cache = PagedCache.for_model(model, 20)
    refusal(generate, model, text(5), cache, Compressor(policy, 20, 4), max_new_tokens=3)
    assert cache.stats().tokens_seen == 0


def test_a_policy_suits_the_model_it_was_calibrated_on(qwen):
    policy = TriAttention.calibrate(qwen, text(128))
    trace = generate(qwen, text(5), PagedCache.for_model(qwen, 20), Compressor(policy, 20, 4), max_new_tokens=40)
    assert len(trace.compressions) > 2
