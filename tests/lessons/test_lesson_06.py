"""Lesson 06: what its figures draw, what its control and garage say, its exercises' mistakes, and its numbers."""

import io
import re
from collections import Counter

import numpy as np
import pytest

from helpers.arithmetic import MODELS, GiB, KVShape, weights_bytes
from helpers.cache import BlockPool, BlockTable, blocks_for
from helpers.plots import blocks, parked
from helpers.records import load_garage, load_transformers_paged, load_vllm_server
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_06 as exercises
from helpers.widgets import blocks as garage
from helpers.widgets.living import Garage
from tests.house.notebooks import NOTEBOOKS, lesson_text, read, source, tags

HELD = re.compile(r"(\d+) of (\d+) blocks held \(usage ([\d.]+)%\); ([\d,]+) tokens in ([\d,]+) slots")
SPARED = re.compile(r"The tables list (\d+) blocks, so sharing spares (\d+)\.")


def axes(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    return ax


def line(ax, label):
    [found] = [artist for artist in ax.lines if artist.get_label() == label]
    return list(map(tuple, np.asarray(found.get_xydata()).tolist()))


def said(caption):
    held, of, usage, tokens, slots = HELD.search(caption).groups()
    listed, spared = SPARED.search(caption).groups()
    assert usage == f"{100 * int(held) / int(of):.1f}"
    return int(held), int(of), int(tokens.replace(",", "")), int(slots), int(listed), int(spared)


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_every_slot_is_drawn_once_where_it_lies():
    pool = BlockPool(8, 4)
    a, b = BlockTable(pool), BlockTable(pool)
    a.append(6)
    b.append(3)
    c = a.fork()
    c.append(1)
    ax = axes(garage.draw_pool(pool, {"A": a, "B": b, "C": c}, row=16))
    corner = {block: (4 * block % 16, 4 * block // 16) for block in range(8)}
    place = {slot: (corner[slot // 4][0] + slot % 4 + 0.5, corner[slot // 4][1] + 0.32) for slot in range(32)}
    assert line(ax, "shared") == [place[slot] for slot in (0, 1, 2, 3)]
    assert line(ax, "A") == [place[slot] for slot in (4, 5)]
    assert line(ax, "B") == [place[slot] for slot in (8, 9, 10)]
    assert line(ax, "C") == [place[slot] for slot in (12, 13, 14)]  # a copy of two, and one of its own
    assert line(ax, "empty") == [place[slot] for slot in (6, 7, 11, 15)]
    assert [text.get_text() for text in ax.texts] == ["0  ×2", "1", "2", "3"]
    free, held = (len(collection.get_paths()) for collection in ax.collections)
    assert (free, held) == (4, 4)


def test_each_sequence_has_a_colour_and_a_mark_of_its_own():
    colours, marks = zip(*blocks.LOOKS.values(), strict=True)
    assert len(set(colours)) == len(set(marks)) == len(blocks.LOOKS) == len(garage.LETTERS) + 1


def test_used_shares_stacks_the_rest_on_what_is_used():
    ax = axes(blocks.used_shares({"ours": {"one": 0.25}, "theirs": {"two": 0.5, "three": 1.0}}, "Little is used"))
    bars = [(round(bar.get_x(), 9), round(bar.get_width(), 9)) for bar in ax.patches]
    assert bars == [(0, 0.25), (0.25, 0.75), (0, 0.5), (0.5, 0.5), (0, 1), (1, 0)]
    assert [text.get_text() for text in ax.texts] == ["ours", "25.0%", "theirs", "50.0%", "100.0%"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two", "three"]


def test_words_stand_in_their_slots_and_a_plate_for_each_table():
    floors = [["Tell", " me"], ["why"], ["old"], []]
    figure = parked.words_in_floors(floors, 2, {"A": [0, 1], "B": [0]}, [2, 3], "Shared")
    said = [text.get_text() for text in axes(figure).texts]
    expected = ["0", "A0", "B0", "Tell", "me", "1", "A1", "why", "2", "3"]  # "old" is of a free floor
    assert said == [*expected, "table of A: 0  1", "table of B: 0", "free: 2  3"] and figure.get_suptitle() == "Shared"


def test_requests_are_drawn_where_they_run_wait_and_go():
    ran = {"A": [(0, 9)], "B": [(2, 3), (10, 14)]}
    figure = parked.requests_over_steps({"A": 0, "B": 1}, ran, [1] * 15, 3, "B goes once")
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    upper, lower = figure.axes
    assert [(bar.get_x(), bar.get_width()) for bar in upper.patches] == [(0, 10), (2, 2), (10, 5)]
    lines = [(artist.get_marker(), list(artist.get_xdata())) for artist in upper.lines]
    assert lines[3:] == [("None", [1, 15]), ("|", [2, 10]), ("X", [4])]
    assert list(lower.lines[1].get_ydata()) == [3, 3]


def test_waste_by_block_size_draws_both_lines():
    ax = axes(blocks.waste_by_block_size([1, 16], [0.0, 0.25], [0.0, 0.5], "So"))
    assert line(ax, "counted in the pool") == [(1, 0), (16, 0.5)]
    assert line(ax, "if each leaves half a block empty") == [(1, 0), (16, 0.25)]


def test_held_over_time_draws_bars_under_the_pool():
    ax = axes(blocks.held_over_time(["a", "b"], [512, 0], [1024, 1024]))
    [bars] = ax.containers
    assert [bar.get_height() for bar in bars] == [512, 0]
    assert [y for _, y in line(ax, "pool: what nvidia-smi would see")] == [1024, 1024]
    assert [text.get_text() for text in ax.texts] == ["50%", "0%"]
    assert ax.get_ylim()[1] > 1024


# --- The control -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("block_size", [4, 8, 16, 32])
@pytest.mark.parametrize("prompts", [garage.OWN, garage.SHARED])
def test_the_garage_keeps_its_books(block_size, prompts):
    for sequences, prompt, decoded, gone in [(1, 1, 0, 0), (4, 40, 20, 2), (6, 64, 64, 0), (6, 7, 3, 6), (2, 9, 1, 5)]:
        pool, tables, _ = garage.run_garage(sequences, prompt, prompts, decoded, gone, block_size)
        pool.check_integrity(list(tables.values()))
        assert len(tables) == max(0, sequences - gone) or prompts == garage.OWN  # a late one may find no slot
        held, of, tokens, slots, listed, spared = said(
            garage.pool_frame(sequences, prompt, prompts, decoded, gone, block_size)[1]
        )
        assert (held, of, slots) == (pool.num_held_blocks, pool.num_blocks, pool.num_held_blocks * block_size)
        assert listed - spared == held and (spared == 0 or prompts == garage.SHARED)
        assert 0 <= slots - tokens < max(1, len(tables)) * block_size
        if prompts == garage.OWN:
            assert tokens == sum(table.num_slots for table in tables.values())


def test_a_full_garage_says_so():
    _, caption = garage.pool_frame(6, 64, garage.OWN, 0, 0, 16)
    assert said(caption)[:2] == (20, 20) and "somebody must wait" in caption
    assert "wait" not in garage.pool_frame(6, 64, garage.SHARED, 0, 0, 16)[1]


def test_question_1():
    assert said(garage.pool_frame(4, 40, garage.OWN, 20, 0, 16)[1])[0] == 16
    assert said(garage.pool_frame(4, 40, garage.SHARED, 20, 0, 16)[1])[0] == 10


def test_question_2():
    held = [said(garage.pool_frame(4, 40, garage.SHARED, 20, gone, 16)[1])[0] for gone in range(5)]
    assert held == [10, 8, 6, 4, 0]


def test_nothing_is_copied_where_the_prompt_fills_its_blocks():
    pool, tables, _ = garage.run_garage(4, 40, garage.SHARED, 1, 0, 4)
    assert pool.num_held_blocks == 10 + len(tables)


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("check_four_forks", 90, "Right"),
        ("check_four_forks", 276, "without sharing"),
        ("check_four_forks", 91, "the parent has left"),
        ("check_four_forks", 87, "not full"),
        ("check_four_forks", 28, "the forks' own"),
        ("check_usage", 61_440, "Right"),
        ("check_usage", 20_480, "what is held"),
        ("check_usage", 81_920, "whole pool"),
        ("check_usage", 3_840, "those are blocks"),
        ("check_usage", 0.75 * 10e9 / 131_072, "10 GiB, not 10 GB"),
        ("check_usage", ..., "Not yet"),
    ],
)
def test_a_check_names_the_mistake(check, answer, message, capsys):
    getattr(exercises, check)(answer)
    assert message in capsys.readouterr().out


# --- Prose -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def prose():
    return lesson_text("06")


def test_rounded_numbers_of_the_prose(prose):
    assert "Five times as many" in prose and 5 < 81 / 16 < 5.1
    assert "A sixth is empty" in prose and 1 / 6.5 < 0.159 < 1 / 5.5
    assert 131_072 // 16 == 8_192 and "8,192 entries" in prose
    assert "four slots in five" in prose and 0.8 < 1 - 0.177 < 0.85
    qwen = KVShape.from_config(MODELS["Qwen3-8B"].config)
    assert f"{weights_bytes(MODELS['Qwen3-8B'].n_params, 'q4_k_m') / GiB:.1f} GiB more" in prose
    at_home = {kv_format: f"{qwen.bytes(32_768, kv_format=kv_format) / GiB:.1f} GiB" for kv_format in ("fp16", "q8_0")}
    assert at_home == {"fp16": "4.5 GiB", "q8_0": "2.4 GiB"} and all(size in prose for size in at_home.values())


def test_what_is_said_of_the_garage(prose):
    told = load_garage()
    assert told.prompt_length == 41 == 2 * 16 + 9 and "stand nine tokens, and seven slots are free" in prose
    assert told.tokens[41] == "One" and len(told.tokens) - told.prompt_length == 151
    assert blocks_for(len(told.tokens), 16) == 12
    held = [Garage(seen=seen, second=True) for seen in (41, 42)]
    assert [len({*sum(each.frame(each.choice)["tables"], [])}) for each in held] == [3, 4]


def test_the_tables_that_a_model_needs():
    layers = KVShape.from_config(MODELS["Gemma-3-27B"].config).layers
    kinds = Counter(layer.kind for layer in layers)
    assert (kinds["full"], kinds["sliding"], len(layers)) == (10, 52, 62) and 1 + blocks_for(52, 10) == 7


def test_what_is_quoted_of_the_engines(prose):
    server, engine = load_vllm_server(), load_transformers_paged()
    assert "needed, which is larger than the available KV cache memory" in server.starts[12, 32, 4096].refused
    assert "MultipleOf(32)" in server.starts[1024, 16, 4096].refused
    quoted = engine.facts["too_large"]["engine"]
    assert quoted == "No requests can be scheduled and no requests can be offloaded." and quoted in prose


def test_nothing_is_given_away_before_a_guess():
    cells = read(next(NOTEBOOKS.glob("06_*.ipynb"))).cells
    asked = [i for i, cell in enumerate(cells) if "prediction" in tags(cell)]
    answers = (
        "Five times",
        "Four. The free slots",
        "One. A floor is free",
        "None. A floor goes",
        "Three times",
        "A sixth",
    )
    for place, words in zip(asked, answers, strict=True):
        assert not any(words in source(cell) for cell in cells[: place + 1])
        assert any(words in source(cell) for cell in cells[place:])


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert judge("A6", values)[0] == "holds in part"
    assert judge("A7", values)[0] == "holds" and "vLLM" in judge("A7", values)[1]
