"""The bundled model: its task, tokenizer, grader, training script and weights."""

from helpers.reasoner.task import WEIGHTS, Worksheet, grade, is_held_out, make_worksheets

__all__ = ["WEIGHTS", "Worksheet", "grade", "is_held_out", "make_worksheets"]
