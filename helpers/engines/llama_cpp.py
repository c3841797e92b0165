"""llama.cpp beside the course, through ``xllamacpp``: a server in a process of its own that nobody else can reach.

Not in the kernel's process: there a start with a stop right after it hangs for ever, and the log sprays over the page.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from helpers.arithmetic.footprint import require_count
from helpers.arithmetic.layers import KVFormat
from helpers.engines import llama_cpp_child
from helpers.engines.door import is_chat, knock, read_json, text_or_ids
from helpers.engines.engine import Answer, Engine, Figures, Prompt
from helpers.engines.llama_cpp_log import first_complaint, ggml_types, read_log

PACKAGE = "xllamacpp==2026.10.11549"
WHEELS = (  # as platform.system() and platform.machine() say it
    ("Linux", "x86_64"),
    ("Linux", "aarch64"),
    ("Darwin", "arm64"),
    ("Darwin", "x86_64"),
    ("Windows", "AMD64"),
)
PATIENCE = 30  # seconds that a log may lie behind on a busy machine
FLASH_ATTENTION = {None: "AUTO", True: "ENABLED", False: "DISABLED"}


class LlamaCpp(Engine):
    """llama.cpp's server on one GGUF file: ``with LlamaCpp(path) as engine: engine.ask("Hello").text``.

    Each instance has a process and a key of its own, so several can run at once, and on a shared machine nobody else
    can ask it.

    Args:
        model_path: a GGUF file.
        context: cells of KV cache asked for, in all; see ``predict_room`` for how many there will be.
        kv_format: fp32, fp16, q8_0, q5_0 or q4_0, or a pair of them, (format of K, format of V).
        sequences: prompts that can be answered at the same time, each from a thread of its own.
        unified: True for one cache that all sequences share, False for one each.
        flash_attention: None leaves it to llama.cpp, which uses it where it can. A quantized V needs it: ``start``
            is refused without, in llama.cpp's words. It reads fp32 rows as fp16: for a comparison in float32 say False.
        keep: None ends a sequence that is full. A number lets it go on without its oldest tokens, those after the first
            ``keep`` (``--context-shift`` with ``--keep``).
        parked_mib: MiB of main memory for copies of earlier prompts' rows, which come back when such a prompt does.

    Raises:
        ValueError: in one line, if there is no such file, it is no GGUF, or an argument cannot be.
    """

    def __init__(
        self,
        model_path: str | Path,
        context: int = 4096,
        kv_format: KVFormat = "fp16",
        sequences: int = 1,
        unified: bool = False,
        flash_attention: bool | None = None,
        keep: int | None = None,
        parked_mib: int = 0,
    ) -> None:
        _require_gguf(Path(model_path))
        self._options = {
            "model_path": str(Path(model_path).resolve()),
            "context": require_count("context", context, least=1),
            "ggml_types": ggml_types(kv_format),
            "sequences": require_count("sequences", sequences, least=1),
            "unified": unified,
            "flash_attention": FLASH_ATTENTION[flash_attention],
            "keep": None if keep is None else require_count("keep", keep, least=0),
            "parked_mib": require_count("parked_mib", parked_mib, least=0),
            "key": secrets.token_hex(),
        }
        self._process: subprocess.Popen[str] | None = None
        self._address = ""
        self._figures: Figures | None = None

    @property
    def pid(self) -> int:
        """The number of the engine's process, by which its memory can be asked for."""
        return self._running().pid

    def start(self) -> Self:
        """Start the server; a model of 100 MB takes about a second. Raises as ``Engine.start`` says."""
        if self._process is not None:
            return self
        require_xllamacpp()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps what a process has open
            log = Path(folder) / "log"
            try:
                self._process = _spawn(log)
                answer = self._introduce(self._process)
                said = _read_when_written(log, answer.get("address"))
            except BaseException:  # an interrupt too must leave no process behind
                self.stop()
                raise
        if "address" not in answer:
            self.stop()
            complaint = first_complaint(said) or answer.get("error") or "it ended without a word; memory may be out"
            raise ValueError(f"llama.cpp did not start: {complaint}")
        self._address, self._figures = urlsplit(answer["address"]).netloc, read_log(said)
        return self

    def _introduce(self, process: subprocess.Popen[str]) -> dict[str, str]:
        """Tell a new process what to run; its answer, empty if it died."""
        try:
            process.stdin.write(json.dumps(self._options) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return {}
        return json.loads(process.stdout.readline() or "{}")

    def ask(self, prompt: Prompt, max_tokens: int = 128, top: int = 0, past_the_end: bool = False) -> Answer:
        """Answer a prompt greedily; rows that the prompt before left and that begin alike are used again.

        Args:
            prompt: text, token ids, or chat messages (``[{"role": "user", "content": ...}]``), for which the file must
                hold a chat template.
            max_tokens: 1 or more. The answer ends earlier where its sequence has no cell left.
            top: how many of the likeliest tokens to tell for each place, in ``likeliest``.
            past_the_end: go on after the token that ends an answer, so that its length is known beforehand.

        Raises:
            ValueError: in llama.cpp's words, if it refuses the prompt.
            RuntimeError: if it is not running.
        """
        require_count("max_tokens", max_tokens, least=1)
        if is_chat(prompt):
            prompt = self._post("/apply-template", {"messages": prompt})["prompt"]
        request = {
            "prompt": text_or_ids(prompt),
            "n_predict": max_tokens,
            "temperature": 0,
            "return_tokens": True,
            "n_probs": require_count("top", top, least=0),
            "ignore_eos": past_the_end,
        }
        answer = _read_answer(self._post("/completion", request))
        self._figures = replace(self._figures, decode_speed=answer.decode_speed)
        return answer

    def figures(self) -> Figures:
        """What llama.cpp said of itself when it started, and how fast the last answer was."""
        if self._figures is None:
            raise RuntimeError("llama.cpp has not been started: call start(), or use it in a with statement")
        return self._figures

    def stop(self) -> None:
        """End the server's process; its memory is free when this returns."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # it holds nothing that asking it to end would save
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("llama.cpp is not running: call start(), or use it in a with statement")
        return self._process

    def slots(self) -> list[dict[str, Any]]:
        """What ``/slots`` says of each sequence's place: its cells, and whether somebody is being answered in it.

        Raises:
            RuntimeError: if it is not running.
        """
        return read_json("llama.cpp", self._knock("/slots"))

    def metrics(self) -> str:
        """What ``/metrics`` says: counters since it started, one a line.

        Raises:
            RuntimeError: if it is not running.
        """
        return self._knock("/metrics")

    def _post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        return read_json("llama.cpp", self._knock(path, request))

    def _knock(self, path: str, request: dict[str, Any] | None = None) -> str:
        self._running()
        return knock("llama.cpp", self._address, path, request, self._options["key"])


def require_xllamacpp() -> None:
    """Raise, with the command that installs it, unless llama.cpp is installed."""
    if importlib.util.find_spec("xllamacpp"):
        return
    system, machine = platform.system(), platform.machine()
    if (system, machine) in WHEELS:
        raise ModuleNotFoundError(f"llama.cpp is not installed: run {sys.executable} -m pip install {PACKAGE}")
    raise ModuleNotFoundError(f"llama.cpp is not installed, and {PACKAGE} has no wheel for {system} on {machine}")


def _require_gguf(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"model_path is {str(path)!r}; there is no such file")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"model_path is {str(path)!r}; that file is no GGUF")


def _spawn(log: Path) -> subprocess.Popen[str]:
    """A process that waits to be told what to run, and ends when this one does, since its input then ends."""
    # Threads that wait for each other would spin: on two cores with ten programs busy, 0.6 tokens/s became 31.
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ
    command = [sys.executable, "-P", llama_cpp_child.__file__]
    with log.open("wb") as errors:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )


def _read_when_written(log: Path, address: str | None) -> str:
    """A log, once it names the server's address, or, of one that did not start, once it grows no more.

    A thread of llama.cpp's own writes it, in order, and on a busy machine behind what the server answers.
    """
    deadline, said = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        said, before = log.read_text(encoding="utf-8", errors="replace"), said
        if f"listening on {address}" in said if address else said == before:
            break
        time.sleep(0.01 if address else 0.1)
    return said


def _read_answer(answer: dict[str, Any]) -> Answer:
    timings: dict[str, Any] = answer["timings"]
    places: Sequence[dict[str, Any]] = answer.get("completion_probabilities", [])
    return Answer(
        text=answer["content"],
        tokens=tuple(answer["tokens"]),
        ended=answer["stop_type"] == "eos",
        prompt_tokens=timings["cache_n"] + timings["prompt_n"],
        reused_tokens=timings["cache_n"],
        prefill_speed=timings["prompt_per_second"],
        decode_speed=timings["predicted_per_second"] or None,  # 0 where there was nothing to time
        likeliest=tuple({each["id"]: each["logprob"] for each in place["top_logprobs"]} for place in places),
    )
