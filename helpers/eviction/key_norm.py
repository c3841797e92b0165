"""KeyNorm (Devoto and others, 2024): keys of small length tend to draw much attention."""

from __future__ import annotations

import torch

from helpers.eviction.policy import Policy


class KeyNorm(Policy):
    """Scores a row by the length of its key, the shorter the better. It asks nothing of the model."""

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per KV head.

        In the first layer one word has keys of one length wherever it stands, but for rounding. 12 bits of the length
        are kept, so that nearly all of these are ties, which no machine's rounding decides.
        """
        mantissa, exponent = torch.frexp(keys.norm(dim=-1))
        return -torch.ldexp((mantissa * 2**12).round() / 2**12, exponent)
