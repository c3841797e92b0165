"""The questions: one right answer each, a reason for every option, and numbers that the helpers give."""

import pytest

from helpers.cache import bits_per_element, expected_empty_blocks
from helpers.teaching.quiz import OPENING, QUESTIONS, explain, grade
from helpers.widgets import page
from helpers.widgets import quiz as quiz_page


def test_ten_questions_of_four_options_each_with_its_reason():
    assert len(QUESTIONS) == 10
    for question in QUESTIONS:
        texts, reasons = zip(*question.options, strict=True)
        assert len(set(texts)) == len(set(reasons)) == 4
        assert all(reason.endswith(".") for reason in reasons)
        assert 0 <= question.right < 4
    assert len({question.right for question in QUESTIONS}) > 2  # one cannot always choose the same place


def test_right_and_wrong_are_counted_and_explained():
    right = [question.right for question in QUESTIONS]
    assert grade(QUESTIONS, right) == 10
    assert grade(QUESTIONS, [None] * 10) == 0
    assert grade(QUESTIONS, [right[0], None, *right[2:]]) == 9
    for question in QUESTIONS:
        for choice, (_, reason) in enumerate(question.options):
            said = explain(question, choice)
            assert said.startswith("Right." if choice == question.right else "No.")
            assert reason in said and question.options[question.right][1] in said
        assert explain(question, None).startswith("Left open.")


def test_the_numbers_in_the_right_answers_are_the_helpers():
    answers = [question.options[question.right][0] for question in QUESTIONS]
    assert answers[3] == str(bits_per_element("q8_0"))
    assert answers[5] == f"{expected_empty_blocks(16_000, 1_600, 16) / 1_000:.1%}"
    assert expected_empty_blocks(16_000, 1_600, 16, n_sets=8) < 0.01
    assert f"{32_768 / 3_072:.1f} {563.5 / 222.8:.1f}" == "10.7 2.5"


def test_the_three_that_the_first_lesson_asks_are_asked_again_in_the_last():
    assert len(OPENING) == 3 and set(OPENING) < set(QUESTIONS)


@pytest.mark.parametrize(("questions", "with_reasons"), [(OPENING, False), (QUESTIONS, True)])
def test_a_click_shows_the_score_and_reasons_only_where_they_are_wanted(questions, with_reasons, monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/markdown"])

    def display(data, raw=False, display_id=False):
        shown.append(data["text/markdown"] if raw else data)
        return Handle()

    monkeypatch.setattr(quiz_page, "display", display)
    monkeypatch.setattr(quiz_page, "is_static", lambda: False)
    quiz = quiz_page.Quiz(questions, with_reasons)
    quiz.button.click()
    assert shown[-1].startswith(f"**0 of {len(questions)} right.**")
    for field, question in zip(quiz.fields, questions, strict=True):
        field.value = question.right
    quiz.button.click()
    assert shown[-1].startswith(f"**{len(questions)} of {len(questions)} right.**")
    assert shown[-1].count("Right.") == len(questions) * with_reasons


def test_a_static_page_shows_questions_and_options_and_no_answer(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STATIC", "1")
    assert page.is_static()
    quiz_page.opening_quiz()
    opening = capsys.readouterr().out
    assert [question for question in QUESTIONS if question.text in opening] == list(OPENING)
    quiz_page.closing_quiz()
    text = capsys.readouterr().out
    for question in QUESTIONS:
        assert question.text in text
        assert all(option in text for option, _ in question.options)
        assert question.options[question.right][1] not in text
