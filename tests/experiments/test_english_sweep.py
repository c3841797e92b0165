"""The English reasoner's sweep: look-ups found in words, a cell run, and the saved figures against what follows."""

from math import ceil

import pytest
import torch

from helpers.cache.attention import attending
from helpers.eviction import ABLATIONS, POLICIES, Subject
from helpers.experiments import english_lookups as asking
from helpers.experiments import english_sweep as english
from helpers.experiments.sweep import Cell
from helpers.models.loading import gold_and_length
from helpers.models.worksheets_in_words import LINE_TOKENS, NUMBERS
from helpers.records import load_english_lookups, load_english_sweep
from helpers.records.english_lookups import ALL, NONE, OTHER, THE_ONE
from helpers.records.measured import read
from helpers.records.smollm2_sweep import EVERY_HEAD
from tests.models.test_smollm2 import needs_smollm2

SHEETS, LINES = 3, 6


@pytest.fixture(scope="module")
def saved():
    return read("english_sweep")


@pytest.fixture(scope="module")
def small():
    """Short worksheets, few in a batch, and nothing kept for other tests."""
    kept = [english.in_signs, english.prepare, english.calibration_texts, english.weights_on_copies, english.head]
    kept += [english.calibrated, asking.of_lookups, asking.heads]
    for one in kept:
        one.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BATCH": SHEETS, "N_LINES": LINES, "WATCHED": SHEETS}.items():
            patch.setattr(english, name, value)
        patch.setattr(english, "CALIBRATION", {"count": 2, "n_lines": LINES, "seed": 11})
        yield english.prepare(0)
    for one in kept:
        one.cache_clear()


@needs_smollm2
def test_a_look_up_in_words_restates_what_its_copies_say(small):
    lookups, said = english.lookups_in_words(english.in_signs(0)), small.token_ids[:, small.prompt_length :]
    numbers = {small.course.tokenizer(f" {number}").input_ids[0] for number in NUMBERS}
    assert len(lookups) >= SHEETS
    for lookup in lookups:
        value = said[lookup.sheet, lookup.place].item()
        assert value in numbers and {said[lookup.sheet, copy].item() for copy in lookup.copies} == {value}
        assert lookup.place in small.lookups[lookup.sheet] and max(lookup.copies) < lookup.place


@needs_smollm2
def test_a_value_is_asked_for_by_the_token_before_it(small):
    token_ids, asked = small.token_ids[:, small.prompt_length :], english.IN_WORDS.asks
    text = small.course.tokenizer.convert_ids_to_tokens(token_ids[0].tolist())
    for line in range(LINES):
        for at in asked:
            here = line * LINE_TOKENS + at
            assert text[here].strip("Ġ") == "has" and text[here + 1].strip("Ġ") in NUMBERS
    assert english.IN_WORDS.line == LINE_TOKENS


@needs_smollm2
def test_with_all_that_is_needed_kept_look_ups_come_out_and_without_they_are_guesses(small):
    oracle, random = (english.run_cell(Cell(name, 0.5, EVERY_HEAD), 0) for name in ("Oracle", "Random"))
    assert oracle["with_copy"] == oracle["formula_lookups"] > random["with_copy"]
    assert oracle["right_with_copy"] > 0.9 * oracle["with_copy"] and oracle["right_without_copy"] == 0
    for result in (oracle, random):
        assert result["right_with_copy"] + result["right_without_copy"] <= sum(result["lookups_right"])
    assert english.weights_on_copies().shape == (30, 9)


def test_every_cell_is_there_once_over_all_worksheets(saved):
    cells = [Cell(c["policy"], c["share"], c["selection"], c["compact"]) for c in saved["cells"]]
    assert len(set(cells)) == len(cells) and {cell.policy for cell in cells} == set(POLICIES)
    assert {cell.selection for cell in cells if cell.policy in ABLATIONS} == {EVERY_HEAD}
    assert {len(cell["right"]) for cell in saved["cells"]} == {saved["worksheets"]["count"]} == {96}
    assert len({cell["formula_lookups"] for cell in saved["cells"]}) == 1
    assert sum(saved["right_without_eviction"]) >= 0.95 * 96


def test_blocks_freed_follow_from_the_rows(saved):
    budget = round(0.5 * saved["thought_tokens"])
    held = [saved["prompt_tokens"] + budget + more for more in (saved["interval"], 0)]
    full, kept = (ceil(rows / 16) for rows in held)
    assert {cell["blocks_freed"] for cell in saved["cells"]} == {saved["cells"][0]["compressions"] * (full - kept)}


def test_one_head_looks_up_and_what_it_lost_is_lost(saved):
    at = saved["lookup_head"]
    weights = torch.tensor(saved["weight_on_copies"])
    assert weights[at["layer"], at["query_head"]] == weights.max() > 0.8
    for cell in load_english_sweep().results.values():
        assert 0 <= cell.right_with_copy <= cell.with_copy <= cell.formula_lookups
        assert cell.right_without_copy <= cell.formula_lookups - cell.with_copy
    assert load_english_sweep().find("Oracle").recall == 1


def test_what_was_not_measured_is_named():
    with pytest.raises(ValueError, match="no cell"):
        load_english_sweep().find("Oracle", "union")


@needs_smollm2
def test_the_saved_cells_are_those_that_a_run_would_have(small, saved):
    subject = Subject(small.course.model, english.calibration_texts(), small.sheets)
    run = list(english.cells({name: make(subject) for name, make in POLICIES.items()}))
    assert run == [Cell(c["policy"], c["share"], c["selection"], c["compact"]) for c in saved["cells"]]


@needs_smollm2
def test_two_batches_make_one_entry(small):
    parts = [english.run_cell(Cell("Random", 0.5, EVERY_HEAD), index) for index in (0, 1)]
    both = english.join_with_copies(parts)
    assert both["right"] == "".join("01"[right] for part in parts for right in part["right"])
    assert both["lookups_right"] == parts[0]["lookups_right"] + parts[1]["lookups_right"]
    for name in ("formula_lookups", "with_copy", "right_with_copy", "right_without_copy"):
        assert both[name] == parts[0][name] + parts[1][name]
    assert parts[0]["formula_lookups"] != parts[1]["formula_lookups"]


# --- A mean query of look-ups alone ----------------------------------------------------------------------------------
class AsTheyAreAsked:
    """The definition, written naively: every query that looks up, by itself, turned back by its own position."""

    needs_queries, needs_weights = True, False

    def __init__(self, places, omega):
        self.places, self.omega, self.seen = places, omega.double(), {}

    def see_queries(self, layer, queries, scaling):
        real, imaginary = queries.double().chunk(2, dim=-1)
        turned = torch.complex(real, imaginary)
        alone = [turned[:, :, at] * torch.exp(-1j * self.omega * at) for at in self.places]
        self.seen[layer] = torch.stack(alone).flatten(0, 1)  # [places x sheets, n_heads, bands]


@needs_smollm2
def test_the_mean_of_look_ups_is_that_of_the_queries_that_look_up(small):
    found, sheets = asking.of_lookups(), english.make_worksheets(**english.CALIBRATION, held_out=False)
    token_ids, start = gold_and_length(small.course, [english.in_words(sheet) for sheet in sheets])
    words = small.course.tokenizer.convert_ids_to_tokens(token_ids[0].tolist())
    places = [at for at in range(start, len(words) - 5) if words[at] == "Ġhas" and words[at - 2] != "Ġso"]
    watcher = AsTheyAreAsked(places, found.omega)
    with torch.inference_mode(), attending(small.course.model, watcher):
        small.course.model(token_ids, use_cache=False, logits_to_keep=1)
    assert len(places) == 2 * LINES and len(watcher.seen) == 30
    for layer, queries in watcher.seen.items():
        assert torch.allclose(found.q_mean[layer].to(queries.dtype), queries.mean(0), atol=1e-3)
        assert torch.allclose(found.q_abs_mean[layer].double(), queries.abs().mean(0), atol=1e-3)


@needs_smollm2
def test_only_the_named_heads_score_by_their_look_ups(small):
    whole, of_lookups, (layer, kv_head) = english.calibrated(), asking.of_lookups(), asking.heads()[THE_ONE][0]
    mixed = asking.with_lookups_in([(layer, kv_head)])
    members = torch.zeros(whole.q_mean.shape[:2], dtype=torch.bool)
    members[layer, 3 * kv_head : 3 * kv_head + 3] = True
    for name in ("q_mean", "q_abs_mean"):
        ours = getattr(mixed, name)
        assert torch.equal(ours[members], getattr(of_lookups, name)[members])
        assert torch.equal(ours[~members], getattr(whole, name)[~members])
        assert not torch.allclose(ours[members], getattr(whole, name)[members], atol=0.1)
    assert torch.equal(asking.with_lookups_in(asking.heads()[ALL]).q_mean, of_lookups.q_mean)


@needs_smollm2
def test_a_run_with_no_head_changed_is_the_sweep_s(small):
    assert asking.run(NONE, 0) == english.run_cell(Cell("TriAttention", 0.5, EVERY_HEAD), 0)


@needs_smollm2
def test_where_the_means_agree_is_said_by_bands(small):
    whole, of_lookups, found = english.calibrated(), asking.of_lookups(), asking.agreement(4, 7)
    one, other = whole.q_mean[4, 7], of_lookups.q_mean[4, 7]
    bands = sorted(range(32), key=lambda band: whole.q_abs_mean[4, 7, band].item())
    for name, some in (("two strongest", bands[-2:]), ("others", bands[:-2])):
        flat = [torch.view_as_real(mean[some]).flatten() for mean in (one, other)]
        cosine = torch.nn.functional.cosine_similarity(*flat, dim=0).item()
        assert found[name]["cosine of the means"] == pytest.approx(cosine, abs=1e-3)
    assert found["two strongest"]["R of all it does"] == pytest.approx(
        whole.head_concentration()[4, 7].item(), abs=1e-3
    )


def test_the_saved_run_with_no_head_changed_is_the_saved_sweep_s():
    found = load_english_lookups().results
    assert found[NONE] == load_english_sweep().find("TriAttention")
    assert found[THE_ONE].recall > found[NONE].recall and set(found) == {NONE, THE_ONE, OTHER, ALL}
    assert load_english_lookups().facts["lookup_head"] == load_english_sweep().facts["lookup_head"]
