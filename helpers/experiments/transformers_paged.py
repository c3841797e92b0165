"""transformers' own paged engine beside the course's cache: ``python -m helpers.experiments.transformers_paged``.

The reasoner answers the same worksheets through both, from pools of as many blocks of 16 tokens: which blocks each
takes, what comes back, and when. Three times: as requests grow and end one after another, as rows are evicted, and
as the pool is too small for two requests at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import GenerationConfig
from transformers.generation import ContinuousBatchingConfig
from transformers.generation.continuous_batching.scheduler import SCHEDULER_MAPPING, FIFOScheduler

from helpers.cache import OutOfBlocks, PagedCache
from helpers.decoding import generate
from helpers.eviction import KeyNorm
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models import load_reasoner, make_worksheets

BLOCK_SIZE, NUM_BLOCKS = 16, 24
TOO_FEW = {"both": 13, "one": 8}  # blocks: enough for A and for B, not for both; not enough for A
N_LINES = {"A": 8, "B": 6, "C": 8}  # formulas of three worksheets
ORDER = ("A", "B", "A again", "C")  # asked one after another
KEPT = 40  # rows of each head of each layer that an eviction leaves of the 158 of A
LONGEST = 200  # tokens of an answer
WAIT = 60.0  # seconds for one more answer; then something is wrong


class NotingScheduler(FIFOScheduler):
    """The engine's own scheduler, which decides as ever; only, it notes what each request holds.

    Attributes:
        steps: blocks of each request, step by step, those included that the step writes to.
        ends: by request, its block table when it ended, and what was free after that.
        thrown_back: requests that lost their blocks before they had ended, and how many; each begins anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps: list[dict[str, int]] = []
        self.ends: dict[str, dict[str, Any]] = {}
        self.thrown_back: list[dict[str, Any]] = []

    def schedule_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Plan a step, as the engine does."""
        planned = super().schedule_batch(*args, **kwargs)
        self.steps.append({name: len(table) for name, table in self.allocator.block_table.items()})
        return planned

    def finish_request(self, request_id: str) -> None:
        """End a request, as the engine does. It has no table any more where it is thrown back."""
        table = list(self.allocator.block_table.get(request_id, []))
        super().finish_request(request_id)
        if table:
            self.ends[request_id] = {"table": table, **self.free()}
        else:
            self.thrown_back.append({"request": request_id, "blocks": self.steps[-1][request_id]})

    def free(self) -> dict[str, int]:
        """Blocks that are free, and those of no request that are remembered: kept, in case their text comes again."""
        free_bytes = self.cache.compute_free_capacity(relative=False)
        return {
            "free": int(free_bytes // self.allocator.bytes_per_block),
            "remembered": len(self.allocator.ledger.cached_blocks),
        }

    @property
    def allocator(self) -> Any:
        """What deals out the blocks; the reasoner's layers are all of one kind, so there is one."""
        [allocator] = self.cache.cache_allocators.values()
        return allocator


@contextmanager
def engine(model: Any, num_blocks: int, sharing: bool) -> Iterator[Any]:
    """The engine, started, with a pool of its own; its manager, whose ``batch_processor.scheduler`` has the notes.

    Raises:
        ImportError: if transformers has no such engine yet.
    """
    if not hasattr(ContinuousBatchingConfig, "page_size"):
        raise ImportError(f"transformers {transformers.__version__} has no engine with pages; 5.23.0 has")
    SCHEDULER_MAPPING["noting"] = NotingScheduler
    sizes = ContinuousBatchingConfig(
        page_size=BLOCK_SIZE,
        num_blocks=num_blocks,
        max_batch_tokens=256,  # its masks grow with this
        allow_block_sharing=sharing,
        scheduler_type="noting",
        auto_switch_to_flash=False,
    )
    greedy = GenerationConfig(
        max_new_tokens=LONGEST, do_sample=False, eos_token_id=model.generation_config.eos_token_id
    )
    with model.continuous_batching_context_manager(
        generation_config=greedy, continuous_batching_config=sizes
    ) as manager:
        yield manager


def ask(manager: Any, prompts: dict[str, list[int]]) -> dict[str, list[int]]:
    """The answers to prompts that are handed over at once.

    Raises:
        RuntimeError: if the engine fails, or says nothing for a minute.
    """
    for name, prompt in prompts.items():
        manager.add_request(prompt, request_id=name)
    answers: dict[str, list[int]] = {}
    while len(answers) < len(prompts):
        result = manager.get_result(timeout=WAIT)
        if result is None or result.error:
            raise RuntimeError(f"the engine gave no answer: {result.error if result else 'it says nothing'}")
        answers[result.request_id] = list(result.generated_tokens)
    return answers


def through_transformers(model: Any, prompts: dict[str, list[int]], sharing: bool) -> list[dict[str, Any]]:
    """Each prompt in turn through one pool of the engine: tokens, blocks step by step, table, and what is free then."""
    found = []
    with engine(model, NUM_BLOCKS, sharing) as manager:
        for name, prompt in prompts.items():
            [tokens] = ask(manager, {name: prompt}).values()
            notes = manager.batch_processor.scheduler
            steps = [step[name] for step in notes.steps if name in step]
            found.append({"request": name, "tokens": tokens, "blocks": steps, **notes.ends[name]})
    return found


def through_the_course(model: Any, prompts: dict[str, list[int]]) -> list[dict[str, Any]]:
    """The same through one pool of a ``PagedCache``, which is reset after each: then all of it is free."""
    cache, found = PagedCache.for_model(model, NUM_BLOCKS, BLOCK_SIZE, "fp32"), []
    for name, prompt in prompts.items():
        trace = generate(model, torch.tensor([prompt]), cache, max_new_tokens=LONGEST)
        table = list(cache.tables[0].blocks)
        cache.reset()
        facts = {"table": table, "free": cache.pool.num_free_blocks, "remembered": 0}
        found.append({"request": name, "tokens": trace.tokens[0], "blocks": trace.blocks_held, **facts})
    return found


def evict_and_free(cache: PagedCache) -> dict[str, int]:
    """Keep ``KEPT`` rows of each head of each layer, those of the shortest keys; blocks free after each thing done."""
    policy, free = KeyNorm(), {"before": cache.pool.num_free_blocks}
    for layer in range(cache.shape.n_layers):
        scores = policy.score(layer, cache.read_keys(layer), cache.get_seq_length())
        best_first = scores.sort(dim=-1, descending=True, stable=True).indices
        cache.evict(best_first[..., :KEPT].sort().values, layer)
    free["evict"] = cache.pool.num_free_blocks
    cache.release_empty_blocks()
    free["release_empty_blocks"] = cache.pool.num_free_blocks
    cache.compact()
    return free | {"compact": cache.pool.num_free_blocks}


def evict(model: Any, prompt: list[int]) -> dict[str, int]:
    """What comes back of a request that has not ended; of the engine nobody can ask that."""
    cache = PagedCache.for_model(model, NUM_BLOCKS, BLOCK_SIZE, "fp32")
    generate(model, torch.tensor([prompt]), cache, max_new_tokens=LONGEST)
    free = evict_and_free(cache)
    cache.reset()
    return free | {"reset": cache.pool.num_free_blocks}


def too_small(model: Any, first: list[int], second: list[int]) -> dict[str, Any]:
    """Two requests in a pool that has room for each of them, not for both: through the engine, and through ours.

    The engine reads both at once. Ours answers the second while the rows of the first are still there: it is refused,
    then the first gives up rows, then the second is answered.
    """
    with engine(model, TOO_FEW["both"], sharing=False) as manager:
        theirs = ask(manager, {"first": first, "second": second})
        notes = manager.batch_processor.scheduler
        found = {"thrown_back": notes.thrown_back, "free": notes.free()["free"]}
    cache = PagedCache.for_model(model, TOO_FEW["both"], BLOCK_SIZE, "fp32")
    other = cache.fork()  # of an empty cache: a second sequence in the same pool
    ours = [generate(model, torch.tensor([first]), cache, max_new_tokens=LONGEST).tokens[0]]
    try:
        generate(model, torch.tensor([second]), other, max_new_tokens=LONGEST)
    except OutOfBlocks as refusal:
        found["refusal"] = str(refusal)
    other.reset()
    found["course_free"] = evict_and_free(cache)
    ours.append(generate(model, torch.tensor([second]), other, max_new_tokens=LONGEST).tokens[0])
    return {"num_blocks": TOO_FEW["both"], **found, "same_tokens": list(theirs.values()) == ours}


def too_large(model: Any, prompt: list[int]) -> dict[str, Any]:
    """A request that the whole pool cannot hold: what both say to it. The engine also logs its own error."""
    found: dict[str, Any] = {"num_blocks": TOO_FEW["one"]}
    with engine(model, TOO_FEW["one"], sharing=False) as manager:
        manager.add_request(prompt, request_id="A")
        found["engine"] = manager.get_result(timeout=WAIT).error
    cache = PagedCache.for_model(model, TOO_FEW["one"], BLOCK_SIZE, "fp32")
    try:
        generate(model, torch.tensor([prompt]), cache, max_new_tokens=LONGEST)
    except OutOfBlocks as refusal:
        found["course"] = str(refusal)
    return found


def pools(model: Any) -> dict[str, dict[str, int]]:
    """Bytes of a block of all layers, and bytes reserved for ``NUM_BLOCKS``, counted from both pools' tensors."""
    ours = PagedCache.for_model(model, NUM_BLOCKS, BLOCK_SIZE, "fp32").stats().bytes_reserved
    with engine(model, NUM_BLOCKS, sharing=True) as manager:
        ask(manager, {"A": prompts()["A"]})  # the pool is made when the first request comes
        theirs = manager.batch_processor.cache
        found = {"block": theirs.cache_allocators["full_attention"].bytes_per_block}
        found["reserved"] = theirs.cache_tensor.nbytes
    return {"transformers": found, "course": {"block": ours // NUM_BLOCKS, "reserved": ours}}


def prompts() -> dict[str, list[int]]:
    """The requests, in the order in which they are asked; "A again" is the first once more."""
    tokenizer = load_reasoner().tokenizer
    sheets = {name: make_worksheets(1, lines, seed=ord(name))[0].prompt for name, lines in N_LINES.items()}
    return {name: tokenizer(sheets[name[0]]).input_ids for name in ORDER}


def measure() -> dict[str, Any]:
    """All of it; token ids are compared here, and only how many there are is kept."""
    model, asked = load_reasoner().model.float().cpu(), prompts()
    runs = {
        "course": through_the_course(model, asked),
        "transformers": through_transformers(model, asked, sharing=False),
        "transformers_sharing": through_transformers(model, asked, sharing=True),
    }
    tokens = [[request["tokens"] for request in run] for run in runs.values()]
    steps = [[request["blocks"] for request in run] for run in list(runs.values())[:2]]
    requests = [
        {"request": name, "prompt_tokens": len(prompt), "new_tokens": len(answer)}
        for (name, prompt), answer in zip(asked.items(), tokens[0], strict=True)
    ]
    for request in [request for run in runs.values() for request in run]:
        request.pop("tokens")
        request["blocks"] = [request["blocks"][0], request["blocks"][-1]]  # after the prompt, and at the end
    return {
        "requests": requests,
        "same_tokens": tokens[0] == tokens[1] == tokens[2],
        "same_blocks_at_every_step": steps[0] == steps[1],
        "pools": pools(model),
        **runs,
        "evicted": {"rows": requests[0]["prompt_tokens"] + requests[0]["new_tokens"] - 1, "kept": KEPT}
        | {"free": evict(model, asked["A"])},
        "too_small": too_small(model, asked["A"], asked["B"]),
        "too_large": too_large(model, asked["A"]),
    }


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("transformers_paged", __doc__)
    options = parser.parse_args()
    sizes = {"block_size": BLOCK_SIZE, "num_blocks": NUM_BLOCKS}
    finish(new_report(command_of(parser, options)) | sizes | measure(), options)


if __name__ == "__main__":
    main()
