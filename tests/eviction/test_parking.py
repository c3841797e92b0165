"""What a parked conversation says after a choice, against a garage of sets, and against the recorded conversation."""

import statistics
import time

import numpy as np
import pytest

from helpers.arithmetic import KVShape
from helpers.eviction.parking import BY_HAND, MOST, Parking
from helpers.eviction.selection import SELECTIONS
from helpers.records import load_garage

LAYERS, HEADS, DIM, SIZE = 7, 2, 4, 4
ROW_BYTES = 2 * DIM * 2  # K and V, in 16 bits
BLOCK_BYTES = ROW_BYTES * LAYERS * HEADS * SIZE
TOGETHER = {"shared": (1, 1), "union": (1, 1), "per_head": (1, HEADS), "per_layer_per_head": (LAYERS, HEADS)}


def chance_ranks(n_tokens, seed=0):
    rng = np.random.default_rng(seed)
    return {mode: rng.permuted(np.tile(np.arange(n_tokens), (*some, 1)), axis=-1) for mode, some in TOGETHER.items()}


def small_parking(n_tokens=29, prompt_length=10, seed=0):
    ranks = {"Random": chance_ranks(n_tokens, seed)}
    return Parking(n_tokens, prompt_length, ranks, KVShape(LAYERS, HEADS, DIM), SIZE)


class SetGarage:
    """The same conversation as sets: per block the rows ``(layer, head, token)`` in it, by the slot of each token."""

    def __init__(self, parking, choice):
        self.choice = parking.start | choice
        self.seen, second = self.choice["seen"], self.choice["second"]
        prompt = min(self.seen, parking.prompt_length)
        self.free = list(range(parking.num_blocks))
        self.own = [self.free.pop(0) for _ in range(-(-prompt // SIZE))]
        self.other = list(self.own) if second else []
        if self.other and prompt % SIZE and self.seen > prompt:
            self.own[-1] = self.free.pop(0)  # a shared block is copied before it is written to
        while len(self.own) * SIZE < self.seen:
            self.own.append(self.free.pop(0))
        self.slots = {(layer, head): list(range(self.seen)) for layer in range(LAYERS) for head in range(HEADS)}
        self.prompt, self.before, self.closed, self.freed = prompt, len(self.own), 0, 0
        self.ends = self.seen
        self.kept = {each: self.stays(parking, *each) for each in self.slots}
        if any(len(kept) < self.seen for kept in self.kept.values()):
            self.compact() if self.choice["compact"] else self.release()

    def stays(self, parking, layer, head):
        """Tokens of a layer and head that stay, ascending."""
        choice, everyone = self.choice, list(range(self.seen))
        if choice["policy"] == BY_HAND:
            return [token for token in everyone if token not in choice["gone"]]
        if self.seen < parking.n_tokens:
            return everyone
        ranks = parking.ranks[choice["policy"]][choice["mode"]]
        count = max(1, round((1 - choice["share"]) * self.seen))
        ranks = ranks[layer % ranks.shape[0], head % ranks.shape[1]].tolist()
        return sorted(sorted(everyone, key=ranks.__getitem__)[:count])

    def give_back(self, blocks):
        """Blocks that the first conversation lists no more, the first to be reused first."""
        self.closed += len(blocks)
        back = [block for block in blocks if block not in self.other]
        self.free += back
        self.freed += len(back)

    def release(self):
        living = {token // SIZE for kept in self.kept.values() for token in kept}
        dead = [i for i in range(len(self.own)) if i not in living]
        self.give_back([self.own[i] for i in reversed(dead)])
        self.place = {i: block for i, block in enumerate(self.own) if i in living}
        self.own = list(self.place.values())

    def compact(self):
        count = len(self.kept[0, 0])
        stays = [kept == list(range(count)) for kept in self.kept.values()]
        moved = [min([i for i, token in enumerate(kept) if token != i], default=count) for kept in self.kept.values()]
        first = count if all(stays) else min(moved)
        changed = range(first // SIZE, -(-count // SIZE))
        copied = [i for i in changed if self.own[i] in self.other]
        for i, target in zip(copied, [self.free.pop(0) for _ in copied], strict=True):
            self.own[i] = target
        self.freed -= len(copied)  # taken for the copies
        tail = self.own[-(-count // SIZE) :]
        self.own = self.own[: len(self.own) - len(tail)]
        self.give_back(tail[::-1])
        self.ends = count

    def where(self, layer, head):
        """The slot of each row of the first conversation: ``{(block, offset): token}``."""
        kept = self.kept[layer, head]
        if self.ends < self.seen:  # compacted
            return {(self.own[j // SIZE], j % SIZE): token for j, token in enumerate(kept)}
        place = getattr(self, "place", dict(enumerate(self.own)))
        return {(place[token // SIZE], token % SIZE): token for token in kept}

    def rows_of_other(self):
        return {(self.other[token // SIZE], token % SIZE): token for token in range(self.prompt if self.other else 0)}

    def strip(self, block, layer, head):
        """What lies in the slots of a block, as the first conversation that lists it has it."""
        other = self.rows_of_other()
        if block not in self.own:
            return [other.get((block, i), -2) for i in range(SIZE)]
        mine = self.where(layer, head)
        if self.ends < self.seen:
            written = {(self.own[j // SIZE], j % SIZE) for j in range(self.ends)}
        else:
            place = getattr(self, "place", dict(enumerate(self.own)))
            written = {(place[t // SIZE], t % SIZE) for t in range(self.seen) if t // SIZE in place}
        return [mine.get((block, i), -1 if (block, i) in written else -2) for i in range(SIZE)]

    def frame(self):
        layer, held = self.choice["layer"], sorted({*self.own, *self.other})
        rows = {(block, i, each) for each in self.slots for block, i in self.where(*each)}
        everyone = rows | {(block, i, each) for each in self.slots for block, i in self.rows_of_other()}
        strips = {block: {each: self.strip(block, *each) for each in self.slots} for block in held}
        if layer == "all":
            shown = {"alive": {str(block): self.aisles(strips[block]) for block in held}}
        else:
            shown = {"rows": {str(block): [strips[block][layer, head] for head in range(HEADS)] for block in held}}
        return {
            "seen": self.seen,
            "layer": layer,
            "tables": [self.own, self.other] if self.choice["second"] else [self.own],
            "free": self.free,
            **shown,
            "layers_holding": {
                str(block): sum(
                    any(token >= 0 for head in range(HEADS) for token in strips[block][i, head]) for i in range(LAYERS)
                )
                for block in held
            },
            "rows_evicted": sum(self.seen - len(kept) for kept in self.kept.values()),
            "rows_in_all": self.seen * LAYERS * HEADS,
            "floors": self.before,
            "floors_closed": self.closed,
            "bytes_held": len(held) * BLOCK_BYTES,
            "bytes_back": self.freed * BLOCK_BYTES,
            "bytes_alive": len(everyone) * ROW_BYTES,
            "keep": len(self.kept[0, 0]),
        }

    def aisles(self, strips):
        groups = [range(0, 6), range(6, 7)]  # of 7 layers
        return [
            [
                [
                    -2
                    if strips[group[0], head][i] == -2
                    else round(sum(strips[layer, head][i] >= 0 for layer in group) / len(group), 3)
                    for i in range(SIZE)
                ]
                for head in range(HEADS)
            ]
            for group in groups
        ]


# --- Against sets -----------------------------------------------------------------------------------------------------
def drawn(rng):
    """A parking and a choice, by lot; what evicts by hand evicts some tokens, or some floors, or the latest."""
    n_tokens = int(rng.integers(1, 31))
    parking = small_parking(n_tokens, int(rng.integers(1, n_tokens + 1)), seed=rng)
    some, first = rng.integers(0, n_tokens, rng.integers(0, 2 * n_tokens)), int(rng.integers(0, n_tokens + 1))
    gone = [some.tolist(), [token for token in range(n_tokens) if token // SIZE in some // SIZE][:-1]]
    choice = {
        "seen": [n_tokens, int(rng.integers(1, n_tokens + 1))][rng.integers(2)],
        "layer": ["all", int(rng.integers(LAYERS))][rng.integers(2)],
        "policy": ["Random", BY_HAND][rng.integers(2)],
        "mode": SELECTIONS[rng.integers(4)],
        "share": [0, 0.05, 0.5, 0.9, MOST][rng.integers(5)],
        "compact": bool(rng.integers(2)),
        "gone": [*gone, list(range(first, n_tokens))][rng.integers(3)],
        "second": bool(rng.integers(2)),
    }
    return parking, choice


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_is_that_of_a_garage_of_sets(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        parking, choice = drawn(rng)
        if choice["policy"] == BY_HAND and set(range(choice["seen"])) <= set(choice["gone"]):
            with pytest.raises(ValueError, match=f"gone holds all {choice['seen']} tokens"):
                parking.after(choice)
        else:
            assert parking.after(choice) == SetGarage(parking, choice).frame(), choice


@pytest.mark.parametrize("choice", [{"seen": 0}, {"seen": 0, "second": True, "layer": "all"}, {"seen": 0, "gone": [3]}])
def test_before_the_first_token_nothing_is_held(choice):
    frame = small_parking().after(choice | {"policy": BY_HAND})
    assert frame["tables"] == [[]] * (1 + choice.get("second", False))
    assert {frame[name] for name in ("rows_in_all", "floors", "bytes_held", "bytes_alive", "keep")} == {0}


# --- The recorded conversation ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def parking():
    return Parking.of(load_garage())


def test_nothing_evicted_holds_everything(parking):
    frame = parking.after({"share": 0.0})
    assert (frame["floors"], frame["floors_closed"]) == (12, 0)
    assert (frame["rows_evicted"], frame["rows_in_all"]) == (0, 30 * 3 * 192)
    assert frame["bytes_held"] == frame["bytes_alive"] == KVShape(30, 3, 64).bytes(192)


def test_at_most_97_in_100_go_and_a_few_rows_stay(parking):
    frame = parking.after({"share": MOST})
    assert frame["keep"] == 6 and frame["rows_evicted"] == 30 * 3 * 186


def test_a_share_is_evicted_at_the_end_and_not_before(parking):
    assert parking.after({"share": 0.9, "seen": 191})["rows_evicted"] == 0
    assert parking.after({"share": 0.9, "seen": 192})["keep"] == 19


def test_a_floor_evicted_by_hand_closes_in_every_layer(parking):
    before, after = (parking.after({"policy": BY_HAND, "gone": gone}) for gone in ([], list(range(64, 80))))
    assert before["tables"] == [list(range(12))] and after["tables"] == [[*range(4), *range(5, 12)]]
    assert after["free"] == [*before["free"], 4] and "4" not in after["layers_holding"]
    assert after["bytes_back"] == before["bytes_held"] - after["bytes_held"] == 16 * 23_040
    almost = parking.after({"policy": BY_HAND, "gone": list(range(64, 79))})
    assert (almost["floors_closed"], almost["bytes_back"], almost["layers_holding"]["4"]) == (0, 0, 30)


def test_a_shared_floor_has_two_tables_and_closing_it_gives_nothing_back(parking):
    before, after = (parking.after({"policy": BY_HAND, "gone": gone, "second": True}) for gone in ([], list(range(16))))
    assert before["tables"][0][:2] == before["tables"][1][:2] == [0, 1]
    assert before["tables"][1][2] not in before["tables"][0], "the first conversation wrote on in a copy"
    assert after["tables"] == [before["tables"][0][1:], before["tables"][1]]
    assert (after["floors_closed"], after["bytes_back"]) == (1, 0)
    assert after["bytes_held"] == before["bytes_held"] and after["free"] == before["free"]
    assert after["rows"]["0"] == before["rows"]["0"], "the other conversation has them still"


def test_a_row_evicted_from_a_shared_floor_is_shown_as_the_first_conversation_has_it(parking):
    frame = parking.after({"policy": BY_HAND, "gone": [3], "second": True})
    assert [strip[3] for strip in frame["rows"]["0"]] == [-1, -1, -1]
    assert frame["bytes_alive"] == parking.after({"second": True})["bytes_alive"], "the other one holds that row"


def test_a_second_conversation_leaves_room_to_compact(parking):
    for policy in parking.ranks:
        for share in (0.05, 0.5, 0.9):
            frame = parking.after({"policy": policy, "share": share, "compact": True, "second": True})
            alone = parking.after({"policy": policy, "share": share, "compact": True})
            assert frame["floors_closed"] == alone["floors_closed"]
            assert len(frame["tables"][0]) == -(-frame["keep"] // 16)


def test_sliding_over_a_shared_prompt_first_costs_copies(parking):
    """One row in twenty goes: the table is as long as before, and the two whole floors of the prompt are held twice."""
    frame = parking.after({"policy": "StreamingLLM", "share": 0.05, "compact": True, "second": True})
    assert (frame["floors_closed"], frame["bytes_back"]) == (0, -2 * 16 * 23_040)


@pytest.mark.parametrize("policy", ["TriAttention", "H2O"])
def test_nine_in_ten_each_head_for_itself_closes_no_floor_and_sliding_closes_ten(parking, policy):
    trap, way_out = (parking.after({"policy": policy, "share": 0.9, "compact": compact}) for compact in (False, True))
    assert (trap["floors_closed"], trap["bytes_back"]) == (0, 0)
    assert (way_out["floors_closed"], way_out["bytes_back"]) == (10, 10 * 16 * 23_040)


def test_answers_come_quickly(parking):
    """No time is asserted; the goal is far below 100 ms."""
    seconds = []
    for i in range(30):
        started = time.perf_counter()
        parking.after({"share": 0.9 - i / 100, "compact": i % 2 == 1, "second": True, "layer": ["all", 14][i % 2]})
        seconds.append(time.perf_counter() - started)
    print(f"an answer takes {1000 * statistics.median(seconds):.1f} ms, at most {1000 * max(seconds):.1f} ms")


# --- What may not be --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"seen": 30}, "seen is 30; it may be 0 to 29"),
        ({"seen": True}, "seen is True; it may be 0 to 29"),
        ({"seen": 2.5}, "seen is 2.5; it may be 0 to 29"),
        ({"layer": 7}, 'layer is 7; it may be 0 to 6, or "all"'),
        ({"layer": "every"}, "layer is 'every'; it may be 0 to 6, or \"all\""),
        ({"head": -1}, "head is -1"),
        ({"policy": "H3O"}, "policy is 'H3O'; it may be Random, by hand"),
        ({"mode": "alone"}, "mode is 'alone'; it may be shared, union, per_head, per_layer_per_head"),
        ({"share": 0.98}, "share is 0.98; it may be 0 to 0.97"),
        ({"share": float("nan")}, "share is nan; it may be 0 to 0.97"),
        ({"share": "90%"}, "share is '90%'; it may be 0 to 0.97"),
        ({"compact": 1}, "compact is 1; it may be True, False"),
        ({"gone": [29]}, "a token of gone is 29; it may be 0 to 28"),
        ({"gone": 3}, "gone is 3; it must be a list of tokens"),
        ({"policy": BY_HAND, "seen": 2, "gone": [0, 1]}, "gone holds all 2 tokens read so far; one must stay"),
        ({"layers": 3}, "the choice has 'layers'; it may have seen, layer, head, policy"),
    ],
)
def test_what_may_not_be_is_said_in_one_line(choice, said):
    parking = small_parking()
    with pytest.raises(ValueError) as refused:
        parking.after(choice)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)
    assert parking.after({}) == parking.after(parking.start)
