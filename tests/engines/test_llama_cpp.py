"""llama.cpp beside the course: what it says of its cache, what it answers, how it ends, and what it refuses."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import psutil
import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from helpers.arithmetic import KVShape
from helpers.engines import LlamaCpp, llama_cpp, predict_room
from helpers.engines.door import knock
from helpers.models import load_reasoner, make_worksheets

SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
FORMATS = ("fp16", "q8_0", "q5_0", "q4_0")
QUESTION = {"role": "user", "content": "What is the capital of France?"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reasoner():
    return load_reasoner()


@pytest.fixture(scope="module")
def sheets():
    return make_worksheets(4, 6, seed=5)


def prompt_of(reasoner, sheet):
    return reasoner.prompt_ids(sheet)[0].tolist()


# --- Predicted and said ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kv_format", product(FORMATS, FORMATS), ids="-".join)
def test_the_prediction_is_what_it_says_for_every_pair_of_formats(reasoner_gguf, reasoner, kv_format):
    with LlamaCpp(reasoner_gguf, 1000, kv_format) as engine:
        assert engine.figures().room == predict_room(reasoner.shape, 1000, kv_format)


@pytest.mark.parametrize("unified", [False, True])
@pytest.mark.parametrize("sequences", [1, 3, 4])
@pytest.mark.parametrize("context", [256, 1100, 2048])
def test_and_for_contexts_sequences_and_one_cache_or_several(reasoner_gguf, reasoner, context, sequences, unified):
    with LlamaCpp(reasoner_gguf, context, ("q8_0", "q4_0"), sequences, unified) as engine:
        assert engine.figures().room == predict_room(reasoner.shape, context, ("q8_0", "q4_0"), sequences, unified)


@pytest.mark.parametrize(
    ("kv_format", "context", "sequences", "unified"),
    [("fp32", 4096, 1, False), ("fp16", 8192, 4, True), ("q5_0", 1000, 4, False), (("q8_0", "q4_0"), 2048, 1, False)],
)
def test_and_for_smollm2(smollm2_gguf, kv_format, context, sequences, unified):
    with LlamaCpp(smollm2_gguf, context, kv_format, sequences, unified) as engine:
        figures = engine.figures()
    assert figures.room == predict_room(SMOLLM2, context, kv_format, sequences, unified)
    assert figures.compute_mib > 0
    assert figures.model_mib == pytest.approx(smollm2_gguf.stat().st_size / 2**20, rel=0.03)


@pytest.mark.parametrize(("kv_format", "turned"), [("fp16", (0, 0)), (("q8_0", "fp16"), (64, 0)), ("q4_0", (64, 64))])
def test_rows_that_it_quantizes_are_rotated_first(smollm2_gguf, kv_format, turned):
    with LlamaCpp(smollm2_gguf, 256, kv_format) as engine:
        words = "\n".join(engine.figures().words)
    assert all(f"n_rot_{half} = {size}," in words for half, size in zip("kv", turned, strict=True))


def test_rows_of_32_numbers_it_does_not_rotate(reasoner_gguf):
    """So its formats are the course's own on the reasoner."""
    with LlamaCpp(reasoner_gguf, 256, "q4_0") as engine:
        assert "n_rot_k = 0," in "\n".join(engine.figures().words)


# --- Answers ---------------------------------------------------------------------------------------------------------
def test_a_conversation_goes_on_from_the_rows_that_are_there(smollm2_gguf):
    with LlamaCpp(smollm2_gguf, 1024) as engine:
        first = engine.ask([QUESTION], max_tokens=12)
        said = [QUESTION, {"role": "assistant", "content": first.text}, {"role": "user", "content": "Why?"}]
        second = engine.ask(said, max_tokens=4, top=3)
        figures = engine.figures()
    assert len(first.tokens) == 12 and first.text and not first.ended and first.likeliest == ()
    assert first.reused_tokens == 0
    assert second.prompt_tokens > second.reused_tokens >= first.prompt_tokens
    assert figures.decode_speed == second.decode_speed > 0
    for token, likeliest in zip(second.tokens, second.likeliest, strict=True):
        assert len(likeliest) == 3
        assert next(iter(likeliest)) == token
        assert sorted(likeliest.values(), reverse=True) == list(likeliest.values())


def test_text_is_a_prompt_too(smollm2_gguf):
    with LlamaCpp(smollm2_gguf, 256) as engine:
        answer = engine.ask("Once upon a time", max_tokens=1)
    assert answer.prompt_tokens == 4
    assert len(answer.tokens) == 1 and answer.decode_speed is None


def test_an_answer_ends_where_the_room_ends(reasoner_gguf, reasoner):
    [sheet] = make_worksheets(1, 40, seed=5)
    with LlamaCpp(reasoner_gguf, 256, "fp16") as engine:
        prompt = prompt_of(reasoner, sheet)[:250]
        answer = engine.ask(prompt, max_tokens=100)
    assert not answer.ended
    assert len(prompt) + len(answer.tokens) <= 257


@pytest.mark.parametrize("unified", [False, True])
def test_four_prompts_at_the_same_time(reasoner_gguf, reasoner, sheets, unified):
    prompts = [prompt_of(reasoner, sheet) for sheet in sheets]
    with LlamaCpp(reasoner_gguf, 1024, "fp32", sequences=4, unified=unified) as engine, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.ask, prompts))
    assert [answer.text.split() for answer in answers] == [f"{s.thought} {s.answer}".split() for s in sheets]


# --- Slots and counters ----------------------------------------------------------------------------------------------
def test_each_sequence_has_cells_of_its_own_and_finds_its_rows_token_by_token(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 1000, sequences=4) as engine:
        slots = engine.slots()
        assert [(slot["n_ctx"], slot["is_processing"]) for slot in slots] == [(256, False)] * 4
        assert engine.figures().room.tokens == 1024
        assert [engine.ask([*range(5, 25), last], 1).reused_tokens for last in (30, 31)] == [0, 20]
        with pytest.raises(ValueError, match="request .300 tokens. exceeds the available context size .256 tokens."):
            engine.ask([1] * 300, 1)
        assert re.search(r"^llamacpp:prompt_tokens_cached_total 20$", engine.metrics(), re.MULTILINE)
        for path in ("/slots", "/metrics"):
            assert "Invalid API Key" in knock("llama.cpp", engine._address, path)
    with pytest.raises(RuntimeError, match="llama.cpp is not running"):
        engine.slots()


@pytest.mark.parametrize(("parked_mib", "kept"), [(0, 0), (64, 40)])
def test_rows_of_an_earlier_prompt_come_back_where_they_may_be_parked(reasoner_gguf, parked_mib, kept):
    with LlamaCpp(reasoner_gguf, 256, parked_mib=parked_mib) as engine:
        for prompt in (range(5, 45), range(45, 5, -1)):
            assert engine.ask([*prompt], 1).reused_tokens == 0
        assert engine.ask([*range(5, 45), 50], 1).reused_tokens == kept


# --- Processes -------------------------------------------------------------------------------------------------------
def gone(pid, seconds=20):
    """Whether a process ends within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_two_at_once_and_each_stops_by_itself(reasoner_gguf, reasoner, sheets):
    prompt, gold = prompt_of(reasoner, sheets[0]), f"{sheets[0].thought} {sheets[0].answer}".split()
    with LlamaCpp(reasoner_gguf, 512) as one:
        with LlamaCpp(reasoner_gguf, 512, "q8_0") as other:
            assert one.ask(prompt).text.split() == other.ask(prompt).text.split() == gold
            pid = other.pid
        assert gone(pid)
        assert one.ask(prompt).text.split() == gold


def test_start_and_stop_may_be_called_twice_and_a_stopped_one_starts_again(reasoner_gguf):
    engine = LlamaCpp(reasoner_gguf, 256)
    with pytest.raises(RuntimeError, match="has not been started"):
        engine.figures()
    pid = engine.start().pid
    assert engine.start().pid == pid
    engine.stop()
    engine.stop()
    assert gone(pid)
    assert engine.figures().room.cells == 256, "figures stay readable"
    with pytest.raises(RuntimeError, match="llama.cpp is not running: call start"):
        engine.ask([1, 5])
    assert engine.start().ask([1, 5], max_tokens=1).tokens
    pid = engine.pid
    psutil.Process(pid).kill()
    assert gone(pid)
    with pytest.raises(RuntimeError):
        engine.ask([1, 5])
    engine.stop()


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "sys.exit()"])
def test_it_ends_with_the_process_that_started_it(reasoner_gguf, end):
    code = f"import os, sys; from helpers.engines import LlamaCpp; engine = LlamaCpp({str(reasoner_gguf)!r}, 256)\n"
    code += f"print(engine.start().pid, flush=True); {end}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120)
    assert gone(int(done.stdout))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send")
def test_an_interrupted_cell_does_not_end_it(reasoner_gguf):
    """Jupyter interrupts the kernel and all that it started."""
    with LlamaCpp(reasoner_gguf, 256) as engine:
        os.kill(engine.pid, signal.SIGINT)
        time.sleep(0.3)
        assert engine.ask([1, 5], max_tokens=2).tokens


def test_nobody_else_can_ask_it(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 256) as engine:
        doors = psutil.Process(engine.pid).net_connections()
        assert {door.laddr.ip for door in doors} == {"127.0.0.1"}
        connection = http.client.HTTPConnection("127.0.0.1", doors[0].laddr.port)
        connection.request("POST", "/completion", '{"prompt": [1, 5]}', {"Content-Type": "application/json"})
        assert connection.getresponse().status == 401
        connection.close()


def test_nothing_is_said_on_the_page(reasoner_gguf, capfd):
    with LlamaCpp(reasoner_gguf, 256) as engine:
        engine.ask([1, 5], max_tokens=2)
    assert capfd.readouterr() == ("", "")


# --- Refused ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"parked_mib": -1}, "parked_mib is -1"),
        ({"kv_format": "fp8_e4m3"}, "kv_format is 'fp8_e4m3'; llama.cpp is run here with fp32, fp16, q8_0, q5_0, q4_0"),
        ({"context": 0}, "context is 0"),
        ({"sequences": 1.5}, "sequences is 1.5"),
    ],
)
def test_arguments_that_cannot_be(reasoner_gguf, arguments, said):
    with pytest.raises(ValueError, match=said):
        LlamaCpp(reasoner_gguf, **arguments)


@pytest.mark.parametrize("kv_format", ["q4_0", ("fp16", "q8_0")])
def test_a_quantized_v_without_flash_attention_it_refuses_itself(reasoner_gguf, kv_format):
    engine = LlamaCpp(reasoner_gguf, 256, kv_format, flash_attention=False)
    with pytest.raises(ValueError, match="llama.cpp did not start: quantized V cache requires flash_attn"):
        engine.start()


def test_a_quantized_k_without_flash_attention_it_does_not_refuse(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 256, ("q8_0", "fp16"), flash_attention=False) as engine:
        assert engine.figures().room.k_mib < engine.figures().room.v_mib


def test_no_such_file_and_no_gguf(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        LlamaCpp(tmp_path / "model.gguf")
    text = tmp_path / "notes.gguf"
    text.write_text("A model, one day.")
    with pytest.raises(ValueError, match="that file is no GGUF"):
        LlamaCpp(text)


def test_a_file_that_breaks_off_is_refused_in_its_own_words(reasoner_gguf, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(reasoner_gguf.read_bytes()[:100_000])
    engine = LlamaCpp(broken)
    with pytest.raises(ValueError, match="llama.cpp did not start: .+") as refusal:
        engine.start()
    assert "\n" not in str(refusal.value)
    with pytest.raises(RuntimeError, match="not running"):
        _ = engine.pid


def test_prompts_that_it_refuses(reasoner_gguf, reasoner, sheets):
    with LlamaCpp(reasoner_gguf, 256) as engine:
        for prompt, said in [
            ([1] * 300, "llama.cpp refuses: request .300 tokens. exceeds the available context size .256 tokens."),
            ([1, 10**6], "llama.cpp refuses: Prompt contains invalid tokens"),
            (reasoner.prompt_ids(sheets[0]), "it may be text, a list of token ids, or a list of chat messages"),
            ("", "prompt is ''"),
        ]:
            with pytest.raises(ValueError, match=said):
                engine.ask(prompt)
        with pytest.raises(ValueError, match="max_tokens is 0"):
            engine.ask([1, 5], max_tokens=0)
        assert engine.ask([1, 5], max_tokens=1).tokens, "and it goes on"


# --- Where it is not installed ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("system", "machine", "said"),
    [
        ("Linux", "x86_64", f"run .+ -m pip install {llama_cpp.PACKAGE}"),
        ("Windows", "ARM64", "has no wheel for Windows on ARM64"),
        ("Linux", "riscv64", "has no wheel for Linux on riscv64"),
    ],
)
def test_it_says_what_is_missing(monkeypatch, system, machine, said):
    monkeypatch.setattr(llama_cpp.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(llama_cpp.platform, "system", lambda: system)
    monkeypatch.setattr(llama_cpp.platform, "machine", lambda: machine)
    with pytest.raises(ModuleNotFoundError, match=said):
        llama_cpp.require_xllamacpp()


def test_the_package_is_the_one_that_is_pinned_and_its_platforms_those_with_wheels():
    assert llama_cpp.PACKAGE in (ROOT / "constraints.txt").read_text().splitlines()
    lines = [line.strip() for line in (ROOT / "pyproject.toml").read_text().splitlines()]
    markers = [Requirement(line.strip('",')).marker for line in lines if line.startswith('"xllamacpp')]
    assert all(isinstance(marker, Marker) for marker in markers)
    elsewhere = [("Windows", "ARM64"), ("Linux", "riscv64"), ("Linux", "armv7l"), ("Emscripten", "wasm32")]
    for system, machine in [*llama_cpp.WHEELS, *elsewhere]:
        place = {"platform_system": system, "platform_machine": machine}
        assert any(m.evaluate(place) for m in markers) == ((system, machine) in llama_cpp.WHEELS)


# --- Its log, which is written behind ---------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ["http://127.0.0.1:1", None])
def test_a_log_is_read_when_all_of_it_is_there(tmp_path, address):
    log = tmp_path / "log"
    log.write_text("")

    def write():
        for line in ("size = 1", "more", f"listening on {address}"):
            with log.open("a") as file:
                file.write(line + "\n")
            time.sleep(0.02)

    writer = threading.Timer(0.05, write)
    writer.start()
    said = llama_cpp._read_when_written(log, address)
    writer.join()
    assert said == log.read_text()
