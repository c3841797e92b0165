"""vLLM without vLLM: what its server answered once, played from the record for who cannot install it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from helpers.engines.engine import Answer, Engine, Figures, KVRoom, Prompt
from helpers.engines.watched import Watched
from helpers.records.vllm_server import COUNTERS, SavedStart, key_of, load_vllm_server

ELSE = "vLLM itself (make lab-vllm) answers whatever it is asked"


class PlayedVLLM(Engine):
    """What ``VLLM`` said once, by the same names. It answers only what was asked then, and says no words.

    Args:
        kv_mib, block, longest: as for ``VLLM``.

    Raises:
        LookupError: in one line, if the server was never started so.
    """

    def __init__(self, kv_mib: int, block: int, longest: int) -> None:
        starts = load_vllm_server().starts
        if (kv_mib, block, longest) not in starts:
            known = "; ".join(f"kv_mib={m}, block={b}, longest={n}" for m, b, n in starts)
            raise LookupError(
                f"no start with kv_mib={kv_mib}, block={block}, longest={longest} is saved ({known}); {ELSE}"
            )
        self._saved: SavedStart = starts[kv_mib, block, longest]
        self._counted = dict.fromkeys(COUNTERS, 0.0)
        self._runs = False

    def start(self) -> Self:
        """Say again why it did not start, where it did not.

        Raises:
            ValueError: in vLLM's words.
        """
        if self._saved.refused:
            raise ValueError(self._saved.refused)
        self._runs = True
        return self

    def ask(self, prompt: Prompt, max_tokens: int) -> Answer:
        """Nothing: no words are saved, since those of bfloat16 depend on the processor.

        Raises:
            LookupError: always.
        """
        raise LookupError(f"no words are saved, only counts; {ELSE}")

    def watch(self, prompts: Sequence[Prompt], max_tokens: int) -> Watched:
        """As ``VLLM.watch``, once for each time that it was asked.

        Raises:
            LookupError: if these prompts were not asked when the answers were saved.
            ValueError: in vLLM's words, if it refused them.
            RuntimeError: if it was not started.
        """
        self._require_started()
        key = key_of(prompts, max_tokens)
        found = next((each for each in self._saved.rounds if each.key == key), None)
        if found is None:
            raise LookupError(f"these prompts, with {max_tokens} tokens each, are not among the saved ones; {ELSE}")
        if found.refused:
            raise ValueError(found.refused)
        for name, grown in found.counted.items():
            self._counted[name] += grown
        return Watched(**found.watched)

    def settings(self) -> dict[str, str]:
        """As ``VLLM.settings``, without what the lab does not read."""
        self._require_started()
        return dict(self._saved.settings)

    def metrics(self) -> str:
        """As ``VLLM.metrics``, without what the lab does not read."""
        self._require_started()
        labels = 'engine="0",model_name="model"'
        return "\n".join(f"vllm:{name}{{{labels}}} {value}" for name, value in self._counted.items()) + "\n"

    def figures(self) -> Figures:
        """As ``VLLM.figures``."""
        if self._saved.tokens is None:
            raise RuntimeError("vLLM did not say its size before it stopped")
        room = KVRoom(self._saved.tokens, 1, float(self._saved.kv_mib))
        return Figures(room, None, None, None, self._saved.words)

    def stop(self) -> None:
        """Nothing runs."""
        self._runs = False

    def _require_started(self) -> None:
        if not self._runs:
            raise RuntimeError("vLLM is not running: call start(), or use it in a with statement")
