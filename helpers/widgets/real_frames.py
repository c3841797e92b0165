"""Pictures of the saved sweep on SmolLM2 with their captions: next words, a passage once more, and who copies it."""

from __future__ import annotations

from helpers.plots import smollm2_eviction as plots
from helpers.plots.compression import policy_looks
from helpers.records.smollm2_recall import load_smollm2_recall
from helpers.records.smollm2_sweep import NO_EVICTION, RealSweep
from helpers.records.sweep import load_sweep
from helpers.widgets.page import Frame

FEW = ("TriAttention", "SnapKV, not smoothed", "H2O", "StreamingLLM")  # lines in the picture over budgets
PAIRED = "95% intervals are of the difference from no eviction on the same texts"


def english_frame(real: RealSweep) -> Frame:
    """What each policy adds to the loss of the next word, a quarter of the rows kept."""
    losses = {policy: loss_of(real, "english", policy, 0.25) for policy in real.policies("english")}
    without = real.find("english", NO_EVICTION).loss
    told = ", ".join(f"{policy} {loss.mean - without:.3f}" for policy, loss in losses.items())
    caption = (
        f"Figure: marks with intervals, what eviction adds to SmolLM2's loss of {without:.2f} nats per token, English, "
        f"8 windows, a quarter of the rows kept, each head of each layer choosing for itself. {told}. {PAIRED}. "
        f"Measured on {real.made_on}."
    )
    return plots.cost_by_policy(losses, without, 0.12, "Most policies cost the next word almost nothing"), caption


def passage_frame(real: RealSweep) -> Frame:
    """The loss of a passage that comes again, over the budget, for four policies."""
    shares, without = real.shares("recall"), real.find("recall", NO_EVICTION).loss
    losses = {policy: [loss_of(real, "recall", policy, share) for share in shares] for policy in FEW}
    half = ", ".join(f"{policy} {of_policy[0].mean:.2f}" for policy, of_policy in losses.items())
    caption = (
        f"Figure: lines with intervals, SmolLM2's loss when a passage comes again, over the budget; dashed, without "
        f"eviction, {without:.2f} nats per token. With half of the rows: {half}. Each head of each layer chooses for "
        f"itself, 10 passages. {PAIRED}. Measured on {real.made_on}."
    )
    title = "A passage that comes again: H2O remembers it best"
    return plots.losses_by_budget(shares, without, losses, policy_looks(load_sweep().shown), title), caption


def copying_frame(real: RealSweep) -> Frame:
    """The loss of the passage over what the copying heads have left of it, and what force changes."""
    heads, copying = load_smollm2_recall(), "the copying heads"
    policies = {name: (left.left_to_copying_heads, left.loss) for name, left in heads.policies.items()}
    by_force = {each.keep: each for each in heads.forced if each.heads == copying}
    names = {True: "kept by force", False: "dropped by force"}
    forced = {names[keep]: (each.policy, each.left_to_copying_heads, each.loss) for keep, each in by_force.items()}
    kept, dropped = by_force[True], by_force[False]
    caption = (
        f"Figure: marks, SmolLM2's loss when a passage comes again, over the share of its rows left to the "
        f"{len(heads.heads)} KV heads that copy most, a quarter of all rows kept. Arrows: the passage kept for these "
        f"heads under TriAttention, loss {policies['TriAttention'][1]:.2f} to {kept.loss:.2f}, and dropped from them "
        f"under H2O, {policies['H2O'][1]:.2f} to {dropped.loss:.2f}. Measured on {heads.made_on}."
    )
    without = real.find("recall", NO_EVICTION).loss
    title = "Nine heads of ninety: keep the passage for them, and it comes back"
    return plots.loss_by_what_is_left(policies, forced, without, policy_looks(load_sweep().shown), title), caption


def loss_of(real: RealSweep, task: str, policy: str, share: float) -> plots.Loss:
    """A policy's loss with its interval, each head of each layer choosing for itself."""
    found = real.find(task, policy, share)
    return plots.Loss(found.loss, found.more_than(real.find(task, NO_EVICTION))[1])
