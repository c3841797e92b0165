"""Which rows KVPress keeps of a text, with what bytes and what loss after, and how a policy of the course does there.

``python -m helpers.experiments.kvpress_rows`` asks KVPress, in its own environment, for all that lab 8 shows; where
KVPress is not installed, the lab plays what this saved. Both sides read the same tokens, keep the same number of rows,
and are asked for the loss of the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache import PagedCache
from helpers.decoding.loop import replay
from helpers.decoding.losses import token_losses
from helpers.engines.kvpress import KVPress
from helpers.eviction import Compressor, Policy, TriAttention
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_tasks import calibration_text, smollm2
from helpers.experiments.windows import windows
from helpers.measuring.press_run import PressRun
from helpers.models import smollm2 as files

TEXT = "english"
PREFILL, KEPT, LATER = 400, 100, 129  # read at once, rows kept of these, tokens read after that
PROMPT, TARGET, INTERVAL, LENGTH = 128, 128, 64, 448  # while decoding: five compressions, the last at the end
CALIBRATION_TOKENS = 1024
WINDOW, KERNEL = 16, 5  # of SnapKV, on either side
BLOCK_SIZE, BLOCKS = 16, 40

TRIATTENTION = """
class TriAttentionPress(ScorerPress):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        layer, position = module.layer_idx, int(kwargs["position_ids"][0, -1])
        n_kv_heads, offsets = keys.shape[1], 2 ** torch.arange(17)
        turn = torch.exp(1j * self.omega * (position + offsets)[:, None]).mean(0)
        query, spread = self.q_mean[layer] * turn, self.q_abs_mean[layer] - self.q_mean[layer].abs()
        arrows = torch.complex(*keys.double().chunk(2, dim=-1)).repeat_interleave(len(query) // n_kv_heads, dim=1)
        scores = (arrows.conj() * query[:, None]).real.sum(-1) + (arrows.abs() * spread[:, None]).sum(-1)
        z_scores = (scores - scores.mean(-1, keepdim=True)) / scores.std(-1, keepdim=True, correction=0)
        return z_scores.unflatten(1, (n_kv_heads, -1)).amax(2)
"""
SORTED = """
class InOrder(kvpress.StreamingLLMPress):
    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        scores = self.score(module, hidden_states, keys, values, attentions, kwargs)
        n_kept = kvpress.utils.compute_n_kept(keys.shape[2], self.compression_ratio)
        places = scores.topk(n_kept, dim=-1).indices.sort(dim=-1).values[..., None].expand(-1, -1, -1, module.head_dim)
        return keys.gather(2, places), values.gather(2, places)
"""

KNORM = {"name": "KnormPress"}
STREAMING = {"name": "StreamingLLMPress", "n_sink": 4}
SNAPKV = {"name": "SnapKVPress", "window_size": WINDOW, "kernel_size": KERNEL}


# --- What KVPress is asked -------------------------------------------------------------------------------------------
def ratio_for(kept: int, tokens: int) -> float:
    """A compression ratio at which KVPress keeps exactly so many rows: it cuts off what is left of ``tokens (1 - r)``.

    The half row more lets no rounding of ``1 - r`` fall below the whole number.
    """
    return 1 - (kept + 0.5) / tokens


def once(press: dict[str, Any] | None, ratio: bool = True) -> dict[str, Any]:
    """A question for ``KVPress.run``: the rows of the first tokens are pressed once, then the rest is read.

    Args:
        press: as ``KVPress.run`` takes it.
        ratio: whether to set the ratio that leaves ``KEPT`` rows.
    """
    if press is not None and ratio:
        press = press | {"compression_ratio": ratio_for(KEPT, PREFILL)}
    return {"press": press, "token_ids": tokens()[: PREFILL + LATER], "prefill": PREFILL}


def adaptive() -> dict[str, Any]:
    """The question with SnapKV's scores, of which AdaKV gives each head as many rows as it has high ones."""
    asked = once(SNAPKV)
    return asked | {"press": {"name": "AdaKVPress", "press": asked["press"]}}


def while_decoding(press: dict[str, Any]) -> dict[str, Any]:
    """The question in which a press works on while the text is read.

    ``DecodingPress`` counts passes. They are ``INTERVAL`` tokens long here, so it compresses after each: the rows are
    those that it would have kept token by token.
    """
    over = {"name": "DecodingPress", "base_press": press, "target_size": TARGET, "compression_interval": 1}
    return {"press": over, "token_ids": tokens()[:LENGTH], "prefill": PROMPT, "step": INTERVAL, "decoding": True}


def triattention(source: str = TRIATTENTION) -> dict[str, Any]:
    """TriAttention as a press, by our cell or a reader's; it finds the course's own statistics on itself."""
    policy = calibrated()
    mean = {"real": policy.q_mean.real.tolist(), "imag": policy.q_mean.imag.tolist()}
    found = {"q_mean": mean, "q_abs_mean": policy.q_abs_mean.tolist(), "omega": policy.omega.tolist()}
    return {"source": source, "statistics": found}


QUESTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": lambda: once(None),
    "KNorm": lambda: once(KNORM),
    "StreamingLLM": lambda: once(STREAMING),
    "SnapKV": lambda: once(SNAPKV),
    "ExpectedAttention": lambda: once({"name": "ExpectedAttentionPress"}),
    "AdaKV": adaptive,
    "ThinK": lambda: once({"name": "ThinKPress", "key_channel_compression_ratio": 0.5}, ratio=False),
    "TriAttention": lambda: once(triattention()),
    "KNorm, decoding": lambda: while_decoding(KNORM),
    "StreamingLLM, decoding": lambda: while_decoding(STREAMING),
    "StreamingLLM in order, decoding": lambda: while_decoding({"source": SORTED, "n_sink": 4}),
    "TriAttention, decoding": lambda: while_decoding(triattention()),
}


# --- What the course makes of the same -------------------------------------------------------------------------------
@torch.inference_mode()
def run_policy(policy: Policy) -> PressRun:
    """What a policy keeps of the tokens that ``once`` presses, each head of each layer for itself."""
    model, ids = smollm2().model, torch.tensor([tokens()[: PREFILL + LATER]])
    kv_cache = PagedCache.for_model(model, BLOCKS, BLOCK_SIZE, "fp32")
    compressor = _compressor(policy, KEPT, PREFILL - KEPT)
    trace = replay(model, ids[:, :PREFILL], PREFILL, kv_cache, compressor)
    after = _what_is_left(kv_cache, len(trace.compressions))
    losses, _ = token_losses(model, ids[:, PREFILL:], 1, kv_cache)
    return PressRun(**after, losses=_rounded(losses))


@torch.inference_mode()
def run_policy_decoding(policy: Policy) -> PressRun:
    """What a policy keeps where ``while_decoding`` presses: at the same tokens, down to the same number of rows."""
    model, ids = smollm2().model, torch.tensor([tokens()[:LENGTH]])
    kv_cache = PagedCache.for_model(model, BLOCKS, BLOCK_SIZE, "fp32")
    losses, trace = token_losses(model, ids, PROMPT, kv_cache, _compressor(policy, TARGET, INTERVAL))
    return PressRun(**_what_is_left(kv_cache, len(trace.compressions)), losses=_rounded(losses[:, 1:]))


def _compressor(policy: Policy, budget: int, interval: int) -> Compressor:
    """As KVPress has it: the prompt counts in the budget, and nothing is protected but what the policy asks for."""
    recent = policy.least_recent
    return Compressor(policy, budget, interval, "per_layer_per_head", protect_prompt=False, protect_recent=recent)


def _what_is_left(kv_cache: PagedCache, compressions: int) -> dict[str, Any]:
    """All but the losses of a ``PressRun``."""
    stats, layers = kv_cache.stats(), range(kv_cache.shape.n_layers)
    return {
        "rows": tuple(tuple(map(tuple, kv_cache.token_index(layer)[0].tolist())) for layer in layers),
        "rows_in_tensors": stats.tokens_alive,
        "zeroed_channels": 0,
        "in_order": True,
        "compressions": compressions,
        "bytes_before": kv_cache.shape.bytes(stats.tokens_seen, kv_format="fp32"),
        "bytes_after": stats.bytes_held,
    }


def _rounded(losses: torch.Tensor) -> tuple[float, ...]:
    return tuple(round(loss, 5) for loss in losses[0].tolist())


@cache
def tokens() -> list[int]:
    """The text, as long as any question needs it."""
    return windows(smollm2(), TEXT, 1, max(PREFILL + LATER, LENGTH))[0].tolist()


@cache
def calibrated() -> TriAttention:
    """The course's TriAttention, calibrated on another text."""
    return TriAttention.calibrate(smollm2().model, calibration_text()[:, :CALIBRATION_TOKENS])


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("kvpress_rows", __doc__)
    options = parser.parse_args()
    head = new_report(command_of(parser, options))
    with KVPress(files.convert()) as engine:
        runs = [{"name": name} | engine.run(**ask()).to_json() for name, ask in tqdm(QUESTIONS.items())]
        finish(head | {"versions": engine.versions, "text": TEXT, "runs": runs}, options)


if __name__ == "__main__":
    main()
