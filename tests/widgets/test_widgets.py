"""What is drawn, what is said under it, and what the controls and checks do."""

import io
import itertools
import math
import re
import warnings
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers import widgets
from helpers.arithmetic import (
    CARDS,
    KV_LAYOUTS,
    MODELS,
    GiB,
    KVShape,
    find_card,
    format_bytes,
    max_tokens,
    weights_bytes,
)
from helpers.plots import memory as plots
from helpers.widgets import memory as memory_controls
from helpers.widgets import mistakes, page, prediction


# --- Plots: data in, the same data in the artists --------------------------------------------------------------------
@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def rendered(figure):
    """The axes, after a real drawing; every figure needs labels and, for a plot of several things, a legend."""
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    assert ax.get_xlabel()
    return ax


def line(ax, label):
    [found] = [artist for artist in ax.lines if label in artist.get_label()]
    return list(map(tuple, np.asarray(found.get_xydata()).tolist()))


def band(ax, label):
    """What ``fill_between`` filled: (x, lowest, highest) at each x."""
    [found] = [artist for artist in ax.collections if label in artist.get_label()]
    points = np.concatenate([path.vertices for path in found.get_paths()])
    xs = sorted(set(points[:, 0].tolist()))
    return [(x, points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in xs]


@pytest.mark.parametrize("lengths", [[16, 64, 256], [1]])
def test_time_per_token_is_drawn_in_milliseconds(lengths):
    with_cache, without = [0.5 for _ in lengths], [0.25 * n for n in lengths]  # seconds, exact in binary
    ax = rendered(plots.time_per_token(lengths, with_cache, without))
    assert line(ax, "with a cache") == [(n, 500) for n in lengths]
    assert line(ax, "without a cache") == [(n, 250 * n) for n in lengths]
    assert ax.get_ylim()[0] == 0
    assert "ms" in ax.get_ylabel()


def wall(dies_at, tokens=(0, 50, 100), fixed=1 * GiB, capacity=24 * GiB):
    cache = [t * GiB / 5 for t in tokens]
    return rendered(plots.memory_wall(list(tokens), fixed, 18 * GiB, cache, capacity, dies_at))


def test_the_memory_wall_stacks_overhead_weights_and_cache():
    ax = wall(dies_at=25)
    xs = [0, 50, 100]
    assert band(ax, "overhead") == [(x, 0, 1 * GiB) for x in xs]
    assert band(ax, "weights") == [(x, 1 * GiB, 19 * GiB) for x in xs]
    assert band(ax, "cache") == [(x, 19 * GiB, (19 + x / 5) * GiB) for x in xs]
    assert {y for _, y in line(ax, "limit")} == {24 * GiB}
    assert line(ax, "out of memory") == [(25, 24 * GiB)]
    assert ax.get_ylim()[1] > 39 * GiB


@pytest.mark.parametrize("dies_at", [math.inf, 100, 101, 10**9])
def test_a_run_that_survives_the_axis_has_no_mark_of_death(dies_at):
    assert [artist for artist in wall(dies_at).lines if "memory" in artist.get_label()] == []


def test_the_memory_wall_survives_its_edges():
    assert band(wall(dies_at=0), "cache")[-1][2] == 39 * GiB
    assert band(wall(dies_at=1, tokens=(0, 1), fixed=0), "overhead") == [(0, 0, 0), (1, 0, 0)]
    assert wall(dies_at=0, capacity=1).get_ylim()[1] > 39 * GiB


@pytest.mark.parametrize("top", [1, 900, 5_000, 3 * 2**20, 24 * GiB, 3_000 * GiB])
def test_ticks_are_round_in_one_unit(top):
    ax = rendered(plots.growth_by_model([0, 1], {"a model": [0, top]}))
    ticks = [label.get_text() for label in ax.get_yticklabels()]
    units = {text.split()[1] for text in ticks if text != "0"}
    assert len(units) == 1
    assert all(re.fullmatch(r"0|[\d,]+(\.\d{1,2})? (B|KiB|MiB|GiB)", text) for text in ticks)
    shown = [y for y in ax.get_yticks() if y <= ax.get_ylim()[1]]
    assert 3 <= len(shown) <= 9


# --- Showing ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def shown(monkeypatch):
    """Everything that is displayed, in order; each entry keeps the updates that it gets."""
    entries = []

    def display(data, metadata=None, raw=False, display_id=False):
        entry = SimpleNamespace(data=data, metadata=metadata, updates=[])
        entry.update = lambda data, metadata=None, raw=False: entry.updates.append(data)
        assert raw == isinstance(data, dict)
        entries.append(entry)
        return entry if display_id else None

    for module in (page, prediction):
        monkeypatch.setattr(module, "display", display)
    return entries


@pytest.fixture
def live(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    monkeypatch.chdir(tmp_path)  # the journal of these guesses


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", "1")


def no_widget(entries):
    return all(isinstance(entry.data, dict) for entry in entries)


def test_a_figure_is_shown_with_its_caption_under_it(shown):
    widgets.show(plots.growth_by_model([0, 1], {"a model": [0, 1]}), "Figure: one line. $5 stays $5.")
    figure, caption = shown
    assert figure.data["image/png"].startswith(b"\x89PNG")
    assert figure.data["text/plain"] == "<Figure size 800x360 with 1 Axes>"
    assert figure.metadata["image/png"] == {"width": 800, "height": 360}
    assert "Figure: one line." in caption.data["text/markdown"]
    assert "Figure: one line." in caption.data["text/plain"]


def frame(height, note="a"):
    return plots.growth_by_model([0, 1], {"a model": [0, height]}), f"Figure: {height} {note}."


def test_a_control_redraws_on_a_change(shown, live):
    slider, choice = ipywidgets.IntSlider(value=3, min=1, max=9), ipywidgets.Dropdown(options=["a", "b"])
    picture = widgets.control(frame, height=slider, note=choice)
    box, figure, caption = shown
    assert box.data.children == (slider, choice)
    assert picture.caption == "Figure: 3 a."
    first = figure.data["image/png"]
    slider.value = 8
    choice.value = "b"
    assert picture.caption == "Figure: 8 b."
    assert [update["text/markdown"] for update in caption.updates] == ["Figure: 8 a.", "Figure: 8 b."]
    assert len(figure.updates) == 2
    assert figure.updates[-1]["image/png"] != first
    assert len(shown) == 3  # replaced in place, nothing added below


def test_a_static_page_has_the_first_frame_and_no_widget(shown, static):
    picture = widgets.control(frame, height=ipywidgets.IntSlider(value=3))
    assert page.is_static()
    assert picture.caption == "Figure: 3 a."
    assert len(shown) == 2
    assert no_widget(shown)


@pytest.mark.parametrize("value", [None, ""])
def test_a_page_is_live_unless_the_variable_says_static(monkeypatch, value):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    if value is not None:
        monkeypatch.setenv("COURSE_STATIC", value)
    assert not page.is_static()


def move(widget):
    """Both ends of a control, or every choice of a list."""
    if isinstance(widget, ipywidgets.IntSlider):
        return [widget.min, widget.max]
    values = [option[1] if isinstance(option, tuple) else option for option in widget.options]
    return values if isinstance(widget, ipywidgets.Dropdown) else [values[0], values[-1]]


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (memory_controls.wall_control, memory_controls.wall_frame),
        (mistakes.mistake_control, mistakes.mistake_frame),
    ],
)
def test_the_lessons_controls_show_what_their_frames_give(shown, live, monkeypatch, make, draw):
    monkeypatch.setattr(page, "DPI", 30)  # fifty drawings: coarse ones will do
    names = draw.__code__.co_varnames[: draw.__code__.co_argcount]
    make()
    controls = dict(zip(names, shown[0].data.children, strict=False))
    for widget in controls.values():
        before = widget.value
        for value in move(widget):
            if value == widget.value:
                continue  # nothing is drawn anew
            widget.value = value
            drawn = draw(**{name: each.value for name, each in controls.items()})[1]
            assert shown[2].updates[-1]["text/markdown"] == drawn
        widget.value = before
    assert len(shown[1].updates) > 5


@pytest.mark.parametrize("make", [memory_controls.wall_control, mistakes.mistake_control])
def test_the_lessons_controls_are_pictures_on_a_static_page(shown, static, make):
    assert make() is None  # nbval would take a returned picture for one more output
    assert shown[1].data["text/markdown"].startswith("Figure:")
    assert no_widget(shown)


# --- The memory wall's caption ---------------------------------------------------------------------------------------
CONTEXTS, SEQUENCES = (1_024, 8_192, 131_072, 1_048_576), (1, 2, 7, 32)
WEIGHT_FORMATS = ("bf16", "q8_0", "q4_k_m", "q4_0")
# Every model with every KV format; the other controls take turns.
WALLS = [
    (model, weight_format, card, kv_format, context, sequences)
    for (model, kv_format), weight_format, card, context, sequences in zip(
        itertools.product(MODELS, KV_LAYOUTS),
        itertools.cycle(WEIGHT_FORMATS[:3]),
        itertools.cycle(CARDS),
        itertools.cycle(CONTEXTS),
        itertools.cycle(SEQUENCES),
        strict=False,
    )
]


def verdict_of(free_for_cache, need, dies_at):
    if need <= free_for_cache:
        return f"It fits, with {format_bytes(free_for_cache - need)} to spare."
    return f"It dies after token {dies_at:,}." if dies_at else "Not even one token fits."


@pytest.mark.parametrize("model", MODELS)
def test_the_wall_s_caption_says_what_footprint_gives(model):
    for choice in (wall for wall in WALLS if wall[0] == model):
        _, weight_format, card, kv_format, context, sequences = choice
        shape = KVShape.from_config(MODELS[model].config)
        weights = weights_bytes(MODELS[model].n_params, weight_format)
        capacity, overhead = find_card(card).memory, 0.75 * GiB
        cache = shape.bytes(context, sequences, kv_format) + sequences * shape.fixed_bytes
        free = capacity - overhead - weights
        dies_at = max_tokens(free, shape, sequences, kv_format)
        figure, caption = memory_controls.wall_frame(*choice)
        said = [model, card, f"{context:,} tokens", f"{sequences} sequence"]
        said += [format_bytes(size) for size in (weights, overhead, cache, weights + overhead + cache, capacity)]
        said += [verdict_of(free, cache, dies_at)]
        assert [words for words in said if words not in caption] == [], caption
        assert (dies_at >= context) == (cache <= free)
        _, base, top = band(figure.axes[0], "cache")[-1]
        assert base == pytest.approx(overhead + weights)
        assert top == pytest.approx(overhead + weights + cache)


def test_claim_a3_in_the_caption():
    _, caption = memory_controls.wall_frame("Qwen3-32B", "q4_k_m", "RTX 4090", "fp16", 32_768, 1)
    by_hand = (24 * GiB - 0.75 * GiB - 32_762_123_264 * 4.82 / 8) // (256 * 1024)
    assert f"dies after token {by_hand:,.0f}." in caption


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "GPT-5"},
        {"weight_format": "q2"},
        {"card": "GTX 1080"},
        {"kv_format": "int3"},
        {"context": -1},
        {"sequences": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_choice_is_named_in_one_line(wrong):
    right = ("Qwen3-8B", "bf16", "L4", "fp16", 1_024, 1)
    choice = dict(zip(("model", "weight_format", "card", "kv_format", "context", "sequences"), right, strict=True))
    with pytest.raises(ValueError) as error:
        memory_controls.wall_frame(**choice | wrong)
    assert "\n" not in str(error.value)
    assert str(next(iter(wrong.values()))) in str(error.value)


# --- Predictions -----------------------------------------------------------------------------------------------------
def verdict(shown):
    entry = shown[-1]
    data = entry.updates[-1] if entry.updates else entry.data
    assert data["text/markdown"] == f"**{data['text/plain']}**"
    return data["text/plain"]


def test_a_static_page_asks_the_question_only(shown, static):
    widgets.Prediction("How many tokens?", "tokens")
    assert no_widget(shown)
    assert [entry.data["text/markdown"] for entry in shown] == ["**Predict:** How many tokens?"]


def test_a_live_page_offers_a_field(shown, live):
    widgets.Prediction("How many tokens?", "tokens")
    assert len(shown) == 2
    assert isinstance(shown[1].data, ipywidgets.Text)


@pytest.mark.parametrize(
    ("typed", "value", "text"),
    [
        ("", 24_576, "Result: 24,576 tokens."),
        ("24576", 24_576, "You predicted 24,576 tokens. Result: 24,576 tokens. Exactly right."),
        ("24,576", 24_576, "You predicted 24,576 tokens. Result: 24,576 tokens. Exactly right."),
        (" 24_576 ", 24_576, "You predicted 24,576 tokens. Result: 24,576 tokens. Exactly right."),
        ("50", 100, "You predicted 50 tokens. Result: 100 tokens. Your guess was 2 times too low."),
        ("1e3", 100, "You predicted 1,000 tokens. Result: 100 tokens. Your guess was 10 times too high."),
        ("0", 100, "You predicted 0 tokens. Result: 100 tokens."),
        ("-5", 100, "You predicted -5 tokens. Result: 100 tokens."),
        ("3", 0, "You predicted 3 tokens. Result: 0 tokens."),
        ("0", 0, "You predicted 0 tokens. Result: 0 tokens. Exactly right."),
        ("1", 2.5, "You predicted 1 tokens. Result: 2.5 tokens. Your guess was 2.5 times too low."),
        ("about ten", 100, "Your guess 'about ten' is not a number. Result: 100 tokens."),
        ("nan", 100, "Your guess 'nan' is not a number. Result: 100 tokens."),
        ("inf", 100, "Your guess 'inf' is not a number. Result: 100 tokens."),
    ],
)
def test_the_verdict_on_a_guess(shown, live, typed, value, text):
    asked = widgets.Prediction("How many tokens?", "tokens")
    shown[1].data.value = typed
    asked.reveal(value)
    assert verdict(shown) == text


@pytest.mark.parametrize(("typed", "value"), [("24,500", 24_576), ("24,600", 24_576), ("99.9", 100)])
def test_a_guess_that_is_nearly_right_is_not_1_times_wrong(shown, live, typed, value):
    asked = widgets.Prediction("How many tokens?", "tokens")
    shown[1].data.value = typed
    asked.reveal(value)
    assert " 1 times" not in verdict(shown)


def test_a_guess_typed_or_changed_after_the_result_is_shown_too(shown, live):
    asked = widgets.Prediction("How many tokens?", "tokens")
    asked.reveal(100)
    assert verdict(shown) == "Result: 100 tokens."
    shown[1].data.value = "200"
    assert verdict(shown).startswith("You predicted 200 tokens.")
    shown[1].data.value = ""
    assert verdict(shown) == "Result: 100 tokens."
    assert asked.guess is None
