"""Lesson 04: agents and plans as arithmetic, its figures, its planner, its checks, the numbers in its prose."""

import pytest

from helpers.arithmetic import (
    CARDS,
    GB,
    MODELS,
    TOOLS,
    Agent,
    GiB,
    KVShape,
    LayerKV,
    Plan,
    bytes_of_agents,
    decode_ceiling,
    find_card,
    find_model,
    format_band,
    format_bytes,
    spilled_speed,
    weights_bytes,
    weights_read,
)
from helpers.arithmetic.plan import FITS, OVERHEAD, TOO_LARGE, sum_over_tokens
from helpers.arithmetic.reading import cache_read
from helpers.engines import LlamaCpp
from helpers.models.smollm2 import gguf_path
from helpers.plots import agents as agent_plots
from helpers.plots import budget as budget_plots
from helpers.plots import speed as speed_plots
from helpers.records import load_conversation_price
from helpers.records.conversation_price import GROWING, LLAMA_CPP
from helpers.records.texts import read_text
from helpers.teaching.claims import IN_PART, OPEN, judge, recorded
from helpers.teaching.lessons import lesson_04
from helpers.widgets.planner import NONE, plan_frame
from tests.house.notebooks import NOTEBOOKS, lesson_text
from tests.lessons.drawings import drawn

LLAMA = KVShape.from_config(MODELS["Llama-3.1-70B"].config)


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def points(ax, label):
    [found] = [line for line in ax.lines if line.get_label() == label]
    return list(map(tuple, found.get_xydata()))


# --- Agents ----------------------------------------------------------------------------------------------------------
def test_an_agent_by_hand():
    agent = Agent(prefix=10, per_step=2, steps=3)
    assert [agent.context(step) for step in range(4)] == [10, 12, 14, 16]
    assert agent.tokens_at_end == 16
    assert agent.tokens_read_without_cache == 10 + 12 + 14
    assert agent.tokens_read_with_cache == 14
    assert agent.tokens_reread == 22
    assert agent.spared == pytest.approx(22 / 36)


@pytest.mark.parametrize("agent", [Agent(0, 0, 0), Agent(5, 0, 0), Agent(0, 7, 1)])
def test_an_agent_that_reads_nothing_rereads_nothing(agent):
    assert agent.tokens_reread == agent.spared == 0


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, 1.5, 0), (0, 0, None)])
def test_an_agent_is_made_of_whole_numbers(numbers):
    with pytest.raises(ValueError, match="whole number"):
        Agent(*numbers)


def test_agents_without_a_common_prefix_keep_as_many_caches():
    for name, model in MODELS.items():
        shape = KVShape.from_config(model.config)
        expected = shape.bytes(5_000, 4) + 4 * shape.fixed_bytes
        assert bytes_of_agents(shape, 5_000, agents=4) == expected, name


def test_agents_that_share_everything_keep_one_cache():
    assert bytes_of_agents(LLAMA, 1_000, agents=4, shared_prefix=1_000) == LLAMA.bytes(1_000)
    assert bytes_of_agents(LLAMA, 1_000, agents=0, shared_prefix=1_000) == 0


def test_a_window_shares_only_the_rows_that_reach_back_into_the_prefix():
    shape = KVShape(1, 1, 4, (LayerKV("sliding", 1, 4, 4, window=5),))  # keeps 4 rows of 16 bytes
    rows = {prefix: bytes_of_agents(shape, 10, 3, prefix) / 16 for prefix in (0, 6, 8, 10)}
    assert rows == {0: 12, 6: 12, 8: 2 + 3 * 2, 10: 4}


def test_rows_that_several_tokens_keep_together_are_counted_and_shared():
    layer = LayerKV("sliding", 1, 64, 0, window=8, index_dim=32, stride=4)
    shape = KVShape(2, 1, 64, (layer, layer))
    assert bytes_of_agents(shape, 1_000, 3) == 3 * shape.bytes(1_000)
    shared = 2 * 100 * layer.shared_row_bytes()
    assert bytes_of_agents(shape, 1_000, 3, 402) == 3 * shape.bytes(1_000) - 2 * shared


def test_a_prefix_longer_than_the_text_is_refused():
    with pytest.raises(ValueError, match="at most tokens, 10"):
        bytes_of_agents(LLAMA, 10, agents=2, shared_prefix=11)


# --- Plans -----------------------------------------------------------------------------------------------------------
def plan(card="H200", **changes):
    return Plan(**{"model": "Llama-3.1-70B", "weight_format": "q4_k_m", "card": card} | changes)


def weights_in_use():
    """Bytes of the 70B but for the table of embeddings, of which a token needs one row."""
    model = find_model("Llama-3.1-70B")
    table = model.config["vocab_size"] * model.config["hidden_size"]
    return weights_bytes(model.n_params - table, "q4_k_m")


def test_a_plan_is_the_sum_of_its_terms():
    four = plan(sequences=4, shared_prefix=65_536, second_model="Qwen3-0.6B", overhead=1 * GiB)
    helper = find_model("Qwen3-0.6B")
    second = weights_bytes(helper.n_params, "q4_k_m") + KVShape.from_config(helper.config).bytes(131_072)
    assert four.second == second
    assert four.cache == 100 * GiB
    assert four.shared_cache == 20 * GiB
    assert four.budgets[0].total == four.budgets[1].total == pytest.approx(101 * GiB + four.weights + second)
    assert four.spare[0] == four.spare[1] == pytest.approx(find_card("H200").driver_memory - four.budgets[0].total)


def test_one_sequence_shares_with_nobody():
    assert plan(sequences=1, shared_prefix=65_536).shared_cache == 0
    assert plan(sequences=1, shared_prefix=65_536).cache == LLAMA.bytes(131_072)


def test_a_prefix_is_capped_by_the_context():
    assert plan(context=1_024, sequences=2, shared_prefix=131_072).cache == LLAMA.bytes(1_024)


@pytest.mark.parametrize("tokens", [0, 131_072])
def test_the_speed_of_one_sequence_is_the_decode_ceiling(tokens):
    expected = decode_ceiling(find_card("H200").bandwidth, weights_in_use(), LLAMA.bytes(tokens))
    assert plan().speed(tokens) == pytest.approx(expected)


def test_more_sequences_read_the_weights_once_and_each_cache():
    expected = find_card("H200").bandwidth / (weights_in_use() + 4 * LLAMA.bytes(1_000))
    assert plan(sequences=4, shared_prefix=500).speed(1_000) == pytest.approx(expected)


def test_seconds_add_up_token_by_token():
    tokens = range(2_000, 2_500)
    assert plan().seconds(500, start=2_000) == pytest.approx(sum(1 / plan().speed(t) for t in tokens), rel=1e-4)
    assert plan().seconds(0) == 0
    assert sum_over_tokens(float, 4, start=1) == 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    ("card", "wanted", "words"),
    [
        ("H100 SXM 80GB", 5, "It does not fit: 452.4 MiB to 1.4 GiB too much"),
        ("H200", 5, "It fits, with 59.3 to 60.3 GiB to spare, and is usable: at most 56.6 tokens/s"),
        ("Strix Halo 128GB", 5, "and is not usable: at most 3.0 tokens/s"),
        ("Strix Halo 128GB", 2, "and is usable: at most 3.0 tokens/s"),
    ],
)
def test_the_verdict_in_words(card, wanted, words):
    assert words in plan(card, wanted=wanted).verdict


def test_what_spills_is_read_at_the_speed_of_main_memory():
    assert spilled_speed(10, 10, room=20, card_bandwidth=40, system_bandwidth=1) == 2
    assert spilled_speed(10, 10, room=10, card_bandwidth=40, system_bandwidth=10) == pytest.approx(1 / (0.25 + 1))


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_a_plan_draws_its_terms_its_limit_and_its_speed():
    terms = {"overhead": 1.0, "weights": 4.0, "second model": 0.0, "shared prefix": 0.0, "KV cache": 2.0}
    above, below = drawn(budget_plots.plan(terms, 6.0, [0, 10], [8.0, 4.0], wanted=5))
    assert sum(bar.get_width() for bar in above.patches) == 7
    assert labels(above) == ["the card's limit", "overhead", "weights", "KV cache"]  # no entry for what is not there
    assert above.lines[0].get_xdata()[0] == 6
    speed = next(line for line in below.lines if line.get_label() == "speed at best")
    assert list(map(tuple, speed.get_xydata())) == [(0, 8), (10, 4)]


def test_tokens_read_starts_at_the_first_step():
    [ax] = drawn(agent_plots.tokens_read([10, 22, 36], [10, 12, 14]))
    lines = {line.get_label(): list(map(tuple, line.get_xydata())) for line in ax.lines}
    assert lines["each step starts from nothing"] == [(1, 10), (2, 22), (3, 36)]
    assert lines["the cache is kept"] == [(1, 10), (2, 12), (3, 14)]


def test_the_ceiling_goes_through_bandwidth_over_bytes():
    [ax] = drawn(speed_plots.under_the_ceiling(10 * GB, {"a": [(1 * GB, 8.0), (2 * GB, 3.0)], "b": [(0.2 * GB, 30.0)]}))
    assert all(x * y == pytest.approx(10) for x, y in points(ax, "ceiling: bandwidth / bytes"))
    assert points(ax, "a") == [(1, 8), (2, 3)] and points(ax, "b") == [(pytest.approx(0.2), 30)]
    assert [text.get_text() for text in ax.texts] == ["8.0", "3.0", "30"]
    assert ax.get_ylim()[1] > 50 and ax.get_xscale() == "linear"


def test_machines_that_do_not_fit_say_so_once_and_bars_start_at_nothing():
    [ax] = drawn(speed_plots.machines(["a", "b"], [8.0, 0.0], [4.0, 0.0]))
    assert [text.get_text().strip() for text in ax.texts] == ["8.0", "4.0", "does not fit"]
    assert ax.get_xscale() == "linear" and ax.get_xlim()[0] == 0
    assert [bar.get_width() for bar in ax.patches] == [8, 0, 4, 0]


def test_agents_that_share_draws_both_ways_of_reading():
    [ax] = drawn(speed_plots.agents_that_share([1, 2, 3], [9.0, 5.0, 3.0], [9.0, 8.0, 7.0], wanted=4))
    assert points(ax, "prefix read for each") == [(1, 9), (2, 5), (3, 3)]
    assert points(ax, "prefix read once for all") == [(1, 9), (2, 8), (3, 7)]
    assert [text.get_text() for text in ax.texts] == ["3.0", "7.0"]


def test_ways_back_writes_the_seconds_of_each():
    [ax] = drawn(speed_plots.ways_back({"a": 0.34, "b": 14.9}))
    assert [bar.get_width() for bar in ax.patches] == [0.34, 14.9]
    assert [text.get_text().strip() for text in ax.texts] == ["0.3 s", "14.9 s"]


# --- The planner -----------------------------------------------------------------------------------------------------
FRAME = {
    "model": "Llama-3.1-70B",
    "weight_format": "q4_k_m",
    "card": "H100 SXM 80GB",
    "kv_format": "fp16",
    "context": 131_072,
    "sequences": 1,
    "shared": 0.0,
    "second_model": NONE,
    "overhead": OVERHEAD,
    "wanted": 5,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"sequences": 16, "shared": 0.9, "card": "H200"}, {"second_model": "Qwen3-8B"}, {"context": 1_024}]
    + [{"model": name} for name in MODELS]
    + [{"card": name} for name in CARDS],
    ids=str,
)
def test_every_frame_names_the_plan_s_total_and_verdict(changes):
    choices = FRAME | changes
    figure, caption = plan_frame(**choices)
    prefix, second = round(choices["shared"] * choices["context"]), choices["second_model"]
    expected = plan(
        choices["card"],
        model=choices["model"],
        context=choices["context"],
        sequences=choices["sequences"],
        shared_prefix=prefix,
        second_model=None if second == NONE else second,
    )
    drawn(figure)
    assert caption.startswith("Figure: ")
    assert caption.endswith(".")
    least, most = (budget.total for budget in expected.budgets)
    assert f"{format_band(least, most)} in all" in caption
    assert expected.verdict in caption
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert sum(widths) == pytest.approx(most)


# --- Tools -----------------------------------------------------------------------------------------------------------
def test_every_count_of_tokens_names_who_counted():
    for name, tool in TOOLS.items():
        assert (tool.name, tool.tokens > 0, bool(tool.source), bool(tool.date)) == (name, True, True, True)
        assert tool.kind in ("definitions", "command", "file", "task")


def test_each_task_was_measured_both_ways():
    tasks = [name for name, tool in TOOLS.items() if tool.kind == "task"]
    by_mcp = {name.removesuffix(", MCP") for name in tasks if name.endswith(", MCP")}
    assert by_mcp == {name.removesuffix(", command line") for name in tasks if name.endswith(", command line")}
    factors = [TOOLS[f"{task}, MCP"].tokens / TOOLS[f"{task}, command line"].tokens for task in by_mcp]
    assert sorted(map(round, factors)) == [9, 20, 32]  # as Scalekit prints them
    assert "9 to 32" in lesson_text("04")


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (lesson_04.check_how_many_steps, 60, "Right"),
        (lesson_04.check_how_many_steps, 65, "prefix"),
        (lesson_04.check_how_many_steps, 61, "does not fit whole"),
        (lesson_04.check_how_many_steps, 60.536, "only whole steps"),
        (lesson_04.check_the_ceiling, 1_008e9 / (16.06e9 - 1.05e9 + 32_768 * 131_072), "Right"),
        (lesson_04.check_the_ceiling, 1_008e9 / (16.06e9 + 32_768 * 131_072), "needs one row"),
        (lesson_04.check_the_ceiling, 67.155, "empty cache"),
        (lesson_04.check_the_ceiling, 62.76, "embedding is not"),
        (lesson_04.check_the_ceiling, 234.7, "weights are read too"),
        (lesson_04.check_the_ceiling, 0.0191517, "seconds per token"),
        (lesson_04.check_the_ceiling, ..., "Not yet: replace the three dots"),
        (lesson_04.check_how_much_sharing, 65_536, "Right"),
        (lesson_04.check_how_much_sharing, 49_152, "not four"),
        (lesson_04.check_how_much_sharing, 196_608, "too many"),
        (lesson_04.check_how_much_sharing, 327_680, "how many must go"),
        (lesson_04.check_how_much_sharing, 81_920, "nothing is shared"),
    ],
)
def test_each_mistake_has_its_own_message(capsys, check, answer, said):
    check(answer)
    assert said in capsys.readouterr().out


# --- Numbers in the prose --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def prose():
    return lesson_text("04")


def test_question_1(prose):
    card = "H100 SXM 80GB"
    missing = [format_bytes(-plan(card, overhead=overhead * GiB).spare[1]) for overhead in (0.5, 0.25)]
    assert missing == ["452.4 MiB", "196.4 MiB"] and "by 452.4 MiB, and with 0.25 GiB by 196.4" in prose
    for enough in ({"kv_format": "q8_0"}, {"kv_format": "fp8_e4m3"}, {"context": 65_536}):
        assert plan(card, **enough).fit == FITS


def test_question_2(prose):
    alone = [plan(sequences=n).fit for n in range(1, 17)]
    shared = [plan(sequences=n, shared_prefix=round(0.8 * 131_072)) for n in range(1, 17)]
    assert alone == [FITS] * 2 + [TOO_LARGE] * 14
    assert [each.fit for each in shared] == [FITS] * 8 + [TOO_LARGE] * 8
    speeds = [plan(sequences=n).speed(131_072) for n in (2, 8)]
    assert [f"{speed:.1f}" for speed in speeds] == ["37.6", "12.5"]
    assert "37.6 tokens per second" in prose and "eight get 12.5 each" in prose
    assert [each.speed(131_072) >= 20 for each in shared[3:5]] == [True, False] and "Only four get 20" in prose


def test_four_that_share_miss_the_card_by_a_hair(prose):
    four, card = plan(sequences=4, shared_prefix=65_000), find_card("H200")
    assert (four.fit, plan(sequences=3, shared_prefix=65_000).fit) == (TOO_LARGE, FITS)
    assert f"{four.budgets[0].total / GB:.1f}" == "150.9" and "150.9 GB or more" in prose
    assert (card.memory, f"{card.driver_memory / GB:.1f}") == (141 * GiB, "150.8") and "driver shows 150.8" in prose
    assert card.bandwidth == 4_800 * GB and "H200 (4,800 GB/s)" in prose


def test_2_048_tokens_are_17_percent_more_to_read(prose):
    weights, row = 4 * 134_515_008, 2 * 23_040  # SmolLM2 in float32
    assert round(100 * (2_048 - 16) * row / (weights + 16 * row)) == 17 and "17% more bytes" in prose


def test_an_engine_without_room_for_copies_reads_the_page_again(prose):
    pytest.importorskip("xllamacpp")
    page = read_text("english")[:900]
    with LlamaCpp(gguf_path(), context=4_096, parked_mib=0) as engine:
        for prompt in (page, read_text("lists")[:500], page + " Who is running?"):
            answer = engine.ask(prompt, max_tokens=1)
    assert answer.prompt_tokens - answer.reused_tokens == 212 and "reads all 212 tokens" in prose


def test_the_recorded_conversation(prose):
    ways = load_conversation_price().ways
    slow, fast = (ways[name].tokens_per_second for name in (GROWING, LLAMA_CPP))
    assert f"{slow:.1f} tokens per second in transformers and at {fast:.0f} in llama.cpp" in prose
    assert load_conversation_price().facts["machine"]["cores"] == 2 and "two cores" in prose


def test_what_is_held_and_not_read(prose):
    mixture, sparse = MODELS["gpt-oss-120b"], MODELS["DeepSeek-V3.2"]
    assert round(mixture.n_params / weights_read(mixture)) == 23 and "One weight in 23." in prose
    assert f"{mixture.n_params / 1e9:.1f}" == "116.8"
    assert (mixture.config["num_local_experts"], mixture.config["num_experts_per_tok"]) == (128, 4)
    full = cache_read(KVShape.from_config(mixture.config), 131_072)
    assert full > weights_bytes(weights_read(mixture), "q4_k_m")  # what it reads is mostly cache
    assert sparse.config["index_topk"] == 2_048 and "only the 2,048" in prose
    assert plan("Strix Halo 128GB", model="gpt-oss-120b").speed(131_072) > 5 * plan("Strix Halo 128GB").speed(0)


def test_unified_machines_and_what_they_lend(prose):
    halo = plan("Strix Halo 128GB")
    assert format_bytes(halo.budgets[1].total) == "81.1 GiB" and "81.1 GiB at most" in prose
    for card in ("M4 Max 128GB", "Strix Halo 128GB"):
        assert format_bytes(find_card(card).default_memory) in prose


def test_what_thoughts_take(prose):
    assert round(plan("H200").seconds(131_072) / 3600, 1) == 0.5 and "in half an hour" in prose
    for card, minutes in (("M4 Max 128GB", 11), ("Strix Halo 128GB", 23)):
        thought = Plan("Qwen3-32B", "q8_0", card, context=32_768)
        assert round(thought.seconds(10_000) / 60) == minutes
    assert "7 to 16 at best, and 11 to 23 minutes" in prose


def test_two_fifths_of_the_weights_take_nine_tenths_of_the_time(prose):
    card, weights = find_card("RTX 4090"), weights_in_use()
    room = card.memory - 0.75 * GiB
    outside = (weights - room) / 89.6e9
    assert (weights - room) / weights == pytest.approx(0.4, abs=0.02)
    assert outside / (outside + room / card.bandwidth) == pytest.approx(0.9, abs=0.02)
    assert 89.6 * GB == 2 * 8 * 5.6e9
    assert f"{plan().weights / GB:.1f} GB in Q4_K_M" in prose
    whole = plan("RTX 4090", model="Qwen3-32B", context=8_192)
    assert whole.fit == FITS and round(whole.speed(8_192)) == 47 and "47 tokens per second at best" in prose
    mixture = weights_bytes(weights_read(MODELS["gpt-oss-120b"]), "q4_k_m")
    assert round(89.6 * GB / mixture) == 29 and "main memory alone, still allows 29" in prose


def test_reading_again(prose):
    agent = Agent(prefix=65_000, per_step=1_500, steps=40)
    assert agent.tokens_read_without_cache // agent.tokens_read_with_cache == 30 and "30 times as much" in prose
    assert [round(131_072 / speed / 60) for speed in (72, 76)] == [30, 29]  # minutes on the M3 Ultra
    assert "prompts of 128K tokens" in prose and "at 72 to 76 tokens per second: half an hour" in prose


def test_cascade_attention(prose):
    fifteen = plan(sequences=15, shared_prefix=9 * 131_072 // 10)
    slow, fast = fifteen.speed(131_072), fifteen.speed(131_072, cascade=True)
    assert f"{fast / slow:.1f} times the speed" in prose
    enough = [n for n in range(1, 16) if plan(sequences=n).speed(131_072) >= 20]
    assert enough == [1, 2, 3, 4] and fast > 20 and "serves four of them" in prose


def test_rows_come_back_in_a_third_of_a_second(prose):
    assert LLAMA.bytes(65_000) / 63e9 == pytest.approx(1 / 3, abs=0.01) and "A third of a second against" in prose
    operations = 2 * MODELS["Llama-3.1-70B"].n_params * 65_000 + 4 * 80 * 64 * 128 * 65_000**2 / 2
    assert round(operations / 989e12) == 15
    config = MODELS["Llama-3.1-70B"].config
    assert (config["num_hidden_layers"], config["num_attention_heads"], LLAMA.head_dim) == (80, 64, 128)


def test_the_small_file_is_a_tenth_of_a_gb():
    assert gguf_path().stat().st_size < 0.1 * GB


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    said = {claim: judge(claim, values) for claim in ("B8", "B9", "B10", "B12", "B13")}
    assert [said[claim][0] for claim in ("B8", "B9", "B10", "B13")] == [IN_PART, OPEN, IN_PART, IN_PART]
    assert "once its GPU may use more than the 62.2 GiB it starts with" in said["B12"][1]
    assert "172 GB" in said["B10"][1] and "108 GB" in said["B10"][1] and "43 GB" in said["B10"][1]
