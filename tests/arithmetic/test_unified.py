"""What the GPU of a machine may use: as its driver shows, and where GPU and system share one memory, until told."""

import json

import pytest

from helpers.arithmetic import CARDS, Plan
from helpers.arithmetic.plan import FITS, TOO_LARGE
from helpers.arithmetic.plan_command import main
from helpers.arithmetic.plan_report import report

TOLD = "once the GPU has been told that it may use more than it may by default"
SHARED = [name for name, card in CARDS.items() if card.unified]


def plan_on(card, kv_format="fp16"):
    return Plan("Llama-3.1-70B", "q4_k_m", card, kv_format, 131_072, 1)


@pytest.mark.parametrize(
    ("card", "kv_format", "fits", "by_default"),
    [
        ("Strix Halo 128GB", "fp16", FITS, False),
        ("Strix Halo 128GB", "q4_0", FITS, True),
        ("M4 Max 128GB", "fp16", FITS, True),
        ("DGX Spark", "fp16", FITS, True),
        ("M3 Max 64GB", "fp16", TOO_LARGE, False),
        ("RTX 4090", "fp16", TOO_LARGE, False),
    ],
)
def test_a_plan_fits_by_default_once_told_or_not_at_all(card, kv_format, fits, by_default):
    plan = plan_on(card, kv_format)
    assert (plan.fit, plan.fits_untold) == (fits, by_default)
    assert (TOLD in plan.verdict) == (fits == FITS and not by_default)


@pytest.mark.parametrize(
    ("card", "kv_format", "words"),
    [
        ("Strix Halo 128GB", "fp16", ["may use 62.2 GiB", "`ttm.pages_limit=PAGES`", "Too little for this plan."]),
        ("Strix Halo 128GB", "q4_0", ["may use 62.2 GiB", "Enough for this plan."]),
        (
            "M4 Max 128GB",
            "fp16",
            ["may use 107.5 GiB", "`sudo sysctl iogpu.wired_limit_mb=MIB`", "Enough for this plan."],
        ),
        ("DGX Spark", "fp16", ["may use all of it."]),
    ],
)
def test_the_page_says_what_the_gpu_may_use_and_what_changes_that(card, kv_format, words):
    line = next(line for line in report(plan_on(card, kv_format)).splitlines() if "all programs live in" in line)
    assert all(word in line for word in words)


@pytest.mark.parametrize("card", CARDS)
def test_every_machine_s_page_is_of_what_its_driver_shows(card):
    plan = plan_on(card)
    page, machine = report(plan), plan.machine
    assert plan.spare[0] == machine.driver_memory - plan.budgets[1].total
    assert ("has, as its driver shows |" in page) == (machine.shown_mib is not None)
    assert ("all programs live in" in page) == (card in SHARED)


def test_json_says_so_too(capsys):
    main(["llama-3.1-70b", "--card", "strix halo 128gb", "--context", "131072", "--sequences", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["fit"], found["fits_untold"]) == (FITS, False)
    assert found["default_memory"] < min(found["total"]) and max(found["total"]) < found["memory"]
