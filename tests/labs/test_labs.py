"""Labs: copies come from masters, every stub from its solution, and an untouched copy stops where work begins."""

import ast
import re

import nbformat
import pytest

from labs.student_copies import LABS, STUB_LINE, masters, stub, stubs, student_copy, to_text
from tests.house.lint_code import KNOWN_TAGS
from tests.house.lint_english import checks_are_folded, guesses_come_first, lesson_is_short
from tests.house.lint_notebooks import RULES
from tests.house.lint_prose import exercises_are_complete, has_the_shape, links_resolve, opening_promises, page
from tests.house.normalise import CellFailed, execute
from tests.house.notebooks import cells, output_text, outputs, read, source, tags

MASTERS = masters()
# What only a lesson must have. A lab promises too, but for a lab; its exercises are its stubs, its checks its subject.
OF_LESSONS = {exercises_are_complete, opening_promises, has_the_shape}
OF_LESSONS |= {lesson_is_short, checks_are_folded, guesses_come_first}
SOLVED, BLANK = "# solution: Add them.\nx = a + b\n# end", 'raise NotImplementedError("Add them.")'


def in_folder_of_copies(rule):
    return (lambda notebook: links_resolve(notebook, LABS)) if rule is links_resolve else rule


by_name = pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.name)


def test_there_are_eight_labs():
    assert [path.name[:5] for path in MASTERS] == [f"lab_{n}" for n in range(1, 9)]


# --- Masters ---------------------------------------------------------------------------------------------------------
@by_name
def test_a_master_keeps_the_rules(path):
    notebook = read(path)
    problems = [problem for rule in RULES if rule not in OF_LESSONS for problem in in_folder_of_copies(rule)(notebook)]
    assert not problems, "\n".join([path.name, *problems])


@by_name
def test_a_master_says_what_for_how_long_and_ends_with_a_stretch_and_a_recap(path):
    notebook = read(path)
    opening = source(notebook.cells[0])
    assert "After this lab you can" in opening and re.search(r"\b\d+ minutes\b", opening) and "needs" in opening
    assert 3 <= len(re.findall(r"^- \*\*\w", opening, re.MULTILINE)) <= 5
    headings = [heading.get_text() for heading in page(notebook).find_all(["h2", "h3"])]
    parts = [heading for heading in headings if heading.startswith("Part ")]
    assert [part.split(":")[0] for part in parts] == [f"Part {n + 1}" for n in range(len(parts))] and len(parts) > 1
    assert any(heading.startswith("Stretch") for heading in headings)
    assert any(heading.startswith("Recap") for heading in headings)
    text = "\n".join(source(cell) for _, cell in cells(notebook, "markdown"))
    assert len(re.findall(r"^(?:About )?\d+ minutes\.", text, re.MULTILINE)) >= len(parts)
    assert len(re.findall(r"<summary>Hint: ", text)) >= len(parts)
    assert any("prediction" in tags(cell) for cell in notebook.cells)


@by_name
def test_minutes_of_the_parts_add_up_to_those_of_the_lab(path):
    notebook = read(path)
    total = int(re.search(r"(\d+) minutes", source(notebook.cells[0])).group(1))
    text = "\n".join(source(cell) for cell in notebook.cells[1:] if cell.cell_type == "markdown")
    before_stretch = text.split("## Stretch")[0]
    parts = [int(n) for n in re.findall(r"^(?:About )?(\d+) minutes\.", before_stretch, re.MULTILINE)]
    assert abs(sum(parts) - total) <= 5, f"{sum(parts)} minutes in parts, {total} announced"


@by_name
def test_no_check_of_a_master_is_left_unsolved(path):
    said = "\n".join(output_text(output) for _, _, output in outputs(read(path)))
    assert "Not yet" not in said and "ight" in said


@by_name
def test_stub_cells_are_tagged_and_no_others(path):
    for name, cell in cells(read(path), "code"):
        assert ("stub" in tags(cell)) == ("# solution: " in source(cell)), name
    assert {"stub", "solution"} <= KNOWN_TAGS


# --- Copies ----------------------------------------------------------------------------------------------------------
@by_name
def test_the_copy_is_the_one_that_the_master_makes(path):
    copy = LABS / path.name
    assert copy.exists(), "run make labs"
    assert copy.read_text(encoding="utf-8") == to_text(student_copy(nbformat.read(path, as_version=4))), "run make labs"


@by_name
def test_a_copy_shows_no_solution_and_every_stub_a_whole_sentence(path):
    master, copy = read(path), read(LABS / path.name)
    hidden = {
        line.strip()
        for cell in master.cells
        if cell.cell_type == "code"
        for part in re.findall(r"# solution: .*?\n(.*?)\n\s*# end", source(cell), re.DOTALL)
        for line in part.splitlines()
        if len(line.strip()) > 20
    }
    text = "\n".join(source(cell) for cell in copy.cells)
    assert hidden and not [line for line in hidden if line in text]
    assert all(re.fullmatch(r"[A-Z].*[.!?]", sentence) for sentence in stubs(master))
    assert len(set(stubs(master))) == len(stubs(master)), "two stubs say the same"
    for _, cell in cells(copy, "code"):
        assert not cell.outputs and cell.execution_count is None
        ast.parse(source(cell))


@by_name
def test_an_untouched_copy_stops_at_its_first_stub_and_nowhere_else(path):
    copy = read(LABS / path.name)
    with pytest.raises(CellFailed) as stopped:
        execute(copy, LABS)
    first = stubs(read(path))[0]
    assert str(stopped.value).endswith(f"raised NotImplementedError: {first}")
    ran = [cell for cell in copy.cells if cell.cell_type == "code" and cell.execution_count]
    errors = [[o for o in cell.outputs if o.output_type == "error"] for cell in ran]
    assert not any(errors[:-1]) and errors[-1]
    places = [i for i, cell in enumerate(copy.cells) if any(STUB_LINE.match(x) for x in source(cell).splitlines())]
    last = max(i for i, cell in enumerate(copy.cells) if cell.cell_type == "code" and cell.execution_count)
    assert places[0] <= last and not [place for place in places[1:] if place < last], "a later stub was passed"


# --- The generator ---------------------------------------------------------------------------------------------------
def test_a_solution_becomes_a_line_that_raises_its_sentence():
    assert stub(f"a = 1\n{SOLVED}\nprint(x)") == f"a = 1\n{BLANK}\nprint(x)"


def test_a_stub_keeps_the_indentation_and_escapes_quotes():
    code = 'def f(x):\n    """Doc."""\n    # solution: Say "x", not \\x.\n    return x\n    # end'
    made = stub(code)
    assert made.splitlines()[2] == '    raise NotImplementedError("Say \\"x\\", not \\\\x.")'
    scope = {}
    exec(made, scope)
    with pytest.raises(NotImplementedError, match='Say "x"'):
        scope["f"](1)


def test_two_solutions_in_one_cell_become_two_stubs():
    assert stub(f"{SOLVED}\ny = 2\n{SOLVED}") == f"{BLANK}\ny = 2\n{BLANK}"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("# solution: A.\nx = 1", "no '# end'"),
        ("# solution: A.\n# solution: B.\nx = 1\n# end", "inside another"),
        ("x = 1\n# end", "ends no solution"),
        ("# solution: A.\n# end", "empty one"),
    ],
)
def test_a_marker_without_its_partner_is_refused(code, words):
    with pytest.raises(ValueError, match=words) as error:
        stub(code)
    assert "\n" not in str(error.value)


def test_a_copy_has_no_outputs_no_solution_text_and_leaves_its_master_alone():
    code = nbformat.v4.new_code_cell(SOLVED, outputs=[nbformat.v4.new_output("stream", text="3")], execution_count=1)
    answer = nbformat.v4.new_markdown_cell("It is 3.", metadata={"tags": ["solution"]})
    master = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), code, answer])
    before = to_text(master)
    copy = student_copy(master)
    assert [cell.source for cell in copy.cells] == ["# A", BLANK]
    assert copy.cells[1].outputs == [] and copy.cells[1].execution_count is None
    assert to_text(master) == before


def test_a_stub_with_a_line_of_its_own_is_refused(monkeypatch):
    """The proof itself: were the generator to write a line that the solution has not, it would say so."""
    monkeypatch.setattr("labs.student_copies.stub", lambda code: f"{BLANK}\nx = 3")
    master = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOLVED)])
    with pytest.raises(ValueError, match="'x = 3'"):
        student_copy(master)
