"""Lesson 12: the levers against their closed form, the race, the plan and its page, the verdicts, and its prose."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.arithmetic import KV_LAYOUTS, MODELS, GiB, KVShape, Plan
from helpers.arithmetic.engine_settings import INTERVAL, LLAMA_CPP_FORMATS, VLLM_FORMATS
from helpers.arithmetic.plan_report import report, save
from helpers.cache import blocks_for
from helpers.eviction import Compressor, Random, StreamingLLM
from helpers.experiments import stacked_savings
from helpers.experiments.stacked_savings import Levers, ask_four, predict_bytes, run_agents
from helpers.measuring import Trace
from helpers.measuring.trace import Compression
from helpers.models import load_reasoner, make_worksheets
from helpers.plots.levers import stacked
from helpers.plots.memory import held_until_the_end
from helpers.records import load_card_limit
from helpers.records.card_limit import BLOCKS, EVICTING, GROWING, read_card_limit
from helpers.teaching.claims import CLAIMS, FAILS, HOLDS, judge, recorded, verdict_table
from helpers.teaching.lessons import lesson_12 as exercises
from helpers.widgets import live_run, own_plan, page
from tests.house.notebooks import NOTEBOOKS, lesson_text


@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def prose():
    cells = json.loads(outputs())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def outputs():
    return lesson_text("12")


# --- Levers ----------------------------------------------------------------------------------------------------------
def compressors():
    return {
        "none": None,
        "half, compacted": Compressor(Random(), 40, 16, "shared"),
        "half, scattered": Compressor(Random(), 40, 16, "per_layer_per_head", compact=False),
        "the latest": Compressor(StreamingLLM(), 32, 24, "per_head"),
    }


@pytest.mark.parametrize("n_lines", [9, 13])
@pytest.mark.parametrize("name", compressors())
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kv_format", ["fp16", ("q8_0", "q4_0")])
def test_the_closed_form_predicts_what_agents_hold(course, n_lines, name, shared, kv_format):
    sheets = ask_four(make_worksheets(1, n_lines, 5)[0])
    prompt, decoded = 1 + len(sheets[0].prompt.split()), 1 + len(sheets[0].thought.split())
    some = [Levers(True, kv_format, shared, compressors()[name])]
    some += [] if shared or compressors()[name] else [Levers(grouped=False, kv_format=kv_format)]
    for lever in some:
        predicted = predict_bytes(course.shape, 2, prompt, decoded, 4, lever)
        assert run_agents(course, sheets, lever).bytes_held == predicted


def test_rows_per_query_head_are_measured_alone():
    for other in ({"shared": True}, {"compressor": Compressor(Random(), 40)}):
        with pytest.raises(ValueError, match="grouped is False"):
            Levers(grouped=False, **other)


def test_four_questions_ask_for_four_different_names_and_are_answered_rightly(course):
    sheet = make_worksheets(1, 16, 2)[0]
    sheets = ask_four(sheet)
    assert len({s.prompt.split()[-1] for s in sheets}) == 4
    assert {s.prompt.rsplit(" ", 1)[0] for s in sheets} == {sheet.prompt.rsplit(" ", 1)[0]}
    for asked in sheets:
        name = asked.prompt.split()[-1]
        line = re.search(rf"(?:^| ; ){name} = .*?= (\d) ;", asked.thought)
        assert line is None or line.group(1) == asked.answer
    assert run_agents(course, sheets, Levers()).right == 4


def test_sharing_changes_no_answer_and_no_row(course, monkeypatch):
    seen = []
    monkeypatch.setattr(stacked_savings, "_bytes_held", lambda caches: seen.append(caches) or 0)
    sheets = ask_four(make_worksheets(1, 12, 8)[0])
    right = [run_agents(course, sheets, Levers(shared=shared)).right for shared in (False, True)]
    assert right[0] == right[1]
    for alone, forked in zip(*seen, strict=True):
        for layer in range(4):
            for own, common in zip(alone.read(layer), forked.read(layer), strict=True):
                assert np.array_equal(own.numpy(), common.numpy())


def test_a_bar_is_as_long_as_its_bytes_and_its_mark_as_far():
    figure = stacked(["a", "b"], [800, 200], [800, 250])
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [800, 200]
    [marks] = [line for line in ax.lines if line.get_label() == "predicted"]
    assert marks.get_xdata().tolist() == [800, 250]
    assert [text.get_text().strip() for text in ax.texts] == ["800 B", "200 B, 4.00 times less"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


# --- The race --------------------------------------------------------------------------------------------------------
def trace_of(blocks, freed=None):
    trace = Trace(3, [[0] * len(blocks)], blocks_held=blocks, tokens_seen=list(range(3, 3 + len(blocks))))
    trace.seconds = [0.1] * len(blocks)
    trace.bytes_held = [100 * held for held in blocks]
    trace.compressions = {1: Compression(4, 9, 5, freed, 100 * freed, 0, 0)} if freed else {}
    return trace


def test_the_race_shows_every_run_so_far_and_counts_both_numbers(monkeypatch):
    shown = []
    monkeypatch.setattr(live_run, "Picture", lambda figure, caption: shown.append((figure, caption)))
    race = live_run.Race(3, 8)
    race.watch("one")(trace_of([1, 2, 3]))
    race.watch("other")(trace_of([1, 2, 1], freed=1))
    race.draw()
    [(figure, caption)] = shown
    assert "one: at most 3 blocks; 0 tokens evicted, 0 blocks freed." in caption
    assert "other: at most 2 blocks; 4 tokens evicted, 1 blocks freed." in caption
    assert len([line for line in figure.axes[0].lines if not line.get_label().startswith("_")]) == 2


def test_a_live_race_is_redrawn_in_place_every_25_passes(monkeypatch):
    monkeypatch.delenv("COURSE_STATIC")
    pictures, updates = [], []

    class Fake:
        def __init__(self, figure, caption):
            pictures.append(caption)

        def update(self, figure, caption):
            updates.append(caption)

    monkeypatch.setattr(live_run, "Picture", Fake)
    race = live_run.Race(3, 80)
    watch = race.watch("one")
    for n in range(1, 60):
        watch(trace_of(list(range(n))))
    assert (len(pictures), len(updates)) == (1, 2)


# --- Watch it die ----------------------------------------------------------------------------------------------------
def cell_text(name):
    """All that a cell of the saved lesson says, in words."""
    [cell] = [cell for cell in json.loads(outputs())["cells"] if cell["id"] == name]
    texts = [output.get("text") or output["data"].get("text/markdown", "") for output in cell["outputs"]]
    return "\n".join("".join(text) for text in texts)


def report_of_runs(device="cpu"):
    config = {"model_type": "llama", "num_hidden_layers": 2, "num_key_value_heads": 1, "head_dim": 4}
    plan = {"config": config | {"num_attention_heads": 1}, "cap": 1_000, "weights": 360, "tokens": 40, "stride": 4}
    machine = {"device": device, "cpu": "a processor", "threads": 2, "gpu": "a card", "torch": "2.13.0"}
    line = {"error": None, "tokens": 40, "bytes_held": 320, "blocks_freed": 3, "curve": [[4, 128], [8, 256]]}
    return {"date": "2026-11-22", "machine": machine, "plan": plan, "ends": [], "lines": [{"name": "a", **line}]}


def test_a_record_is_read_back_with_what_its_limit_was():
    found = read_card_limit(report_of_runs())
    run = found.runs["a"]
    assert (run.tokens, run.error, run.bytes_held, run.blocks_freed, run.curve) == (
        40,
        None,
        320,
        3,
        ((4, 128), (8, 256)),
    )
    assert (found.room, found.predicted, found.shape.bytes(1)) == (640, 20, 32)
    assert found.made_on == "a processor, 2 threads, torch 2.13.0, 2026-11-22" and "process" in found.limited
    on_gpu = read_card_limit(report_of_runs("cuda"))
    assert on_gpu.made_on == "a card, torch 2.13.0, 2026-11-22" and "GPU" in on_gpu.limited


def test_the_recorded_runs_end_where_lesson_01_said_or_a_little_before():
    """Whatever machine the record comes from."""
    found = load_card_limit()
    assert list(found.runs) == [GROWING, BLOCKS, EVICTING]
    ends = recorded(NOTEBOOKS)["A3"]["ends"]
    assert found.predicted == ends[3]  # weights in q4_k_m, nothing else
    for name in (GROWING, BLOCKS):
        run = found.runs[name]
        assert run.error and 0.85 * found.predicted <= run.tokens <= found.predicted
        assert run.curve[-1] == (run.tokens, run.bytes_held) == (run.tokens, 262_144 * run.tokens)
    evicting = found.runs[EVICTING]
    assert (evicting.error, evicting.tokens, evicting.bytes_held) == (None, 32_768, 262_144 * 12_128)
    assert 16 * evicting.blocks_freed == (32_768 - 12_000) // 128 * 128


def test_each_run_is_drawn_to_its_end_and_the_last_one_enlarged_too():
    runs = {"a": [(0, 0), (50, 500)], "b": [(0, 0), (40, 400)], "c": [(0, 0), (20, 200), (20, 100), (100, 200)]}
    figure = held_until_the_end(runs, 600, 100, (10, 30))
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    [inset] = ax.child_axes
    drawn = {line.get_label(): line for line in ax.lines}
    assert all(list(zip(*drawn[name].get_data(), strict=True)) == curve for name, curve in runs.items())
    assert set(drawn["room beside the weights"].get_ydata()) == {600}
    marks = {line.get_marker(): line for line in ax.lines if line.get_marker() != "None"}
    assert set(marks) == {"X", "o"} and marks["o"].get_data() == ([100], [200])
    assert [text.get_text() for text in ax.texts] == ["50", "40"]
    assert inset.get_xlim() == (10, 30) and inset.get_ylim() == (70, 230)
    assert list(zip(*inset.lines[0].get_data(), strict=True)) == runs["c"]


def test_the_saved_lesson_shows_the_record_as_it_is():
    """Whoever measures again must run this lesson again."""
    found = load_card_limit()
    said, caption, compared = (cell_text(f"cell-37{letter}") for letter in "dfh")
    assert found.made_on in said and found.made_on in caption and found.limited in said and found.limited in caption
    for run in found.runs.values():
        assert f"{run.name}: {run.tokens:,} tokens\n    {run.error or 'finished'}\n" in said
        assert f"{run.tokens:,}" in caption
    assert "a ballast that nobody reads" in caption and "other rows are random" in caption
    assert f"At least one token in {found.plan['stride']} was decoded" in caption
    assert f"Result: {found.runs[GROWING].tokens:,} tokens." in said
    assert f"arithmetic: {found.predicted:,} tokens" in compared and "1/128 of it" in compared


def test_the_prose_about_the_record_has_no_figure_that_another_machine_would_change():
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(outputs())["cells"]}
    assert set(re.findall(r"[\d,.]*\d", "".join(cells[f"cell-37{letter}"] for letter in "acegi"))) == {
        "24",  # GiB, the cap
        "32",  # B, the model's name
        "3",
        "01",  # the lesson
        "4",  # of q4_k_m
        "15",  # the tolerance that the cell asserts
    }


# --- A plan with tokens kept -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kept", [1, 500, 12_000, 32_768, 100_000])
def test_a_plan_with_tokens_kept_has_the_cache_of_a_context_that_long(kept):
    long = Plan("Qwen3-32B", "q4_k_m", "RTX 4090", context=32_768, kept=kept)
    short = Plan("Qwen3-32B", "q4_k_m", "RTX 4090", context=min(kept, 32_768))
    assert long.cache == short.cache == 262_144 * min(kept, 32_768)
    assert long.speed(32_768) == short.speed(min(kept, 32_768))
    assert long.seconds(32_768) <= Plan("Qwen3-32B", "q4_k_m", "RTX 4090", context=32_768).seconds(32_768)


def test_sharing_and_keeping_add_up():
    plan = Plan("Qwen3-8B", "q8_0", "RTX 4090", context=30_000, sequences=3, shared_prefix=2_000, kept=5_000)
    assert plan.cache == 147_456 * (2_000 + 3 * 3_000)
    assert plan.shared_cache == 147_456 * 2_000


def test_a_model_that_drops_tokens_anyway_is_refused_in_one_line():
    shapes = {name: KVShape.from_config(model.config) for name, model in MODELS.items()}
    uneven = [name for name, shape in shapes.items() if {layer.kind for layer in shape.layers} != {"full"}]
    assert uneven
    for name in uneven:
        with pytest.raises(ValueError, match="kept is 5,000") as error:
            Plan(name, "q4_0", "H200", kept=5_000)
        assert "\n" not in str(error.value)
        Plan(name, "q4_0", "H200")


# --- The page of a plan ----------------------------------------------------------------------------------------------
def test_the_page_names_every_term_and_they_add_up():
    plan = Plan("Llama-3.1-70B", "q4_k_m", "H200", "q8_0", 65_536, 3, 10_000, second_model="Qwen3-0.6B")
    text = report(plan)
    for words in ("Llama-3.1-70B in q4_k_m", "Qwen3-0.6B", "3 of 65,536 tokens", "10,000 tokens", plan.verdict):
        assert words in text
    *terms, total, card = (
        float(size)
        for size in re.findall(r"\| (?:[\d.]+ to )?([\d.]+) GiB \|", text)  # the most, where it is a band
    )
    assert sum(terms) == pytest.approx(total, abs=0.3) and card == 140.4 and "| 0.5 to 1.5 GiB |" in text


@pytest.mark.parametrize("kv_format", KV_LAYOUTS)
@pytest.mark.parametrize("kept", [None, 100, 12_128])
def test_an_engine_gets_settings_or_a_line_that_says_why_not(kv_format, kept):
    text = report(Plan("Qwen3-32B", "q4_k_m", "B200", kv_format, 32_768, 2, kept=kept))
    evicts = kept == 12_128
    assert ("vllm serve" in text) == (kv_format in VLLM_FORMATS and kept != 100)
    assert ("llama-server" in text) == (kv_format in LLAMA_CPP_FORMATS and kept is None)
    assert ("budget: 12000\n  beta: 128" in text) == (evicts and kv_format in ("fp16", "bf16"))
    assert (f"TRIATTN_RUNTIME_KV_BUDGET={12_128 - INTERVAL} " in text) == (evicts and kv_format in VLLM_FORMATS)
    assert text.count("```") % 2 == 0


def test_the_context_of_llama_cpp_is_that_of_all_sequences():
    assert "--ctx-size 24576" in report(Plan("Qwen3-8B", "q8_0", "RTX 4090", "q8_0", 8_192, 3))


def test_sharing_and_the_plug_in_exclude_each_other_and_the_page_says_so():
    both = Plan("Qwen3-8B", "bf16", "RTX 4090", context=8_192, sequences=2, shared_prefix=1_024, kept=4_096)
    assert "vllm serve" not in report(both) and "cannot do both" in report(both)


@pytest.mark.parametrize("context", [1_024, 16_384, 32_768])
def test_vllm_gets_a_share_of_the_card_that_holds_the_plan(context):
    plan = Plan("Qwen3-8B", "bf16", "RTX 4090", context=context)
    share = float(re.search(r"--gpu-memory-utilization ([\d.]+)", report(plan)).group(1))
    memory, total = plan.machine.driver_memory, plan.budgets[1].total
    assert total <= share * memory <= total + 0.011 * memory


def test_a_format_of_llama_cpp_s_is_said_to_be_its_own():
    said = [("is llama.cpp's" in report(Plan("Qwen3-8B", name, "H200"))) for name in ("q4_k_m", "bf16")]
    assert said == [True, False]


def test_the_page_is_written_beside_the_lesson(tmp_path):
    plan = Plan("Qwen3-8B", "q8_0", "RTX 4090", context=4_096)
    path = save(plan, tmp_path)
    assert path.name == "my_plan.md"
    assert path.read_text(encoding="utf-8") == report(plan) + "\n"


# --- The control -----------------------------------------------------------------------------------------------------
DEFAULTS = {
    "model": "Qwen3-32B",
    "weight_format": "q4_k_m",
    "card": "RTX 4090",
    "kv_format": "fp16",
    "context": 32_768,
    "kept": 12_000,
    "sequences": 1,
    "shared": 0,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "cache 2.93 GiB. It fits"),
        ({"kept": "all"}, "cache 8.00 GiB. It does not fit: 2.9 to 3.9 GiB too much"),
        ({"sequences": 2}, "cache 5.86 GiB. It does not fit"),
        ({"sequences": 2, "shared": 8_192}, "cache 3.86 GiB. It fits"),
    ],
)
def test_the_caption_says_what_the_plan_says(change, words):
    figure, caption = own_plan.home_frame(**DEFAULTS | change)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    assert words in caption


def test_the_button_writes_the_plan_that_the_controls_show(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_STATIC")
    monkeypatch.chdir(tmp_path)
    shown = []
    for module in (own_plan, page):
        monkeypatch.setattr(module, "display", lambda *what, **_: shown.extend(what))
    monkeypatch.setattr(page, "Picture", lambda *_: SimpleNamespace(update=lambda *_: None, say=lambda _: None))
    own_plan.home_control()
    controls, box = (widget for widget in shown if hasattr(widget, "children"))
    [kept] = [widget for widget in controls.children if widget.description == "tokens kept"]
    kept.value = 4096
    button, said = box.children
    button.click()
    assert "my_plan.md" in said.value
    assert "of which at most 4,096 are kept" in Path("my_plan.md").read_text(encoding="utf-8")
    [model] = [widget for widget in controls.children if widget.description == "model"]
    model.value = next(name for name in MODELS if name.startswith("gpt-oss"))
    button.click()
    assert said.value.startswith("Not written: kept is 4,096")


# --- Verdicts --------------------------------------------------------------------------------------------------------
def test_every_claim_is_recorded_by_a_lesson():
    assert set(recorded(NOTEBOOKS)) == set(CLAIMS)


def test_the_table_has_a_row_per_claim_with_its_verdict():
    values = recorded(NOTEBOOKS)
    rows = verdict_table(values).splitlines()[2:]
    assert len(rows) == len(CLAIMS)
    for row, claim in zip(rows, CLAIMS, strict=True):
        verdict, why = judge(claim, values)
        assert row == f"| {claim} | {CLAIMS[claim].told} | **{verdict}** | {why} |"


def test_the_saved_table_is_made_of_what_the_lessons_hold_now():
    """Whoever runs one lesson again must run this one after it; ``make notebooks`` does."""
    saved = json.loads(outputs())
    shown = [
        "".join(output["data"]["text/markdown"])
        for cell in saved["cells"]
        for output in cell.get("outputs", [])
        if "| claim |" in "".join(output.get("data", {}).get("text/markdown", ""))
    ]
    assert shown == [verdict_table(recorded(NOTEBOOKS))]


def test_changing_one_value_changes_one_row_of_the_table():
    values = recorded(NOTEBOOKS)
    changed = values | {"A7": {"freed_with_one_row_alive": 1, "freed_with_none_alive": 1}}
    before, after = (verdict_table(some).splitlines() for some in (values, changed))
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    [(old, new)] = different
    assert f"**{HOLDS}**" in old and f"**{FAILS}**" in new and new.startswith("| A7 |")


# --- Exercises and prose ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        (exercises.check_peak, 32_768 / 3_200, "Right"),
        (exercises.check_peak, 32_768 / 3_072, "right after a compression"),
        (exercises.check_peak, 3_200 / 32_768, "share that is left"),
        (exercises.check_peak, 32_768 / 2_944, "not fewer"),
        (exercises.check_better_lever, 160 / 70, "Right"),
        (exercises.check_better_lever, 16 / 8.5, "that is q8_0"),
        (exercises.check_better_lever, 2, "8.5 bits"),
        (exercises.check_better_lever, 4, "if all 40,000"),
        (exercises.check_better_lever, 16 / 8.5 * 160 / 70, "both together"),
        (exercises.check_better_lever, 70 / 160, "share that is left"),
        (exercises.check_largest_budget, 8_340, "Right"),
        (exercises.check_largest_budget, 8_340 + 128, "interval"),
        (exercises.check_largest_budget, 8_340 + 1_500, "prompt"),
        (exercises.check_largest_budget, 8_340 + 1_628, "The prompt and the interval".lower()),
        (exercises.check_largest_budget, 8_345, "whole blocks"),
        (exercises.check_largest_budget, ..., "Not yet"),
    ],
)
def test_an_answer_gets_the_message_meant_for_it(check, answer, words, capsys):
    check(answer)
    said = capsys.readouterr().out
    assert words in said
    assert ("Right" in said) == (words == "Right")


def test_the_largest_budget_fits_and_the_next_one_does_not():
    free = (24 - 18.38 - 0.75) * GiB

    def peak(budget):
        return 2 * blocks_for(1_500 + budget + 128, 16) * 16 * 262_144

    assert peak(8_340) <= free < peak(8_341)


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ("leaves 875.3 MiB", Plan("Qwen3-32B", "q4_k_m", "RTX 4090", "q8_0", 32_768)),
        ("they miss by 1.7 GiB", Plan("Qwen3-32B", "q4_0", "RTX 4090", context=32_768, overhead=GiB / 2)),
    ],
)
def test_the_answers_about_the_plan_are_what_it_says(prose, words, plan):
    assert words in prose
    assert re.search(r"[\d.]+ [GM]iB", words).group() in plan.verdict


def test_the_speeds_in_the_answers_are_the_plan_s(prose):
    full, kept = (Plan("Llama-3.1-70B", "q4_k_m", "M4 Max 128GB", context=131_072, kept=k) for k in (None, 12_000))
    assert f"at {full.speed(131_072):.1f} tokens per second when full" in prose
    assert f"with 12,000 kept it is {kept.speed(131_072):.1f}." in prose
    assert full.usable and kept.usable


def test_numbers_of_the_prose_are_those_of_the_outputs(prose):
    text = outputs()
    assert "at most 33 blocks; 192 tokens evicted, 12 blocks freed" in text.replace('",\n      "', "")
    assert "192 / 16 = 12" in prose and "17 of the 44 blocks" in prose and blocks_for(259, 16) == 17
    assert "1.88 times" in prose and "1.38 times" in prose
    assert f"{16 / KV_LAYOUTS['q8_0'].bits:.2f}" == "1.88" and f"{44 / 32:.2f}" == "1.38"
