"""Lesson 11: its names against their sources, what its prose says without a cell beside it, its checks and pictures."""

import importlib.util
import itertools
import re

import numpy as np
import pytest

from helpers.arithmetic import MODELS, GiB, KVShape
from helpers.arithmetic.engine_room import vllm_blocks
from helpers.arithmetic.engine_settings import STOCK_KERNELS
from helpers.arithmetic.engines_today import FINDINGS
from helpers.engines import LlamaCpp
from helpers.engines.engine import Answer, Figures, KVRoom
from helpers.engines.llama_cpp_watch import Reading, read_counter
from helpers.models import load_smollm2, smollm2
from helpers.plots.engines import cells_of_requests, cells_while_writing
from helpers.records.garage import load_garage
from helpers.records.transformers_paged import load_transformers_paged
from helpers.records.vllm_server import COUNTERS, load_vllm_server
from helpers.teaching.lessons import lesson_11
from helpers.widgets import engine_cells
from helpers.widgets.living import Garage
from tests.arithmetic.engine_logs import PAGES
from tests.arithmetic.engine_options import OPTIONS
from tests.house.notebooks import NOTEBOOKS, cells, lesson_text, read, source

ENGINES = ("llama.cpp", "vLLM", "SGLang", "TensorRT-LLM")
# Options that the course's own vLLM is started with, and so held by that vLLM.
STARTED_WITH = {"--block-size"}
HERE = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec(smollm2.PACKAGE) is None,
    reason="llama.cpp or SmolLM2 is not installed",
)


def prose():
    return "\n".join(source(cell) for _, cell in cells(read(NOTEBOOKS / "11_real_engines.ipynb"), "markdown"))


def table(first, engine):
    """What the table whose first column is called so says of an engine, by the words in that column."""
    lines, rows = iter(prose().splitlines()), {}
    for line in lines:
        head = [cell.strip() for cell in line.strip("|").split("|")]
        columns = [i for i, name in enumerate(head) if name.split(",")[0] == engine]
        if head[0] == first and columns:
            next(lines)
            for row in itertools.takewhile(lambda row: row.startswith("|"), lines):
                told = [cell.strip() for cell in row.strip("|").split("|")]
                rows[told[0]] = told[columns[0]]
    return rows


# --- Names -----------------------------------------------------------------------------------------------------------
def known(engine, subject):
    return " ".join(row.says for row in FINDINGS if row.engine == engine and row.subject == subject)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_flag_of_the_table_has_a_source(engine):
    names = {name.split(".")[-1] for name in (o.name for o in OPTIONS if o.engine == engine)}
    names |= set(re.findall(r"[\w-]+", known(engine, "flags")))
    found = [name for told in table("what it sets", engine).values() for name in re.findall(r"`([^`]+)`", told)]
    assert found and [name for name in found if name.split(".")[-1] not in names | STARTED_WITH] == []


def test_what_the_table_says_without_a_flag():
    rows = table("what it sets", "llama.cpp")
    assert "forks only" in next(f.doubt for f in FINDINGS if (f.engine, f.subject) == ("llama.cpp", "eviction"))
    assert "in forks only" in rows["rows evicted by score"] and "Nothing merged" in known("SGLang", "compaction")
    assert "8,192 MiB" in rows["old prompts in main memory"] + known("llama.cpp", "offloading")
    assert "named, each has a cache of its own" in next(o.says for o in OPTIONS if o.name == "--parallel")
    assert "both the same, f16, q8_0 or q4_0" in rows["how rows are stored"]
    assert {"f16", "q8_0", "q4_0"} < set(STOCK_KERNELS) and "q5_0" not in STOCK_KERNELS
    assert "f16, bf16, q8_0 and q4_0, K and V alike" in known("llama.cpp", "formats")
    assert "a prompt may only go on" in rows["a beginning found again"]
    assert "a prompt may only go on" in known("llama.cpp", "sharing")


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_every_metric_of_the_table_has_a_source(engine):
    names = [name for told in table("you want to know", engine).values() for name in re.findall(r"`([^`]+)`", told)]
    known_here = known(engine, "metrics") + (" ".join(COUNTERS) if engine == "vLLM" else "")
    assert names and [name for name in names if name not in known_here] == []


@HERE
def test_llama_cpp_has_the_metrics_of_the_table_and_not_the_old_one():
    with LlamaCpp(smollm2.gguf_path(), 256) as engine:
        said = engine.metrics()
    told = " ".join(table("you want to know", "llama.cpp").values())
    names = re.findall(r"`(\w+)`", told)
    assert len(names) == 3 and all(read_counter(said, name) == 0 for name in names)
    assert "kv_cache_usage_ratio" not in said and "`kv_cache_usage_ratio`" in prose()


@HERE
def test_a_piece_of_a_prompt_has_512_tokens():
    import xllamacpp

    assert xllamacpp.CommonParams().n_ubatch == 512 and "pieces of 512 tokens (`--ubatch-size`)" in lesson_text("08")
    assert xllamacpp.CommonParams().cache_ram_mib == 8192 and not xllamacpp.CommonParams().ctx_shift


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_groups_of_gemma_and_blocks_of_hybrids():
    shape = KVShape.from_config(MODELS["Gemma-3-27B"].config)
    assert (shape.count("sliding"), shape.count("full")) == (52, 10)
    assert vllm_blocks(shape, 10 * GiB, 8192).groups == 6 + 1 and "52 sliding layers make six groups" in prose()
    printed = {page.model: page.tokens for page in PAGES}
    assert "528 tokens for Qwen3.6-35B-A3B, and for Qwen3.8-27B 784, or 1,648 with 8-bit rows and drafts" in prose()
    assert (printed["Qwen3.6-35B-A3B"], printed["Qwen3.8-27B, 16-bit rows"], printed["Qwen3.8-27B"]) == (528, 784, 1648)
    settings = next(page.settings for page in PAGES if page.model == "Qwen3.8-27B")
    assert settings["kv_format"] == "fp8_e4m3"  # a row of 8 bits, and a state with drafted tokens


def test_the_answers_under_the_garage():
    pictures = [Garage(policy="StreamingLLM", share=0.9), Garage(policy="TriAttention", share=0.9)]
    frames = [picture.frame(picture.choice) for picture in pictures]
    assert [frame["floors_back"] for frame in frames] == [10, 0] and "1. Ten." in prose()
    told = load_garage()
    kept = told.ranks["TriAttention"]["per_layer_per_head"] < frames[1]["keep"]
    assert kept.shape == (30, 3, 192)
    assert int(np.sum(~kept.any((0, 1)))) == 15 and "2. Fifteen" in prose()


def test_how_engines_end():
    found = load_transformers_paged().facts
    assert [each["request"] for each in found["too_small"]["thrown_back"]] == ["second"]
    assert found["too_large"]["engine"].startswith("No requests can be scheduled")
    starts = load_vllm_server().starts
    assert "larger than the available KV cache memory" in starts[12, 32, 4096].refused
    assert starts[2048, 128, 4096].words[0].endswith("22.75x") and "Not 22, which is the worst case" in prose()


@pytest.mark.skipif(not smollm2.is_converted(), reason="SmolLM2 is not installed")
def test_what_a_shift_leaves_of_the_log():
    tokenizer = load_smollm2().tokenizer
    asked = lesson_11.chat(lesson_11.PAGE.format(clock="10:01") + "Who rowed to the village?")
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert len(ids) == 158
    assert tokenizer.decode(ids[4 + 125 :]).strip().startswith("net. At dusk")  # "only the end is left"


@HERE
def test_the_line_of_the_first_exercise():
    with LlamaCpp(smollm2.gguf_path(), 5_000, ("q8_0", "q4_0")) as engine:
        assert engine.figures().room.kv_mib == round(lesson_11.check_line.expected, 2)


# --- Helpers ---------------------------------------------------------------------------------------------------------
def test_a_line_with_its_numbers_covered(capsys):
    line = "llama_kv_cache: size =   22.50 MiB (  1024 cells,  30 layers,  1/1 seqs), K (f16):   11.25 MiB, V ..."
    figures = Figures(KVRoom(1024, 1, 22.5), 1.0, 1.0, None, ("model buffer size = 92.10 MiB", line))
    assert lesson_11.cache_line(figures) == line
    lesson_11.cover(figures)
    covered = capsys.readouterr().out
    assert not re.search(r"1024|22\.5|11\.25", covered) and "30 layers,  1/1 seqs" in covered


def test_a_few_readings():
    assert lesson_11.few(range(100), 4) == [0, 33, 66, 99]
    assert lesson_11.few([1, 2], 8) == [1, 2] and lesson_11.few([7], 8) == [7]


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        ("check_line", 45.703125, "Right"),
        ("check_line", 44.63, "steps of 256"),
        ("check_line", 112.5, "16 bits for both"),
        ("check_line", 59.77, "V is in q4_0"),
        ("check_line", 42.19, "half a bit more"),
        ("check_shared_chats", 144, "Right"),
        ("check_shared_chats", 60, "without sharing"),
        ("check_shared_chats", 180, "eighth block"),
        ("check_shared_chats", 184, "whole blocks"),
        ("check_servers", {"A": "blocks", "B": "places", "C": "nothing"}, "Right"),
        ("check_servers", {"A": "places", "B": "places", "C": "nothing"}, "look at A again"),
        ("check_servers", {"A": "blocks", "B": "blocks", "C": "nothing"}, "four blocks in five"),
        ("check_servers", {"A": "blocks", "B": "places", "C": "blocks"}, "filled at the start"),
        ("check_servers", {"A": "memory", "B": "places", "C": "nothing"}, "may be blocks, nothing, places"),
        ("check_servers", ["blocks"], "a dict with"),
        ("check_servers", ..., "replace the three dots"),
    ],
)
def test_checks_say_what_is_right_and_what_is_likely_wrong(check, answer, said, capsys):
    getattr(lesson_11, check)(answer)
    assert said in capsys.readouterr().out


# --- Pictures --------------------------------------------------------------------------------------------------------
def test_bars_of_requests_stand_end_to_end():
    [ax] = cells_of_requests(["a", "b"], [24, 145], [133, 13], [12, 12], 1024).axes
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == [24 + 133 + 12, 145 + 13 + 12] and ax.get_xlim()[1] > 1024


def test_the_line_of_a_slot_and_the_dot_where_it_would_end():
    [ax] = cells_while_writing([0, 97, 98, 200], [158, 255, 131, 232], 256, 98).axes
    path, dot = ax.lines[:2]
    assert list(path.get_ydata()) == [158, 255, 131, 232]
    assert [dot.get_xdata()[1], dot.get_ydata()[1]] == [98, 255]


@pytest.fixture
def shown(monkeypatch):
    pages = []
    monkeypatch.setattr(engine_cells, "show", lambda figure, caption: pages.append((figure, caption)))
    return pages


def test_captions_say_what_is_drawn(shown):
    answer = Answer("", (1,) * 12, False, 158, 145, None, None)
    engine_cells.show_requests(["next question"], [answer], 1024)
    assert "next question: 145 found, 13 read; 12 written each" in shown[0][1]


def test_a_reading_out_of_step_is_left_out(shown):
    readings = [Reading(0.1 * i, 158 + i, i, 1, 0) for i in range(90)]
    readings += [Reading(9.0 + 0.1 * i, 131 + i, 98 + i, 1, 0) for i in range(90)]
    engine_cells.show_shift([*readings[:50], Reading(5, 208, 49, 1, 0), *readings[50:]], 256, 98)
    figure, caption = shown[0]
    assert len(figure.axes[0].lines[0].get_xdata()) == 180
    assert "begins at 158 cells" in caption and "at 98 tokens" in caption
