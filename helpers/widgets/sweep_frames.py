"""Pictures of the reasoner with their captions: answers by policy and mode, the head that looks up, its recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.measuring.comparisons import Answers
from helpers.plots import compression
from helpers.records.english_sweep import EnglishSweep
from helpers.records.recall import load_recall
from helpers.records.sweep import Result, Sweep, load_sweep
from helpers.widgets.page import Frame

MODES = tuple(compression.MODES)
IN_WORDS = {0.5: "half", 0.25: "a quarter"}


def answers_frame(sweep: Sweep, share: float) -> Frame:
    """Worksheets entirely right by policy and selection mode, with intervals, at one budget."""
    shares = _shares({policy: _by_mode(sweep, policy, share) for policy in sweep.shown})
    ours = ", ".join(f"{value.share:.0%} {mode}" for mode, value in shares["TriAttention"].items())
    caption = (
        f"Figure: marks with 95% intervals, share of {sweep.facts['worksheets']['count']} worksheets entirely right, "
        f"{IN_WORDS[share]} of the thought kept, by policy and selection mode. TriAttention: {ours}; Oracle "
        f"{shares['Oracle']['shared'].share:.0%}. Measured on {sweep.made_on}."
    )
    return compression.answers_by_mode(shares), caption


def in_words_frame(sweep: EnglishSweep) -> Frame:
    """The same of the English reasoner's worksheets in words, half of the thought kept, and one policy changed."""
    bare = "TriAttention, no trigonometric term"
    right = {
        name: {mode: sum(run.right) for mode, run in sweep.by_mode(name).items()}
        for name in (*load_sweep().shown, bare)
    }

    def told(name: str) -> str:
        return ", ".join(f"{count} {mode}" for mode, count in right[name].items())

    [oracle], [without] = set(right["Oracle"].values()), right[bare].values()
    caption = (
        f"Figure: marks with 95% intervals, share of {sweep.facts['worksheets']['count']} worksheets in words entirely "
        f"right, half of the thought kept, by policy and selection mode. Sheets right without eviction: "
        f"{sum(sweep.facts['right_without_eviction'])}; TriAttention: {told('TriAttention')}; without its "
        f"trigonometric term, in per_layer_per_head: {without}; Random: {told('Random')}; Oracle, in "
        f"every mode: {oracle}. Measured on {sweep.made_on}."
    )
    results = _shares({name: sweep.by_mode(name) for name in right})
    results["TriAttention,\nno series"] = results.pop(bare)
    return compression.answers_by_mode(results), caption


def heads_frame(weights: Sequence[Sequence[float]], n_lookups: int) -> Frame:
    """What each query head gives, of its attention, to earlier copies of a value that is looked up.

    Args:
        weights: ``[n_layers][n_heads]``.
        n_lookups: over how many look-ups the weights are a mean.
    """
    by_head = {(layer, head): share for layer, heads in enumerate(weights) for head, share in enumerate(heads)}
    first, second = sorted(by_head, key=by_head.__getitem__, reverse=True)[:2]
    caption = (
        f"Figure: bars, one per query head of the reasoner: share of its attention on earlier copies of the value "
        f"looked up, mean over {n_lookups} look-ups of formulas' values. Layer {first[0]}, head {first[1]}: "
        f"{by_head[first]:.0%}. The next: {by_head[second]:.0%}."
    )
    return compression.weight_by_head(weights, "attention on copies of the value"), caption


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
        f"and a quarter of the thought kept; both axes begin at 50%. The dashed line is the prediction. With a copy "
        f"{right_have:,} of {have:,} came out right, without one {right_lack:.0%}. Measured on {recall.made_on}."
    )
    return compression.recall_and_right(points, right_lack), caption


def _shares(results: Mapping[str, Mapping[str, Answers]]) -> dict[str, dict[str, compression.Share]]:
    """By policy and mode, the share of worksheets right with its interval."""
    return {
        policy: {mode: compression.Share(result.share_right, *result.interval) for mode, result in by_mode.items()}
        for policy, by_mode in results.items()
    }


def _by_mode(sweep: Sweep, policy: str, share: float) -> dict[str, Result]:
    return {mode: sweep.find(policy, share, mode) for mode in MODES}
