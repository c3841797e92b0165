"""The decode loop written out: generate, its teacher-forced twin replay, the recorded step, answers."""

from helpers.decoding.loop import generate, replay

__all__ = ["generate", "replay"]
