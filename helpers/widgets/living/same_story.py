"""The same story: machines that hold one model write it, each as fast as its memory can be read at best."""

from __future__ import annotations

import textwrap
from itertools import product
from typing import Any

from helpers.arithmetic.plan import Plan
from helpers.records.garage import load_garage
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Look, Rect, Scene, Shape, Text

MACHINES = ("H200", "M4 Max 128GB", "Strix Halo 128GB")
MODELS_THAT_WRITE = ("Llama-3.1-70B", "gpt-oss-120b")
FILLED = (0, 8_192, 16_384, 32_768, 65_536, 98_304, 131_072)  # tokens that are in the cache before the story
INK, SOFT, PALE, GONE = "#1b2733", "#52606d", "#eef2f5", "#aebac5"
WIDE = 104  # characters of a line in the still picture


def story() -> list[str]:
    """The story, token by token, in one paragraph."""
    garage = load_garage()
    return [token.replace("\n\n", " ") for token in garage.tokens[garage.prompt_length :]]


def written(speed: float, seconds: float, count: int) -> int:
    """How many of ``count`` tokens stand there after so many seconds."""
    return min(count, int(speed * seconds + 1e-9))


class SameStory(LivingPicture):
    """Three machines write one story, each at the speed that its memory allows; the cache before it is the knob."""

    title = "The same story"
    _esm = join_modules("parts.js", "same_story.js")

    def __init__(self, model: str = "Llama-3.1-70B", filled: int = 131_072) -> None:
        """Begin with a model, and so many tokens in the cache.

        Raises:
            ValueError: as ``frame``.
        """
        choices = [{"model": name, "filled": n} for name, n in product(MODELS_THAT_WRITE, FILLED)]
        data = {"tokens": story(), "models": MODELS_THAT_WRITE, "filled": FILLED}
        data["frames"] = {f"{each['model']}/{each['filled']}": self.frame(each) for each in choices}
        self.frame(choice := {"model": model, "filled": filled})
        super().__init__(data, choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A lane per machine: its name, and how many tokens per second it writes at best.

        Raises:
            ValueError: if the model or the number of tokens is none of those that can be chosen.
        """
        for name, allowed in (("model", MODELS_THAT_WRITE), ("filled", FILLED)):
            if choice[name] not in allowed:
                raise ValueError(f"{name} is {choice[name]!r}; it may be {', '.join(map(str, allowed))}")
        plans = [Plan(choice["model"], "q4_k_m", machine, context=FILLED[-1]) for machine in MACHINES]
        return {"lanes": [{"name": plan.card, "speed": round(plan.speed(choice["filled"]), 2)} for plan in plans]}

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """Whose words and whose speeds."""
        return (
            "Figure: a story that SmolLM2 once wrote, written again by three machines. Each lane runs at the speed "
            "that its machine could reach at best with a model of the size chosen, weights in Q4_K_M, and so many "
            "tokens in the cache: arithmetic from data sheets, no measurement."
        )

    def scene(self) -> Scene:
        """The lanes at the moment when the first machine has done."""
        lanes, tokens = self.frame(self.choice)["lanes"], story()
        seconds = len(tokens) / max(lane["speed"] for lane in lanes)
        counts = {lane["name"]: written(lane["speed"], seconds, len(tokens)) for lane in lanes}
        shapes, y = [], 20
        for name, count in counts.items():
            lines = textwrap.wrap(" ".join("".join(tokens[:count]).split()), WIDE) or [""]
            shapes += _lane(y, f"{name}: {count} of {len(tokens)} tokens", lines)
            y += 48 + 20 * len(lines)
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        title = f"After {seconds:.1f} seconds, tokens written of {len(tokens)}: {said}."
        return Scene(840, y + 26, (*shapes, Text(20, y + 8, title, INK, 15, bold=True)), title)


def _lane(y: int, head: str, lines: list[str]) -> list[Shape]:
    ground = Rect(14, y - 4, 812, 32 + 20 * len(lines), Look(PALE, GONE), 6)
    words = [Text(24, y + 38 + 20 * i, line, INK, 14) for i, line in enumerate(lines)]
    return [ground, Text(24, y + 16, head, SOFT, 14, bold=True), *words]
