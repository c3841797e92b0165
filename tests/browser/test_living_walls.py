"""The two walls and the score on a page without a kernel: turned by mouse and by keys, for all eyes, at all widths."""

from __future__ import annotations

import re
from statistics import quantiles

import pytest
from axe_playwright_python.sync_playwright import Axe

from helpers.widgets.living import PICTURES
from helpers.widgets.living.page import write_page
from tests.browser import jupyter

NAMES = ("two_walls", "compass")
WALLS, SCORE = (f"[data-picture={name}]" for name in NAMES)
FIRST_WALL, SECOND_WALL = "Wall 1: holes", "Wall 2: the grid"
# Milliseconds from a hand's move to the frame after it, for each of the values of a slider in turn.
MOVES = """async ([picture, values]) => {
    const handle = document.querySelector(picture).querySelector('input[type=range]'), times = []
    for (const value of values) {
        const start = performance.now()
        handle.value = value
        handle.dispatchEvent(new Event('input', { bubbles: true }))
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        times.push(performance.now() - start)
    }
    return times
}"""
FONTS = """nodes => nodes.filter(n => n.childElementCount === 0 && n.textContent.trim() && n.checkVisibility())
    .map(n => parseFloat(getComputedStyle(n).fontSize))"""


@pytest.fixture
def page(course, tmp_path):
    """The page of both pictures; what goes wrong on it, or asks the network, fails the test."""
    context, _ = course
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("request", lambda asked: asked.url.startswith("http") and wrong.append(f"asked for {asked.url}"))
    page.emulate_media(reduced_motion="reduce")
    page.goto(write_page({name: PICTURES[name]() for name in NAMES}, tmp_path / "walls.html").as_uri())
    page.wait_for_function("() => document.querySelectorAll('.living-line:not(:empty)').length === 2")
    with jupyter.screenshot_on_failure(page, "living_walls"):
        yield page
    page.close()
    assert wrong == []


def line(page, picture):
    return page.locator(f"{picture} .living-line").text_content()


def press(page, name):
    page.get_by_role("button", name=name).click()


def slots(page):
    """The tokens of the row afterwards, from the left."""
    cars = page.locator(f"{WALLS} span.walls-car").all()
    return [int(car.text_content()) for car in sorted(cars, key=lambda car: car.bounding_box()["x"])]


def keys(page):
    """The list of keys as it is seen: token, score, and whether it is kept."""
    buttons = sorted(page.locator(".compass-list button").all(), key=lambda each: each.bounding_box()["y"])
    said = [button.get_attribute("aria-label") for button in buttons]
    return [re.fullmatch(r"(\d+): (.*), score ([+−][\d.]+), (kept|evicted)", each).groups() for each in said]


# --- Everything is turned ---------------------------------------------------------------------------------------------
def test_every_control_of_the_holes(page):
    assert "21 cells of the mask are wrong" in line(page, WALLS)
    assert slots(page) == [0, 12, 13, 3, 14, 5, 15, 7, 8, 10, 11]
    ways = page.get_by_label("the holes:")
    ways.select_option(label="all slide forward")
    assert slots(page) == [0, 3, 5, 7, 8, 10, 11, 12, 13, 14, 15]
    assert "Rows copied: 6. By place, 0 cells" in line(page, WALLS)
    ways.select_option(label="the last tokens fill the holes")
    assert "Rows copied: 4" in line(page, WALLS)
    page.get_by_role("slider", name="new tokens").fill("2")
    assert slots(page)[-2:] == [12, 13]
    page.get_by_label("sliding window").check()
    assert "0 cells" not in line(page, WALLS)
    page.get_by_role("button", name="token 1 in slot 1, evicted").click()
    assert "4 evicted" in line(page, WALLS)
    press(page, "Play it again")
    press(page, "Next round")
    assert "0 evicted" in line(page, WALLS) and "in 2 rounds" in line(page, WALLS)
    page.get_by_role("slider", name="new tokens").fill("4")
    press(page, "Next round")
    assert "more to have room" in line(page, WALLS)
    press(page, "Start again")
    assert "5 evicted" in line(page, WALLS)


def test_every_control_of_the_grid(page):
    press(page, SECOND_WALL)
    assert line(page, WALLS).startswith("Tile 7 of 10.")
    press(page, "Step back")
    assert line(page, WALLS).startswith("Tile 6 of 10.")
    page.get_by_role("button", name="Step", exact=True).click()
    page.get_by_label("tiles read").fill("5")
    assert "a larger logit came" in line(page, WALLS)
    page.get_by_label("memory for").select_option(label="131,072 tokens, one layer of Llama-3.1-8B")
    assert "the grid holds 2,048.0 GiB" in line(page, WALLS)
    page.get_by_label("tiles read").fill("9")
    page.locator(WALLS).get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.living-line').textContent.startsWith('All tiles are read')")
    assert page.locator(".tiles-unknown").all_text_contents() == ["?"] * 12
    press(page, FIRST_WALL)
    assert "cells of the mask are wrong" in line(page, WALLS)


def test_every_control_of_the_score(page):
    assert [token for _, token, _, kept in keys(page) if kept == "kept"] == ["sang", "The", "lamp", "night", "one"]
    ahead = page.get_by_label("how far ahead")
    ahead.fill("1")
    assert "asked from 1 token ahead" in line(page, SCORE)
    ahead.fill("27")
    assert "from all distances ahead" in line(page, SCORE) and keys(page)[0][1:3] == ("The", "+4.3")
    page.locator(SCORE).get_by_role("button", name="whale").click()
    assert line(page, SCORE).startswith("“whale”") and "place 4 of 16, kept" in line(page, SCORE)
    page.get_by_label("a head of").select_option(index=1)
    assert "the other 14 bands" in line(page, SCORE)
    assert "many different things" in page.locator(f"{SCORE} figcaption").text_content()
    ahead.fill("26")
    page.locator(SCORE).get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelectorAll('.living-line')[1].textContent.includes('all distances')")


def test_keys_alone_do_it(page):
    page.keyboard.press("Tab")
    focused = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    assert page.evaluate(focused) == FIRST_WALL
    for _ in range(20):
        page.keyboard.press("Tab")
        if "in slot" in page.evaluate(focused):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "token 3 in slot 3, kept"
    page.keyboard.press("Space")
    assert page.evaluate(focused) == "token 3 in slot 3, evicted" and "6 evicted" in line(page, WALLS)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "▶ Play"  # one stop for the whole row
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert "asked from 3 tokens ahead" in line(page, SCORE)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen = page.locator(".compass-list [aria-pressed=true]").get_attribute("aria-label")
    assert page.evaluate(focused) == chosen and line(page, SCORE).startswith(f"“{chosen.split(': ')[1].split(',')[0]}”")


# --- For all eyes, at all widths --------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for name in (FIRST_WALL, SECOND_WALL):
        press(page, name)
        found = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


@pytest.mark.parametrize("width", [480, 800, 1080])
def test_nothing_is_wider_than_the_page_or_too_small_to_read(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for name in (FIRST_WALL, SECOND_WALL):
        press(page, name)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert min(page.locator(".living *:not(style):not(text)").evaluate_all(FONTS)) >= 13


def test_cars_and_needles_stand_still_for_those_who_asked_for_calm(page):
    moving = "nodes => nodes.map(n => getComputedStyle(n).transitionDuration)"
    assert set(page.locator(".walls-car, .compass-query, .compass-list button").evaluate_all(moving)) == {"0s"}
    page.emulate_media(reduced_motion="no-preference")
    assert "0s" not in page.locator("span.walls-car, .compass-query").evaluate_all(moving)


# --- Quick ------------------------------------------------------------------------------------------------------------
def test_how_long_a_hand_waits_is_printed(page, capsys):
    page.emulate_media(reduced_motion="no-preference")
    waits = {"holes": page.evaluate(MOVES, [WALLS, [1 + i % 4 for i in range(30)]])}
    press(page, SECOND_WALL)
    waits["grid"] = page.evaluate(MOVES, [WALLS, [i % 11 for i in range(30)]])
    waits["score"] = page.evaluate(MOVES, [SCORE, [i % 28 for i in range(30)]])
    with capsys.disabled():
        for name, times in waits.items():
            print(f"\n{name}: 95th percentile {quantiles(times, n=20)[-1]:.0f} ms, longest {max(times):.0f} ms, of 30")
