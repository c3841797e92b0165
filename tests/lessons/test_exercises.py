"""Every solution is proven: put in the place of its exercise's three dots, it runs and the lesson's check says so."""

import copy
import re
from pathlib import Path

import nbformat
import pytest

from tests.house.normalise import CellFailed, execute
from tests.house.notebooks import LESSONS, cells, output_text, read, source, tags, where

SOLVED, UNSOLVED = "Right", "Not yet"
FOLD = re.compile(r"<details\b.*?</details>", re.DOTALL)
STUB_LINE = re.compile(r"^\w+ = \.\.\.$", re.MULTILINE)
SUMMARY = re.compile(r"<summary[^>]*>(.*?)</summary>", re.DOTALL)
PYTHON = re.compile(r"^```python[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def solution_code(markdown):
    """The Python of the solution folds in a Markdown cell, or an empty string."""
    folds = [fold for fold in FOLD.findall(markdown) if _title(fold).startswith("Solution")]
    return "\n".join(block.rstrip() for fold in folds for block in PYTHON.findall(fold))


def _title(fold):
    summary = SUMMARY.search(fold)
    return re.sub(r"<[^>]+>", "", summary.group(1)).strip() if summary else ""


def find_exercises(notebook):
    """Pairs each cell tagged exercise with the code that solves it: {index: code}.

    Raises:
        ValueError: a solution without an exercise before it, an exercise with no solution or two, or no exercise.
    """
    found = {}
    waiting = None
    for index, cell in enumerate(notebook.cells):
        name = where(notebook, index)
        if cell.cell_type == "code" and "exercise" in tags(cell):
            _expect(waiting is None, f"{name} follows an exercise that has no solution")
            _expect(STUB_LINE.search(source(cell)), f"{name} has no line such as 'my_answer = ...'")
            waiting = index
        elif cell.cell_type == "markdown" and (code := solution_code(source(cell))):
            _expect(waiting is not None, f"{name} solves no cell tagged exercise, or one that has a solution already")
            found[waiting], waiting = code, None
    _expect(waiting is None, "the last exercise has no solution")
    _expect(found, "the notebook has no exercise that is solved in code")
    return found


def _expect(condition, problem):
    if not condition:
        raise ValueError(problem)


def said(cell):
    """All text that a code cell put out."""
    return "\n".join(output_text(output) for output in cell.outputs)


def solution_problems(notebook, folder):
    """Runs a copy of the notebook with all solutions in place; returns those that its checks do not accept."""
    solved = copy.deepcopy(notebook)
    exercises = find_exercises(solved)
    for index, code in exercises.items():
        solved.cells[index].source = STUB_LINE.sub(lambda _, code=code: code, solved.cells[index].source, count=1)
    execute(solved, folder)
    texts = {where(notebook, index): said(solved.cells[index]) for index in exercises}
    return [
        f"{name}: with its solution it says {text!r}"
        for name, text in texts.items()
        if SOLVED not in text or UNSOLVED in text
    ]


def stub_problems(notebook):
    """An untouched exercise must say that it is not solved yet, or its check checks nothing."""
    return [
        f"{name}: untouched, it says {said(cell)!r}"
        for name, cell in cells(notebook, "code")
        if "exercise" in tags(cell) and UNSOLVED not in said(cell)
    ]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_solutions_are_right(path):
    assert solution_problems(read(path), path.parent) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_stubs_are_honest(path):
    assert stub_problems(read(path)) == []


# The proof itself, on a lesson of four cells

CHECK = 'def check(x):\n    print("Right" if x == 4 else "Not yet: two and two?")'
STUB = "answer = ...\ncheck(answer)"


def fold(title, code):
    return f"<details><summary>{title}</summary>\n\n```python\n{code}\n```\n\n</details>"


def lesson(solution="answer = 2 + 2", title="Solution"):
    exercise = nbformat.v4.new_code_cell(STUB, metadata={"tags": ["exercise"]})
    exercise.outputs = [nbformat.v4.new_output("stream", text="Not yet: two and two?\n")]
    made = [nbformat.v4.new_code_cell(CHECK), nbformat.v4.new_code_cell("pass"), exercise]
    folds = fold("Hint", "nothing = 0") + "\n\n" + fold(title, solution)
    return nbformat.v4.new_notebook(cells=[*made, nbformat.v4.new_markdown_cell(folds)])


def test_a_right_solution_is_accepted(tmp_path: Path):
    notebook = lesson()
    assert solution_problems(notebook, tmp_path) == []
    assert notebook.cells[2].source == STUB
    assert stub_problems(notebook) == []


def test_a_wrong_solution_is_caught(tmp_path: Path):
    assert "Not yet" in solution_problems(lesson("answer = 5"), tmp_path)[0]


def test_an_exercise_with_nothing_to_fill_in_is_caught():
    notebook = lesson()
    notebook.cells[2].source = "check(4)"
    with pytest.raises(ValueError, match=r"cell 2 .* has no line such as"):
        find_exercises(notebook)


def test_a_solution_that_raises_is_caught(tmp_path: Path):
    with pytest.raises(CellFailed, match=r"cell 2 .* raised NameError"):
        solution_problems(lesson("answer = anser"), tmp_path)


def test_a_stub_that_passes_is_caught():
    notebook = lesson()
    notebook.cells[2].outputs[0].text = "Right\n"
    assert "cell 2" in stub_problems(notebook)[0]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda made: made.pop(2), "solves no cell tagged exercise"),
        (lambda made: made.append(made[3]), "has a solution already"),
        (lambda made: made.insert(2, made[2]), "follows an exercise that has no solution"),
        (lambda made: made.pop(3), "the last exercise has no solution"),
        (lambda made: [made.pop(3), made.pop(2)], "no exercise that is solved in code"),
    ],
)
def test_an_exercise_without_its_solution_is_caught(spoil, problem):
    notebook = lesson()
    spoil(notebook.cells)
    with pytest.raises(ValueError, match=problem):
        find_exercises(notebook)


def test_a_fold_of_another_name_is_no_solution():
    with pytest.raises(ValueError, match="the last exercise has no solution"):
        find_exercises(lesson(title="Another way"))
