"""What engines do today: every question is answered for every engine, with a source and a day, and the page says it."""

import re
from pathlib import Path

import pytest

from helpers.arithmetic.engines_today import ENGINES, FINDINGS, NOTHING, SUBJECTS, page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_engine_has_one_row_per_subject():
    assert sorted((row.engine, row.subject) for row in FINDINGS) == sorted((e, s) for e in ENGINES for s in SUBJECTS)


@pytest.mark.parametrize("row", FINDINGS, ids=lambda row: f"{row.engine} {row.subject}")
def test_a_row_says_something_has_a_source_and_a_day(row):
    assert row.says and (row.says == NOTHING or row.says.endswith("."))
    assert NOTHING not in row.says.removeprefix(NOTHING)  # alone, or not at all
    assert len(row.says) <= 300 and "|" not in row.says + row.doubt
    assert all(len(source) > 15 for source in row.source.split("; "))
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.date)
    assert not row.doubt.endswith(".")


def test_no_two_rows_say_the_same():
    facts = [row.says for row in FINDINGS if row.says != NOTHING]
    assert len(facts) == len(set(facts))


def test_what_points_into_the_repository_is_there():
    """A source without a host before it is a file of the course's own."""
    own = {name for row in FINDINGS for name in re.findall(r"(?:^|; |for )((?:tests|docs)/\S+\.\w+)", row.source)}
    assert own == {"tests/arithmetic/engine_options.py", "docs/two_paged_engines.md"}
    assert [name for name in own if not (DOCS.parent / name).is_file()] == []


def test_the_page_is_the_data():
    assert (DOCS / "engines.md").read_text(encoding="utf-8") == page()


def test_the_page_has_no_empty_cell_and_every_number_leads_to_a_source():
    lines = page().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert len(rows) == len(FINDINGS) + len(SUBJECTS)  # a head each
    assert all(len(row) == 4 and all(row) for row in rows)
    listed = {int(line.split(".")[0]) for line in lines if re.match(r"\d+\. ", line)}
    named = {
        int(n)
        for row in rows
        for numbers in re.findall(r"\[([\d, ]+)\]\(#sources\)", row[2])
        for n in numbers.split(", ")
    }
    assert listed == named == set(range(1, len(listed) + 1))
