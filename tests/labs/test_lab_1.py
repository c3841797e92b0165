"""Lab 1: hand sums against footprint, a message for every slip, the published numbers and their formulas, its prose."""

import io
import math
from pathlib import Path

import nbformat
import pytest

from helpers.arithmetic import (
    GB,
    MODELS,
    GiB,
    KVShape,
    MemoryBudget,
    MiB,
    decode_ceiling,
    find_card,
    max_tokens,
    weights_bytes,
)
from helpers.plots.budget import shares_of_cards
from helpers.teaching.labs import lab_1
from helpers.teaching.labs.lab_1_hand_sums import (
    KINDS,
    OVERHEAD,
    QUESTIONS,
    budget,
    hand_sum,
    mistakes,
    right_answer,
)

MASTER = Path(__file__).parents[2] / "labs" / "masters" / "lab_1_will_it_fit.ipynb"


@pytest.fixture
def said(capsys):
    """What the last check printed, and only that."""
    return lambda: capsys.readouterr().out.strip()


# --- The questions ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", QUESTIONS)
def test_a_hand_sum_without_a_slip_is_what_footprint_says(number):
    question = QUESTIONS[number]
    assert KINDS[question.kind][1](hand_sum(question)) == pytest.approx(right_answer(question), rel=1e-9)


def test_there_are_ten_of_seven_kinds_and_two_that_do_not_fit():
    assert list(QUESTIONS) == list(range(1, 11))
    assert {question.kind for question in QUESTIONS.values()} == set(KINDS)
    totals = {n: q for n, q in QUESTIONS.items() if q.kind == "total"}
    assert [n for n, q in totals.items() if budget(q).total > find_card(q.card).memory] == [5, 8]


@pytest.mark.parametrize("number", QUESTIONS)
def test_every_mistake_gets_its_own_message(number, said):
    right, value = right_answer(QUESTIONS[number]), mistakes(QUESTIONS[number])
    lab_1.check_question(number, right)
    assert said().startswith("Right: ")
    singles = {line: wrong for line, wrong in value.items() if not line.startswith("perhaps two things")}
    assert len(singles) >= 4
    for line, wrong in singles.items():
        lab_1.check_question(number, wrong)
        assert said() == f"Not yet: {line}"


@pytest.mark.parametrize("number", QUESTIONS)
def test_no_two_mistakes_are_mistaken_for_each_other(number):
    singles = [w for line, w in mistakes(QUESTIONS[number]).items() if not line.startswith("perhaps two things")]
    for i, one in enumerate(singles):
        assert not any(math.isclose(one, other, rel_tol=1e-3) for other in singles[:i])


@pytest.mark.parametrize(
    ("number", "answer", "message"),
    [
        (1, 2 * 32 * 32 * 128 * 2, "32 is the number of query heads; only the 8 KV heads keep rows."),
        (1, 32 * 8 * 128 * 2, "a factor 2 is missing"),
        (1, 2 * 32 * 8 * 128 * 16, "16 is bits"),
        (1, 2 * 32 * 8 * 128, "a factor 2 is missing"),
        (2, 2 * 64 * 8 * 80 * 2 * 32_768 / GiB, "hidden size over query heads is 80; the file names head_dim 128."),
        (2, 2 * 64 * 8 * 128 * 2 * 32_768 / GB, "that is in GB"),
        (2, 2 * 64 * 64 * 128 * 2 * 32_768 / GiB, "either 64 is the number of query heads"),
        (2, 2 * 64 * 64 * 128 * 32_768 / GiB, "two things at once. First, 64 is the number of query heads"),
        (3, 6.0, "the sliding layers do not keep all tokens."),
        (3, 1.5, "a factor 2 is missing"),
        (4, 70.55 * 4 / 8 * GB / GiB, "q4_k_m takes 4.82 bits per weight, not 4.0"),
        (4, 42.51, "that is in GB"),
        (4, 70.55 * 4.82 * GB / GiB, "4.82 is bits per weight; 8 of them are a byte."),
        (5, 39.59 + 40, "the overhead is missing."),
        (5, 42.51 + 40 + 0.75, "the weights went in as GB"),
        (6, (24 - 14.957) * GiB / 131_072, "the overhead is missing."),
        (6, (24 * GB - 0.75 * GiB - 16.06 * GB) // 131_072, "the 24 GB of a card are 24 GiB."),
        (7, 64.2925, "only whole users count."),
        (7, 79, "the weights are missing."),
        (8, 0.75 + 39.59 + 40, "that is for one user"),
        (8, 4 * (0.75 + 39.59 + 40), "weights and overhead are there once, for all users."),
        (8, 0.75 + 4 * (39.59 + 40), "the weights are loaded once, for all users."),
        (9, 0.75 + 18.383 + 4, "q8_0 takes 8.5 bits per number, not 8"),
        (9, 0.75 + 18.383 + 8, "that is with the cache in 16 bits."),
        (10, 546 / 42.51, "the cache is missing."),
        (10, (42.51 + 42.95) / 546, "that is seconds per token"),
        (10, 546 * GiB / (42.51 * GB + 42.95 * GB), "a vendor's GB/s are powers of 1000."),
        (2, 8.5, "8.5 is 6.2% too high"),  # no known mistake
        (7, 65, "the overhead is missing."),
        (7, 66, "3.1% too high"),
        (5, "eighty", "the answer is a number of GiB, not str"),
        (5, ..., "replace the three dots"),
        (5, 0, "more than 0"),
    ],
)
def test_typical_wrong_answers(number, answer, message, said):
    lab_1.check_question(number, answer)
    out = said()
    assert out.startswith("Not yet: ") and message in out


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("token", 32, "Right"),
        ("token", 64, "1 KV head"),
        ("token", 16, "a factor 2 is missing"),
        ("token", 256, "bits"),
        ("context", 15, "Right"),
        ("context", 31, "overhead and weights come first"),
        ("context", 480, "those are bytes"),
        ("context", 14, "6.7% too low"),  # off by one
        ("users", 5, "Right"),
        ("users", 15, "each user has 3"),
        ("users", 1, "loaded once"),
        ("speed", 10, "Right"),
        ("speed", 5_160 / 420, "without the cache"),
        ("speed", 0.1, "turn it round"),
        ("speed", 5_160 / 452, "all 3 tokens"),
    ],
)
def test_the_toy(check, answer, message, said):
    getattr(lab_1, f"check_toy_{check}")(answer)
    assert message in said()


# --- The functions ---------------------------------------------------------------------------------------------------
def shape(model):
    return KVShape.from_config(MODELS[model].config)


def weights(model, weight_format):
    return weights_bytes(MODELS[model].n_params, weight_format)


def free(model, weight_format, card):
    return find_card(card).memory - OVERHEAD - weights(model, weight_format)


FUNCTIONS = {
    "cache_bytes": lambda m, t, u, kv: shape(m).bytes(t, u, kv),
    "total_bytes": lambda m, w, t, u, kv: MemoryBudget(OVERHEAD, weights(m, w), shape(m).bytes(t, 1, kv), u).total,
    "longest": lambda m, w, c, u, kv: max_tokens(free(m, w, c), shape(m), u, kv),
    "speed": lambda m, w, c, t: decode_ceiling(find_card(c).bandwidth, weights(m, w), shape(m).bytes(t)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_right_functions_pass(name, said):
    getattr(lab_1, f"check_{name}")(FUNCTIONS[name])
    assert all(line.endswith(": right.") for line in said().splitlines())


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("cache_bytes", lambda m, t, u, kv: shape(m).bytes(t, 1, kv), "the number of users plays no part in yours."),
        ("cache_bytes", lambda m, t, u, kv: u * shape(m).bytes(t, u, kv), "the users are counted twice"),
        ("cache_bytes", lambda m, t, u, kv: shape(m).bytes_per_token(kv) * t * u, "sliding layers do not grow"),
        ("cache_bytes", lambda m, t, u, kv: shape(m).bytes(t, u), "the format plays no part in yours."),
        ("cache_bytes", lambda m, t, u, kv: shape(m).bytes(t, u, kv) / GiB, "that is in GiB; give bytes."),
        ("cache_bytes", lambda m, t, u, kv: 131_072, "it gives 131,072; right is"),  # constant
        ("cache_bytes", lambda m, t, u, kv: shape(m).bytes(u, t, kv), "tokens and users have changed places"),
        ("cache_bytes", lambda m, t, u, kv: None, "is there a return?"),
        ("cache_bytes", lambda m, t, u, kv: "much", "it gives 'much'; a number is asked for."),
        ("cache_bytes", lambda m, t, u, kv: MODELS[m].bytes(t), "it raised AttributeError"),
        ("total_bytes", lambda m, w, t, u, kv: FUNCTIONS["total_bytes"](m, w, t, 1, kv), "the number of users"),
        (
            "total_bytes",
            lambda m, w, t, u, kv: MemoryBudget(OVERHEAD, weights(m, w), shape(m).bytes(t, u, kv), u).total,
            "MemoryBudget takes the cache of one, and their number.",
        ),
        (
            "total_bytes",
            lambda m, w, t, u, kv: FUNCTIONS["total_bytes"](m, w, t, u, kv) - OVERHEAD,
            "the overhead is missing.",
        ),
        (
            "total_bytes",
            lambda m, w, t, u, kv: u * FUNCTIONS["total_bytes"](m, w, t, 1, kv) - (u - 1) * OVERHEAD,
            "the weights are loaded once, for all users.",
        ),
        (
            "total_bytes",
            lambda m, w, t, u, kv: FUNCTIONS["total_bytes"](m, w, t, u, "fp16"),
            "the format of the cache plays no part in yours.",
        ),
        (
            "total_bytes",
            lambda m, w, t, u, kv: FUNCTIONS["total_bytes"](m, "bf16", t, u, kv),
            "the format of the weights plays no part in yours.",
        ),
        (
            "longest",
            lambda m, w, c, u, kv: max_tokens(free(m, w, c) + OVERHEAD, shape(m), u, kv),
            "the overhead is missing.",
        ),
        (
            "longest",
            lambda m, w, c, u, kv: max_tokens(find_card(c).memory_gb - OVERHEAD - weights(m, w), shape(m), u, kv),
            "`memory_gb` is 24, not bytes",
        ),
        (
            "longest",
            lambda m, w, c, u, kv: max_tokens(24 * GB - OVERHEAD - weights(m, w), shape(m), u, kv),
            "the 24 GB of a card are 24 GiB",
        ),
        ("longest", lambda m, w, c, u, kv: max_tokens(free(m, w, c), shape(m), 1, kv), "the number of users"),
        ("longest", lambda m, w, c, u, kv: max_tokens(free(m, w, c), shape(m), u), "the format plays no part"),
        (
            "longest",
            lambda m, w, c, u, kv: u * max_tokens(free(m, w, c), shape(m), u, kv),
            "that is for all users together",
        ),
        ("speed", lambda m, w, c, t: FUNCTIONS["speed"](m, w, c, 0), "the cache is missing"),
        ("speed", lambda m, w, c, t: FUNCTIONS["speed"](m, w, c, t) / GB, "`bandwidth_gb_s` is in GB per second"),
        ("speed", lambda m, w, c, t: 1 / FUNCTIONS["speed"](m, w, c, t), "turn it round"),
        ("speed", lambda m, w, c, t: FUNCTIONS["speed"](m, w, c, 20_000), "an empty cache. Not yet"),
    ],
)
def test_a_wrong_function_is_told_why(name, function, message, said):
    getattr(lab_1, f"check_{name}")(function)
    out = said()
    assert "Not yet: " in out.splitlines()[-1] and message in out.splitlines()[-1]


def test_a_stub_s_sentence_passes_through():
    def stub(*arguments):
        raise NotImplementedError("Write me.")

    for check in (lab_1.check_cache_bytes, lab_1.check_total_bytes, lab_1.check_longest, lab_1.check_speed):
        with pytest.raises(NotImplementedError, match="Write me"):
            check(stub)
    with pytest.raises(NotImplementedError, match="Write me"):
        lab_1.check_published("canitrun.dev", stub)


# --- Published numbers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", lab_1.PUBLISHED)
def test_the_mistake_gives_the_published_number_and_the_truth_does_not(who, said):
    case = lab_1.PUBLISHED[who]
    assert (
        abs(case.wrong(*case.arguments) - case.number) <= case.within < abs(case.right(*case.arguments) - case.number)
    )
    lab_1.check_published(who, case.wrong)
    assert said().splitlines()[-1] == f"The mistake: {case.mistake}"


@pytest.mark.parametrize("who", lab_1.PUBLISHED)
def test_the_truth_gets_a_clue_and_a_constant_is_caught(who, said):
    case = lab_1.PUBLISHED[who]
    lab_1.check_published(who, case.right)
    assert f"is the true number. Published is {case.number:g}: {case.clue}" in said()
    lab_1.check_published(who, lambda *numbers: case.number)
    out = said()
    assert "the published number: right." in out and "it gives the same for all" in out and "The mistake" not in out


def test_the_right_formulas_are_the_course_s_own():
    for model, heads in (("Llama-3.1-70B", 64), ("Llama-3.1-8B", 32)):
        one = shape(model)
        of = lab_1.PUBLISHED["pulseaugur.com"].right(one.n_layers, heads, one.n_kv_heads, one.head_dim, 5)
        assert of == one.bytes(5) / GB
    right = lab_1.PUBLISHED["NVIDIA's blog"].right(4, 8, 16)
    assert right == pytest.approx(100 * (1 - 4.5 / 8))


@pytest.mark.parametrize(
    ("who", "function", "message"),
    [
        ("pulseaugur.com", lambda n, h, kv, d, t: 2 * n * h * d * 2 * t, "that is in bytes; divide by GB."),
        ("pulseaugur.com", lambda n, h, kv, d, t: 2 * n * h * d * 2 * t / GiB, "that is in GiB; divide by GB."),
        ("pulseaugur.com", lambda n, h, kv, d, t: 2 * n * 64 * d * 2 * t / GB, "yours fits one number by chance"),
        ("pulseaugur.com", lambda n, h, kv, d, t: n * h * d * 2 * t / GB, "Yours is 1.98 times too low."),
        (
            "pulseaugur.com",
            lambda n, h, kv, d, t: 2 * t * h * d * 2 * kv * kv / GB,
            "it gives 274.9 GB; published is 340",
        ),
        ("Hugging Face's table", lambda n, kv, d, t: 2 * n * kv * d * 2 * 131_072 / GiB, "published is 39.06"),
        ("canitrun.dev", lambda b: b * 4 / 8 * 70 / b, "it gives the same for all"),
        ("canitrun.dev", lambda b: b * 4, "8 times too high"),
        ("NVIDIA's Model-Optimizer", lambda h, n, d: h / n / d - 1, "that is a share"),
        ("NVIDIA's Model-Optimizer", lambda h, n, d: h / n, "it gives 45 percent; published is -30."),
        ("NVIDIA's blog", lambda v, s, g: 1 - v / 8, "that is a share"),
        ("NVIDIA's blog", lambda v, s, g: 1 / 0, "it raised ZeroDivisionError"),
    ],
)
def test_a_wrong_formula_is_told_why(who, function, message, said):
    lab_1.check_published(who, function)
    assert message in said().splitlines()[-1]


def test_the_other_published_cases_come_out_too():
    table = lab_1.PUBLISHED["Hugging Face's table"].wrong
    rows = [(32, 8, 128, 128_000), (80, 8, 128, 128_000), (126, 16, 128, 128_000)]
    assert [f"{table(*row):.3f}" for row in rows] == ["15.625", "39.062", "123.047"]
    assert lab_1.PUBLISHED["canitrun.dev"].wrong(405) == 202.5
    assert lab_1.PUBLISHED["NVIDIA's Model-Optimizer"].wrong(5_120, 32, 128) == 25


@pytest.mark.parametrize(
    ("answer", "message"),
    [(16, "Right"), (8, "gives 61.52"), (128, "gives 984.38"), (2, "how many heads is that"), (17, "6.2% too high")],
)
def test_the_heads_of_405b(answer, message, said):
    lab_1.check_heads_405b(answer)
    assert message in said()
    table = lab_1.PUBLISHED["Hugging Face's table"].wrong
    assert [f"{table(126, heads, 128, 128_000):.2f}" for heads in (8, 128)] == ["61.52", "984.38"]


@pytest.mark.parametrize(
    ("model", "answer", "message"),
    [
        ("Llama-2-7B", 8, "Right"),
        ("Llama-2-7B", 64, "divides by 8 as well"),
        ("Llama-2-7B", 1 / 8, "the other way round"),
        ("Llama-3.1-70B", 128, "Right"),
        ("Llama-3.1-70B", 16, "compare with the KV heads"),
        ("Llama-3.1-70B", 41_943_040, "that is what the formula gives"),
        ("Llama-3.1-70B", 8, "16 times too low"),
    ],
)
def test_the_stretch(model, answer, message, said):
    lab_1.check_times(model, answer)
    assert message in said()


# --- The picture, and the prose --------------------------------------------------------------------------------------
def test_shares_of_cards_stacks_each_load_against_its_card():
    loads = [{"overhead": 10, "weights": 40, "KV cache": 60}, {"overhead": 5, "weights": 20, "KV cache": 0}]
    figure = shares_of_cards(["one", "two"], loads, [100, 50])
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    bars = [(bar.get_x(), bar.get_width()) for container in ax.containers for bar in container]
    assert bars == [pytest.approx(bar) for bar in [(0, 0.1), (0.1, 0.4), (0.5, 0.6), (0, 0.1), (0.1, 0.4), (0.5, 0)]]
    assert [text.get_text() for text in ax.texts] == ["110.0%", "50.0%"]
    assert list(ax.lines[0].get_xdata()) == [1, 1]
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "the card's limit",
        "overhead",
        "weights",
        "KV cache",
    ]


@pytest.fixture(scope="module")
def prose():
    notebook = nbformat.read(MASTER, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_numbers_in_words(prose):
    assert "3 MiB of the 3 GiB" in prose
    sliding = 12 * 127 * 2 * 8 * 64 * 2
    assert round(sliding / MiB) == 3 and round((shape("gpt-oss-20b").bytes(131_072)) / GiB) == 3
    assert "It misses by 0.34 GiB" in prose and "less than half of the overhead" in prose
    short = budget(QUESTIONS[5]).total - 80 * GiB
    assert round(short / GiB, 2) == 0.34 and short < OVERHEAD / 2 and short - OVERHEAD < 0
    assert "with 0.5 GiB it misses by 0.09, with 1.5 by 1.09" in prose
    assert [round((short - OVERHEAD) / GiB + band, 2) for band in (0.5, 1.5)] == [0.09, 1.09]
    assert "12.8 tokens per second at best, with a full one 6.4" in prose
    card, w = find_card("M4 Max 128GB"), weights("Llama-3.1-70B", "q4_k_m")
    speeds = [decode_ceiling(card.bandwidth, w, shape("Llama-3.1-70B").bytes(n)) for n in (0, 131_072)]
    assert [round(speed, 1) for speed in speeds] == [12.8, 6.4]
    assert "The truth is 42.9 GB" in prose and round(shape("Llama-3.1-70B").bytes(131_072) / GB, 1) == 42.9
    assert "42.5 GB" in prose and round(w / GB, 1) == 42.5
    assert "On the old model it is 8, on the new one 128." in prose


def test_the_minutes_add_up(prose):
    parts = [5, 9, 12, 8, 11]
    assert [f"{minutes} minutes." in prose for minutes in parts] == [True] * 5
    assert "About 45 minutes." in prose and sum(parts) == 45


def test_the_toy_is_what_footprint_says():
    toy = KVShape(2, 1, 4)
    assert toy.bytes_per_token() == 32 and max_tokens(480, toy) == 15
    assert max_tokens(480, toy, sequences=5) == 3 > max_tokens(480, toy, sequences=6)
    assert decode_ceiling(5_160, 420, toy.bytes(3)) == 10
