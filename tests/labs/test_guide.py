"""What teachers and learners are told about the labs agrees with the labs, with the lessons, and with arithmetic."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from helpers.arithmetic import KV_LAYOUTS, MODELS, WEIGHT_BITS, GiB, KVShape
from helpers.teaching.course_map import lessons
from labs.student_copies import LABS, masters

PAGES = sorted([*LABS.glob("*.md"), *LABS.glob("workshop/*.md")])
TEACHING = (LABS / "TEACHING.md").read_text(encoding="utf-8")
HANDOUT = (LABS / "handout.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


def opening(path):
    return "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])


def number_of(path):
    return int(path.name.split("_")[1])


def minutes_of(path):
    return int(re.search(r"(\d+) minutes", opening(path)).group(1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [t for t in targets if not urlsplit(t).scheme and not (page.parent / t).exists()] == []


def test_the_table_of_labs_has_the_minutes_of_the_labs():
    rows = re.findall(r"^\| \[(\d) [^\]]+\]\(([^)]+)\).*\| (\d+) \|$", (LABS / "README.md").read_text(), re.MULTILINE)
    assert [(int(n), name, int(minutes)) for n, name, minutes in rows] == [
        (number_of(path), path.name, minutes_of(path)) for path in masters()
    ]


def test_the_guide_has_a_part_on_every_lab_with_its_minutes():
    found = re.findall(r"^### Lab (\d): [^(]+\((\d+) minutes: ([\d, ]+)", TEACHING, re.MULTILINE)
    assert [(int(n), int(total)) for n, total, _ in found] == [
        (number_of(path), minutes_of(path)) for path in masters()
    ]
    for _, total, parts in found:
        assert abs(sum(int(part) for part in re.findall(r"\d+", parts)) - int(total)) <= 5


@pytest.mark.parametrize("lab", map(number_of, masters()))
def test_the_guide_says_what_to_say_and_where_people_get_stuck(lab):
    part = TEACHING.split(f"### Lab {lab}:")[1].split("\n### ")[0].split("\n## ")[0]
    assert "*Say before:*" in part and "*Where people get stuck:*" in part


def test_parts_of_the_guide_are_those_of_the_masters():
    for path in masters():
        n = number_of(path)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells[1:] if cell["cell_type"] == "markdown")
        before = text.split("## Stretch")[0]
        minutes = re.findall(r"^(?:About )?(\d+) minutes\.", before, re.MULTILINE)
        [told] = re.findall(rf"^### Lab {n}: [^(]+\(\d+ minutes: ([\d, ]+)", TEACHING, re.MULTILINE)
        assert re.findall(r"\d+", told)[: len(minutes)] == minutes, path.name


def test_the_shortest_agenda_fits_its_time():
    table = TEACHING.split("### 90 minutes")[1].split("###")[0]
    starts = [int(m) for m in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < 90


def test_half_a_day_gives_each_lab_its_minutes_and_ends_after_four_hours():
    """Two plans, for a room that comes fresh and for one that has done lesson 10."""
    tables = re.findall(r"(?:^\|.*\|\n)+", TEACHING.split("### Half a day")[1].split("\n### ")[0], re.MULTILINE)
    take = {number_of(path): minutes_of(path) for path in masters()}
    held = []
    for table in tables:
        rows = re.findall(r"^\| (\d):(\d\d) \| ([^|]+)", table, re.MULTILINE)
        starts = [60 * int(hour) + int(minute) for hour, minute, _ in rows]
        assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < 240
        for (_, _, what), start, end in zip(rows, starts, [*starts[1:], 240], strict=True):
            for lab, minutes in re.findall(r"lab (\d) \((\d+) minutes\)", what):
                assert take[int(lab)] == int(minutes) <= end - start, what
                held.append(int(lab))
    assert held == [3, 6, 3, 6, 4]
    assert sum(take.values()) > 8 * 60  # "more than eight hours"


def test_the_two_days_take_the_minutes_of_their_lessons_and_labs():
    take = {f"lesson {lesson.number}": int(lesson.minutes) for lesson in lessons(LABS.parent / "notebooks")}
    take |= {f"lab {number_of(path)}": minutes_of(path) for path in masters()}
    table = TEACHING.split("### Two days")[1].split("###")[0]
    plans = re.findall(r"([^|]+) \((\d+) minutes\)", table)
    assert len(plans) == 4
    named = []
    for plan, minutes in plans:
        for first, last in re.findall(r"lessons (\d\d) to (\d\d)", plan):
            plan += "".join(f", lesson {n:02}" for n in range(int(first), int(last) + 1))
        names = re.findall(r"lesson \d\d|lab \d", plan)
        assert sum(take[name] for name in names) == int(minutes), plan
        named += names
    assert sorted(named) == sorted([name for name in take if name.startswith("lesson")] + ["lab 3", "lab 4", "lab 6"])


def test_the_handout_is_right():
    llama = KVShape.from_config(MODELS["Llama-3.1-70B"].config)
    assert f"{llama.bytes_per_token():,} bytes per token" in HANDOUT
    assert f"{llama.bytes(131_072) / GiB:.0f} GiB = {llama.bytes(131_072) / 1e9:.1f} GB" in HANDOUT
    for name, bits in (("q8_0", 8.5), ("q5_0", 5.5), ("nvfp4", 4.5), ("q4_0", 4.5), ("fp8_e4m3", 8)):
        assert KV_LAYOUTS[name].bits == bits
    assert f"q4_k_m about {WEIGHT_BITS['q4_k_m']:.1f}" in HANDOUT
    for evicted in (0.5, 0.9, 0.99):
        assert f"| {evicted:.0%} | {evicted**16:.1%} | {evicted**128:.1%} |" in HANDOUT


def test_the_handout_is_one_page():
    """A page of A4 in 10 points has about 65 lines of 95 characters; headings and tables take more."""
    lines = sum(1 + len(line) // 95 for line in HANDOUT.splitlines() if line.strip())
    assert lines <= 50
    assert Path(LABS / "handout.md").stat().st_size < 3_000
