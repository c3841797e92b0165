"""What the saved measurements on SmolLM2 say, read back and drawn."""

import pytest

from helpers.plots import smollm2_eviction as plots
from helpers.plots.compression import policy_looks
from helpers.records import load_smollm2_recall, load_smollm2_sweep

SWEEP, HEADS = load_smollm2_sweep(), load_smollm2_recall()
EVERY_HEAD, NO_EVICTION = "per_layer_per_head", "no eviction"


@pytest.mark.parametrize("task", ["english", "recall", "facts"])
def test_no_eviction_is_best_and_lots_are_worse_than_any_score(task):
    without = SWEEP.find(task, NO_EVICTION)
    for policy in SWEEP.policies(task):
        assert SWEEP.find(task, policy, 0.25).loss > without.loss
    assert SWEEP.find(task, "Random", 0.25).loss > SWEEP.find(task, "TriAttention", 0.25).loss


def test_only_h2o_has_weights_written_out_for_it():
    written = {policy for (_, policy, *_), cell in SWEEP.cells.items() if cell.weights_bytes}
    assert written == {"H2O"}


def test_compaction_frees_blocks_and_changes_no_loss():
    for share in SWEEP.shares("english"):
        left, moved = (SWEEP.find("english", "TriAttention", share, compact=compact) for compact in (False, True))
        assert moved.losses == pytest.approx(left.losses, abs=0.01)
        assert moved.blocks_freed > 10 > left.blocks_freed


def test_a_cell_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no cell \('recall', 'TriAttention', 0.3"):
        SWEEP.find("recall", "TriAttention", 0.3)


def losses(task, policy):
    without = SWEEP.find(task, NO_EVICTION)
    found = [SWEEP.find(task, policy, share) for share in SWEEP.shares(task)]
    return [plots.Loss(each.loss, each.more_than(without)[1]) for each in found]


def test_losses_are_drawn_a_line_a_policy_with_their_intervals():
    names = SWEEP.policies("recall")
    by_policy = {name: losses("recall", name) for name in names}
    figure = plots.losses_by_budget(SWEEP.shares("recall"), 0.24, by_policy, policy_looks(names), "a title")
    [ax] = figure.axes
    assert ax.get_title("left") == "a title" and len(ax.containers) == len(names)
    for bars, of_policy in zip(ax.containers, by_policy.values(), strict=True):
        line, _, (spans,) = bars
        assert line.get_ydata().tolist() == [loss.mean for loss in of_policy]
        ends = [part[:, 1].tolist() for part in spans.get_segments()]
        assert ends == [pytest.approx([loss.mean - loss.half, loss.mean + loss.half]) for loss in of_policy]


def test_what_is_beyond_the_axis_is_written_there():
    costs = {"H2O": plots.Loss(3.6, 0.01), "Random": plots.Loss(4.2, 0.1)}
    [ax] = plots.cost_by_policy(costs, 3.5, 0.2, "a title").axes
    assert [text.get_text() for text in ax.texts] == ["0.70"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(costs)


def test_what_is_left_to_copying_heads_decides_and_other_heads_do_not():
    ours, copying = HEADS.policies["TriAttention"], "the copying heads"
    kept = {forced.heads: forced for forced in HEADS.forced if forced.keep}
    assert kept[copying].left_to_copying_heads == 1
    gain, half = kept[copying].more_than(ours)
    assert gain + half < 0
    for label, forced in kept.items():
        if label != copying:
            assert forced.loss > kept[copying].loss + 1


def test_losses_are_drawn_over_what_the_copying_heads_have_left():
    points = {name: (left.left_to_copying_heads, left.loss) for name, left in HEADS.policies.items()}
    forced = {f"{each.policy}, {each.keep}": each for each in HEADS.forced if each.heads == "the copying heads"}
    arrows = {name: (each.policy, each.left_to_copying_heads, each.loss) for name, each in forced.items()}
    without = SWEEP.find("recall", NO_EVICTION).loss
    figure = plots.loss_by_what_is_left(points, arrows, without, policy_looks(points), "a title")
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {*points, *arrows, "no eviction"}
