"""The decode loop written out: generate, its teacher-forced twin replay, the recorded step, conversations, answers."""

from helpers.decoding.conversation import chat
from helpers.decoding.loop import generate, replay

__all__ = ["chat", "generate", "replay"]
