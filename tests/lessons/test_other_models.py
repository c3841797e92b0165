"""The lessons run on another model when COURSE_MODEL names one: here folders of random weights."""

import pytest

from tests.house.normalise import execute
from tests.house.notebooks import NOTEBOOKS, read
from tests.lessons.test_exercises import said
from tests.models.test_loading import SAVED, save, small

FAMILIES = SAVED | {"Granite": small("granite", hidden_size=64)}
LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb") if "load_model()" in path.read_text(encoding="utf-8"))
# Words that a lesson must say of the model that was named, and the families that it is run on: all where bytes are
# measured, else one, on which it must not fall over.
SAYS = {
    "01_kv_formula.ipynb": ("head_dim 16", FAMILIES),
    "02_grouped_query_attention.ipynb": ("PyTorch says the same: True", ["Llama"]),
    "07_the_90_percent_eviction_trap.ipynb": ("one block table; with floors of their own they would need", ["Llama"]),
    "08_the_two_walls.ipynb": ("rows shuffled", ["Llama"]),
    "09_triattention.ipynb": ("the same to a millionth: True", ["Llama"]),
}
CASES = {lesson: SAYS.get(lesson, ("", ["Llama"])) for lesson in LESSONS}
RUNS = [(lesson, family) for lesson, (_, families) in CASES.items() for family in families]


@pytest.mark.parametrize(("lesson", "family"), RUNS)
def test_a_lesson_runs_on_another_model(lesson, family, tmp_path, monkeypatch):
    window = {"sliding_window": 64} if family == "Mistral" else {}  # the old Mistral: rows that stop growing
    monkeypatch.setenv("COURSE_MODEL", save(tmp_path / family, FAMILIES[family] | window))
    notebook = read(NOTEBOOKS / lesson)
    execute(notebook, NOTEBOOKS)
    text = "\n".join(said(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert CASES[lesson][0] in " ".join(text.split())


def test_what_a_lesson_must_say_is_asked_of_one_that_is_run():
    assert set(SAYS) <= set(LESSONS)
