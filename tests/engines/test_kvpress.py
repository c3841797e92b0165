"""KVPress beside the course: what it answers, how it ends, what it refuses. ``make test-kvpress`` runs most of it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.engines import kvpress
from helpers.engines.kvpress import CHILD, COMMAND, KVPress, is_installed, require_kvpress
from helpers.models import smollm2

ROOT = Path(__file__).parents[2]
IDS = [100 + 7 * i % 900 for i in range(40)]
LIVE = os.environ.get("COURSE_KVPRESS") == "live"
live = pytest.mark.skipif(not LIVE, reason="make test-kvpress runs this")


@pytest.fixture(scope="module")
def engine():
    with KVPress(smollm2.convert()) as engine:
        yield engine


def gone(pid, seconds=20):
    """Whether a process ends within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


# --- Without it ------------------------------------------------------------------------------------------------------
def test_where_it_is_not_installed_one_line_says_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(kvpress, "DONE", tmp_path / "kvpress.done")
    assert not is_installed()
    with pytest.raises(ModuleNotFoundError, match=f"KVPress is not installed: run {COMMAND}") as refusal:
        KVPress(tmp_path).start()
    assert "\n" not in str(refusal.value)


def test_what_was_never_started_is_not_asked(tmp_path):
    with pytest.raises(RuntimeError, match="KVPress is not running: call start"):
        KVPress(tmp_path).run(None, IDS, 20)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prefill": 0}, "prefill is 0"),
        ({"prefill": 39}, "prefill is 39; it may be 1 to 38"),
        ({"prefill": 20, "step": 0}, "step is 0"),
        ({"prefill": 2.5}, "prefill is 2.5"),
    ],
)
def test_a_question_that_cannot_be_asked(tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said):
        KVPress(tmp_path).run(None, IDS, **arguments)


def test_the_child_stands_alone():
    """It runs on another Python, where there is no course."""
    assert "helpers" not in re.findall(r"^\s*(?:from|import) (\w+)", CHILD.read_text(), re.MULTILINE)


def test_make_says_first_what_it_downloads_and_pins_what_it_installs():
    makefile, pins = (ROOT / "Makefile").read_text(), (ROOT / "constraints-kvpress.txt").read_text()
    rule = makefile.split(".venv-kvpress/kvpress.done:")[1].split("\n\n")[0]
    assert "GB" in rule.split("-m venv")[0]
    assert "kvpress==0.5.5" in pins and "torch==2.13.0" in pins and "transformers==5.2.0" in pins
    assert ".venv-kvpress/" in (ROOT / ".gitignore").read_text() and ".venv-kvpress" in makefile.split("\nclean:")[1]


# --- With it ---------------------------------------------------------------------------------------------------------
@live
def test_it_is_installed_and_says_its_versions(engine):
    require_kvpress()
    assert engine.versions == {"kvpress": "0.5.5", "transformers": "5.2.0"}


@live
def test_a_run_says_rows_bytes_and_loss(engine):
    run = engine.run({"name": "KnormPress", "compression_ratio": 0.49}, IDS, 20)
    assert {len(tokens) for _, tokens in run.heads()} == {10} and len(list(run.heads())) == 90
    assert (run.bytes_before, run.bytes_after) == (20 * 46_080, 10 * 46_080)
    assert len(run.losses) == 19 and run.compressions == 1
    whole = engine.run(None, IDS, 20)
    assert whole.rows[3][1] == tuple(range(20)) and whole.share_of_bytes == 1


@live
def test_steps_of_any_length_give_the_same_losses(engine):
    press = {"name": "SnapKVPress", "compression_ratio": 0.49, "window_size": 4}
    at_once, one_by_one = engine.run(press, IDS, 20), engine.run(press, IDS, 20, step=1)
    assert at_once.rows == one_by_one.rows
    assert at_once.losses == pytest.approx(one_by_one.losses, abs=1e-3)


@live
def test_a_press_may_be_the_text_of_a_cell(engine):
    cell = "class Latest(ScorerPress):\n    def score(self, module, hidden_states, keys, values, attentions, kwargs):\n"
    cell += "        return torch.arange(keys.shape[2]).expand(keys.shape[:3]) + self.bonus"
    asked = {"source": cell, "statistics": {"bonus": [0.5]}, "compression_ratio": 0.49}
    assert engine.run(asked, IDS, 20).rows[7][2] == tuple(range(10, 20))


@live
@pytest.mark.parametrize(
    ("press", "said"),
    [
        ({"name": "NoSuchPress"}, "KVPress refuses: ValueError: KVPress 0.5.5 has no press of the name 'NoSuchPress'"),
        ({"name": "KnormPress", "compression_ratio": 2}, "Compression ratio must be between 0 and 1"),
        ({"name": "KnormPress", "budget": 2}, "unexpected keyword argument 'budget'"),
        ({"source": "x = 1"}, "the cell defines no class with the base ScorerPress"),
        ({"source": "class P(ScorerPress):\n    def score(self, *a):\n        return 1 / 0", "compression_ratio": 0.5},
         r"division by zero \(line 3 of the cell\)"),
        ({"source": "import helpers"}, r"No module named 'helpers' \(line 1 of the cell\)"),
        ({"source": "class P(ScorerPress:"}, "SyntaxError"),
    ],
)  # fmt: skip
def test_a_press_that_it_refuses_is_said_in_one_line_and_it_goes_on(engine, press, said):
    with pytest.raises(ValueError, match=said) as refusal:
        engine.run(press, IDS, 20)
    assert "\n" not in str(refusal.value)
    assert engine.run(None, IDS, 20).losses


@live
def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path):
    engine = KVPress(tmp_path)
    with pytest.raises(ValueError, match="KVPress refuses") as refusal:
        engine.start()
    assert "\n" not in str(refusal.value)
    with pytest.raises(RuntimeError, match="not running"):
        _ = engine.pid


@live
def test_start_and_stop_may_be_called_twice_and_a_killed_one_says_so():
    engine = KVPress(smollm2.convert())
    pid = engine.start().pid
    assert engine.start().pid == pid
    psutil.Process(pid).kill()
    assert gone(pid)
    with pytest.raises(RuntimeError):
        engine.run(None, IDS, 20)
    engine.stop()
    engine.stop()
    assert engine.start().run(None, IDS, 20).losses
    pid = engine.pid
    engine.stop()
    assert gone(pid)


BUSY = "import threading; threading.Thread(target=engine.time, args=[None, list(range(9, 4000)), 3000]).start()"


@live
@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", f"{BUSY}; time.sleep(2); os._exit(1)"])
def test_it_ends_with_the_process_that_started_it_even_while_it_answers(end):
    code = "import os, time; from helpers.engines.kvpress import KVPress; from helpers.models import smollm2\n"
    code += f"engine = KVPress(smollm2.convert()); print(engine.start().pid, flush=True)\n{end}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300)
    assert gone(int(done.stdout))


@live
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal to send")
def test_an_interrupted_cell_does_not_end_it(engine):
    os.kill(engine.pid, signal.SIGINT)
    time.sleep(0.3)
    assert engine.run(None, IDS, 20).losses


@live
def test_nothing_is_said_on_the_page(engine, capfd):
    engine.run({"name": "KnormPress", "compression_ratio": 0.5}, IDS, 20)
    assert capfd.readouterr() == ("", "")
