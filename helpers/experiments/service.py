"""A little service: requests share one pool of blocks and decode in turn, until all are answered or no block is free.

``python -m helpers.experiments.service`` lets sixteen requests come, fourteen steps apart, with the settings of the
evening on which the service died, and saves log and traces for lab 6. Its log is written as engines write theirs: who
runs, who waits, how much of the pool is in use. It ends with the ``OutOfBlocks`` that the pool really raised.

The service admits a request as soon as the pool has room for its prompt. What the thought will need it does not ask.
When no block is left it dies, unless its settings say who goes: that request gives its blocks back, waits at the head
of the queue, and reads all it had once more, as vLLM does it (preemption by recomputing).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import KVFormat
from helpers.cache.attention import attending
from helpers.cache.block_pool import OutOfBlocks, blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import end_tokens, predict_next
from helpers.eviction import Compressor
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.measuring.costs import weight_bytes
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded, load_reasoner
from helpers.models.worksheets import Worksheet, grade, make_worksheets
from helpers.records.service import BLOCK_SIZE, EVERY, POOL_BYTES, REQUESTS, TRACE_COLUMNS

N_LINES, SEED = 20, 56  # the worksheet that everybody asks about
LONGEST = 240  # tokens that a request may decode; a thought that goes astray need not end by itself
LOG_EVERY = 10  # steps


@dataclass(frozen=True)
class Settings:
    """What the operator can change. The bytes of the pool stay what they are.

    Attributes:
        max_running: requests that may run at once; None for as many as find room for their prompt.
        share_prefix: read the worksheet once, and let every request fork from it.
        kv_format: how rows are stored; smaller rows make more blocks of the same bytes.
        compressor: makes the compressor of one request; None to evict nothing.
        who_goes: picks, of the requests that run, the one that is sent away when no block is free; None to die then.
            They come in the order in which they were let in.
    """

    max_running: int | None = None
    share_prefix: bool = False
    kv_format: KVFormat = "fp16"
    compressor: Callable[[], Compressor] | None = None
    who_goes: Callable[[list[Request]], Request] | None = None

    def __post_init__(self) -> None:
        if self.max_running is not None:
            require_count("max_running", self.max_running, least=1)
        if self.compressor is not None and not callable(self.compressor):
            raise ValueError("compressor must be a function that makes one; each request needs a compressor of its own")
        if self.who_goes is not None and not callable(self.who_goes):
            raise ValueError("who_goes must be a function: it is given the requests that run, and returns one of them")
        if self.who_goes is not None and self.compressor is not None:
            raise ValueError("choose who_goes or compressor: who is computed again would get its evicted rows back")

    def num_blocks(self, shape: KVShape) -> int:
        """Blocks that the pool's bytes make."""
        return POOL_BYTES // shape.bytes(BLOCK_SIZE, kv_format=self.kv_format)


@dataclass(eq=False)
class Request:
    """One question about the worksheet.

    Attributes:
        sheet: the worksheet with the question and its right answer.
        arrived: the step in which it came.
        started: the step in which it was let in, or None.
        cache: its own view of the pool, once it runs.
        trace: its run, pass by pass.
        compressor: its own, if the settings have one.
        finished: the step in which it ended, or None.
        sent_away: how often it had to give its blocks back.
        read_again: tokens that were read once more, when it came back, since their rows had been lost.
    """

    sheet: Worksheet
    arrived: int
    started: int | None = None
    cache: PagedCache | None = None
    trace: Trace = field(default_factory=lambda: Trace(0, [[]]))
    compressor: Compressor | None = None
    finished: int | None = None
    sent_away: int = 0
    read_again: int = 0


@dataclass(frozen=True)
class Report:
    """How a run of the service went.

    Attributes:
        log: its lines.
        requests: all that were to come, in the order of arrival.
        held: blocks of the pool in use after each step; in the step of its death, when it died.
        peak: the most blocks that were ever in use, and ``num_blocks`` how many there are.
        died_at: the step in which the pool refused, or None.
        right: requests answered rightly.
    """

    log: list[str]
    requests: list[Request]
    held: list[int]
    peak: int
    num_blocks: int
    died_at: int | None
    right: int

    @property
    def steps(self) -> int:
        """Steps that it ran."""
        return len(self.held)

    def __str__(self) -> str:
        end = f"died in step {self.died_at}" if self.died_at is not None else f"all done after {self.steps} steps"
        return (
            f"{end}; peak {self.peak} of {self.num_blocks} blocks; {self.right} of {len(self.requests)} answers right"
        )


class Service:
    """A service that has been started: weights are there, the pool is reserved, nobody has come yet.

    Args:
        course: the model.
        settings: what the operator chose.
        requests: how many come.
        every: steps between two arrivals; 0 if all come at once.
    """

    def __init__(
        self, course: Loaded, settings: Settings | None = None, requests: int = REQUESTS, every: int = EVERY
    ) -> None:
        self.course, self.settings = course, settings or Settings()
        num_blocks = self.settings.num_blocks(course.shape)
        self.root = PagedCache.for_model(course.model, num_blocks, BLOCK_SIZE, self.settings.kv_format)
        self.requests = [Request(sheet, i * every) for i, sheet in enumerate(questions(requests))]
        self.coming, self.waiting, self.running = list(self.requests), [], []
        self.log: list[str] = []
        self.held: list[int] = []
        self.peak = 0

    @torch.inference_mode()
    def run(self, steps: int | None = None) -> Report:
        """Serve until all are answered, the pool refuses, or so many steps are done."""
        died_at = None
        with attending(self.course.model):
            try:
                self._read_prefix()
                while self.coming or self.waiting or self.running:
                    if len(self.held) == steps:
                        break
                    self._step(len(self.held))
            except OutOfBlocks as error:
                died_at = len(self.held)
                self.log.append(f"ERROR step {died_at:4}: {error}")
                self.held.append(self.root.pool.num_held_blocks)
        right = sum(grade(request.sheet, self._said(request)) for request in self.requests)
        return Report(self.log, self.requests, self.held, self.peak, self.root.pool.num_blocks, died_at, right)

    # --- inside -------------------------------------------------------------------------------------------------------
    def _read_prefix(self) -> None:
        if self.settings.share_prefix:
            predict_next(self.course.model, self._prompt(self.requests[0])[:, :-1], self.root)

    def _step(self, step: int) -> None:
        """One token for each request that runs; then whoever may come in reads its prompt; then who is done leaves."""
        while self.coming and self.coming[0].arrived <= step:
            self.waiting.append(self.coming.pop(0))
        for request in list(self.running):
            self._go_on(request, step)
        while self.waiting and self._may_come_in():
            self._admit(self.waiting.pop(0), step)
        for request in [request for request in self.running if request.finished is not None]:
            request.cache.reset()
            self.running.remove(request)
        self.held.append(self.root.pool.num_held_blocks)
        if step % LOG_EVERY == 0:
            self._note(step)

    def _may_come_in(self) -> bool:
        """Whether the limit allows one more, and what it has so far finds room. What it will need is not asked."""
        limit, text = self.settings.max_running, self._text(self.waiting[0]).shape[1]
        needed = blocks_for(text, BLOCK_SIZE) - self.root.alive() // BLOCK_SIZE
        return (limit is None or len(self.running) < limit) and needed <= self.root.pool.num_free_blocks

    def _admit(self, request: Request, step: int) -> None:
        request.started = step if request.started is None else request.started
        request.cache, request.trace.prompt_length = self.root.fork(), self._prompt(request).shape[1]
        own = self._text(request)[:, self.root.tokens_seen :]
        request.read_again += own.shape[1] if request.sent_away else 0
        if self.settings.compressor is not None:
            request.compressor = self.settings.compressor()
            request.compressor.begin(request.cache, own.shape[1])
        self.running.append(request)
        self._advance(request, own, step)

    def _go_on(self, request: Request, step: int) -> None:
        """One more token of a request that runs, if need be at another's cost, or until it is sent away itself."""
        while request in self.running:
            try:
                self._advance(request, torch.tensor([[request.trace.tokens[0][-1]]]), step)
                break
            except OutOfBlocks:
                if self.settings.who_goes is None or len(self.running) == 1:
                    raise
                still = [each for each in self.running if each.finished is None]  # who is done leaves anyway
                self._send_away(self.settings.who_goes(still), step)

    def _send_away(self, request: Any, step: int) -> None:
        """Its blocks are free, and it stands at the head of the queue."""
        if not any(request is one for one in self.running):
            raise ValueError(f"who_goes gives {request!r}, which is none of the requests that run")
        lost = request.cache.tokens_seen - self.root.tokens_seen
        request.cache.reset()
        request.sent_away += 1
        self.running.remove(request)
        self.waiting.insert(0, request)
        self.log.append(
            f"WARN  step {step:4}: no block free, the request of step {request.arrived:3} is sent away with {lost} rows"
        )

    def _advance(self, request: Request, tokens: torch.Tensor, step: int) -> None:
        """One pass of one request."""
        trace, compressor = request.trace, request.compressor
        watched = attending(self.course.model, compressor.policy, trace.weights_cost) if compressor else nullcontext()
        with watched:
            said = predict_next(self.course.model, tokens, request.cache)
        trace.record([said.tolist()], request.cache)
        self.peak = max(self.peak, self.root.pool.num_held_blocks)
        compression = compressor and compressor.after_pass(request.cache)
        if compression:
            trace.compressions[len(trace.seconds) - 1] = compression
        if int(said) in end_tokens(self.course.model) or len(trace.tokens[0]) == LONGEST:
            request.finished = step

    def _note(self, step: int) -> None:
        finished = sum(request.finished is not None for request in self.requests)
        usage = self.root.pool.num_held_blocks / self.root.pool.num_blocks
        self.log.append(
            f"INFO  step {step:4}: running {len(self.running):2}, waiting {len(self.waiting):2}, "
            f"finished {finished:2}, KV cache usage {usage:.1%}"
        )

    def _prompt(self, request: Request) -> torch.Tensor:
        return self.course.prompt_ids(request.sheet)

    def _text(self, request: Request) -> torch.Tensor:
        """Prompt and thought so far, which is what a request must have in its cache to go on."""
        return torch.cat([self._prompt(request), torch.tensor([request.trace.tokens[0]], dtype=torch.long)], dim=1)

    def _said(self, request: Request) -> str:
        return self.course.tokenizer.decode(request.trace.tokens[0], skip_special_tokens=True)


def questions(count: int) -> list[Worksheet]:
    """The same worksheet, each time asked about another of its names, the last line's first."""
    [sheet] = make_worksheets(1, N_LINES, SEED)
    words = sheet.thought.split()
    values = [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == "="]
    asked = values[::-1][:count]
    prompt = sheet.prompt.rsplit(" ", 1)[0]
    return [replace(sheet, prompt=f"{prompt} {name}", answer=value) for name, value in asked]


# --- The evening, saved -----------------------------------------------------------------------------------------------
def weigh() -> int:
    """Bytes that this process holds, as the operating system counts them."""
    return psutil.Process().memory_info().rss


def evening() -> dict[str, Any]:
    """The evening on which it died, as data: what the process weighed, the log, the requests' traces."""
    weighed = {"imports": weigh()}
    course = load_reasoner()
    weights = weight_bytes(course.model)
    weighed["weights"] = weigh()
    service = Service(course)
    pool = service.root.stats()
    weighed["pool"] = weigh()
    Service(course, requests=1).run(steps=32)  # a warm-up: one request, in a pool of its own
    weighed["ready"] = weigh()
    report = service.run()
    weighed["died"] = weigh()
    start = [
        f"INFO  imports done: process memory {weighed['imports'] / MiB:.1f} MiB",
        f"INFO  weights loaded, {weights / MiB:.2f} MiB: process memory {weighed['weights'] / MiB:.1f} MiB",
        f"INFO  KV cache pool reserved, {pool.blocks_free} blocks of {BLOCK_SIZE} slots, "
        f"{pool.bytes_reserved / MiB:.2f} MiB: process memory {weighed['pool'] / MiB:.1f} MiB",
        f"INFO  warm-up done, ready: process memory {weighed['ready'] / MiB:.1f} MiB",
    ]
    end = [f"ERROR service stopped: process memory {weighed['died'] / MiB:.1f} MiB"]
    return {
        "process_bytes": weighed,
        "weights_bytes": weights,
        "pool_bytes": pool.bytes_reserved,
        "log": [*start, *report.log, *end],
        "requests": [as_data(request) for request in report.requests if request.cache is not None],
    }


def as_data(request: Request) -> dict[str, Any]:
    """A request's run without its times, which differ from run to run."""
    trace = request.trace
    columns = {name: getattr(trace, name) for name in TRACE_COLUMNS}
    fixed = {"arrived": request.arrived, "prompt_length": trace.prompt_length, "tokens": trace.tokens[0]}
    return fixed | columns


def main() -> None:
    """Run the evening from the command line and save it."""
    parser = new_parser("service", __doc__)
    options = parser.parse_args()
    found = evening()
    print(*found["log"], sep="\n")
    arrivals = {"requests": REQUESTS, "every": EVERY, "n_lines": N_LINES, "seed": SEED}
    finish(new_report(command_of(parser, options)) | {"arrivals": arrivals} | found, options)


if __name__ == "__main__":
    main()
