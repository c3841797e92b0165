"""The decode loop written out: generate, its teacher-forced twin replay, the recorded step, answers, judged replays."""

from helpers.decoding.judged import Exam, Judged, judge
from helpers.decoding.loop import generate, replay

__all__ = ["Exam", "Judged", "generate", "judge", "replay"]
