"""Lesson 12: its figures and prices, the plan and its page, the verdicts, its exercises, and its prose."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.arithmetic import KV_LAYOUTS, MODELS, GiB, KVShape, Plan
from helpers.arithmetic.engine_settings import INTERVAL, LLAMA_CPP_FORMATS, STOCK_KERNELS, VLLM_FORMATS
from helpers.arithmetic.plan_report import report, save
from helpers.cache import blocks_for
from helpers.experiments.last_words import text_ids
from helpers.models import load_smollm2
from helpers.plots.last_words import reading_on, up_to_the_wall
from helpers.plots.levers import Cost, prices, stacked
from helpers.records import load_engine_total, load_last_words, load_smollm2_sweep, load_stacked_savings
from helpers.records import stacked_savings as names
from helpers.records.last_words import Reading
from helpers.records.texts import read_text
from helpers.teaching.claims import CLAIMS, FAILS, HOLDS, judge, recorded, table_by_evidence, verdict_table
from helpers.teaching.lessons import lesson_12 as exercises
from helpers.teaching.verdicts import EVIDENCE
from helpers.widgets import lever_prices, own_plan, page, readers
from tests.house.notebooks import NOTEBOOKS, lesson_text

BLOCK = 16 * 46_080  # bytes of a block of SmolLM2's rows in float32


@pytest.fixture(scope="module")
def prose():
    cells = json.loads(outputs())["cells"]
    return " ".join(" ".join("".join(cell["source"]).split()) for cell in cells if cell["cell_type"] == "markdown")


def outputs():
    return lesson_text("12")


def cell_text(name):
    """All that a cell of the saved lesson says, in words."""
    [cell] = [cell for cell in json.loads(outputs())["cells"] if cell["id"] == name]
    texts = [output.get("text") or output["data"].get("text/markdown", "") for output in cell["outputs"]]
    return "\n".join("".join(text) for text in texts)


# --- The reader that dies, and the one that reads on ------------------------------------------------------------------
CURVE = ((0, 0), (32, 2 * BLOCK), (64, 4 * BLOCK))


def test_a_reader_s_picture_ends_in_a_cross_once_it_has_ended():
    for ended in (False, True):
        figure = up_to_the_wall(CURVE, 4 * BLOCK, 70, ended)
        figure.savefig(io.BytesIO(), format="png", dpi=50)
        [ax] = figure.axes
        assert ("64 tokens, and not one more" in [text.get_text() for text in ax.texts]) == ended
        assert len(ax.lines) == 2 + ended and ax.lines[0].get_xydata().tolist() == [list(point) for point in CURVE]


def test_reading_on_draws_both_readers_above_and_both_losses_below():
    lives = [*CURVE, (64, 2 * BLOCK), (96, 4 * BLOCK)]
    figure = reading_on(CURVE, lives, 4 * BLOCK, 32, [3.0, 3.1, 3.2], [3.0, 3.0, 3.0])
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    above, below = figure.axes
    drawn = {line.get_label(): line for line in (*above.lines, *below.lines)}
    assert drawn["all rows kept"].get_xydata().tolist() == [list(point) for point in CURVE]
    assert drawn["TriAttention, the small pool"].get_xydata().tolist() == [[16, 3.0], [48, 3.1], [80, 3.2]]
    assert above.get_xlim() == below.get_xlim() == (0, 96)


def test_a_live_reader_is_drawn_in_place_and_a_static_one_at_its_end(monkeypatch):
    loaded = SimpleNamespace(model=None)
    shown, said = [], []

    class Fake:
        def __init__(self, figure, caption):
            shown.append(caption)

        def update(self, figure, caption):
            shown.append(caption)

    class Pool:
        def stats(self):
            return SimpleNamespace(bytes_reserved=4 * BLOCK)

    def read(loaded, ids, pool, stride, on_pass):
        for end in (1, 2, 3):
            on_pass(Reading(CURVE[end - 1][0], CURVE[:end], "OutOfBlocks: none" if end == 3 else None, " a  word"))
        return "done"

    def say(bundle, **_):
        said.append(bundle["text/markdown"])
        return SimpleNamespace(update=say)

    monkeypatch.setattr(readers, "Picture", Fake)
    monkeypatch.setattr(readers, "display", say)
    monkeypatch.setattr(readers, "smollm2", lambda: loaded)
    monkeypatch.setattr(readers, "text_ids", lambda loaded, tokens: tokens)
    monkeypatch.setattr(readers.PagedCache, "for_model", lambda *_: Pool())
    monkeypatch.setattr(readers, "read_until_the_wall", read)
    for static, pictures in (("1", 1), ("", 2)):
        monkeypatch.setenv("COURSE_STATIC", static)
        assert readers.let_it_read(4) == "done" and len(shown) == pictures
        assert shown[-1].startswith("Figure: area chart") and said[-1] == "... **a word**\n\n`OutOfBlocks: none`"
        shown.clear()


def test_the_words_that_it_never_read_follow_those_that_it_did(prose):
    said = cell_text("home-setup")
    words = re.search(r"\*\*(.+?)\*\*", said)[1]
    unread = re.search(r"\*(And it has fed .+?)\*", prose)[1]
    text = " ".join(read_text("english").split())
    assert f"{words} {unread[0].lower()}{unread[1:]}" in text
    assert "OutOfBlocks: out of blocks: 2 needed, 0 free, 34 held" in said and "read 544 tokens" in said
    loaded = load_smollm2()
    assert loaded.tokenizer.decode(text_ids(loaded, 544)[0, -24:]).split() == words.split()


def test_the_saved_lesson_shows_the_records_as_they_are(prose):
    """Whoever measures again must run this lesson again."""
    found = load_last_words()
    assert f"Result: {round(found.asked_for / 2**20, 2):g} MiB." in cell_text("home-die-result")
    assert found.growing.error in cell_text("home-die-result")
    more, spread = found.price
    assert f"{more:.3f} nats higher, plus or minus {spread:.3f}" in cell_text("home-on-figure")
    assert found.made_on in cell_text("home-on-figure") and found.made_on in cell_text("home-die-check")
    assert f"Rows of {found.predicted:,} tokens" in prose and f"{found.room // 2**20} MiB more" in prose
    lines = load_stacked_savings().lines
    assert f"Result: {lines[names.EVERYWHERE].bytes_held / 2**20:.2f} MiB." in cell_text("home-far-result")
    run = load_engine_total().runs
    assert f"Result: {run[8, False].process_mib / run[1, False].process_mib:.2f} times." in cell_text("home-sum-result")


# --- Levers ----------------------------------------------------------------------------------------------------------
def test_a_bar_is_as_long_as_its_bytes_and_its_mark_as_far():
    figure = stacked(["a", "b", "c", "d"], [800, 200, 200, 300], [800, 250, 200, 300], too_far=1)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [800, 200, 200, 300]
    assert [bar.get_hatch() for bar in ax.patches] == [None, None, None, "//"]
    [marks] = [line for line in ax.lines if line.get_label() == "predicted"]
    assert marks.get_xdata().tolist() == [800, 250, 200, 300]
    said = ["800 B", "200 B, 4.00 times less", "200 B, no change", "300 B, 1.50 times more"]
    assert [text.get_text().strip() for text in ax.texts] == said
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "c", "d"]


def test_a_price_is_a_dot_with_its_interval_beside_what_no_lever_costs():
    tests = {"loss": [Cost(0.1, 0.0, 0.2), Cost(0.3, 0.2, 0.4)], "right": [Cost(0.5, 0.4, 0.6), None]}
    figure = prices(["q8_0", "keep half"], tests, {"loss": 0.0, "right": 1.0}, percent=["right"])
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    loss, right = figure.axes
    assert [line.get_marker() for line in loss.lines if line.get_marker() != "None"] == ["o", "s"]
    assert [text.get_text() for text in right.texts] == ["not tested"] and not loss.texts
    assert right.get_xlim() == (-0.05, 1.05)


def test_the_prices_are_those_of_the_records():
    found, sweep = lever_prices.costs(), load_smollm2_sweep()
    assert [len(costs) for costs in found.values()] == [5, 5, 5]
    assert found[lever_prices.SHEETS][-1] is None
    half = sweep.find("english", "TriAttention", 0.5).more_than(sweep.find("english", "no eviction"))
    assert found[lever_prices.ENGLISH][1] == Cost(half[0], half[0] - half[1], half[0] + half[1])
    known = lever_prices.facts_known()
    assert known["keep half"] == sum(sweep.find("facts", "TriAttention", 0.5).right)
    assert [cost.value for cost in found[lever_prices.FACTS]] == [count / 12 for count in known.values()]
    for name, saves in lever_prices.SAVES.items():
        lever = lever_prices.LEVERS[name]
        exact = 16 / KV_LAYOUTS[lever].bits if isinstance(lever, str) else 1 / lever
        assert float(saves) == round(exact, 2)


def test_the_lesson_says_of_prices_what_the_records_say(prose):
    sweep, formats = load_smollm2_sweep(), load_stacked_savings().formats
    all_rows = sweep.find("english", "no eviction")
    half, quarter = (sweep.find("english", "TriAttention", share) for share in (0.5, 0.25))
    assert "half of the rows cost nothing that eight texts can show" in prose and len(half.losses) == 8
    for free in (half, formats["english", "q8_0"]):
        more, spread = free.more_than(all_rows)
        assert abs(more) <= spread
    more, spread = formats["english", "q4_0"].more_than(quarter)
    assert more > spread and "even a quarter costs less than q4_0" in prose
    known = lever_prices.facts_known()
    assert f"q4_0 keeps {known['q4_0']} of 12, a quarter of the rows keeps {known['keep a quarter']}" in prose
    assert (known["q8_0"], known["keep half"]) == (12, 10) and "Ten of twelve" in prose
    told = dict(zip(lever_prices.LEVERS, lever_prices.costs()[lever_prices.FACTS], strict=True))
    assert f"from {told['keep half'].low:.0%} to {told['keep half'].high:.0%} could be known" in prose
    assert told["q4_0"].low > told["keep a quarter"].high and "their bars do not meet" in prose
    sheets = dict(zip(lever_prices.LEVERS, lever_prices.costs()[lever_prices.SHEETS], strict=True))
    assert sheets["keep a quarter"].high < 0.1 and sheets["q8_0"].value == lever_prices.without()[lever_prices.SHEETS]
    stack = load_stacked_savings()
    for name in (names.Q8_0, names.SHARED, names.COMPACTED):  # "all three are within chance of nothing"
        more, spread = stack.price(name)
        assert abs(more) <= spread


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
        whose = ", ".join(CLAIMS[claim].evidence)
        assert row == f"| {claim} | {CLAIMS[claim].told} | **{verdict}** | {whose} | {why} |"


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


def test_each_claim_stands_in_the_row_of_each_evidence_under_its_verdict():
    values = recorded(NOTEBOOKS)
    head, _, *rows = table_by_evidence(values).splitlines()
    columns = [column.strip() for column in head.split("|")[2:-1]]
    assert [row.split("|")[1].strip() for row in rows] == list(EVIDENCE)
    for row in rows:
        kind, *cells = (cell.strip() for cell in row.split("|")[1:-1])
        for verdict, cell in zip(columns, cells, strict=True):
            for claim in filter(None, cell.split(", ")):
                assert kind in CLAIMS[claim].evidence and judge(claim, values)[0] == verdict
    found = [claim for row in rows for claim in re.findall(r"[AB]\d+", row)]
    assert sorted(found) == sorted(name for name, claim in CLAIMS.items() for _ in claim.evidence)


def test_the_lesson_s_change_of_a_value_changes_its_verdict():
    before, after = cell_text("home-claims-change").strip().splitlines()
    assert before.split(" | ")[1] != after.split(" | ")[1]


def test_no_claim_that_needs_a_source_holds_without_an_if(prose):
    values = recorded(NOTEBOOKS)
    needing = [name for name, claim in CLAIMS.items() if "source" in claim.evidence]
    assert needing and all(judge(name, values)[0] != HOLDS for name in needing)
    assert "somebody else's word, not one holds without an if" in prose


def test_the_quiz_comes_before_the_verdicts_that_answer_two_of_its_questions():
    ids = [cell["id"] for cell in json.loads(outputs())["cells"]]
    assert ids.index("cell-48") < ids.index("home-claims-result")


def test_changing_one_value_changes_one_row_of_the_table():
    values = recorded(NOTEBOOKS)
    changed = values | {"A7": values["A7"] | {"freed_with_one_row_alive": 1}}
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


def test_the_share_that_vllm_takes_untold_may_be_too_little(prose):
    plan = Plan("Qwen3-32B", "q4_k_m", "RTX 4090", context=32_768, kept=12_000)
    least, most = (budget.total / GiB for budget in plan.budgets)
    taken = 0.92 * plan.machine.driver_memory / GiB
    assert least < taken < most and f"unless told: {taken:.1f} GiB, and {least:.1f} to {most:.1f} are needed" in prose


def test_llama_cpp_has_a_kernel_for_the_pairs_of_the_table_or_it_says_what_to_build(prose):
    pairs = re.findall(r"--cache-type-k (\w+) --cache-type-v (\w+)([^|]*)", prose)
    assert [pair[:2] for pair in pairs] == [("q8_0", "q8_0"), ("q8_0", "q4_0")]
    for k, v, more in pairs:
        assert (k == v and k in STOCK_KERNELS) or f"`-DGGML_CUDA_FA_QUANTS={k}-{v}`" in more
    assert "q4_0" in STOCK_KERNELS and "q4_0 for both runs in any of them" in prose


def test_the_speeds_in_the_answers_are_the_plan_s(prose):
    full, kept = (Plan("Llama-3.1-70B", "q4_k_m", "M4 Max 128GB", context=131_072, kept=k) for k in (None, 12_000))
    assert f"at {full.speed(131_072):.1f} tokens per second when full" in prose
    assert f"with 12,000 kept it is {kept.speed(131_072):.1f}." in prose
    assert full.usable and kept.usable
