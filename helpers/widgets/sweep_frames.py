"""Pictures of the saved sweeps with their captions: answers, look-ups, recall, blocks."""

from __future__ import annotations

from helpers.plots import compression
from helpers.records.recall import load_recall
from helpers.records.sweep import Result, Sweep
from helpers.widgets.page import Frame

MODES = tuple(compression.MODES)
SHARES = (0.0625, 0.125, 0.25, 0.5)  # of the thought
IN_WORDS = {0.5: "half", 0.25: "a quarter"}


def answers_frame(sweep: Sweep, share: float) -> Frame:
    """Worksheets entirely right by policy and selection mode, with intervals, at one budget."""
    results = {policy: _by_mode(sweep, policy, share) for policy in sweep.shown}
    shares = {
        policy: {mode: compression.Share(result.share_right, *result.interval) for mode, result in of_policy.items()}
        for policy, of_policy in results.items()
    }
    ours = ", ".join(f"{value.share:.0%} {mode}" for mode, value in shares["TriAttention"].items())
    caption = (
        f"Figure: marks with 95% intervals, share of {sweep.facts['worksheets']['count']} worksheets entirely right, "
        f"{IN_WORDS[share]} of the thought kept, by policy and selection mode. TriAttention: {ours}; Oracle "
        f"{shares['Oracle']['shared'].share:.0%}. Measured on {sweep.made_on}."
    )
    return compression.answers_by_mode(shares), caption


def lookups_frame(sweep: Sweep) -> Frame:
    """Share of look-ups right over the budget, by policy, one panel per selection mode."""
    lookups = {
        mode: {
            policy: [sweep.find(policy, share, mode).share_of_lookups for share in SHARES]
            for policy in sweep.everywhere
        }
        for mode in MODES
    }
    ours = ", ".join(f"{lookups[mode]['TriAttention'][2]:.1%} {mode}" for mode in MODES)
    others = ", ".join(f"{policy} {lookups['shared'][policy][2]:.1%}" for policy in ("Random", "Oracle"))
    caption = (
        "Figure: line charts, share of look-ups right over the budget, one chart per selection mode; the axis "
        f"begins at 50%. At a quarter of the thought TriAttention has {ours}; shared, {others}. "
        f"{sweep.facts['worksheets']['count']} worksheets, measured on {sweep.made_on}."
    )
    return compression.lookups_by_budget(SHARES, lookups, compression.policy_looks(sweep.shown)), caption


def recall_frame() -> Frame:
    """Share of look-ups right over the share that has a copy left in the head that looks up, all policies and modes."""
    recall = load_recall()
    facts, cells = recall.facts, recall.cells
    points = [(mode, cell.recall, cell.right) for (_, _, mode), cell in cells.items()]
    have, lack = sum(cell.with_copy for cell in cells.values()), sum(cell.without_copy for cell in cells.values())
    right_have = sum(cell.right_with_copy for cell in cells.values())
    right_lack = sum(cell.right_without_copy for cell in cells.values()) / lack
    head = facts["lookup_head"]
    caption = (
        f"Figure: marks, share of look-ups right over the share with a copy left in layer {head['layer']}, KV head "
        f"{head['kv_head']}: {len(points)} runs of {facts['lookups']:,} look-ups each, all policies and modes, half "
        f"and a quarter of the thought kept. The dashed line is the prediction. With a copy {right_have:,} of {have:,} "
        f"came out right, without one {right_lack:.0%}. Measured on {recall.made_on}."
    )
    return compression.recall_and_right(points, right_lack), caption


def blocks_frame(sweep: Sweep, share: float) -> Frame:
    """Blocks freed without compaction, by policy and selection mode, under what compaction frees."""
    freed = {
        policy: {mode: sweep.find(policy, share, mode, compact=False).blocks_freed for mode in MODES}
        for policy in sweep.everywhere
    }
    packed = max(sweep.find(policy, share, mode).blocks_freed for policy in sweep.everywhere for mode in MODES)
    ours = ", ".join(f"{count:.2f} {mode}" for mode, count in freed["TriAttention"].items())
    caption = (
        f"Figure: bars, blocks of {sweep.facts['block_size']} slots freed per worksheet without compaction, by policy "
        f"and selection mode, {IN_WORDS[share]} of the thought kept; the dashed line: with compaction, {packed:.0f} "
        f"for every policy and mode. Without it TriAttention frees {ours}. Measured on {sweep.made_on}."
    )
    return compression.blocks_by_mode(freed, packed), caption


def _by_mode(sweep: Sweep, policy: str, share: float) -> dict[str, Result]:
    return {mode: sweep.find(policy, share, mode) for mode in MODES}
