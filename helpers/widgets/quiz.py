"""The quiz as a page shows it: questions, a button, and a score."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
from IPython.display import display

from helpers.teaching.quiz import OPENING, QUESTIONS, Question, explain, grade
from helpers.widgets.page import is_static

WIDE = {"width": "auto"}


class Quiz:
    """Questions and a button that grades them.

    Args:
        questions: in the order in which they are asked.
        with_reasons: say to every answer why it is right or wrong; otherwise only the score, so that the same questions
            can be asked again.
    """

    def __init__(self, questions: Sequence[Question], with_reasons: bool) -> None:
        self.questions, self.with_reasons = questions, with_reasons
        self.fields = [self._field(question.options) for question in questions]
        self.button = ipywidgets.Button(description="How many are right?", layout=WIDE)
        self.button.on_click(lambda _: self.show_score())
        for number, (question, field) in enumerate(zip(questions, self.fields, strict=True), start=1):
            display(_markdown(f"**{number}.** {question.text}"), raw=True)
            if is_static():
                display(_markdown("\n".join(f"- {option}" for option, _ in question.options)), raw=True)
            else:
                display(field)
        if not is_static():
            display(self.button)
            # Shown now, empty, and only filled later: what a callback displays anew, JupyterLab hides in its log.
            self._score = display(_markdown(""), raw=True, display_id=True)

    def show_score(self) -> None:
        """Grade what is chosen now; a second click grades anew in the same place."""
        chosen = [field.value for field in self.fields]
        lines = [f"**{grade(self.questions, chosen)} of {len(self.questions)} right.**"]
        if self.with_reasons:
            answered = zip(self.questions, chosen, strict=True)
            lines += [f"{number}. {explain(*each)}" for number, each in enumerate(answered, start=1)]
        self._score.update(_markdown("\n\n".join(lines)), raw=True)

    @staticmethod
    def _field(options: tuple[tuple[str, str], ...]) -> ipywidgets.RadioButtons:
        places = [(text, place) for place, (text, _) in enumerate(options)]
        return ipywidgets.RadioButtons(options=places, value=None, layout=WIDE)


def opening_quiz() -> None:
    """Show three questions, graded without reasons: the last lesson asks them again."""
    Quiz(OPENING, with_reasons=False)


def closing_quiz() -> None:
    """Show all questions, graded with reasons."""
    Quiz(QUESTIONS, with_reasons=True)


def _markdown(text: str) -> dict[str, str]:
    return {"text/markdown": text, "text/plain": text}
