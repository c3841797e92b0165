"""NVIDIA's KVPress beside the course: a process of its own, on the Python of ``.venv-kvpress``, asked through pipes.

It asks for an older transformers than the course, so the two cannot live in one environment; ``make lab-kvpress`` makes
the other. KVPress is a library, not a server that answers prompts, so this is no ``Engine``: it reads a text that
is known, through a press, and says which rows are left.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from helpers.arithmetic.footprint import require_count
from helpers.measuring.press_run import PressRun

COMMAND = "make lab-kvpress"
ENVIRONMENT = Path(__file__).parents[2] / ".venv-kvpress"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CHILD = Path(__file__).with_name("kvpress_child.py")  # not imported: it needs torch, and its own environment
DONE = ENVIRONMENT / "kvpress.done"  # written once the installation is complete


class KVPress:
    """KVPress on one model: ``with KVPress(folder) as engine: engine.run({"name": "KnormPress"}, token_ids, 400)``.

    ``start`` and ``stop`` may be called twice. After ``stop``, or when this process ends in whatever way, KVPress's
    process is gone and its memory free.

    Args:
        folder: the model, as transformers saves it.

    Attributes:
        versions: of kvpress and of its transformers, once it is started.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.versions: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        self._folder: TemporaryDirectory[str] | None = None  # of what it writes to stderr

    @property
    def pid(self) -> int:
        """The number of KVPress's process.

        Raises:
            RuntimeError: if it is not running.
        """
        return self._running().pid

    def start(self) -> Self:
        """Start KVPress and load the model: about ten seconds, most of them for its imports.

        Raises:
            ModuleNotFoundError: if it is not installed, with the command that installs it.
            ValueError: in one line, if it cannot load the model.
        """
        if self._process is None:
            require_kvpress()
            try:
                self._folder = TemporaryDirectory(ignore_cleanup_errors=True)  # Windows keeps what a process has open
                self._process = _spawn(self._log)
                self.versions = self._ask({"folder": str(self.folder)})
            except BaseException:  # an interrupt too must leave no process behind
                self.stop()
                raise
        return self

    def run(
        self,
        press: dict[str, Any] | None,
        token_ids: Sequence[int],
        prefill: int,
        step: int | None = None,
        decoding: bool = False,
    ) -> PressRun:
        """Read a text through a press.

        Args:
            press: its class as ``name``, and its settings; a setting that is a dict is a press too. In the place of a
                name, ``source``: the text of a cell that defines one, with ``statistics``, what it finds on itself.
                None for no press; then nothing is compressed.
            token_ids: the text.
            prefill: tokens that are read at once, at first; a press compresses after them.
            step: tokens that are read at a time from then on; None for all that are left.
            decoding: whether the press goes on working then, as ``DecodingPress`` does.

        Raises:
            ValueError: in one line, in KVPress's words, if it refuses the press or the text.
            RuntimeError: if it is not running.
        """
        step = len(token_ids) if step is None else step
        return _run_of(self._ask(_question(press, token_ids, prefill, step, decoding)))

    def time(
        self, press: dict[str, Any] | None, token_ids: Sequence[int], prefill: int, decoding: bool = False
    ) -> dict[str, Any]:
        """As ``run``, a token at a time and against the clock: no row is looked at.

        Returns:
            ``seconds`` of each pass and the processor's ``cpu_seconds``, ``losses`` of the tokens after the first of
            them, in nats, and ``bytes_peak``, the most that the cache's tensors held after a pass.
        """
        return self._ask(_question(press, token_ids, prefill, 1, decoding, timed=True))

    def stop(self) -> None:
        """End KVPress's process; its memory is free when this returns."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # it holds nothing that asking it to end would save
            process.wait()
            process.stdin.close()
            process.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "log"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("KVPress is not running: call start(), or use it in a with statement")
        return self._process

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"KVPress ended while it was asked: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            where = "" if answer["where"] is None else f" (line {answer['where']} of the cell)"
            raise ValueError(f"KVPress refuses: {' '.join(answer['error'].split())}{where}")
        return answer

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "without a word; memory may be out")


def _question(
    press: dict[str, Any] | None,
    token_ids: Sequence[int],
    prefill: int,
    step: int,
    decoding: bool,
    timed: bool = False,
) -> dict[str, Any]:
    """What the child is asked."""
    if not 1 <= require_count("prefill", prefill, least=1) < len(token_ids) - 1:
        raise ValueError(
            f"prefill is {prefill}; it may be 1 to {len(token_ids) - 2}: two of token_ids or more come later"
        )
    return {
        "press": press,
        "token_ids": [int(token) for token in token_ids],
        "prefill": prefill,
        "step": require_count("step", step, least=1),
        "decoding": decoding,
        "timed": timed,
    }


def _run_of(answer: dict[str, Any]) -> PressRun:
    """The run in what the child says of a press."""
    names = ("rows_in_tensors", "zeroed_channels", "in_order", "compressions", "bytes_before", "bytes_after")
    rows = tuple(tuple(tuple(tokens) for tokens in heads) for heads in answer["rows"])
    return PressRun(rows=rows, losses=tuple(answer["losses"]), **{name: answer[name] for name in names})


def is_installed() -> bool:
    """Whether ``make lab-kvpress`` has made KVPress's environment."""
    return PYTHON.exists() and DONE.exists()


def require_kvpress() -> None:
    """Raise, with the command that installs it, unless KVPress is installed."""
    if not is_installed():
        raise ModuleNotFoundError(f"KVPress is not installed: run {COMMAND} in the course's folder")


def _spawn(log: Path) -> subprocess.Popen[str]:
    """A process that waits to be asked, and ends when this one does, since its input then ends."""
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ | {"HF_HUB_OFFLINE": "1"}  # the model lies on the disk
    # -P, or this folder's kvpress.py would be taken for the package; -E, or so might what our environment names.
    command = [str(PYTHON), "-P", "-E", str(CHILD)]
    with log.open("wb") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        return subprocess.Popen(command, **pipes, text=True, encoding="utf-8", env=environment)
