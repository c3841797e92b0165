"""The decode loop written out, its teacher-forced twin, the recorded step; conversations, answers, judged replays."""

from helpers.decoding.conversation import chat
from helpers.decoding.judged import Exam, Judged, judge
from helpers.decoding.loop import generate, replay

__all__ = ["Exam", "Judged", "chat", "generate", "judge", "replay"]
