"""The English reasoner: SmolLM2 with its adapter, what it can do, and how it was taught."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, DynamicCache

from helpers.decoding import generate
from helpers.experiments.train_english_reasoner import OTHERS, examine, make_pupil
from helpers.experiments.worksheet_training import Schedule, make_batch, train, train_step
from helpers.models import gold_and_length, load_english_reasoner, load_model, load_smollm2, make_worksheets, smollm2
from helpers.models.loading import ADAPTER
from helpers.models.worksheets_in_words import END, in_words
from tests.families import build, plain
from tests.models.test_smollm2 import needs_smollm2

pytestmark = needs_smollm2


@pytest.fixture
def pupil():
    tokenizer = AutoTokenizer.from_pretrained(smollm2.convert())
    torch.manual_seed(0)
    return make_pupil(build(plain("llama", head_dim=16, vocab_size=len(tokenizer))), tokenizer, rank=2)


def test_it_works_what_training_never_saw_word_for_word_and_smollm2_does_not():
    exam = json.loads((ADAPTER.parent / "training.json").read_text(encoding="utf-8"))["exam"]
    assert exam["worksheets"] == 200 and exam["right"] >= 190
    assert examine(load_english_reasoner(), 4) >= 3
    assert examine(load_smollm2(), 2, n_lines=4) == 0


def test_left_to_itself_it_writes_thought_answer_and_end_as_a_replay_says():
    english, sheet = load_model("english_reasoner"), in_words(make_worksheets(1, 3, seed=0)[0])
    prompt = english.prompt_ids(sheet)
    assert torch.equal(prompt, gold_and_length(english, [sheet])[0][:, : prompt.shape[1]])
    cache = DynamicCache(config=english.model.config)
    (written,) = generate(english.model, prompt, cache, max_new_tokens=80).tokens
    assert english.tokenizer.decode(written) == f" {sheet.thought} {sheet.answer}{END}"


def test_smollm2_is_what_it_was_after_it():
    before = load_smollm2().model.model.layers[3].mlp.up_proj.weight.clone()
    changed = load_english_reasoner().model.model.layers[3].mlp.up_proj.weight
    assert torch.equal(load_smollm2().model.model.layers[3].mlp.up_proj.weight, before)
    assert not torch.equal(changed, before)


def test_a_few_steps_change_the_adapter_alone_and_lower_the_loss(pupil, tmp_path):
    frozen = {name: p.clone() for name, p in pupil.model.named_parameters() if not p.requires_grad}
    sheets, begins = make_batch(pupil, step=100, longest=4, batch_tokens=1_000)
    before = train_step(pupil, sheets, begins, sheets.unique(), rate_share=0.0)
    schedule = Schedule(tokens=50_000, hiding_tokens=5_000, lines=4, batch_tokens=300)
    progress = train(pupil, schedule, tmp_path / "state.pt")
    assert progress.tokens >= schedule.total
    assert train_step(pupil, sheets, begins, sheets.unique(), rate_share=0.0) < 0.97 * before
    assert all(torch.equal(p, frozen[name]) for name, p in pupil.model.named_parameters() if name in frozen)
    assert all(p.any() for p in pupil.learned.values())


def test_the_loss_is_among_the_candidates(pupil):
    ids, begins = make_batch(pupil, step=3, longest=4, batch_tokens=300)
    candidates = torch.cat([ids.unique(), torch.arange(OTHERS)]).unique()
    with torch.no_grad():
        logits = pupil.model(ids).logits[:, begins - 1 : -1]
    shut = torch.full((logits.shape[-1],), float("-inf"))
    shut[candidates] = 0
    expected = cross_entropy((logits + shut).flatten(0, 1), ids[:, begins:].flatten()).item()
    assert train_step(pupil, ids, begins, candidates, rate_share=1.0) == pytest.approx(expected, rel=1e-5)
