"""vLLM beside the course: what it refuses, what it says without vLLM, and, living, that it leaves nothing behind."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from helpers.arithmetic import KVShape, MiB, vllm_blocks
from helpers.engines import VLLM, read_metrics, vllm_environment
from helpers.engines.vllm_played import PlayedVLLM
from helpers.experiments.vllm_server import SIZES, SMALL, TOO_SMALL, rounds, text_tokens
from helpers.models.smollm2 import is_converted
from helpers.records import load_vllm_server
from helpers.records.vllm_server import COUNTERS

ROOT = Path(__file__).parents[2]
SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
# A start takes half a minute, so the living server is tried where it is asked for: make test-vllm.
living = pytest.mark.skipif(os.environ.get("COURSE_VLLM") != "live", reason="a living vLLM is for make test-vllm")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


# --- Without vLLM ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"kv_mib": 0}, "kv_mib is 0"), ({"block": 1.5}, "block is 1.5"), ({"longest": "many"}, "longest is 'many'")],
)
def test_arguments_that_cannot_be(folder, arguments, said):
    with pytest.raises(ValueError, match=said):
        VLLM(folder, **arguments)


def test_no_such_folder(tmp_path):
    with pytest.raises(ValueError, match="that is no folder with a config.json"):
        VLLM(tmp_path / "model")


def test_what_has_not_been_started_says_so(folder):
    engine = VLLM(folder)
    engine.stop()
    with pytest.raises(RuntimeError, match="vLLM has not been started"):
        engine.figures()
    for ask in (lambda: engine.ask("Hello"), engine.metrics, engine.settings, lambda: engine.watch([[1]], 1)):
        with pytest.raises(RuntimeError, match="vLLM is not running: call start"):
            ask()


@pytest.mark.parametrize(
    ("system", "machine", "free", "said"),
    [
        ("Linux", "x86_64", 9e9, "run make lab-vllm"),
        ("Linux", "x86_64", 2e9, "it needs 5 GB of disk in .+, and 2.0 are free"),
        ("Darwin", "arm64", 9e9, "has wheels for Linux on x86_64 and aarch64, and this is Darwin on arm64"),
        ("Linux", "riscv64", 9e9, "and this is Linux on riscv64"),
        ("Windows", "AMD64", 9e9, "and this is Windows on AMD64"),
    ],
)
def test_it_says_why_it_is_not_there(monkeypatch, folder, system, machine, free, said):
    monkeypatch.setattr(vllm_environment, "FOLDER", ROOT / ".venv-nowhere")
    monkeypatch.setattr(vllm_environment, "MARK", ROOT / ".venv-nowhere" / "vllm.done")
    monkeypatch.setattr(vllm_environment.platform, "system", lambda: system)
    monkeypatch.setattr(vllm_environment.platform, "machine", lambda: machine)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(vllm_environment.shutil, "disk_usage", lambda path: usage(1, 1, free))
    with pytest.raises(ModuleNotFoundError, match=said) as missing:
        VLLM(folder).start()
    assert "\n" not in str(missing.value)


def test_a_python_that_is_too_new_is_named(monkeypatch):
    monkeypatch.setattr(vllm_environment.sys, "version_info", (3, 15, 0))
    monkeypatch.setattr(vllm_environment.platform, "system", lambda: "Linux")
    monkeypatch.setattr(vllm_environment.platform, "machine", lambda: "x86_64")
    assert "needs Python 3.11 to 3.14" in vllm_environment.obstacle()
    with pytest.raises(SystemExit, match="vLLM cannot be installed: .+ The lab runs without it, on saved answers"):
        vllm_environment.main()


def test_make_installs_what_the_course_looks_for_under_its_pins():
    makefile, pins = (ROOT / "Makefile").read_text(), (ROOT / "constraints-vllm.txt").read_text().splitlines()
    assert f"VLLM_PACKAGE := {vllm_environment.PACKAGE}\n" in makefile and vllm_environment.PACKAGE in pins
    [torch] = re.findall(r"^VLLM_TORCH := (\S+)$", makefile, re.MULTILINE)
    assert torch in pins
    assert vllm_environment.MARK.relative_to(ROOT).as_posix() + ":" in makefile
    assert vllm_environment.COMMAND.removeprefix("make ") + ":" in makefile
    assert not [pin for pin in pins if re.match("torch(vision|audio|codec)", pin)]
    assert ".venv-vllm/" in (ROOT / ".gitignore").read_text()
    assert re.search(r"^\trm -rf .*\.venv-vllm", makefile, re.MULTILINE)


# --- What is saved ---------------------------------------------------------------------------------------------------
def test_the_saved_starts_are_those_of_the_lab_and_as_predicted():
    starts = load_vllm_server().starts
    assert list(starts) == [*SIZES, SMALL, TOO_SMALL]
    for (mib, block, longest), start in starts.items():
        if start.tokens is not None:
            predicted = vllm_blocks(SMOLLM2, mib * MiB, longest, "bf16", block=block)
            assert start.tokens == predicted.tokens
            assert f"{predicted.tokens:,} tokens" in start.words[0]
            assert f"{predicted.concurrency:.2f}x" in start.words[0]
    assert [start.tokens for start in starts.values()] == [46_592, 46_592, 93_184, 93_200, 544, None]
    assert [bool(start.refused) for start in starts.values()] == [False, True, False, True, False, True]


def test_no_time_and_no_word_is_saved():
    for start in load_vllm_server().starts.values():
        for each in start.rounds:
            assert set(each.counted) == set(COUNTERS)
            assert all(value == int(value) for value in each.counted.values())
            assert set(each.watched) <= {"prompt_tokens", "reused_tokens", "new_tokens", "usage"}
            assert not re.search(r"\d\d:\d\d|/", each.refused or "")


@pytest.mark.skipif(not is_converted(), reason="SmolLM2, whose tokens the prompts are, is not installed")
def test_what_is_saved_is_played_by_the_same_names():
    with PlayedVLLM(*SMALL) as engine:
        assert engine.settings()["num_gpu_blocks"] == "17"
        assert set(read_metrics(engine.metrics()).values()) == {0}
        for prompts, max_tokens in rounds():
            if len(prompts[0]) > SMALL[2]:
                with pytest.raises(ValueError, match="vLLM refuses: .+ 520 input tokens"):
                    engine.watch(prompts, max_tokens)
                continue
            watched = engine.watch(prompts, max_tokens)
            assert watched.prompt_tokens == tuple(map(len, prompts))
            assert watched.new_tokens == (max_tokens,) * len(prompts)
        assert read_metrics(engine.metrics())["vllm:num_preemptions_total"] == 3
        with pytest.raises(LookupError, match="not among the saved ones; vLLM itself"):
            engine.watch([[1, 2]], 1)
        with pytest.raises(LookupError, match="no words are saved"):
            engine.ask("Hello", 1)
    with pytest.raises(RuntimeError, match="is not running"):
        engine.metrics()
    assert engine.figures().room.tokens == 544


def test_a_start_that_is_not_saved_and_one_that_was_refused():
    with pytest.raises(LookupError, match="no start with kv_mib=7, block=32, longest=512 is saved"):
        PlayedVLLM(7, 32, 512)
    refused = PlayedVLLM(*TOO_SMALL)
    with pytest.raises(ValueError, match="vLLM did not start: To serve at least one request"):
        refused.start()
    with pytest.raises(RuntimeError, match="did not say its size"):
        refused.figures()


# --- Living ----------------------------------------------------------------------------------------------------------
def new_server(**arguments):
    convert = importlib.import_module("helpers.models.smollm2").convert
    return VLLM(convert(), **{"kv_mib": 12, "block": 32, "longest": 512, "progress": False} | arguments)


@pytest.fixture(scope="module")
def server():
    with new_server() as engine:
        yield engine


def processes_of(pid):
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def gone(process, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def shared_memory():
    return {path.name for path in Path("/dev/shm").iterdir()}


@living
def test_what_it_says_is_what_is_predicted(server):
    predicted = vllm_blocks(SMOLLM2, 12 * MiB, 512, "bf16", block=32)
    assert (predicted.blocks, predicted.tokens) == (17, 544)
    assert (server.figures().room.tokens, server.figures().room.kv_mib) == (544, 12.0)
    assert server.settings()["num_gpu_blocks"] == "17" and server.settings()["block_size"] == "32"
    assert server.start() is server


@living
def test_text_ids_and_chats_are_answered(server):
    answer = server.ask("Once upon a time", max_tokens=3)
    assert answer.prompt_tokens == 4 and len(answer.tokens) == 3 and answer.text
    assert len(server.ask([{"role": "user", "content": "Hello"}], max_tokens=2).tokens) == 2
    assert server.ask(text_tokens(100, skip=9000), max_tokens=2).reused_tokens == 0
    assert server.ask(text_tokens(100, skip=9000), max_tokens=2).reused_tokens == 96
    for prompt, said in (("", "prompt is ''"), ([10**6], "vLLM refuses: Token id 1000000 is out of vocabulary")):
        with pytest.raises(ValueError, match=said):
            server.ask(prompt, 1)


@living
def test_it_is_heard_on_this_machine_alone_and_answers_who_has_the_key(server):
    doors = [door for p in processes_of(server.pid) for door in p.net_connections() if door.status == "LISTEN"]
    assert {door.laddr.ip for door in doors} == {"127.0.0.1"}
    server._key, kept = "wrong", server._key
    try:
        with pytest.raises(ValueError, match="Unauthorized"):
            server.ask("Hello", 1)
    finally:
        server._key = kept


@living
@pytest.mark.parametrize("end", ["engine.stop()", "os.kill(os.getpid(), 9)", "os.kill(engine.pid, 9); time.sleep(60)"])
def test_whoever_dies_no_process_no_port_and_no_shared_memory_is_left(end):
    before = shared_memory()
    code = f"""import os, sys, time
from helpers.engines import VLLM
from helpers.models.smollm2 import FOLDER
engine = VLLM(FOLDER, 12, 32, 512, progress=False).start()
print(engine.pid, engine._address, flush=True)
sys.stdin.readline()
{end}
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as parent:
        pid, address = parent.stdout.readline().split()
        processes = processes_of(int(pid))
        assert len(processes) >= 3
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert all([gone(process) for process in processes])
        parent.kill()
    listening = [c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"]
    assert int(address.split(":")[1]) not in listening
    assert shared_memory() <= before


@living
def test_an_interrupted_cell_does_not_end_it(server):
    os.kill(server._keeper.pid, signal.SIGINT)
    time.sleep(0.3)
    assert server.ask([1, 5], max_tokens=1).tokens


@living
def test_a_model_that_it_cannot_run_is_refused_in_one_line(tmp_path):
    shutil.copy(importlib.import_module("helpers.models.smollm2").convert() / "config.json", tmp_path)
    with pytest.raises(ValueError, match="vLLM did not start: .+") as refusal:
        VLLM(tmp_path, 12, 32, 512, progress=False).start()
    assert "\n" not in str(refusal.value)
