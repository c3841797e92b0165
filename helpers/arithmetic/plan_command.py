"""``python -m helpers plan MODEL --card CARD``: the planner of the last lesson, from a terminal and without torch.

It prints the page that the lesson writes, or with ``--json`` its figures. A mistake is answered in one line, code 2.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from helpers.arithmetic.catalog import CARDS, KV_LAYOUTS, MODELS, WEIGHT_BITS, GiB, Model, find_model
from helpers.arithmetic.checkpoint import read_checkpoint
from helpers.arithmetic.engine_settings import settings
from helpers.arithmetic.experts import weights_read
from helpers.arithmetic.plan import OVERHEAD, Plan
from helpers.arithmetic.plan_report import report

UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Print the plan that the arguments ask for; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = plan_of(options)
        text = json.dumps(figures(plan), indent=2) if options.json else report(plan)
    except ValueError as error:
        parser.error(str(error))
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has had enough; Python would flush once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan of parsed options.

    Raises:
        ValueError: in one line, if the model or the card is unknown, or the plan cannot be.
    """
    model = model_of(options.model, options.parameters)
    if options.shared_prefix > options.context:
        raise ValueError(
            f"--shared-prefix is {options.shared_prefix:,}; it may be at most --context, {options.context:,}"
        )
    plan = Plan(
        model,
        options.weights,
        options.card,
        options.kv_format,
        options.context,
        options.sequences,
        options.shared_prefix,
        overhead=options.overhead,
        kept=options.kept,
        draft_tokens=options.draft_tokens,
        acceptance=options.acceptance,
    )
    _ = plan.machine  # refuses an unknown card
    return plan


def model_of(name: str, n_params: int | None = None) -> str | Model:
    """A name of the catalog, or else the model of a file or folder.

    Raises:
        ValueError: in one line, if it is none of these, or its parameters are not known.
    """
    if name.lower() in {known.lower() for known in MODELS}:
        if n_params is not None:
            raise ValueError(f"--parameters is for a model of your own; the catalog knows those of {name}")
        return find_model(name).name
    if not Path(name).exists():
        try:
            find_model(name)
        except ValueError as error:
            raise ValueError(f"{error}; and there is no file or folder of that name") from None
    try:
        return read_checkpoint(name, n_params)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None


def figures(plan: Plan) -> dict[str, Any]:
    """The plan's figures for other programs; sizes are bytes, speeds are ceilings in tokens per second.

    What depends on the overhead is a pair: overhead and total from the least to the most, spare and room (tokens that
    fit in each sequence; null for any number) with the most overhead and with the least.
    """
    return {
        "model": plan.entry.name,
        "parameters": plan.entry.n_params,
        "weight_format": plan.weight_format,
        "card": plan.machine.name,
        "kv_format": plan.kv_format,
        "context": plan.context,
        "sequences": plan.sequences,
        "shared_prefix": plan.shared_prefix,
        "kept": plan.kept,
        "draft_tokens": plan.draft_tokens,
        "acceptance": plan.acceptance,
        "overhead": [round(size) for size in plan.overhead],
        "weights": round(plan.weights),
        "cache": plan.cache,
        "total": [round(budget.total) for budget in plan.budgets],
        "memory": plan.machine.driver_memory,
        "default_memory": plan.machine.default_memory,
        "spare": [round(size) for size in plan.spare],
        "fit": plan.fit,
        "fits_untold": plan.fits_untold,
        "room": [None if tokens == math.inf else tokens for tokens in plan.room],
        "weights_read": weights_read(plan.entry),
        "speed": round(plan.speed(plan.context), 3),
        "speed_with_cascade_attention": round(plan.speed(plan.context, cascade=True), 3),
        "speed_with_the_same_experts": round(plan.speed(plan.context, same_experts=True), 3),
        "usable": plan.usable,
        "verdict": plan.verdict,
        "settings": settings(plan),
    }


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m helpers plan", description="Does it fit, how fast is it at best, and how is it run?")
    parser.add_argument("model", metavar="MODEL", help=f"a config.json, its folder, or one of: {', '.join(MODELS)}")
    parser.add_argument("--card", required=True, help=f"one of: {', '.join(CARDS)}")
    parser.add_argument("--context", metavar="N", type=_count(1), default=32_768, help="tokens of a full sequence")
    parser.add_argument("--sequences", metavar="N", type=_count(1), default=1, help="sequences at the same time")
    parser.add_argument("--kv-format", metavar="F", choices=KV_LAYOUTS, default="fp16", help=_names(KV_LAYOUTS))
    parser.add_argument("--weights", metavar="F", choices=WEIGHT_BITS, default="q4_k_m", help=_names(WEIGHT_BITS))
    parser.add_argument("--kept", metavar="N", type=_count(1), help="evict, and keep at most N tokens of each sequence")
    parser.add_argument(
        "--shared-prefix", metavar="N", type=_count(0), default=0, help="tokens at the start that all sequences share"
    )
    parser.add_argument(
        "--parameters", metavar="N", type=_parameters, help="of a model of your own whose weights are not here: 8.2B"
    )
    parser.add_argument(
        "--overhead", metavar="GIB", type=_band, default=OVERHEAD, help="GiB for the rest, 0.8 or a band, 0.5-1.5"
    )
    parser.add_argument("--draft-tokens", metavar="N", type=_count(0), default=0, help="tokens guessed for each pass")
    parser.add_argument("--acceptance", metavar="A", type=_share, default=0.7, help="share of guesses accepted: 0.7")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    return parser


def _names(formats: dict[str, Any]) -> str:
    return f"one of: {', '.join(formats)}"


def _count(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        digits = text.replace(",", "").replace("_", "")
        if not digits.isdecimal() or not least <= int(digits) < 10**12:
            raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a whole number of {least:,} or more")
        return int(digits)

    return count


def _band(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    least, most = (float(found[1]), float(found[2] or found[1])) if found else (1.0, 0.0)
    if not least <= most < 10**6:
        raise argparse.ArgumentTypeError(f"it is {text!r}; it may be GiB such as 0.8, or from least to most, 0.5-1.5")
    return least * GiB, most * GiB


def _share(text: str) -> float:
    if not re.fullmatch(r"0|1|[01]?\.\d+", text) or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a share from 0 to 1, such as 0.7")
    return float(text)


def _parameters(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMBT]?)", text.upper())
    count = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if not 0 < count < 10**15:
        raise argparse.ArgumentTypeError(f"it is {text!r}; it may be a number such as 8.2B, 600M or 8190735360")
    return count
