"""Every saved measurement says how it came about, and stands in the list of them."""

import json
import re

import pytest

from helpers.records.measured import RECORDS
from tests.house.notebooks import lesson_text

FILES = sorted(path.name for path in RECORDS.glob("*.json"))
LIST = (RECORDS / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^\| `(\w+\.json)` \| `([^`]+)` \|", LIST, re.MULTILINE))


def test_the_list_is_complete_and_in_order():
    assert list(COMMANDS) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_measurement_names_its_command_its_date_and_its_machine(name):
    report = json.loads((RECORDS / name).read_text(encoding="utf-8"))
    assert report["command"].startswith(COMMANDS[name])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", report["date"])
    assert {"cpu", "cores", "gpu", "python", "torch", "transformers"} <= report["machine"].keys()


@pytest.mark.parametrize("name", FILES)
def test_it_is_shown_where_the_list_says(name, request):
    """The lessons named in a line read the data, directly or through a helper that names the file."""
    where = re.search(rf"^\| `{re.escape(name)}` .*\| (.+) \|$", LIST, re.MULTILINE)[1]
    for number in re.findall(r"\b\d\d\b", where):
        text = lesson_text(number)
        readers = {"fidelity.json": "load_table", "recall.json": "load_recall", "sweep.json": "load_sweep"}
        assert readers.get(name, f"load_{name.removesuffix('.json')}") in text or "recorded_or_live" in text, number
