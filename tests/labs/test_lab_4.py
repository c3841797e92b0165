"""Lab 4: its checks name the mistakes that people make, the contest is fair, the leaderboard safe, its prose true."""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch.nn.functional import pad
from wcwidth import wcswidth

from helpers.decoding import replay
from helpers.decoding.judged import BLOCK_SIZE
from helpers.eviction import H2O, KeyNorm, Oracle, Policy, Random, SnapKV, StreamingLLM
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.contest import INTERVAL, Contest, Verdict
from helpers.models import gold_ids, load_reasoner
from helpers.plots.leaderboard import Line, answers_and_blocks
from helpers.records import load_sweep
from helpers.teaching.attempts import Complaint
from helpers.teaching.labs import lab_4 as lab
from helpers.teaching.labs import policy_checks
from helpers.teaching.leaderboard import ENVIRONMENT_VARIABLE, FILE, LONGEST_NAME, Leaderboard, Row, clean, rank, table
from tests.house.notebooks import output_text, outputs, read, source

ROOT = Path(__file__).parents[2]
HALF = 222


@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def contest(course):
    return Contest(course, count=3, seed=7, held_out=False)


@pytest.fixture(scope="module")
def master():
    return read(ROOT / "labs" / "masters" / "lab_4_write_an_eviction_policy.ipynb")


@pytest.fixture
def asked(capsys):
    """What a check says of an answer."""

    def ask(check, *answer):
        check(*answer)
        return capsys.readouterr().out

    return ask


def is_right(said):
    return "Not yet" not in said and said.count("right.") == len(said.splitlines()) > 0


def of_keys(function, base=Policy):
    """A policy of one function of layer, keys and position."""
    return type("Mine", (base,), {"score": lambda self, layer, keys, position: function(layer, keys, position)})()


# --- Part 1: by hand -------------------------------------------------------------------------------------------------
KEPT = {
    (0, 1, 3, 5): "right.\nStage 2 of 2",
    (1, 3, 4, 5): "the earlier one is kept: row 0 before row 4",
    (0, 2, 4, 5): "those score lowest; higher is better",
    (2, 3, 4, 5): "those are the latest",
    (0, 1, 2, 3): "those are the earliest",
    (9, 9, 7, 4): "those are the scores",
    (1, 3, 5): "you keep 3",
    (1, 3, 5, 0): "survivors keep their order",
    (1, 2, 4, 6): "rows are counted from 0",
    (0, 1, 2, 5): "rank the scores",
}


@pytest.mark.parametrize("places", KEPT)
def test_places_by_hand(places, asked):
    assert KEPT[places] in asked(lab.check_kept, list(places))
    assert "list of places" in asked(lab.check_kept, 4)


@pytest.mark.parametrize(
    ("token", "words"),
    [(6, "right."), (4, "token 4 has left"), (5, "counted from 0"), (7, "last row"), (0, "in place 4")],
)
def test_the_token_of_a_row(token, words, asked):
    assert words in asked(lab.check_token_of_row, token)


# --- Part 2: keep the latest -----------------------------------------------------------------------------------------
def latest(layer, keys, position):
    return torch.arange(keys.shape[2]).float().expand(keys.shape[:-1])


def in_place(layer, keys, position):
    keys[..., 0] = 0
    return latest(layer, keys, position)


def window_by_position(layer, keys, position):
    scores = torch.zeros(keys.shape[:-1])
    for i in range(keys.shape[2]):
        scores[..., i] = max(0, i - (position - 30))
    return scores


WRONG_LATEST = {
    "shape: none but the rows": (lambda i, k, p: torch.arange(k.shape[2]), "every sequence and head needs scores"),
    "shape: all tokens ever": (
        lambda i, k, p: torch.arange(p + 1).expand(*k.shape[:2], -1),
        "one number per token ever read",
    ),
    "shape: without heads": (lambda i, k, p: torch.arange(k.shape[2]).expand(2, -1), "the heads are missing"),
    "shape: without batch": (lambda i, k, p: torch.arange(k.shape[2]).expand(4, -1), "the batch is missing"),
    "shape: transposed": (lambda i, k, p: latest(i, k, p).mT, "heads come before rows"),
    "shape: per number": (lambda i, k, p: k, "one number per row, not per number of a row"),
    "shape: rows reduced": (lambda i, k, p: k.norm(dim=-2), "the rows are gone"),
    "shape: one per head": (lambda i, k, p: k.norm(dim=(-1, -2)), "one number per head"),
    "shape: only the best": (lambda i, k, p: latest(i, k, p)[..., :3], "one number per row, [batch, n_kv_heads, rows]"),
    "constant": (lambda i, k, p: torch.ones(k.shape[:-1]), "all 24 rows score alike"),
    "sign": (lambda i, k, p: -latest(i, k, p), "mind the sign"),
    "only two levels": (lambda i, k, p: (latest(i, k, p) > 12).float(), "some rows score alike"),
    "off by one": (lambda i, k, p: latest(i, k, p).roll(1, -1), "a later row does not always score higher"),
    "in place": (in_place, "score changed the keys"),
    "NaN": (lambda i, k, p: (latest(i, k, p) - 5).sqrt(), "some scores are NaN"),
    "infinite": (lambda i, k, p: 1 / latest(i, k, p), "some scores are infinite"),
    "no return": (lambda i, k, p: None, "is there a return?"),
    "a list": (lambda i, k, p: latest(i, k, p).tolist(), "not a list"),
    "an error": (lambda i, k, p: k[99], "raised IndexError"),
}


@pytest.mark.parametrize("mistake", WRONG_LATEST)
def test_keep_latest_names_the_mistake(mistake, asked):
    function, words = WRONG_LATEST[mistake]
    said = asked(lab.check_keep_latest, of_keys(function))
    later = mistake == "shape: all tokens ever"  # right until the first eviction
    assert words in said and said.count("\n") == 2 + later and f"Stage {2 + later} of 3" in said.splitlines()[-1]


def test_position_is_not_the_place_of_a_row(asked):
    """Right until the first eviction, wrong after it."""
    said = asked(lab.check_keep_latest, of_keys(window_by_position))
    assert "Stage 3 of 3, 8 rows left, the last token at position 99. Not yet: all 8 rows score alike" in said
    everybody = of_keys(lambda i, k, p: latest(i, k, p) - p)
    assert is_right(asked(lab.check_keep_latest, everybody))  # an age is no place, but orders rows alike


def test_keep_latest_right(asked):
    assert is_right(asked(lab.check_keep_latest, of_keys(latest)))
    assert is_right(asked(lab.check_keep_latest, of_keys(lambda i, k, p: latest(i, k, p).repeat_interleave(2, 1))))


@pytest.mark.parametrize("check", ["check_keep_latest", "check_spare_copies"])
def test_what_is_no_policy(check, asked):
    ask = getattr(lab, check)
    assert "StreamingLLM is the class; make one of it: StreamingLLM()" in asked(ask, StreamingLLM)
    assert "has Policy as its base" in asked(ask, 3)


def test_a_stub_s_sentence_passes_through():
    def stub(*args):
        raise NotImplementedError("Number the rows.")

    for check in (lab.check_keep_latest, lab.check_spare_copies):
        with pytest.raises(NotImplementedError, match="Number the rows"):
            check(of_keys(stub))
    with pytest.raises(NotImplementedError, match="Number the rows"):
        lab.check_nearest_later(stub)
    with pytest.raises(NotImplementedError, match="must write score"):
        lab.check_keep_latest(Policy())


# --- Part 4: spare copies --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("distances", "words"),
    [
        ([0, 5, 15], "Stage 2 of 2, by hand: right."),
        ((0.0, 5.0, 15.0), "Stage 2 of 2, by hand: right."),
        ([0, 5, 0], "its copy before it"),
        ([0, 0, 0], "from itself"),
        ([15, 10, 15], "the farthest"),
        ([10, 10, 15], "the next rows"),
        ([0, 25, 225], "squares"),
        ([0, 7, 21], "streets"),
        ([1, 2, 3], "is not it"),
        ([0, 5], "not 3"),
        (5, "a list of three numbers"),
    ],
)
def test_distances_by_hand(distances, words, asked):
    assert words in asked(lab.check_nearest_by_hand, distances)


def distances_of(rows):
    return (rows[..., :, None, :] - rows[..., None, :, :]).square().sum(-1).sqrt()


def nearest_later(rows):
    n = rows.shape[-2]
    later = torch.ones(n, n, dtype=torch.bool).triu(1)
    return torch.cdist(rows, rows).masked_fill(~later, 1e4).amin(-1)


def nearest_earlier(rows):
    n = rows.shape[-2]
    return distances_of(rows).masked_fill(torch.ones(n, n).triu().bool(), 1e4).amin(-1)


def nearest_of_all(rows):
    return distances_of(rows).masked_fill(torch.eye(rows.shape[-2]).bool(), 1e4).amin(-1)


def farthest_later(rows):
    n = rows.shape[-2]
    return distances_of(rows).masked_fill(torch.ones(n, n).tril().bool(), 0).amax(-1)


def with_inf(rows):
    return nearest_later(rows).masked_fill(nearest_later(rows) > 1e3, torch.inf)


WRONG_NEAREST = {
    "itself": (lambda rows: distances_of(rows).amin(-1), "each row is its own nearest"),
    "earlier": (nearest_earlier, "that is the nearest row before it"),
    "both ways": (nearest_of_all, "then both copies of a value look spare"),
    "farthest": (farthest_later, "that is the farthest later row"),
    "squares": (lambda rows: nearest_later(rows).square(), "those are squares"),
    "sign": (lambda rows: -nearest_later(rows), "near copies get the higher number"),
    "inf": (with_inf, "gets inf"),
    "all pairs": (distances_of, "a distance per pair"),
    "constant": (lambda rows: torch.ones(rows.shape[:-1]), "0, 5 and 15 from the nearest later row, not 1, 1, 1"),
    "off by one": (lambda rows: nearest_later(rows).roll(1, -1), "0, 5 and 15 from the nearest"),
    "the next row only": (
        lambda rows: pad((rows[..., 1:, :] - rows[..., :-1, :]).norm(dim=-1), (0, 1)),
        "not 10, 10, 15",
    ),
    "transposed": (lambda rows: nearest_later(rows).mT, "have the distances"),
    "nothing": (lambda rows: None, "not nothing"),
    "heads together": (
        lambda rows: (
            nearest_later(rows) if rows.ndim == 2 else nearest_later(rows.flatten(0, 1)).amin(0).expand(rows.shape[:-1])
        ),
        "head",
    ),
}


@pytest.mark.parametrize("mistake", WRONG_NEAREST)
def test_nearest_later_names_the_mistake(mistake, asked):
    function, words = WRONG_NEAREST[mistake]
    said = asked(lab.check_nearest_later, function)
    assert words in said and "Not yet" in said


def test_nearest_later_right(asked):
    assert is_right(asked(lab.check_nearest_later, nearest_later))
    assert is_right(asked(lab.check_nearest_later, lambda rows: nearest_later(rows.double()).clamp_max(50)))


class Spare(Policy):
    def begin(self, shape, prompt_length, token_index):
        self.first = prompt_length

    def score(self, layer, keys, position):
        return pad(nearest_later(keys[:, :, self.first :]), (self.first, 0))


def spare(function):
    return type("Mine", (Spare,), {"score": function})()


WRONG_SPARE = {
    "prompt forgotten": (
        spare(lambda self, i, k, p: nearest_later(k[:, :, self.first :])),
        "the 5 rows of the prompt need",
    ),
    "zeros behind": (
        spare(lambda self, i, k, p: pad(nearest_later(k[:, :, self.first :]), (0, self.first))),
        "zeros are behind",
    ),
    "sign": (spare(lambda self, i, k, p: -Spare.score(self, i, k, p)), "spares would stay"),
    "position": (
        spare(lambda self, i, k, p: pad(nearest_later(k[:, :, self.first :]), (p + 1 - k.shape[2] + self.first, 0))),
        "raised",
    ),
    "constant": (
        spare(lambda self, i, k, p: torch.ones(k.shape[:-1])),
        "gets its distance to the nearest row after it",
    ),
    "first of all rows": (spare(lambda self, i, k, p: Spare.score(self, i, k, p).roll(1, -1)), "For row 5"),
}


@pytest.mark.parametrize("mistake", WRONG_SPARE)
def test_spare_copies_names_the_mistake(mistake, asked):
    policy, words = WRONG_SPARE[mistake]
    if mistake == "position":  # as many zeros as tokens have gone: right until the first eviction
        said = asked(lab.check_spare_copies, policy)
        assert "Not yet" in said and "Stage 3 of 3" in said
    else:
        assert words in asked(lab.check_spare_copies, policy)


def test_spare_copies_right(asked):
    assert is_right(asked(lab.check_spare_copies, Spare()))


# --- Part 5: any policy ----------------------------------------------------------------------------------------------
def by_position(layer, keys, position):
    scores = torch.zeros(keys.shape[:-1])
    scores[..., position] = 1  # the row of the last token, it says
    return scores


def window(layer, keys, position):
    scores = torch.zeros(keys.shape[:-1])
    scores[..., position - 40 :] = 1
    return scores


def root(layer, keys, position):
    return keys[..., 0].sqrt()


WRONG_POLICIES = {
    "shape": (lambda i, k, p: k.norm(dim=-2), "the rows are gone"),
    "all tokens": (lambda i, k, p: torch.arange(p + 1).expand(*k.shape[:2], -1), "one number per token ever read"),
    "only the best": (lambda i, k, p: k.norm(dim=-1).topk(40).values, "yours is [3, 4, 40]"),
    "constant": (lambda i, k, p: torch.ones(k.shape[:-1]), "nothing is chosen"),
    "constant in the thought": (
        lambda i, k, p: pad(torch.ones(*k.shape[:2], 9), (0, k.shape[2] - 9)),
        "nothing is chosen",
    ),
    "in place": (lambda i, k, p: k.abs_().sum(-1), "score changed the keys"),
    "NaN": (root, "some scores are NaN"),
    "infinite": (lambda i, k, p: pad(k.norm(dim=-1)[..., :-1], (0, 1), value=torch.inf), "some scores are infinite"),
    "argsort": (lambda i, k, p: k.norm(dim=-1).argsort(-1), "these are places, as argsort gives them"),
    "argsort the other way": (
        lambda i, k, p: k.norm(dim=-1).argsort(-1, descending=True),
        "these are places, as argsort",
    ),
    "sorted": (lambda i, k, p: k.norm(dim=-1).sort(-1).values, "your scores are sorted"),
    "position as a row": (by_position, "row i is not token i"),
    "position as a window": (window, "position is no row's number"),
    "upside down": (lambda i, k, p: -k.norm(dim=-1), "so the sign seems to be the wrong way round"),
    "an error": (lambda i, k, p: k @ k, "raised RuntimeError"),
    "nothing": (lambda i, k, p: None, "is there a return?"),
}


@pytest.mark.parametrize("mistake", WRONG_POLICIES)
def test_any_policy_names_the_mistake(mistake, contest, asked):
    function, words = WRONG_POLICIES[mistake]
    said = asked(lab.check_policy, of_keys(function), contest, HALF, "shared")
    assert words in said and said.count("Not yet") == 1


def test_the_sign_of_spare_copies(contest, asked):
    upside_down = spare(lambda self, i, k, p: -Spare.score(self, i, k, p))
    assert "the wrong way round" in asked(lab.check_policy, upside_down, contest, HALF, "per_layer_per_head")


RIGHT_POLICIES = {
    "spare copies": Spare(),
    "long keys": of_keys(lambda i, k, p: k.norm(dim=-1)),
    "the latest": of_keys(latest),
    "ranks": of_keys(lambda i, k, p: k.norm(dim=-1).argsort(-1).argsort(-1)),
    "one head decides": of_keys(lambda i, k, p: k.norm(dim=-1) * torch.eye(4)[2, :, None] * (i == 1)),
    "per query head": of_keys(lambda i, k, p: k.norm(dim=-1).repeat_interleave(2, 1)),
    "StreamingLLM": StreamingLLM(),
    "SnapKV": SnapKV(kernel_size=1),
    "H2O": H2O(),
}


@pytest.mark.parametrize("name", RIGHT_POLICIES)
def test_a_sound_policy_passes(name, contest, asked):
    said = asked(lab.check_policy, RIGHT_POLICIES[name], contest, HALF, "per_head")
    assert is_right(said) and said.count("Stage") == 4


def test_examined_changes_nothing(contest):
    for policy in (Spare(), SnapKV(), H2O(), Random(3)):
        behind = contest.judge(policy_checks.Examined(policy), 111, "per_layer_per_head", name="x")
        assert behind == contest.judge(policy, 111, "per_layer_per_head", name="x")


def test_a_mirror_turns_every_score(contest):
    assert contest.judge(policy_checks.Mirrored(policy_checks.Mirrored(Spare())), 111, name="x") == contest.judge(
        Spare(), 111, name="x"
    )
    keys = policy_checks.some_keys()
    assert torch.equal(policy_checks.Mirrored(KeyNorm()).score(0, keys, 23), -KeyNorm().score(0, keys, 23))


def test_no_case_has_two_sizes_alike():
    keys = policy_checks.some_keys()
    assert len({*keys.shape, policy_checks.N_HEADS, policy_checks.LATE + 1}) == 6
    with pytest.raises(Complaint):
        policy_checks.require_policy(Policy)


# --- The contest -----------------------------------------------------------------------------------------------------
def test_a_verdict_is_what_a_run_gives(course, contest):
    """Against a run of its own, sheet by sheet, from the first token of the prompt on."""
    from helpers.cache import PagedCache
    from helpers.eviction import Compressor

    for policy, compact in ((StreamingLLM(), True), (StreamingLLM(), False), (Oracle(contest.sheets), True)):
        verdict, right, freed = contest.judge(policy, HALF, "shared", compact), [], 0
        for sheet in contest.sheets:
            ids = gold_ids(course, [sheet])
            own = Oracle([sheet]) if isinstance(policy, Oracle) else policy
            cache = PagedCache.for_model(course.model, 64, BLOCK_SIZE, "fp32")
            compressor = Compressor(own, HALF, INTERVAL, "shared", compact)
            trace = replay(course.model, ids, contest.prompt_tokens, cache, compressor)
            right.append(trace.tokens[0][:-1] == ids[0, contest.prompt_tokens :].tolist())
            freed += trace.blocks_freed
        assert verdict.right == tuple(right) and verdict.blocks_freed == freed / len(right)
        assert verdict.answers == sum(right) and verdict.interval[0] <= sum(right) / 3 <= verdict.interval[1] + 1e-9
        assert (verdict.lookups == 3 * 77) and (verdict.lookups_right == verdict.lookups or not all(right))


def test_a_contest_is_the_same_for_everybody(contest, course):
    one, other = (contest.judge(Random(), 111) for _ in range(2))
    assert one == other == Contest(course, 3, 7, held_out=False).judge(Random(), 111)


def test_a_policy_that_fails_leaves_the_contest_as_it_was(contest):
    before = contest.judge(StreamingLLM(), HALF)
    with pytest.raises(IndexError):
        contest.judge(of_keys(by_position), HALF)
    with pytest.raises(ValueError, match="selection is 'all'"):
        contest.judge(StreamingLLM(), HALF, "all")
    assert contest.judge(StreamingLLM(), HALF) == before


def test_practice_and_judgement_share_no_worksheet(course, master):
    code = "\n".join(source(cell) for cell in master.cells)
    assert "count=16, seed=1, held_out=False" in code and "count=24, seed=45)" in code
    practice, judged = Contest(course, 16, 1, held_out=False), Contest(course, 24, 45)
    calibration = {sheet.prompt for sheet in load_sheets(32, 11, held_out=False)}
    swept = {sheet.prompt for sheet in load_sheets(96, 3)}
    unseen = {sheet.prompt for sheet in judged.sheets}
    assert not unseen & ({sheet.prompt for sheet in practice.sheets} | calibration | swept) and len(unseen) == 24


def load_sheets(count, seed, held_out=True):
    from helpers.models import make_worksheets

    return make_worksheets(count, 40, seed, held_out)


# --- The leaderboard -------------------------------------------------------------------------------------------------
def verdict(answers=3, sheets=4, blocks=12.0, seed=45, name="Mine"):
    right = (True,) * answers + (False,) * (sheets - answers)
    return Verdict(name, 111, "shared", seed, right, 40, 30, blocks)


def test_without_a_folder_it_lives_in_memory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    board = Leaderboard.of_room()
    assert board.append("Ada", verdict()) == Row("Ada", 3, 4, 12.0, 111, "shared", 45)
    assert board.rows() == [Row("Ada", 3, 4, 12.0, 111, "shared", 45)] and not Leaderboard.of_room().rows()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert Leaderboard.of_room().folder is None


def test_a_room_shares_a_file_and_it_holds_no_more_than_the_row(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    Leaderboard.of_room().append("Ada", verdict())
    Leaderboard.of_room().append("Bob", verdict(2))
    assert [row.name for row in Leaderboard.of_room().rows()] == ["Ada", "Bob"]
    lines = (tmp_path / FILE).read_text().splitlines()
    assert len(lines) == 2 and set(json.loads(lines[0])) == {
        "name", "answers", "sheets", "blocks", "budget", "selection", "seed",
    }  # fmt: skip


def test_a_folder_that_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ValueError, match="which is no folder") as error:
        Leaderboard.of_room()
    assert ENVIRONMENT_VARIABLE in str(error.value) and "\n" not in str(error.value)


WRITER = """
import sys
from helpers.teaching.leaderboard import Leaderboard, Row
board = Leaderboard(sys.argv[1])
class verdict:
    answers, right, blocks_freed, budget, selection, seed = 3, (1,) * 4, 12.0, 111, "shared", 45
for i in range(60):
    board.append(f"{sys.argv[2]} {i} " + "x" * (i % 15), verdict)
assert "torch" not in sys.modules
"""


def test_many_write_at_once_and_no_line_is_lost(tmp_path):
    start = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*start, f"writer {n}"], cwd=ROOT) for n in range(6)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 6
    rows = Leaderboard(tmp_path).rows()
    assert len(rows) == 360 == len({row.name for row in rows})
    for n in range(6):
        own = [int(row.name.split()[2]) for row in rows if row.name.startswith(f"writer {n} ")]
        assert own == list(range(60))


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such modes")
def test_everybody_may_write_whoever_came_first(tmp_path):
    before = os.umask(0o077)
    try:
        Leaderboard(tmp_path).append("Ada", verdict())
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o666


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become two others")
def test_two_people_in_a_sticky_folder():
    with tempfile.TemporaryDirectory() as room:
        os.chmod(room, 0o1777)
        for uid in (12_345, 12_346):
            child = os.fork()
            if not child:
                try:
                    os.setuid(uid)
                    Leaderboard(room).append(f"user {uid}", verdict())
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        assert [row.name for row in Leaderboard(room).rows()] == ["user 12345", "user 12346"]


NAMES = {
    "Ada": "Ada",
    "  Ada \t Lovelace\n": "Ada Lovelace",
    "a\nb\r\n{}": "a b {}",
    "Zoe\u0308": "Zoë",
    "\u202eevil": "evil",
    "nul\0l": "nul l",
    "名前 😀": "名前 😀",
    '"; DROP\\': '"; DROP\\',
    "<b>|$x_{$": "<b>|$x_{$",
    "x" * LONGEST_NAME: "x" * LONGEST_NAME,
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names_come_back_as_one_clean_line(name, tmp_path):
    board = Leaderboard(tmp_path)
    board.append(name, verdict())
    board.append("after", verdict())
    assert [row.name for row in board.rows()] == [NAMES[name], "after"] and clean(NAMES[name]) == NAMES[name]
    assert len((tmp_path / FILE).read_text(encoding="utf-8").splitlines()) == 2
    shown = table(rank(board.rows()))
    assert len(shown.splitlines()) == 4 and NAMES[name] in shown


@pytest.mark.parametrize("name", ["", " \n\t", "\u200b\u202e\0", "x" * (LONGEST_NAME + 1)], ids=ascii)
def test_names_that_cannot_stand_in_a_table_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="^name ") as error:
        Leaderboard(tmp_path).append(name, verdict())
    assert "\n" not in str(error.value) and not (tmp_path / FILE).exists()


GOOD = {"name": "Ada", "answers": 3, "sheets": 4, "blocks": 12.0, "budget": 111, "selection": "shared", "seed": 45}
NO_ROWS = [
    "", "{", "null", "[]", "3", '"x"', "[" * 100_000, json.dumps(GOOD)[:-5],
    *(json.dumps({k: v for k, v in GOOD.items() if k != gone}) for gone in GOOD),
    *(json.dumps(GOOD | change) for change in (
        {"answers": 5}, {"answers": -1}, {"answers": "3"}, {"answers": True}, {"blocks": float("nan")}, {"blocks": "1"},
        {"name": 7}, {"name": "a\nb"}, {"name": ""}, {"name": "x" * 99}, {"selection": "a\nb"}, {"selection": None},
        {"seed": None},
    )),
]  # fmt: skip


def test_lines_that_are_no_entries_are_passed_over(tmp_path):
    (tmp_path / FILE).write_text("\n".join([json.dumps(GOOD), *NO_ROWS, json.dumps(GOOD | {"name": "Bob"})]))
    assert [row.name for row in Leaderboard(tmp_path).rows()] == ["Ada", "Bob"]
    (tmp_path / FILE).write_bytes(b"\xff\xfe\n" + json.dumps(GOOD | {"more": 1}).encode())
    assert [row.name for row in Leaderboard(tmp_path).rows()] == ["Ada"]


def test_an_unfinished_line_spoils_only_itself(tmp_path):
    (tmp_path / FILE).write_text('{"name": "Ad')
    Leaderboard(tmp_path).append("Bob", verdict())
    assert [row.name for row in Leaderboard(tmp_path).rows()] == ["Bob"]


def row(name, answers, blocks=12.0, seed=45, sheets=4):
    return Row(name, answers, sheets, blocks, 111, "shared", seed)


def test_ties_share_a_rank_and_the_next_is_left_out():
    standings = rank([row("a", 3), row("b", 4), row("c", 3), row("d", 3, 20.0), row("e", 0)])
    assert [(s.rank, s.row.name) for s in standings] == [(1, "b"), (2, "d"), (3, "a"), (3, "c"), (5, "e")]


def test_the_latest_entry_of_a_name_counts_and_tries_are_counted():
    standings = rank([row("a", 4), row("b", 3), row("a", 1), row("a", 2)])
    assert [(s.row.name, s.row.answers, s.tries) for s in standings] == [("b", 3, 1), ("a", 2, 3)]


def test_entries_on_other_worksheets_are_left_out():
    entries = [row("a", 4, seed=3), row("b", 3), row("c", 4, sheets=8)]
    assert [s.row.name for s in rank(entries, [row("Random", 0)])] == ["b", "Random"]
    assert [s.row.name for s in rank(entries)] == ["c"]
    assert rank([]) == []


def test_the_course_s_policies_are_ranked_too_and_no_name_hides_them():
    standings = rank([row("Random", 3)], [row("Random", 3), row("H2O", 4)])
    assert [(s.rank, s.row.name, s.of_course) for s in standings] == [
        (1, "H2O", True),
        (2, "Random", False),
        (2, "Random", True),
    ]


def test_the_oracle_stands_below_without_a_rank():
    lines = table(rank([row("Zoë", 4)]), bound=row("Oracle", 4)).splitlines()
    assert lines[0].split() == ["rank", "name", "right", "blocks", "kept", "mode", "tries"]
    assert lines[2].startswith("1") and set(lines[1]) == set(lines[3]) == {"-", " "}
    assert lines[4].split() == ["Oracle", "4", "of", "4", "12.0", "111", "shared", "bound"]
    assert table([]).count("\n") == 1


def test_columns_stand_under_each_other_for_wide_and_joined_signs():
    lines = table(rank([row("名前", 4), row("Ada", 3), row("e\u0323\u0301", 2)])).splitlines()
    ends = {wcswidth(line[: line.index(" of 4")]) for line in lines[2:]}
    assert len(ends) == 1


# --- The figure ------------------------------------------------------------------------------------------------------
def test_the_figure_shows_every_line_once():
    shown = [Line("$a_{", 4, 4, 20.0, "own"), Line("名 b", 2, 4, 12.0), Line("Oracle", 3, 4, 0.0, "bound")]
    figure = answers_and_blocks(shown)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    left, right = figure.axes
    marks = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    spans = [tuple(line.get_xdata()) for line in left.lines if len(line.get_xdata()) == 2]
    assert marks == [1, 0.5, 0.75] and all(
        low <= mark <= high + 1e-9 for mark, (low, high) in zip(marks, spans, strict=True)
    )
    assert [bar.get_width() for bars in right.containers for bar in bars] == [20, 12, 0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["$a_{", "□ b", "Oracle"]


# --- Prose -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def said(master):
    return "\n".join(output_text(output) for _, _, output in outputs(master))


@pytest.fixture(scope="module")
def prose(master):
    return "\n".join(source(cell) for cell in master.cells if cell.cell_type == "markdown")


def result(said, name, budget):
    """Answers and blocks of the last run of a policy with a budget."""
    found = re.findall(rf"^{name}, {budget} rows kept, \w+: (\d+) of 24 right, ([\d.]+) blocks", said, re.MULTILINE)
    return int(found[-1][0]), float(found[-1][1])


def test_what_is_said_of_the_judgement(said, prose):
    assert result(said, "MyPolicy", 111)[1] == 20 and "frees 20 blocks instead of 12" in prose
    others = [
        result(said, name, 111)[0] for name in ("Random", "StreamingLLM", "KeyNorm", "H2O", "SnapKV", "TriAttention")
    ]
    assert max(others) <= 1 < 20 < result(said, "Oracle", 111)[0] and "gets next to nothing" in prose
    difference, half_width = map(int, re.search(r"less TriAttention: \+(\d+) ± (\d+) points", said).groups())
    assert difference < half_width and "the interval contains 0" in prose


def test_what_is_said_of_spare_copies(said, prose):
    found = re.findall(r"SpareCopies, 111 rows kept, (\w+): (\d+) of 16", said)
    best = max(found, key=lambda each: int(each[1]))
    assert best[0] == "per_layer_per_head" and int(best[1]) > 12 and "Most of them, with 111 rows of 443" in prose
    assert load_sweep().find("TriAttention", 0.25, "per_layer_per_head").share_right == 0


def test_nobody_but_the_oracle_at_an_eighth(prose):
    sweep = load_sweep()
    right = {
        name: max(sweep.find(name, 0.125, mode).share_right for mode in SELECTIONS)
        for name in ("Oracle", "TriAttention", "H2O", "SnapKV", "StreamingLLM", "KeyNorm", "Random")
    }
    assert f"{right.pop('Oracle'):.0%}" == "15%" and set(right.values()) == {0} and "gets 15% there" in prose
    assert round(443 / 8) == 55 and 55 - 16 < 40


def test_a_worksheet_has_77_look_ups(contest, prose):
    assert contest.judge(StreamingLLM(), HALF).lookups == 3 * 77 and "has 77 look-ups" in prose


def test_six_compressions_of_two_blocks(contest, prose):
    assert contest.judge(StreamingLLM(), HALF).blocks_freed == 12 == 6 * 32 / 16 and "Six compressions" in prose
