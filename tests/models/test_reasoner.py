"""The reasoner: its task recomputed from the prompt alone, its grader, its weights, its exactness, its training."""

import hashlib
import json
import re
import string

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.decoding import answers
from helpers.decoding.answers import complete, share_right
from helpers.experiments import train_reasoner, worksheet_training
from helpers.experiments.worksheet_training import Pupil, Schedule, make_batch
from helpers.models import grade, make_worksheets
from helpers.models.tokenizer import WORDS, make_tokenizer
from helpers.models.worksheets import WEIGHTS, is_held_out
from tests.families import build, plain

N_LINES = [1, 2, 5, 16, 40, 48]


def sheets_of(n_lines, count=40, seed=2, **options):
    return make_worksheets(count, n_lines, seed, **options)


# --- The task, recomputed from the prompt ----------------------------------------------------------------------------
def read(prompt):
    """The prompt taken apart: constants ``{name: value}``, formulas ``[(name, operator, a, b)]`` and the name asked."""
    *statements, question = prompt.split(" ; ")
    assert re.fullmatch(r"\? [a-zA-Z]", question)
    constants, formulas = {}, []
    for statement in statements:
        if constant := re.fullmatch(r"([a-zA-Z]) = (\d)", statement):
            constants[constant[1]] = int(constant[2])
        else:
            formulas.append(re.fullmatch(r"([a-zA-Z]) = ([-+*]) ([a-zA-Z]) ([a-zA-Z])", statement).groups())
    return constants, formulas, question[2:]


def solve(prompt):
    """The thought and the answer that the prompt calls for."""
    values, formulas, asked = read(prompt)
    lines = []
    for name, operator, a, b in formulas:
        x, y = values[a], values[b]
        values[name] = {"+": x + y, "-": x - y + 10, "*": x * y}[operator] % 10
        lines.append(f"{name} : {operator} {a} {x} {b} {y} = {name} {values[name]} ;")
    return " ".join([*lines, f"answer {asked}"]), str(values[asked])


@pytest.mark.parametrize("n_lines", N_LINES)
def test_thought_and_answer_follow_from_the_prompt(n_lines):
    for sheet in sheets_of(n_lines):
        assert (sheet.thought, sheet.answer) == solve(sheet.prompt)


@pytest.mark.parametrize("n_lines", N_LINES)
def test_a_worksheet_defines_every_operand_before_its_use_and_every_name_once(n_lines):
    for sheet in sheets_of(n_lines):
        constants, formulas, asked = read(sheet.prompt)
        names = [*constants, *(formula[0] for formula in formulas)]
        assert (len(constants), len(formulas)) == (4, n_lines)
        assert len(set(names)) == len(names)
        assert set(names) <= set(string.ascii_letters)
        for i, (_, _, a, b) in enumerate(formulas):
            assert {a, b} <= set(names[: 4 + i])
            assert a != b
        assert asked in names[4:]


@pytest.mark.parametrize("n_lines", N_LINES)
def test_one_token_per_word_and_no_unknown_one(n_lines):
    tokenizer = make_tokenizer()
    for sheet in sheets_of(n_lines, count=10):
        text = f"{sheet.prompt} {sheet.thought} {sheet.answer} <eos>"
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids[-1] == tokenizer.eos_token_id
        assert [tokenizer.decode([i]) for i in ids[1:]] == text.split()
        assert tokenizer(text.replace(" ; ", " ;\n")).input_ids == ids


def test_the_vocabulary_has_no_word_twice():
    assert len(set(WORDS)) == len(WORDS) == len(make_tokenizer())


@pytest.mark.parametrize("n_lines", N_LINES)
def test_all_worksheets_of_one_n_lines_have_one_length(n_lines):
    lengths = {
        (len(sheet.prompt.split()), len(sheet.thought.split()), len(sheet.answer)) for sheet in sheets_of(n_lines)
    }
    assert lengths == {(4 * 4 + 6 * n_lines + 2, 11 * n_lines + 2, 1)}


@pytest.mark.parametrize("n_lines", N_LINES)
def test_needed_is_what_a_naive_reading_finds(n_lines):
    for sheet in sheets_of(n_lines):
        words = [*sheet.thought.split(), sheet.answer]
        naive = {}
        for i, word in enumerate(words):
            if word.isdigit():
                later = (j for j in range(i + 1, len(words)) if words[j].isdigit() and words[j - 1] == words[i - 1])
                naive[i] = tuple(later)
        assert sheet.needed == {i: restated for i, restated in naive.items() if restated}
        assert list(sheet.needed) == sorted(sheet.needed)
        assert all(words[i] == words[j] for i, restated in sheet.needed.items() for j in restated)


def test_the_answer_itself_is_needed():
    for sheet in sheets_of(16):
        at = len(sheet.thought.split())
        assert any(at in restated for restated in sheet.needed.values())


def test_the_same_seed_gives_the_same_sheets_and_another_seed_others():
    first = sheets_of(8, seed=3)
    assert first == sheets_of(8, seed=3)
    assert first[:5] == sheets_of(8, count=5, seed=3)
    assert len({sheet.prompt for sheet in first}) == len(first)
    assert not {sheet.prompt for sheet in first} & {sheet.prompt for sheet in sheets_of(8, seed=4)}


def test_no_sheets_and_the_shortest_sheet():
    assert make_worksheets(0, 5, seed=0) == []
    assert len(read(make_worksheets(1, 1, seed=-7)[0].prompt)[1]) == 1


@pytest.mark.parametrize("n_lines", [1, 4, 16, 40])
def test_held_out_and_training_sheets_are_disjoint_by_hash(n_lines):
    for held_out in (True, False):
        for sheet in sheets_of(n_lines, held_out=held_out):
            by_hand = int(hashlib.sha256(sheet.prompt.encode()).hexdigest()[:2], 16) % 16 == 0
            assert is_held_out(sheet.prompt) == by_hand == held_out


def test_training_s_own_batches_hold_nothing_held_out():
    tokenizer = make_tokenizer()
    pupil = Pupil(None, tokenizer, [], tell=lambda sheet: sheet, end=" <eos>")
    for step in range(60):
        ids, prompt_length = make_batch(pupil, step, longest=6, batch_tokens=400)
        assert ids.numel() <= 400 or len(ids) == 1
        for row in ids:
            prompt, rest = tokenizer.decode(row[1:prompt_length]), tokenizer.decode(row[prompt_length:])
            thought, answer = solve(prompt)
            assert rest == f"{thought} {answer} <eos>"
            assert not is_held_out(prompt)


# --- Memory: is anything needed from far back? -----------------------------------------------------------------------
def lookups(sheet):
    """Every look-up of a formula's value in the thought: (line, name, tokens back to its last mention, first use?)."""
    words = [*sheet.thought.split(), sheet.answer]
    last, first = {}, {}
    for i, word in enumerate(words):
        name = words[i - 1]
        if not word.isdigit():
            continue
        if words[i - 2] == "=":  # the line's result: the value comes into being here
            first[name] = i
        elif name in first:
            line = i // 11 if i + 1 < len(words) else "question"
            yield line, name, i - last[name], last[name] == first[name]
        last[name] = i


@pytest.fixture(scope="module")
def long_sheets():
    return sheets_of(40, count=200)


def test_values_are_needed_from_far_back(long_sheets):
    """Floors some standard errors (0.005 for 11,000 look-ups) below what the rule gives: 0.56, 0.27, 0.10.

    Beyond 32 tokens lies what the half-blind model cannot see. Were these shares small, recency would be a good policy
    and there would be nothing to teach.
    """
    found = [lookup for sheet in long_sheets for lookup in lookups(sheet)]
    assert sum(back > 32 for _, _, back, _ in found) / len(found) > 0.5
    assert sum(back > 100 for _, _, back, _ in found) / len(found) > 0.22
    assert sum(back > 100 and unused for _, _, back, unused in found) / len(found) > 0.07


def test_answers_hang_on_values_from_far_back(long_sheets):
    """Of the look-ups that the answer depends on, at least one is that far, on most sheets: 0.85 and 0.42 measured.

    The standard error for 200 sheets is 0.035 at most; the floors are three below.
    """
    far, forgotten, asked_far = 0, 0, 0
    for sheet in long_sheets:
        needed = chain_of_answer(sheet)
        far += any(back > 100 for back, _ in needed)
        forgotten += any(back > 100 and unused for back, unused in needed)
        asked_far += any(line == "question" and back > 100 for line, _, back, _ in lookups(sheet))
    assert far / len(long_sheets) > 0.75
    assert forgotten / len(long_sheets) > 0.31
    assert asked_far / len(long_sheets) > 0.4  # 0.53 measured


def chain_of_answer(sheet):
    """Distance and first use of every look-up that the answer really depends on."""
    line_of = {formula[0]: i for i, formula in enumerate(read(sheet.prompt)[1])}
    by_line = {}
    for line, name, back, unused in lookups(sheet):
        by_line.setdefault(line, []).append((name, back, unused))
    todo, done, needed = ["question"], set(), []
    while todo:
        line = todo.pop()
        if line not in done:
            done.add(line)
            needed += [(back, unused) for _, back, unused in by_line.get(line, [])]
            todo += [line_of[name] for name, _, _ in by_line.get(line, [])]
    return needed


# --- The grader ------------------------------------------------------------------------------------------------------
SHEET = make_worksheets(1, 5, seed=0)[0]
ASKED, WRONG = SHEET.prompt[-1], str((int(SHEET.answer) + 1) % 10)
OTHER = next(letter for letter in string.ascii_letters if letter != ASKED)


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (f"{SHEET.thought} {SHEET.answer}", True),
        (f"{SHEET.thought} {SHEET.answer} <eos>", True),
        (f"{SHEET.thought} {SHEET.answer} <eos> <eos> <eos>", True),
        (f"answer {ASKED} {SHEET.answer}", True),
        (f"\nanswer\n{ASKED}\n{SHEET.answer}\n", True),
        (f"answer {ASKED} {WRONG} ; answer {ASKED} {SHEET.answer}", True),
        (f"answer {ASKED} {SHEET.answer} ; answer {ASKED} {WRONG}", False),
        (f"{SHEET.thought} {WRONG}", False),
        (f"answer {OTHER} {SHEET.answer}", False),
        (f"answer {ASKED.swapcase()} {SHEET.answer}", False),
        (f"answer {SHEET.answer}", False),
        (f"answer {ASKED}", False),
        (f"answer {ASKED} <eos>", False),
        (f"answer {ASKED} {SHEET.answer}{SHEET.answer}", False),
        (f"{ASKED} {SHEET.answer}", False),
        (f"{ASKED} = {SHEET.answer} ;", False),
        ("answer", False),
        ("", False),
    ],
)
def test_grade(completion, right):
    assert grade(SHEET, completion) is right


@pytest.mark.parametrize(
    ("count", "n_lines", "words"),
    [
        (-1, 5, ["count", "-1", "0 or more"]),
        (1, 0, ["n_lines", "0", "1 to 48"]),
        (1, 49, ["n_lines", "49", "1 to 48"]),
    ],
)
def test_errors_say_which_argument_what_it_was_and_what_it_may_be(count, n_lines, words):
    with pytest.raises(ValueError) as error:
        make_worksheets(count, n_lines, seed=0)
    assert "\n" not in str(error.value)
    assert [word for word in words if word not in str(error.value)] == []


# --- The committed weights -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(WEIGHTS).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def report():
    return json.loads((WEIGHTS / "training.json").read_text())


def test_the_weights_are_small_and_of_the_shape_that_later_lessons_need(model):
    config = model.config
    assert config.model_type == "qwen3"
    assert sum(parameter.numel() for parameter in model.parameters()) <= 4_000_000
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir() if file.stem != "checkpoint") <= 16e6
    assert config.head_dim % 32 == 0
    assert config.num_key_value_heads >= 4
    assert config.num_attention_heads // config.num_key_value_heads >= 2
    assert config.rope_parameters["rope_type"] == "default"


def test_the_saved_tokenizer_is_the_one_that_the_code_makes(model, tokenizer):
    text = f"{SHEET.prompt} {SHEET.thought} {SHEET.answer} <eos>"
    assert tokenizer(text).input_ids == make_tokenizer()(text).input_ids
    assert tokenizer.get_vocab() == make_tokenizer().get_vocab()
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_report_beside_the_weights_reaches_what_was_asked(model, report):
    exam = report["exam"]
    assert exam["worksheets"] >= 200
    assert exam["exact_by_lines"]["16"] >= 0.99
    assert exam["exact_by_lines"]["40"] >= 0.97
    assert exam["exact_40_lines_last_32_tokens_visible"] < 0.40
    assert exam["tokens_per_second_one_sequence"] >= 150
    assert report["longest_worksheet_lines"] >= 40
    assert report["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert report["tokens"] > 1e6
    assert report["minutes"] > 0
    assert all(str(value).strip() for value in report["machine"].values())


def test_the_model_card_says_what_the_report_says(report):
    card = (WEIGHTS / "README.md").read_text()
    assert f"{report['tokens']:,} tokens" in card
    assert f"{report['parameters']:,} parameters" in card
    for n_lines, share in report["exam"]["exact_by_lines"].items():
        assert f"{share:.1%} at {n_lines} lines" in card


# Sampling error: a model that is right on 99% of all sheets misses 3 or more of 25 once in 500 draws, one that is right
# on 97% misses 5 or more once in 1,500; one that is right on 90% misses 3 or more in half of them. So 25 sheets tell a
# broken model from a good one; the report's 200 decide between good ones.
@pytest.mark.parametrize(("n_lines", "least"), [(16, 23), (40, 21)])
def test_exactness_measured_again_on_other_sheets(model, tokenizer, n_lines, least):
    share = share_right(model, tokenizer, make_worksheets(25, n_lines, seed=20_261))
    assert share >= least / 25


@pytest.mark.parametrize("n_lines", [2, 4, 8, 24])
def test_shorter_sheets_are_not_forgotten(model, tokenizer, n_lines):
    """The card promises all lengths up to the longest; a training that ends on long ones may lose the short ones."""
    share = share_right(model, tokenizer, make_worksheets(25, n_lines, seed=20_261))
    assert share >= 21 / 25


def test_without_its_memory_it_fails_on_most(model, tokenizer):
    """A true share of 0.40 would pass 0.5 by chance in 85 of 100 draws, 0.25 in all but one of 500."""
    share = share_right(model, tokenizer, make_worksheets(25, 40, seed=20_261), visible=32)
    assert share < 0.5


# --- How exactness is measured ---------------------------------------------------------------------------------------
def test_the_gold_solution_is_graded_right_and_a_blank_wrong(monkeypatch, tokenizer):
    sheets = sheets_of(3, count=30)
    gold = {sheet.prompt: f"{sheet.thought} {sheet.answer}" for sheet in sheets}
    monkeypatch.setattr(
        answers, "complete", lambda model, tokenizer, batch, visible: [gold[s.prompt] for s in batch[:-1]] + [""]
    )
    assert share_right(None, tokenizer, sheets) == 28 / 30  # batches of 25 and 5, one wrong in each


def test_with_all_of_the_thought_visible_nothing_changes(model, tokenizer):
    sheets = sheets_of(3, count=4)
    assert complete(model, tokenizer, sheets, visible=10_000) == complete(model, tokenizer, sheets)


def test_the_half_blind_mask_shows_the_prompt_and_the_last_tokens_only(model, tokenizer, monkeypatch):
    seen, sheets = [], sheets_of(2, count=3)

    def predict_next(model, input_ids, cache, attention_mask):
        seen.append((input_ids.shape[1], attention_mask))
        return torch.zeros(len(input_ids), dtype=torch.long)

    monkeypatch.setattr(answers, "predict_next", predict_next)
    complete(model, tokenizer, sheets, visible=5)
    prompt = 1 + len(sheets[0].prompt.split())
    assert len(seen) == len(sheets[0].thought.split()) + 2
    for step, (read_now, mask) in enumerate(seen):
        assert read_now == (prompt if step == 0 else 1)
        shown = [*range(prompt), *range(max(prompt, prompt + step - 5), prompt + step)]
        assert mask.shape == (3, prompt + step)
        assert all(row.nonzero().flatten().tolist() == shown for row in mask)


# --- Training --------------------------------------------------------------------------------------------------------
SHORT = {"tokens": 2_400, "hiding_tokens": 0, "lines": 4, "batch_tokens": 300}


def train(out, options):
    return train_reasoner.train(out, Schedule(**options), "cpu")


@pytest.fixture
def smaller_model(monkeypatch):
    """Training at its own pace is for the one test that looks at the loss; the others need its bookkeeping only."""
    monkeypatch.setattr(
        train_reasoner,
        "make_model",
        lambda vocab_size, n_kv_heads: build(plain("qwen3", head_dim=16, vocab_size=vocab_size)),
    )


@torch.no_grad()
def held_out_loss(model):
    """Nats per token of thought and answer, on fixed worksheets that training never saw."""
    tokenizer, sheets = make_tokenizer(), sheets_of(3, count=20)
    ids = tokenizer([f"{s.prompt} {s.thought} {s.answer} <eos>" for s in sheets], return_tensors="pt").input_ids
    start = 1 + len(sheets[0].prompt.split())
    logits = model(ids[:, :-1]).logits[:, start - 1 :]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, start:].flatten()).item()


def test_a_few_steps_of_training_lower_the_loss_and_save_a_model_that_loads(tmp_path):
    torch.manual_seed(0)
    before = held_out_loss(train_reasoner.make_model(len(WORDS)).eval())
    trained, tokenizer, progress = train(tmp_path, SHORT)
    assert progress.tokens >= SHORT["tokens"]
    assert held_out_loss(trained) < 0.97 * before  # eight steps at a low rate
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert held_out_loss(again) == pytest.approx(held_out_loss(trained), rel=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path)(SHEET.prompt).input_ids == tokenizer(SHEET.prompt).input_ids


def test_training_resumed_after_an_interruption_ends_in_the_same_weights(tmp_path, monkeypatch, smaller_model):
    """Saved at steps 1 to 5, killed in step 9: steps 6 to 8 are lost and done again."""
    options = SHORT | {"tokens": 4_000, "lines": 7}
    monkeypatch.setattr(worksheet_training, "LOW_LOSS", 10.0)  # they grow at every step, and must go on growing
    monkeypatch.setattr(worksheet_training, "SAVE_EVERY_S", -1)
    whole, _, whole_progress = train(tmp_path / "whole", options)

    with monkeypatch.context() as patch:
        saves, steps, real_save, real_step = [], [], worksheet_training._save, worksheet_training.train_step
        patch.setattr(worksheet_training, "_save", lambda *args: len(saves) < 5 and (saves.append(1), real_save(*args)))
        patch.setattr(worksheet_training, "train_step", lambda *args: interrupt_in_step_9(steps, real_step, args))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", options)
    assert (len(saves), len(steps)) == (5, 9)
    assert not (tmp_path / "broken" / "model.safetensors").exists()

    resumed, _, progress = train(tmp_path / "broken", options)
    assert (progress.step, progress.tokens, progress.longest) == (
        whole_progress.step,
        whole_progress.tokens,
        whole_progress.longest,
    )
    assert progress.loss == whole_progress.loss
    assert progress.seconds > 0
    for (name, ours), theirs in zip(resumed.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def interrupt_in_step_9(steps, real_step, args):
    steps.append(1)
    if len(steps) == 9:
        raise KeyboardInterrupt
    return real_step(*args)


def test_the_second_round_hides_rows_of_the_thought_and_trains_on(tmp_path, monkeypatch, smaller_model):
    seen, real = [], worksheet_training.train_step
    monkeypatch.setattr(worksheet_training, "train_step", lambda *args: (seen.append(args[-2:]), real(*args))[1])
    _, _, progress = train(tmp_path, SHORT | {"tokens": 1_200, "hiding_tokens": 6_000})
    assert progress.tokens >= 7_200
    hidden = [visible is not None for _, visible in seen]
    first = hidden.index(True)
    assert first * 300 >= 900  # nothing is hidden in the first round
    assert 0.3 < sum(hidden[first:]) / len(hidden[first:]) < 0.95
    assert max(rate for rate, visible in seen if visible is not None) <= worksheet_training.HIDING_RATE


def test_what_is_hidden_is_rows_of_the_thought_from_tokens_far_behind_them():
    masks = [worksheet_training.hide_rows(step, 3, 90, 40) for step in range(60)]
    shown = [mask for mask in masks if mask is not None]
    assert 0.4 < len(shown) / len(masks) < 0.8
    for mask in shown:
        assert mask.shape == (3, 1, 90, 90)
        for token in range(90):
            assert not mask[:, :, token, token + 1 :].any()
            assert mask[:, :, token, max(0, token - worksheet_training.NEAR + 1) : token + 1].all()
            assert mask[:, :, token, : min(40, token + 1)].all()
        last = mask[:, 0, 89, 40:74]
        for token in range(40 + worksheet_training.NEAR, 89):  # a row is hidden from all tokens behind it, or from none
            far = token - worksheet_training.NEAR + 1 - 40
            assert torch.equal(mask[:, 0, token, 40 : 40 + far], last[:, :far])
    hidden = torch.stack([~mask[:, 0, 89, 40:74] for mask in shown]).float().mean(-1).flatten()
    assert hidden.min() < 0.35 and hidden.max() > 0.95 and 0.55 < hidden.mean() < 0.78


def test_a_finished_training_is_not_trained_further(tmp_path, smaller_model):
    options = SHORT | {"tokens": 600}
    first, _, progress = train(tmp_path, options)
    again, _, progress_again = train(tmp_path, options)
    assert progress_again.step == progress.step
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_an_interrupted_save_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, smaller_model):
    options = SHORT | {"tokens": 600}
    train(tmp_path, options)
    good = (tmp_path / "checkpoint.pt").read_bytes()

    def half_a_save(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(worksheet_training.torch, "save", half_a_save)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, options | {"tokens": 1_200})
    assert (tmp_path / "checkpoint.pt").read_bytes() == good


def test_the_learning_rate_rises_holds_and_falls_to_nothing():
    budget = 1_000_000
    shares = [worksheet_training.learning_rate_share(tokens, budget) for tokens in range(0, budget + 1, 5_000)]
    assert 0 < shares[0] < 0.1
    assert max(shares) == 1
    assert shares[-1] == 0
    top = shares.index(1)
    assert shares[:top] == sorted(shares[:top])
    assert shares[top:] == sorted(shares[top:], reverse=True)


def test_the_report_and_the_card_are_written_beside_the_weights(tmp_path):
    model = train_reasoner.make_model(len(WORDS))
    exam = {
        "worksheets": 200,
        "exact_by_lines": {"16": 0.995, "40": 0.98},
        "exact_40_lines_last_32_tokens_visible": 0.123,
        "tokens_per_second_one_sequence": 321,
    }
    progress = worksheet_training.Progress(step=7, tokens=12_345, seconds=90.0, longest=40, history=[(1, 4, 2.0)])
    train_reasoner.write_report(tmp_path, "the command", model, progress, exam, hiding_tokens=2_345)
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["command"] == "the command"
    assert (report["tokens"], report["steps"], report["minutes"], report["exam"]) == (12_345, 7, 1.5, exam)
    card = (tmp_path / "README.md").read_text()
    for words in (
        "12,345 tokens",
        "last 2,345 tokens",
        "99.5% at 16 lines",
        "98.0% at 40 lines",
        "12.3%",
        "up to 40 lines",
    ):
        assert words in card
