"""Lesson 03: agents and plans as arithmetic, its figures, its planner, its checks, the numbers in its prose."""

import io

import pytest
from matplotlib.figure import Figure

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
)
from helpers.arithmetic.plan import FITS, OVERHEAD, PERHAPS, TOO_LARGE, sum_over_tokens
from helpers.plots import agents as agent_plots
from helpers.plots import budget as budget_plots
from helpers.plots import speed as speed_plots
from helpers.teaching.lessons import lesson_03
from helpers.widgets.planner import NONE, plan_frame
from tests.house.notebooks import lesson_text

LLAMA = KVShape.from_config(MODELS["Llama-3.1-70B"].config)


def drawn(figure):
    """The axes, after a real drawing."""
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure.axes


def labels(ax):
    return ax.get_legend_handles_labels()[1]


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
def test_three_terms_are_stacked_one_bar_per_stage():
    stages = {"a": {"overhead": 5.0}, "b": {"overhead": 3.0, "weights": 2.0, "KV cache": 4.0}}
    [ax] = drawn(budget_plots.three_terms(stages))
    spans = [(bar.get_y() + 0.3, bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans == [(0, 0, 5), (1, 0, 3), (1, 3, 5), (1, 5, 9)]
    assert labels(ax) == ["overhead", "weights", "KV cache"]
    assert [text.get_text().strip() for text in ax.texts] == ["5 B", "9 B"]


def test_answers_over_bits_writes_each_count_at_its_dot():
    [ax] = drawn(budget_plots.answers_over_bits([4.5, 2.5], [10, 0], count=10, whole=9))
    dots = next(line for line in ax.lines if line.get_label() == "weights rounded")
    assert list(map(tuple, dots.get_xydata())) == [(4.5, 10), (2.5, 0)]
    assert [text.get_text() for text in ax.texts] == ["10", "0"]
    assert set(ax.lines[0].get_ydata()) == {9}


def test_a_plan_draws_its_terms_its_limit_and_its_speed():
    terms = {"overhead": 1.0, "weights": 4.0, "second model": 0.0, "shared prefix": 0.0, "KV cache": 2.0}
    above, below = drawn(budget_plots.plan(terms, 6.0, [0, 10], [8.0, 4.0], wanted=5))
    assert sum(bar.get_width() for bar in above.patches) == 7
    assert labels(above) == ["the card's limit", "overhead", "weights", "KV cache"]  # no entry for what is not there
    assert above.lines[0].get_xdata()[0] == 6
    speed = next(line for line in below.lines if line.get_label() == "speed at best")
    assert list(map(tuple, speed.get_xydata())) == [(0, 8), (10, 4)]


def test_growth_draws_the_context_after_each_step():
    [ax] = drawn(agent_plots.growth({"a": [1, 3, 5], "b": [2, 3, 4]}, band=(2, 8)))
    lines = {line.get_label(): list(map(tuple, line.get_xydata())) for line in ax.lines}
    assert lines == {"a": [(0, 1), (1, 3), (2, 5)], "b": [(0, 2), (1, 3), (2, 4)]}
    assert ax.get_ylim()[1] > 8


def test_tokens_read_starts_at_the_first_step():
    [ax] = drawn(agent_plots.tokens_read([10, 22, 36], [10, 12, 14]))
    lines = {line.get_label(): list(map(tuple, line.get_xydata())) for line in ax.lines}
    assert lines["each step starts from nothing"] == [(1, 10), (2, 22), (3, 36)]
    assert lines["the cache is kept"] == [(1, 10), (2, 12), (3, 14)]


def test_sharing_marks_points_on_its_line():
    [ax] = drawn(agent_plots.sharing([0, 10], [8 * GiB, 2 * GiB], 5 * GiB, {"x": (5, 5 * GiB)}))
    assert [text.get_text() for text in ax.texts] == ["x"]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [tuple(line.get_xydata()[0]) for line in marks] == [(5, 5 * GiB)]


def test_the_ceiling_s_curve_goes_through_the_predictions():
    [ax] = drawn(speed_plots.ceiling([0, 1, 3], [12.0, 6.0, 3.0], [11.0, 6.5, 3.0]))
    curve, predicted, measured = ax.lines
    assert curve.get_ydata()[0] == 12
    assert curve.get_ydata()[-1] == pytest.approx(3)
    assert list(predicted.get_ydata()) == [12, 6, 3]
    assert list(measured.get_ydata()) == [11, 6.5, 3]


def test_machines_that_do_not_fit_say_so():
    [ax] = drawn(speed_plots.machines(["a", "b"], [8.0, 0.0], [4.0, 0.0], wanted=5))
    assert [text.get_text().strip() for text in ax.texts] == ["8.0", "4.0", "does not fit", "does not fit"]


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
    assert "9 to 32" in lesson_text("03")


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (lesson_03.check_two_at_once, ..., "Not yet: replace the three dots"),
        (lesson_03.check_two_at_once, 22.75, "Right"),
        (lesson_03.check_two_at_once, 20.75, "for one person"),
        (lesson_03.check_two_at_once, 22, "overhead is missing"),
        (lesson_03.check_two_at_once, 40.75, "loaded once"),
        (lesson_03.check_two_at_once, 41.5, "there once, for both"),
        (lesson_03.check_two_at_once, 22.75 * GiB, "in bytes"),
        (lesson_03.check_how_many_steps, 60, "Right"),
        (lesson_03.check_how_many_steps, 65, "prefix"),
        (lesson_03.check_how_many_steps, 61, "does not fit whole"),
        (lesson_03.check_how_many_steps, 60.536, "only whole steps"),
        (lesson_03.check_the_ceiling, 1_008e9 / (16.06e9 + 32_768 * 131_072), "Right"),
        (lesson_03.check_the_ceiling, 62.76, "empty cache"),
        (lesson_03.check_the_ceiling, 234.7, "weights are read too"),
        (lesson_03.check_the_ceiling, 0.0201933, "seconds per token"),
        (lesson_03.check_how_much_sharing, 65_536, "Right"),
        (lesson_03.check_how_much_sharing, 49_152, "not four"),
        (lesson_03.check_how_much_sharing, 196_608, "too many"),
        (lesson_03.check_how_much_sharing, 327_680, "how many must go"),
        (lesson_03.check_how_much_sharing, 81_920, "nothing is shared"),
    ],
)
def test_each_mistake_has_its_own_message(capsys, check, answer, said):
    check(answer)
    assert said in capsys.readouterr().out


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_question_1():
    card = "H100 SXM 80GB"
    missing = [format_bytes(-plan(card, overhead=overhead * GiB).spare[1]) for overhead in (0.5, 0.25)]
    assert missing == ["452.4 MiB", "196.4 MiB"] and "by 452.4 MiB, and with 0.25 GiB by 196.4" in lesson_text("03")
    assert f"{find_card(card).shown_mib:,} MiB on an H100" in lesson_text("03")
    for enough in ({"kv_format": "q8_0"}, {"kv_format": "fp8_e4m3"}, {"context": 65_536}):
        assert plan(card, **enough).fit == FITS


def test_question_2():
    alone = [plan(sequences=n).fit for n in range(1, 17)]
    shared = [plan(sequences=n, shared_prefix=round(0.9 * 131_072)).fit for n in range(1, 17)]
    assert alone == [FITS] * 2 + [TOO_LARGE] * 14 and shared == [FITS] * 15 + [PERHAPS]
    speeds = [plan(sequences=n).speed(131_072) for n in (2, 15)]
    assert [f"{speed:.1f}" for speed in speeds] == ["37.6", "7.0"]
    assert "37.6 tokens per second" in lesson_text("03") and "each gets 7.0" in lesson_text("03")


def test_two_fifths_of_the_weights_take_nine_tenths_of_the_time():
    card, weights = find_card("RTX 4090"), plan().weights
    room = card.memory - 0.75 * GiB
    outside = (weights - room) / 89.6e9
    assert (weights - room) / weights == pytest.approx(0.4, abs=0.02)
    assert outside / (outside + room / card.bandwidth) == pytest.approx(0.9, abs=0.02)
    assert 89.6 * GB == 2 * 8 * 5.6e9


def test_an_rtx_3090_with_such_memory_writes_4_5_tokens_per_second_at_most():
    card = find_card("RTX 3090")
    assert f"{spilled_speed(plan().weights, 0, card.memory - 0.75 * GiB, card.bandwidth, 89.6e9):.1f}" == "4.5"


def test_llama_2_7b_s_cache_outweighs_it_beyond_its_own_context():
    model = find_model("Llama-2-7B")
    weights = weights_bytes(model.n_params, "q4_k_m")
    assert weights // KVShape.from_config(model.config).bytes(1) == 7_743
    assert model.config["max_position_embeddings"] == 4_096


def test_unified_machines_hold_81_1_of_128_gib():
    assert format_bytes(plan("Strix Halo 128GB").budgets[1].total) == "81.1 GiB"
    assert "at most 81.1 of 128 GiB" in lesson_text("03")
