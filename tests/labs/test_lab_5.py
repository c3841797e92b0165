"""Lab 5: its checks name the mistakes that people make at each step, let right answers pass, and its prose holds."""

import re
from pathlib import Path

import pytest
import torch

from helpers.cache import PagedCache
from helpers.decoding import replay
from helpers.eviction import Compressor, Policy, TriAttention
from helpers.eviction import score as course_score
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS, select
from helpers.eviction.selection import group_scores as course_groups
from helpers.experiments.contest import Contest
from helpers.models import gold_ids, load_reasoner, make_worksheets
from helpers.records import load_sweep
from helpers.teaching.labs import lab_5 as lab
from helpers.teaching.labs import lab_5_choose as part_4
from helpers.teaching.labs import lab_5_paper_score as paper
from tests.house.notebooks import output_text, outputs, read, source

OFFSETS = [2**i for i in range(17)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def reference(course):
    return TriAttention.calibrate(course.model, gold_ids(course, make_worksheets(4, 40, 11, held_out=False)))


@pytest.fixture(scope="module")
def contest(course):
    return Contest(course, count=2, seed=45)


@pytest.fixture
def asked(capsys):
    """What a check says of an answer."""

    def ask(check, *answer):
        check(*answer)
        return capsys.readouterr().out

    return ask


def is_right(said):
    return "Not yet" not in said and said.count("right.") == len(said.splitlines()) > 0


def names(said, words):
    return words in said and said.count("Not yet") == 1


# --- Part 1: arrows, turned back -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arrows", "words"),
    [
        ([1 + 3j, 2 + 4j], "right."),
        ((1 + 3j, 2 + 4j), "right."),
        ([1 + 2j, 3 + 4j], "those are neighbours"),
        ([3 + 1j, 4 + 2j], "right and up changed places"),
        ([1 - 3j, 2 - 4j], "mirrored"),
        ([1, 2], "only how far right"),
        ([1 + 4j, 2 + 3j], "from its end"),
        ([1 + 3j], "four numbers make two arrows"),
        ([5 + 3j, 2 + 4j], "x[0] with x[2]"),
        (1 + 3j, "a list of two arrows"),
    ],
    ids=str,
)
def test_arrows_by_hand(arrows, words, asked):
    assert words in asked(lab.check_arrows_by_hand, arrows)


def to_arrows(rows):
    half = rows.shape[-1] // 2
    return rows[..., :half] + 1j * rows[..., half:]


WRONG_ARROWS = {
    "neighbours": (
        lambda rows: torch.view_as_complex(rows.unflatten(-1, (-1, 2)).contiguous()),
        "those are neighbours",
    ),
    "mirrored": (lambda rows: to_arrows(rows).conj(), "the arrows are mirrored"),
    "changed places": (lambda rows: to_arrows(rows.roll(16, -1)), "the halves changed places"),
    "not complex": (lambda rows: rows[..., :16], "yours are float32"),
    "transposed": (lambda rows: to_arrows(rows).mT, "yours are [2, 4, 16, 24]"),
    "off by one": (lambda rows: to_arrows(rows.roll(1, -1)), "the halves do not meet"),
    "constant": (lambda rows: torch.ones(2, 4, 24, 16) + 0j, "the halves do not meet"),
    "all of them": (lambda rows: rows + 0j, "yours are [2, 4, 24, 32]"),
    "nothing": (lambda rows: None, "is there a return?"),
    "an error": (lambda rows: rows[99], "raised IndexError"),
}


@pytest.mark.parametrize("mistake", WRONG_ARROWS)
def test_to_arrows_names_the_mistake(mistake, asked):
    function, words = WRONG_ARROWS[mistake]
    assert names(asked(lab.check_to_arrows, function), words)


def turn_back(rotated, omega, positions):
    phases = torch.outer(positions.double(), omega)
    return to_arrows(rotated.double()) * torch.polar(torch.ones_like(phases), -phases)


def turned(change):
    """Turned by other phases."""
    return lambda rotated, omega, positions: to_arrows(rotated) * torch.exp(1j * change(positions[:, None], omega))


WRONG_TURNS = {
    "forward": (turned(lambda p, omega: p * omega), "you turned it on, by 270 degrees more"),
    "not at all": (lambda rotated, omega, positions: to_arrows(rotated) + 0j, "it has not been turned at all"),
    "conj of the arrow": (lambda r, omega, p: to_arrows(r).conj() * torch.exp(-1j * p[:, None] * omega), "Not yet"),
    "from 0": (turned(lambda p, omega: -(p - (p[0] if len(p) > 1 else 0)) * omega), "as if it began at position 0"),
    "float32": (turned(lambda p, omega: (-p.float() * omega.float()).double()), "a float32 has 24 bits"),
    "one for all": (turned(lambda p, omega: -p[:1] * omega), "each token turned back by its own position"),
    "transposed": (lambda r, omega, p: turn_back(r, omega, p).mT, "yours have [2, 4, 16, 24]"),
    "neighbours": (lambda r, omega, p: turn_back(r.unflatten(-1, (-1, 2)).mT.flatten(-2), omega, p), "other arrows"),
    "constant": (lambda r, omega, p: torch.ones(*r.shape[:-1], len(omega)) + 0j, "other arrows"),
    "shapes": (lambda r, omega, p: to_arrows(r) * torch.exp(-1j * p * omega), "raised RuntimeError"),
}


@pytest.mark.parametrize("mistake", WRONG_TURNS)
def test_turn_back_names_the_mistake(mistake, asked):
    function, words = WRONG_TURNS[mistake]
    assert names(asked(lab.check_turn_back, function), words)


def test_float32_is_found_only_far_from_the_beginning(asked):
    assert "Stage 3 of 3, the same at position 131,072. Not yet" in asked(
        lab.check_turn_back, WRONG_TURNS["float32"][0]
    )
    assert "Stage 4 of 4" in asked(lab.check_score, in_float32) and "24 bits" in asked(lab.check_score, in_float32)


def test_part_1_right(asked):
    assert is_right(asked(lab.check_to_arrows, to_arrows)) and is_right(asked(lab.check_turn_back, turn_back))
    assert is_right(asked(lab.check_turn_back, turned(lambda p, omega: -p * omega)))


# --- Part 2: the mean query ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2.5 / 3.5, "right."),
        (0.71, "right."),
        (1, "you took lengths first"),
        (1.4, "the wrong way round"),
        (2.5, "divide it by the mean length"),
        (3.5, "stands above it"),
        (5 / 3.5, "half their sum"),
        (0.3, "is not it"),
        (None, "one number"),
        (1.5 + 2j, "one number"),
    ],
)
def test_concentration_by_hand(value, words, asked):
    assert words in asked(lab.check_concentration, value)


def means(arrows):
    flat = arrows.transpose(0, 1).flatten(1, 2)
    return flat.mean(1), flat.abs().mean(1)


WRONG_MEANS = {
    "absolute of mean, not mean of absolutes": (lambda a: (means(a)[0], means(a)[0].abs()), "R would be 1 everywhere"),
    "mean of absolutes first": (lambda a: (means(a)[1], means(a)[1]), "which have directions"),
    "length of the mean": (lambda a: (means(a)[0].abs(), means(a)[1]), "its direction is needed, too"),
    "changed places": (lambda a: means(a)[::-1], "q_abs_mean is complex"),
    "per sheet": (lambda a: (a.mean(2), a.abs().mean(2)), "a mean per sheet"),
    "per token": (lambda a: (a.mean(0), a.abs().mean(0)), "a mean per token"),
    "over heads": (lambda a: (a.mean((1, 3)), a.abs().mean((1, 3))), "heads and bands are gone"),
    "over bands": (lambda a: (a.mean((0, 2, 3)), a.abs().mean((0, 2, 3))), "the bands are gone"),
    "transposed": (lambda a: tuple(x.mT for x in means(a)), "yours has [4, 6]"),
    "the sum": (lambda a: (a.sum((0, 2)), a.abs().sum((0, 2))), "over their number, 15"),
    "only one": (lambda a: means(a)[0], "two tensors"),
    "constant": (lambda a: (torch.ones(6, 4) + 0j, torch.ones(6, 4)), "E[q] is the sum"),
    "root mean square": (lambda a: (means(a)[0], a.abs().square().mean((0, 2)).sqrt()), "E|q| is the sum"),
}


@pytest.mark.parametrize("mistake", WRONG_MEANS)
def test_means_names_the_mistake(mistake, asked):
    function, words = WRONG_MEANS[mistake]
    assert names(asked(lab.check_means, function), words)


def test_means_right(asked):
    assert is_right(asked(lab.check_means, means)) and is_right(asked(lab.check_means, lambda a: list(means(a))))


# --- Part 3: the score -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (8, "right."),
        (6, "the norm term is missing"),
        (2, "position + offset, 5"),
        (-4, "angles are subtracted"),
        (12, "R in it instead of 1 - R"),
        (6.5, "E|q| is missing"),
        (14, "takes E|q| whole"),
        (7, "is not it"),
        ("8", "one number"),
    ],
)
def test_a_score_by_hand(value, words, asked):
    assert words in asked(lab.check_score_by_hand, value)


def at_once(keys, q_mean, q_abs_mean, omega, position, offsets):
    return course_score(keys.double(), q_mean, q_abs_mean, omega, position, offsets)


def by_offsets(keys, q_mean, q_abs_mean, omega, position, offsets):
    arrows = to_arrows(keys.double()).repeat_interleave(len(q_mean) // keys.shape[-3], dim=-3)
    future = [q_mean * torch.exp(1j * omega * (position + offset)) for offset in offsets]
    products = sum((arrows.conj() * query[:, None]).real.sum(-1) for query in future)
    return products / len(offsets) + ((q_abs_mean - q_mean.abs())[:, None] * arrows.abs()).sum(-1)


def in_float32(keys, q_mean, q_abs_mean, omega, position, offsets):
    phases = omega.float() * (position + torch.tensor(offsets)[:, None]).float()
    rows = keys.repeat_interleave(len(q_mean) // keys.shape[-3], dim=-3)
    query = q_mean * torch.exp(1j * phases).mean(0)
    norm = ((q_abs_mean - q_mean.abs())[:, None] * to_arrows(rows).abs()).sum(-1)
    return (to_arrows(rows).conj() * query[:, None]).real.sum(-1) + norm


def with_slip(**slip):
    """A score of a whole batch with a slip in it."""

    def score(keys, *rest):
        flat = keys.reshape(-1, *keys.shape[-3:])
        scores = torch.stack([paper.slipped(paper.Case(each, *rest), **slip) for each in flat])
        return scores.reshape(*keys.shape[:-3], *scores.shape[-2:])

    return score


@pytest.mark.parametrize("message", paper.SLIPS)
def test_every_slip_of_a_score_gets_its_line(message, asked):
    said = asked(lab.check_score, with_slip(**paper.SLIPS[message]))
    assert said.count("Not yet") == 1
    by_hand_alike = {"those are sums over the offsets; take their mean."}  # by hand sum and maximum are both 8
    if message in by_hand_alike or message.startswith(
        ("that is the largest", "those are lengths", "the mean query is turned")
    ):
        found = said.split("Not yet: ")[1].strip()
        assert found in paper.SLIPS, "some line that names a slip"
    else:
        assert message in said


def test_no_two_slips_are_alike_for_random_keys():
    case = paper.random_case(0)
    scores = [case.right, *(paper.slipped(case, **slip) for slip in paper.SLIPS.values())]
    for i, one in enumerate(scores):
        assert not any(paper.near(other, one, 0.01) for other in scores[i + 1 :])
    assert paper.near(paper.slipped(case), case.right, 1e-9)
    for message, slip in paper.SLIPS.items():
        assert paper.which_slip(paper.slipped(case, **slip), case, "") == message


WRONG_SCORES = {
    "per KV head": (lambda k, *rest: by_offsets(k, *rest)[..., ::2, :], "a score per KV head"),
    "transposed": (lambda k, *rest: by_offsets(k, *rest).mT, "yours are [5, 4]"),
    "no batch": (lambda k, *rest: by_offsets(k[0] if k.ndim == 4 else k, *rest), "count dimensions from the end"),
    "complex": (lambda k, *rest: by_offsets(k, *rest) + 1j, "of the product the real part counts"),
    "constant": (lambda k, m, *rest: torch.ones(*k.shape[:-3], len(m), k.shape[-2]), "with offsets [1] it is 8, not 1"),
    "off by one": (lambda k, a, b, w, p, d: by_offsets(k, a, b, w, p + 1, d), "Not yet"),
    "an error": (lambda *inputs: inputs[0] @ inputs[0], "raised"),
}


@pytest.mark.parametrize("mistake", WRONG_SCORES)
def test_a_score_names_the_mistake(mistake, asked):
    function, words = WRONG_SCORES[mistake]
    assert names(asked(lab.check_score, function), words)


def test_part_3_right(asked):
    for score in (by_offsets, at_once):
        assert is_right(asked(lab.check_score, score))
    assert is_right(asked(lab.check_score_at_once, at_once))


def test_the_naive_score_is_too_slow_to_be_at_once(asked):
    said = asked(lab.check_score_at_once, by_offsets)
    assert names(said, "average the queries before they meet the keys") and "Stage 5 of 5" in said


# --- Part 4: choose --------------------------------------------------------------------------------------------------
def z_scores(scores, dim=-1, correction=0):
    deviation = scores.std(dim, keepdim=True, correction=correction).clamp_min(1e-9)
    return (scores - scores.mean(dim, keepdim=True)) / deviation


def groups(scores, n_kv_heads):
    return scores.reshape(len(scores), n_kv_heads, -1, scores.shape[-1])


def group_scores(scores, n_kv_heads):
    return groups(z_scores(scores), n_kv_heads).amax(2)


def every_other(scores, n_kv_heads):
    return z_scores(scores).unflatten(1, (-1, n_kv_heads)).amax(1)


WRONG_GROUPS = {
    "max before z-score": (lambda s, n: z_scores(groups(s, n).amax(2)), "you took the maximum first"),
    "no z-score": (lambda s, n: groups(s, n).amax(2), "those are no z-scores"),
    "mean of the group": (lambda s, n: groups(z_scores(s), n).mean(2), "you took the mean of the group"),
    "not divided": (lambda s, n: groups(s - s.mean(-1, keepdim=True), n).amax(2), "nothing has been divided"),
    "rows - 1": (lambda s, n: groups(z_scores(s, correction=1), n).amax(2), "unless it is told correction=0"),
    "over heads": (lambda s, n: groups(z_scores(s, dim=1), n).amax(2), "over the rows of one head"),
    "all heads together": (lambda s, n: groups(z_scores(s.flatten(1)).view_as(s), n).amax(2), "of all heads together"),
    "every other head": (every_other, "neighbours share a KV head"),
    "NaN": (
        lambda s, n: groups((s - s.mean(-1, keepdim=True)) / s.std(-1, keepdim=True, correction=0), n).amax(2),
        "0 / 0 is NaN",
    ),
    "not grouped": (lambda s, n: z_scores(s), "one line per query head"),
    "transposed": (lambda s, n: group_scores(s, n).mT, "yours are [1, 4, 1]"),
    "constant": (lambda s, n: groups(s, n).amax(2) * 0, "by hand it is [-1, 1, 1, 1]"),
    "off by one": (lambda s, n: group_scores(s, n).roll(1, -1), "by hand it is"),
}


@pytest.mark.parametrize("mistake", WRONG_GROUPS)
def test_group_scores_names_the_mistake(mistake, asked):
    function, words = WRONG_GROUPS[mistake]
    assert names(asked(part_4.check_group_scores, function), words)


def choose(scores, count):
    order = (-scores.mean(0)).sort(dim=-1, stable=True).indices
    return order[..., :count].sort(dim=-1).values


def tie_to_the_later(scores, count):
    flipped = choose(scores.flip(-1), count)
    return (scores.shape[-1] - 1 - flipped).flip(-1)


WRONG_CHOICES = {
    "unsorted": (lambda s, n: s.mean(0).topk(n).indices, "so sort the places"),
    "unsorted, stable": (
        lambda s, n: s.mean(0).argsort(dim=-1, descending=True, stable=True)[..., :n],
        "so sort the places",
    ),
    "per layer": (lambda s, n: select(s, n, "per_layer_per_head"), "every layer chooses for itself"),
    "layer 0 alone": (lambda s, n: choose(s[:1], n), "that is layer 0 alone"),
    "the last layer alone": (lambda s, n: choose(s[-1:], n), "that is layer 1 alone"),
    "maximum over layers": (lambda s, n: choose(s.amax(0, keepdim=True), n), "that is the maximum over layers"),
    "the worst": (lambda s, n: choose(-s, n), "those score lowest"),
    "scores": (lambda s, n: s.mean(0).topk(n).values.round().long(), "those are the scores"),
    "ties to the later": (tie_to_the_later, "ties go to the earlier row"),
    "transposed": (lambda s, n: choose(s, n).mT, "yours are [1, 2, 1]"),
    "constant": (lambda s, n: torch.arange(n).expand(*s.shape[1:3], -1), "that is layer 0 alone"),
    "one set for all": (lambda s, n: select(s, n, "shared")[0], "choose by its own mean over layers"),
    "all of the batch": (lambda s, n: choose(s.mean(1, keepdim=True).expand_as(s), n), "choose by its own mean"),
    "nothing": (lambda s, n: None, "is there a return?"),
}


def whole(by_mean=choose, of_all=lambda s, n: choose(s.amax((0, 2), keepdim=True).expand_as(s), n)):
    """A ``choose`` of both modes."""
    return lambda s, n, mode: {"per_head": by_mean, "union": of_all}[mode](s, n)


@pytest.mark.parametrize("mistake", WRONG_CHOICES)
def test_choose_names_the_mistake(mistake, asked):
    function, words = WRONG_CHOICES[mistake]
    assert names(asked(part_4.check_choose, whole(by_mean=function)), words)


def test_topk_alone_breaks_on_ties(asked):
    said = asked(part_4.check_choose, whole(by_mean=lambda s, n: s.mean(0).topk(n).indices.sort(-1).values))
    assert names(said, "topk promises nothing about ties")


def most(scores):
    return scores.amax((0, 2), keepdim=True)


WRONG_UNIONS = {
    "the mode is not looked at": (choose, "that is what per_head keeps"),
    "the maximum over layers": (lambda s, n: choose(s.amax(0, keepdim=True), n), "maximum is over the heads, too"),
    "mean over layers": (lambda s, n: select(s, n, "shared")[0], "that has a mean over layers in it"),
    "heads, then the mean": (
        lambda s, n: choose(s.amax(2, keepdim=True).expand_as(s), n),
        "that has a mean over layers in it",
    ),
    "the mean of all": (lambda s, n: choose(s.mean((0, 2), keepdim=True).expand_as(s), n), "that is the mean of all"),
    "best first": (lambda s, n: most(s).expand_as(s)[0].argsort(dim=-1, descending=True)[..., :n], "sort the places"),
    "one set, for nobody": (lambda s, n: choose(most(s), n)[:, 0], "each of the 2 KV heads is given it"),
    "one set, for one head": (lambda s, n: choose(most(s), n), "each of the 2 KV heads is given it"),
    "a set per layer": (lambda s, n: select(s, n, "union"), "each of the 2 KV heads is given it"),
    "transposed": (lambda s, n: whole()(s, n, "union").permute(2, 0, 1), "yours are [2, 1, 2]"),
    "the worst": (lambda s, n: choose(-most(s).expand_as(s), n), "keep places 0 and 1, not [[2, 3], [2, 3]]"),
    "all of the batch": (lambda s, n: choose(s.amax((0, 1, 2), keepdim=True).expand_as(s), n), "Does each sequence"),
    "ties to the later": (lambda s, n: tie_to_the_later(most(s).expand_as(s), n), "do ties go to the earlier row?"),
    "nothing": (lambda s, n: None, "is there a return?"),
}


@pytest.mark.parametrize("mistake", WRONG_UNIONS)
def test_choose_names_the_mistake_in_union(mistake, asked):
    function, words = WRONG_UNIONS[mistake]
    assert names(asked(part_4.check_choose, whole(of_all=function)), words)


def test_part_4_right(asked):
    for function in (group_scores, course_groups):
        assert is_right(asked(part_4.check_group_scores, function))
    for function in (whole(), lambda s, n, mode: select(s, n, mode)[0]):
        assert is_right(asked(part_4.check_choose, function))


@pytest.fixture(scope="module")
def compressed(course, reference):
    """One compression of the compressor's: the recorder, the position, and the cache as it was before."""
    sheet = make_worksheets(1, 40, 45)[0]
    ids = gold_ids(course, [sheet])
    first = ids.shape[1] - len(sheet.thought.split()) - 1
    text = ids[:, : first + 254]
    recorder = Recorder(reference)
    before, after = (PagedCache.for_model(course.model, 64, kv_format="fp32") for _ in range(2))
    replay(course.model, text, first, before)
    replay(course.model, text, first, after, Compressor(recorder, 222, 32))
    return recorder, text.shape[1] - 1, before, first


def places_of(compressed, reference, cut_first=True, add=True, recent=16):
    recorder, position, cache, first = compressed
    last = cache.alive() - recent
    scored = [reference.score(i, cache.read_keys(i), position) for i in range(4)]
    cut = [group_scores(s[..., first:last], 4) if cut_first else group_scores(s, 4)[..., first:last] for s in scored]
    best = choose(torch.stack(cut), 222 - recent) + first * add
    ends = [torch.arange(*end).expand(1, 4, -1) for end in ((0, first), (last, cache.alive()))]
    return torch.cat([ends[0], best, ends[1]], dim=-1)


def test_places_of_a_compression(compressed, reference, asked):
    recorder, position, *_ = compressed

    def ask(places):
        return asked(part_4.check_places, places, recorder, position)

    assert is_right(ask(places_of(compressed, reference)))
    assert names(ask(places_of(compressed, reference, cut_first=False)), "cut the prompt and the last rows off before")
    assert names(ask(places_of(compressed, reference, add=False)), "places must ascend")
    assert names(ask(places_of(compressed, reference).flip(-1)), "places must ascend")
    assert names(ask(places_of(compressed, reference)[..., 1:]), "the shape [1, 4, 481]")
    assert names(ask(None), "is there a return?")


# --- Part 5: the whole thing -----------------------------------------------------------------------------------------
def mine(reference, function=None):
    """A policy of one function of the policy, layer, keys and position."""

    def score(self, layer, keys, position):
        if function:
            return function(self, layer, keys, position)
        return at_once(keys, reference.q_mean[layer], reference.q_abs_mean[layer], reference.omega, position, OFFSETS)

    return type("MyTriAttention", (Policy,), {"score": score})()


def scored(reference, layer, keys, position, offsets=OFFSETS, score=at_once):
    return score(keys, reference.q_mean[layer], reference.q_abs_mean[layer], reference.omega, position, offsets)


def test_the_same_rows(reference, contest, asked):
    for score in (at_once, by_offsets):
        policy = mine(reference, lambda self, i, k, p, score=score: scored(reference, i, k, p, score=score))
        said = asked(part_4.check_policy, policy, reference, contest, 222)
        assert is_right(said) and said.count("Stage") == 2 + len(SELECTIONS)


WRONG_POLICIES = {
    "rows taken for the position": lambda r, i, k, p: scored(r, i, k, k.shape[2] - 1),
    "statistics of layer 0": lambda r, i, k, p: scored(r, 0, k, p),
    "16 offsets": lambda r, i, k, p: scored(r, i, k, p, OFFSETS[:16]),
    "no offsets": lambda r, i, k, p: scored(r, i, k, p, [0]),
    "z-scores twice": lambda r, i, k, p: course_groups(scored(r, i, k, p), 4).repeat_interleave(2, 1),
    "random": lambda r, i, k, p: torch.rand(len(k), 8, k.shape[2], generator=torch.Generator().manual_seed(p)),
}


@pytest.mark.parametrize("mistake", WRONG_POLICIES)
def test_other_rows_are_found(mistake, reference, contest, asked):
    function = WRONG_POLICIES[mistake]
    policy = mine(reference, lambda self, i, k, p: function(reference, i, k, p))
    said = asked(part_4.check_policy, policy, reference, contest, 222)
    assert said.count("Not yet") == 1 and re.search(r"of the two only (yours|the course's) keeps token \d+", said)


def test_what_is_no_policy_of_lab_5(reference, contest, asked):
    for answer, words in (
        (TriAttention, "is the class; make one of it"),
        (reference.score, "has Policy as its base"),
        (mine(reference, lambda self, i, k, p: course_groups(scored(reference, i, k, p), 4)), "a score per KV head"),
        (mine(reference, lambda self, i, k, p: scored(reference, i, k, p).mT), "yours is [2, 24, 8]"),
        (mine(reference, lambda self, i, k, p: k.mul_(2).norm(dim=-1)), "score changed the keys"),
    ):
        assert names(asked(part_4.check_policy, answer, reference, contest, 222), words)


# --- Stretch ---------------------------------------------------------------------------------------------------------
def by_max(keys, q_mean, q_abs_mean, omega, position, offsets):
    return course_score(keys, q_mean, q_abs_mean, omega, position, offsets, "max")


def test_the_largest_over_the_offsets(asked):
    assert is_right(asked(lab.check_score_by_max, by_max))
    assert names(asked(lab.check_score_by_max, at_once), "that is still the mean")
    assert names(asked(lab.check_score_by_max, with_slip(reduce="sum")), "those are sums over the offsets")
    doubled = with_slip(reduce="max", norm="none")
    assert names(asked(lab.check_score_by_max, doubled), "with the norm term added once")


# --- Stubs -----------------------------------------------------------------------------------------------------------
def test_a_stub_s_sentence_passes_through(reference, contest):
    def stub(*args):
        raise NotImplementedError("Make arrows.")

    for check in (
        lab.check_to_arrows,
        lab.check_turn_back,
        lab.check_means,
        lab.check_score,
        lab.check_score_at_once,
        part_4.check_group_scores,
        part_4.check_choose,
        lab.check_score_by_max,
        lambda f: part_4.check_policy(mine(reference, f), reference, contest, 222),
    ):
        with pytest.raises(NotImplementedError, match="Make arrows"):
            check(stub)


# --- Prose -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def master():
    return read(ROOT / "labs" / "masters" / "lab_5_triattention_from_nothing.ipynb")


@pytest.fixture(scope="module")
def said(master):
    return "\n".join(output_text(output) for _, _, output in outputs(master))


@pytest.fixture(scope="module")
def prose(master):
    return "\n".join(source(cell) for cell in master.cells if cell.cell_type == "markdown")


def test_what_the_hands_work_out(prose):
    assert list(map(float, paper.case_by_hand().right.flatten())) == pytest.approx([8])
    assert torch.equal(group_scores(part_4.TOY_GROUP, 1).flatten(), torch.tensor([-1.0, 1, 1, 1]))
    assert part_4.TOY_LAYERS.mean(0).flatten().tolist() == [3, 2, 4, 2.75]
    assert "have the means 3, 2, 4 and 2.75" in prose
    assert part_4.TOY_LAYERS.amax(0).flatten().tolist() == [6, 4, 5, 5.5] and "are 6, 4, 5 and 5.5" in prose
    assert abs(1.5 + 2j) == 2.5 and "= 2.5 long" in prose


def test_a_tenth_of_a_degree(said, prose):
    assert "Result: 10 hundredths of a degree." in said and "A tenth of a degree or so" in prose


def test_both_policies_did_the_same(said):
    for mode in SELECTIONS:
        mine_said, theirs = (
            re.findall(rf"^{name}, 222 rows kept, {mode}: (.*)$", said, re.MULTILINE)[0]
            for name in ("MyTriAttention", "TriAttention")
        )
        assert mine_said == theirs


def test_what_the_sweep_says_of_the_maximum(prose):
    sweep = load_sweep()
    shares = [sweep.find(n, 0.5, "per_head").share_right for n in ("TriAttention", "TriAttention, max over offsets")]
    assert [f"{share:.0%}" for share in shares] == ["19%", "78%"] and "say 19% and 78%" in prose
