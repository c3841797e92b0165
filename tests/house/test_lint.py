"""Every lesson keeps every rule, and every rule is proven on a lesson that keeps it and on one that breaks it."""

import copy
import json

import nbformat
import pytest

from tests.house import lint_code, lint_english, lint_prose
from tests.house.lint_notebooks import RULES, lint
from tests.house.lint_prose import links_resolve
from tests.house.notebooks import LESSONS, WIDGET_VIEW


def test_the_course_has_lessons():
    assert LESSONS, "there is no notebook in notebooks/"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_lesson(path):
    problems = lint(nbformat.read(path, as_version=4), path.parent)
    assert not problems, "\n".join([path.name, *problems])


# A small good lesson, by its cells

OPENING = """# Blocks

After this lesson you can

- **count** the blocks of a sequence,
- **tell apart** evicted tokens and freed blocks,
- **predict** what one survivor costs.

10 minutes. It needs [the formula](other.ipynb#The-90%25-trap) and [the README](README.md#what-it-needs)."""

PREDICTION = """## One survivor

A block holds 16 tokens. *Write down:* how many blocks do 17 tokens take? See [the recap](#Recap).

![A row of 16 squares, one of them filled](block.png)

| tokens | blocks |
| ---: | ---: |
| 16 | 1 |

```python
# no heading, and no [link](nowhere.md)
```"""

EXERCISE = """### Exercise {number}: count

Easy, 5 minutes. How many blocks do {number}0 tokens take?"""

FOLDS = """<details>
<summary>Hint: it is one too few</summary>

Round up.

</details>

<details>
<summary>Solution</summary>

```python
answer = 1
```

</details>"""

LONG_FOLD = "<details><summary>More</summary>\n\n" + ("Word " * 15 + ". ") * 40 + "\n\n</details>"
CLOSING = """## Recap

You can count blocks.

## What next

[The next lesson](other.ipynb)."""


def code(text, *outputs, tags=()):
    return nbformat.v4.new_code_cell(text, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {})


def words(text, **keys):
    return nbformat.v4.new_markdown_cell(text, **keys)


def printed(text):
    return nbformat.v4.new_output("stream", text=text)


def picture():
    return nbformat.v4.new_output("display_data", data={"image/png": "iVBO/", "text/plain": "<Figure size 640x480>"})


def failure():
    return nbformat.v4.new_output("error", ename="OutOfBlocks", evalue="2 needed", traceback=["OutOfBlocks: 2 needed"])


CELLS = {
    "opening": words(OPENING),
    "setup": code("import math", tags=["setup"]),
    "predict": words(PREDICTION, metadata={"tags": ["prediction", "claim-A7"]}),
    "answer": code("blocks = math.ceil(17 / 16)\nblocks", printed("2\n")),
    "draw": code("show(blocks)", picture(), printed("Figure 1. A bar per block.\n"), tags=["figure"]),
    "time": code("%time seconds = 1\nassert seconds > 0", printed("1 s\n"), tags=["nbval-ignore-output"]),
    "fail": code("pool.allocate(3)", failure(), tags=["raises-exception"]),
    "exercises": words("## Exercises"),
    "first": words(EXERCISE.format(number=1)),
    "try": code("answer = ...\ncheck_blocks(answer)", printed("Not yet\n"), tags=["exercise"]),
    "folds": words(FOLDS),
    "second": words(EXERCISE.format(number=2) + "\n\n" + FOLDS),
    "closing": words(CLOSING),
}
NAMES = list(CELLS)


def good_lesson():
    notebook = nbformat.v4.new_notebook(cells=copy.deepcopy(list(CELLS.values())))
    notebook.metadata = nbformat.from_dict({"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    renumber(notebook)
    return notebook


def renumber(notebook):
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count


@pytest.fixture
def folder(tmp_path):
    other = nbformat.v4.new_notebook(cells=[words("# Other\n\n## The **90%** trap")])
    (tmp_path / "other.ipynb").write_text(json.dumps(other), encoding="utf-8")
    (tmp_path / "README.md").write_text("# Course\n\n## What it needs?\n", encoding="utf-8")
    (tmp_path / "block.png").write_bytes(b"")
    return tmp_path


# One change each


def put(name, **fields):
    """Sets fields of the named cell."""
    return lambda notebook: notebook.cells[NAMES.index(name)].update(nbformat.from_dict(fields))


def swap(name, old, new):
    """Replaces text in the source of the named cell."""

    def change(notebook):
        cell = notebook.cells[NAMES.index(name)]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def add(name, text):
    """Appends a paragraph to the source of the named cell."""
    return lambda notebook: swap(name, CELLS[name].source, f"{CELLS[name].source}\n\n{text}")(notebook)


def both(one, other):
    return lambda notebook: (one(notebook), other(notebook))


def say(name, *made):
    """Gives the named code cell other outputs."""
    return put(name, outputs=list(made))


def tag(name, *names):
    return put(name, metadata={"tags": list(names)})


def leave_out(*names):
    def change(notebook):
        notebook.cells = [cell for name, cell in zip(NAMES, notebook.cells, strict=True) if name not in names]
        renumber(notebook)

    return change


def repeat(name, times):
    """Adds copies of the named cell below it."""

    def change(notebook):
        index = NAMES.index(name)
        notebook.cells[index:index] = [copy.deepcopy(notebook.cells[index]) for _ in range(times)]

    return change


def describe(**metadata):
    return lambda notebook: notebook.metadata.update(nbformat.from_dict(metadata))


def insert_raw_cell(notebook):
    notebook.cells.insert(0, nbformat.v4.new_raw_cell("Hello."))


def lengthen(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", []):
            cell.source += "\npass" * 6


def drop_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", []):
            cell.outputs = []
    notebook.cells[NAMES.index("fail")] = code("pass")
    renumber(notebook)


def widget():
    return nbformat.v4.new_output("display_data", data={WIDGET_VIEW: {"model_id": "1"}, "text/plain": "IntSlider()"})


def here(name):
    """An absolute path, put together so that this file holds none."""
    return "/".join(["", name, "blocks.py"])


BROKEN = [
    (
        lint_code.tags_are_known,
        tag("predict", "prediction", "hide-celll"),
        'cell 2 ("## One survivor A block holds") has',
    ),
    (lint_code.tags_are_known, tag("predict", "prediction", "hide-celll"), "unknown tag 'hide-celll'"),
    (lint_code.tags_are_known, tag("predict", "prediction", "claim-C1"), "unknown tag 'claim-C1'"),
    (lint_code.tags_are_known, tag("predict", "prediction", "claim-A7x"), "unknown tag 'claim-A7x'"),
    (
        lint_code.tags_are_not_comments,
        add("answer", "# NBVAL_SKIP"),
        "by the comment '# NBVAL_SKIP'",
    ),
    (lint_prose.one_title, add("closing", "# Once more"), "has 2 H1 headings"),
    (lint_prose.one_title, add("closing", "Once more\n========="), "has 2 H1 headings"),
    (lint_prose.one_title, insert_raw_cell, 'belongs at the head of cell 0 ("Hello.")'),
    (lint_prose.one_title, swap("opening", "# Blocks", "## Before\n\n# Blocks"), "belongs at the head of cell 0"),
    (lint_prose.one_title, swap("opening", "# Blocks", "Blocks"), "has 0 H1 headings, not 1: no cell"),
    (lint_prose.no_skipped_heading, swap("predict", "## One", "### One"), "skips a heading level: H3 after H1"),
    (
        lint_prose.images_have_alt_text,
        swap("predict", "A row of 16 squares, one of them filled", ""),
        "without alt text",
    ),
    (
        lint_prose.images_have_alt_text,
        swap("predict", "A row of 16 squares, one of them filled", "block.png"),
        "without alt",
    ),
    (lint_prose.images_have_alt_text, add("predict", '<img src="block.png">'), "without alt text: block.png"),
    (lint_prose.tables_have_headers, swap("predict", "| tokens |", "|  |"), "empty header cell"),
    (lint_prose.tables_have_headers, add("predict", "<table><tr><td>1</td></tr></table>"), "without a header row"),
    (lint_code.figures_have_captions, say("draw", picture()), "shows a picture without a caption"),
    (lint_code.figures_have_captions, say("draw", printed("Figure 1. Bars.\n"), picture()), "without a caption"),
    (lint_code.figures_have_captions, say("draw", picture(), printed("Figure 1. Bars\n")), "without a caption"),
    (lint_code.figures_have_captions, say("draw", picture(), printed("Bars.\n")), "without a caption"),
    (
        lint_code.figures_have_captions,
        say("draw", picture(), picture(), printed("Figure 1. Bars.\n")),
        "without a caption",
    ),
    (lint_code.code_cells_are_short, add("answer", "pass\n" * 25), "has 28 lines, over 25"),
    (lint_code.code_cells_are_short, lengthen, "the median code cell has 7.5 lines, over 6"),
    (lint_code.code_cells_are_short, add("setup", "a = 1\n" * 5), "is the setup and has 7 lines, over 5"),
    (lint_prose.markdown_cells_are_short, add("closing", "A word. " * 56), "has 122 words, over 120"),
    (lint_code.metadata_is_portable, describe(widgets={}), "metadata has 'widgets'"),
    (lint_code.metadata_is_portable, describe(kernelspec={"name": "mine"}), "named 'mine', not 'python3'"),
    (lint_code.metadata_is_portable, lambda notebook: notebook.metadata.pop("kernelspec"), "named None"),
    (lint_code.executed_in_order, put("answer", execution_count=7), "has execution count 7, not 2"),
    (lint_code.executed_in_order, put("answer", execution_count=None), "has execution count None, not 2"),
    (lint_code.executed_in_order, drop_outputs, "saved without outputs"),
    (lint_code.errors_are_announced, say("answer", failure()), "ended in an error: OutOfBlocks"),
    (lint_code.errors_are_announced, say("fail", printed("fine")), "tagged raises-exception and raised nothing"),
    (lint_code.no_widget_views, say("answer", widget()), "has a widget in its outputs"),
    (lint_code.no_network, add("answer", "get('https://example.org/x')"), "in code: https://example.org/x"),
    (lint_code.no_network, add("answer", "# http://example.org"), "in code: http://example.org"),
    (lint_code.no_network, add("answer", "get('ftp://example.org')"), "in code: ftp://example.org"),
    (lint_code.no_network, add("answer", "connect('10.0.0.1', 80)"), "in code: 10.0.0.1"),
    (lint_code.no_network, add("answer", f"get('{lint_code.COURSE_ADDRESS}')"), lint_code.COURSE_ADDRESS),
    (
        lint_code.no_network,
        both(tag("setup", "colab"), add("setup", "get('https://example.org')")),
        "in code: https://example.org",
    ),
    (lint_prose.no_links_to_this_machine, add("closing", "[lab](http://localhost:8888/lab)"), "link to localhost"),
    (lint_prose.no_links_to_this_machine, add("closing", "Open http://127.0.0.1:8888 now."), "link to localhost"),
    (
        lint_code.ignored_output_is_asserted,
        swap("time", "assert seconds > 0", "print('assert')"),
        "and asserts nothing",
    ),
    (lint_code.ignored_output_is_asserted, swap("time", "assert seconds > 0", "assert True"), "and asserts nothing"),
    (lint_code.no_machine_paths, add("answer", f"open('{here('home')}')"), "path of one machine in its source"),
    (lint_code.no_machine_paths, add("closing", f"See `{here('root')}`."), "path of one machine in its source"),
    (
        lint_code.no_machine_paths,
        say("answer", printed(f"\x1b[32m{here('tmp')}\x1b[0m")),
        "of one machine in its output",
    ),
    (lint_prose.folds_work, add("closing", "<details>\n<summary>More</summary>\n\nText"), "is not closed"),
    (lint_prose.folds_work, add("closing", "<details>\n\nText\n\n</details>"), "without text in a <summary>"),
    (
        lint_prose.folds_work,
        add("closing", "<details><summary></summary>\n\nText\n\n</details>"),
        "without text in a <summary>",
    ),
    (lint_prose.folds_work, swap("folds", "Solution</summary>\n", "Solution</summary>"), "leave a blank line"),
    (
        lint_prose.exercises_are_complete,
        swap("second", "### Exercise 2", "### Puzzle"),
        "has 1 exercises, fewer than 2",
    ),
    (
        lint_prose.exercises_are_complete,
        swap("first", "Easy, 5 minutes", "Easy"),
        "without a line such as 'easy, 5 minutes'",
    ),
    (lint_prose.exercises_are_complete, swap("second", "Hint:", "Idea:"), "is an exercise without a hint fold"),
    (
        lint_prose.exercises_are_complete,
        swap("folds", ">Solution<", ">Answer<"),
        "is an exercise without a solution fold",
    ),
    (lint_prose.exercises_are_complete, leave_out("folds"), "without a solution fold"),
    (
        lint_prose.opening_promises,
        swap("opening", "After this lesson you can", "You will"),
        "does not say 'After this lesson",
    ),
    (lint_prose.opening_promises, swap("opening", "10 minutes", "Short"), "does not say the minutes"),
    (lint_prose.opening_promises, swap("opening", "It needs", "It takes"), "does not say 'needs'"),
    (lint_prose.opening_promises, swap("opening", "- **count** the blocks of a sequence,\n", ""), "has 2 goals"),
    (
        lint_prose.opening_promises,
        swap("opening", "- **count**", "- a **count** of"),
        "starts with no bold verb: 'a count",
    ),
    (lint_prose.has_the_shape, tag("predict", "claim-A7"), "no cell is tagged prediction"),
    (lint_prose.has_the_shape, swap("closing", "## What next", "## Later"), "no heading says 'What next'"),
    (
        lint_prose.has_the_shape,
        both(swap("closing", "## Recap", "## Goals"), swap("predict", "#Recap", "#Goals")),
        "no heading says 'Recap'",
    ),
    (lint_english.sentences_are_short, add("closing", "word " * 31 + "."), "a sentence of 31 words, over 30"),
    (lint_english.sentences_are_short, add("closing", "word; " * 31 + "."), "a sentence of 31 words, over 30"),
    (lint_english.sentences_are_short, add("closing", "- " + "word " * 31), "a sentence of 31 words, over 30"),
    (lint_english.sentences_are_short, add("closing", LONG_FOLD), "the median sentence has 15 words"),
    (lint_english.no_hedges, add("closing", "Of course it is so."), "says 'of course'"),
    (lint_english.no_hedges, add("closing", "It is drawn by\nlot."), "says 'by lot'"),
    (lint_english.no_hedges, add("answer", 'print("1 blocks")'), "says '1 blocks'"),
    (lint_english.lesson_is_short, swap("opening", "10 minutes", "50 minutes"), "has 50 minutes, over 45"),
    (lint_english.lesson_is_short, repeat("folds", 48), "has 61 cells, over 60"),
    (lint_english.lesson_is_short, repeat("predict", 7), "has 8 predictions, over 7"),
    (
        lint_english.lesson_is_short,
        add("folds", "<details><summary>More</summary>" + "\n\nA word." * 1_250 + "</details>"),
        "words, over 2,500",
    ),
    (lint_english.checks_are_folded, add("answer", "assert blocks == 2"), "asserts in the open"),
    (lint_english.checks_are_folded, add("answer", 'record("A7", freed=1)'), "records a claim in the open"),
    (lint_english.guesses_come_first, add("answer", "guess.reveal(blocks)"), "neither hide-input nor hide-output"),
    (
        links_resolve,
        swap("closing", "other.ipynb", "lost.ipynb"),
        "has a broken link, lost.ipynb: there is no such file",
    ),
    (links_resolve, swap("predict", "block.png", "lost.png"), "lost.png: there is no such file"),
    (links_resolve, swap("predict", "#Recap", "#recap"), "there is no heading or id 'recap'"),
    (links_resolve, swap("opening", "#The-90%25-trap", "#The-trap"), "there is no heading or id 'The-trap'"),
    (links_resolve, swap("opening", "#what-it-needs", "#what-it-is"), "there is no heading or id 'what-it-is'"),
    (links_resolve, swap("closing", "(other.ipynb)", "(/other.ipynb)"), "it is absolute"),
]


def fired(notebook, folder):
    """The rules that find a problem, with what they say."""
    said = {rule: rule(notebook) for rule in RULES} | {links_resolve: links_resolve(notebook, folder)}
    return {rule: problems for rule, problems in said.items() if problems}


def test_a_good_lesson_has_no_problem(folder):
    assert lint(good_lesson(), folder) == []


def test_a_notebook_straight_from_json_is_read_the_same(folder):
    lines = json.loads(nbformat.writes(good_lesson()))  # here each source is a list of lines
    assert lint(lines, folder) == []


@pytest.mark.parametrize(("rule", "change", "problem"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_rule_is_reported_and_no_other(rule, change, problem, folder):
    notebook = good_lesson()
    change(notebook)
    problems = fired(notebook, folder)
    assert list(problems) == [rule]
    assert problem in "\n".join(problems[rule])


def test_lint_gathers_all_problems(folder):
    notebook = good_lesson()
    both(tag("answer", "hide"), swap("predict", "block.png", "lost.png"))(notebook)
    assert [problem.split(" has ")[1] for problem in lint(notebook, folder)] == [
        "the unknown tag 'hide'",
        "a broken link, lost.png: there is no such file",
    ]


def test_every_rule_is_broken_once():
    assert {rule for rule, _, _ in BROKEN} == {*RULES, links_resolve}


def fetch_the_course(notebook):
    lines = "\n".join(["# Colab's"] * 7 + [f"get('{lint_code.COURSE_ADDRESS}')"])
    notebook.cells.insert(1, code(lines, tags=["colab"]))
    renumber(notebook)


def split_opening(notebook):
    title, promise = OPENING.split("\n\n", 1)
    notebook.cells[0] = words(title)
    notebook.cells.insert(2, words(promise))


GOOD_TWINS = {
    "a cell for Colab": fetch_the_course,
    "a server of its own": add("answer", "get('http://127.0.0.1:8000')"),
    "an address that is no link": add("closing", "It prints `http://localhost:8888/lab`."),
    "an outside link": add("closing", "See [the paper](https://example.org/paper#page=2) and <mailto:a@example.org>."),
    "a path of no machine": add("closing", f"`..{here('tmp')}`, `~{here('work')}`, example.org{here('home')}"),
    "a Markdown caption": say(
        "draw", picture(), nbformat.v4.new_output("display_data", {"text/markdown": "*Figure 1. A.*"})
    ),
    "two pictures, two captions": say("draw", *[picture(), printed("Figure 1. A.\n")] * 2),
    "a check for an assertion": swap("time", "assert seconds > 0", "pool.check_integrity()"),
    "long folds": add("closing", "<details><summary>More</summary>\n\n" + "A word. " * 100 + "\n\n</details>"),
    "a promise behind a picture": split_opening,
    "a link to a line of code": add("closing", "[the code](block.png#L10)"),
    "a heading about exercises": swap("exercises", "## Exercises", "## What an exercise asks"),
    "an id": add("closing", '<a id="end"></a>[end](#end)'),
    "a folded check": put("answer", source="assert True is not False", metadata={"jupyter": {"source_hidden": True}}),
    "a guess that comes first": both(add("answer", "guess.reveal(blocks)"), tag("answer", "hide-output")),
    "a long formula": add("closing", "It is `" + "word " * 40 + "`."),
    "many short sentences": add("closing", "It is so. " * 15),
    "a number that ends in 1": add("closing", "It holds 2,051 blocks, and 21 tokens."),
    "an empty cell": lambda notebook: notebook.cells.append(code("")),
}


@pytest.mark.parametrize("name", GOOD_TWINS)
def test_what_is_allowed(name, folder):
    notebook = good_lesson()
    GOOD_TWINS[name](notebook)
    assert lint(notebook, folder) == []
