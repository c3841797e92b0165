"""A race: the course's Compressor and KVPress's DecodingPress, with the same model, text, rows kept and interval.

``python -m helpers.experiments.kvpress_race`` reads a text a token at a time on either side, on one thread each, one
side after the other and in turns, and saves medians. Both score by the same rule, so that the rows kept are the same
but for near ties, and what is left to compare is the machinery. Run it alone. Seconds by the clock are saved, and those
that the processor worked, which other programs disturb less; and the load of the machine, before and after.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from helpers.cache import PagedCache
from helpers.cache.attention import attending
from helpers.engines.kvpress import KVPress
from helpers.eviction import Compressor, KeyNorm, Policy
from helpers.experiments.kvpress_rows import KNORM, calibrated, tokens, triattention
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_tasks import smollm2
from helpers.models import smollm2 as files

PROMPT, TARGET, INTERVAL, LENGTH = 128, 128, 64, 448
BLOCK_SIZE, BLOCKS, ROUNDS = 16, 12, 3
OURS, THEIRS = "the course's Compressor", "KVPress's DecodingPress"


@torch.inference_mode()
def run_course(policy: Policy) -> dict[str, Any]:
    """The text, a token at a time, through a paged cache and the compressor; as ``KVPress.time`` answers."""
    model, ids = smollm2().model, torch.tensor([tokens()[:LENGTH]])
    cache = PagedCache.for_model(model, BLOCKS, BLOCK_SIZE, "fp32")
    compressor = Compressor(policy, TARGET, INTERVAL, "per_layer_per_head", protect_prompt=False, protect_recent=0)
    losses, seconds, cpu_seconds, peak = [], [], [], 0
    with attending(model, policy):
        compressor.begin(cache, PROMPT)
        for first in (0, *range(PROMPT, LENGTH)):
            last = first + 1 if first else PROMPT
            started, worked = time.perf_counter(), time.process_time()
            logits = model(ids[:, first:last], past_key_values=cache, logits_to_keep=1).logits
            held = cache.stats().bytes_held
            compressor.after_pass(cache)
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - worked)
            peak = max(peak, held)
            if first and last < LENGTH:
                losses.append(cross_entropy(logits[:, -1].float(), ids[:, last]).item())
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "losses": losses, "bytes_peak": peak}


def measure(side: str, policy: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """One round of one side: tokens per second after the prompt, seconds of a step, loss, peak."""
    said = run()
    steps, worked = said["seconds"][1:], said["cpu_seconds"][1:]
    return {
        "side": side,
        "policy": policy,
        "tokens_per_second": round(len(steps) / sum(steps), 3),
        "tokens_per_cpu_second": round(len(worked) / sum(worked), 3),
        "step_cpu_seconds": round(statistics.median(worked), 5),
        "compressing_step_cpu_seconds": round(statistics.median(worked[INTERVAL - 1 :: INTERVAL]), 5),
        "bytes_peak": said["bytes_peak"],
        "loss": round(sum(said["losses"]) / len(said["losses"]), 4),
    }


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("kvpress_race", __doc__)
    options = parser.parse_args()
    head, load_before = new_report(command_of(parser, options)), os.getloadavg()[0]
    presses = {"KNorm": (KeyNorm(), KNORM), "TriAttention": (calibrated(), triattention())}
    with KVPress(files.convert()) as engine:
        rounds = []
        for number in tqdm(range(ROUNDS)):
            for name, (policy, press) in presses.items():
                over = {"name": "DecodingPress", "base_press": press, "target_size": TARGET}
                over |= {"compression_interval": INTERVAL}
                sides = {
                    OURS: lambda policy=policy: run_course(policy),
                    THEIRS: lambda over=over: engine.time(over, tokens()[:LENGTH], PROMPT, decoding=True),
                }
                for side in list(sides)[:: 1 - 2 * (number % 2)]:  # in turns, who is first
                    rounds.append({"round": number} | measure(side, name, sides[side]))
        setting = {"prompt": PROMPT, "target": TARGET, "interval": INTERVAL, "length": LENGTH, "block_size": BLOCK_SIZE}
        load = {"before": load_before, "after": os.getloadavg()[0]}
        finish(
            head
            | {"versions": engine.versions, "load": load, "setting": setting}
            | {"sides": [OURS, THEIRS], "policies": list(presses), "rounds": rounds},
            options,
        )


if __name__ == "__main__":
    main()
