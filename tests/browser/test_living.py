"""The garage in a real browser: on a page without a kernel, and in JupyterLab with one and after it."""

import json
from statistics import quantiles

import pytest
from axe_playwright_python.sync_playwright import Axe

from helpers.widgets.living import Garage
from helpers.widgets.living.garage import CARS
from helpers.widgets.living.garage_scene import sentence
from helpers.widgets.living.page import write_page
from tests.browser import jupyter

GARAGE = "figure.living:has(.garage)"
WIDTHS = (480, 800, 1080)
# Milliseconds from a hand's move to the frame after it, for each of some values of a slider.
MOVES = """async ([figure, label, values, waits]) => {
    const [control] = [...figure.querySelectorAll('label')].filter((each) => each.textContent.startsWith(label))
    const [handle, line, times] = [control.querySelector('input'), figure.querySelector('.living-line'), []]
    for (const value of values) {
        const before = line.textContent, start = performance.now()
        handle.value = value
        handle.dispatchEvent(new Event('input', { bubbles: true }))
        while (waits && line.textContent === before) await new Promise((done) => setTimeout(done))
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
        times.push(performance.now() - start)
    }
    return times
}"""
GAPS = """async (seconds) => {
    const times = [], end = performance.now() + 1000 * seconds
    while (performance.now() < end) times.push(await new Promise(requestAnimationFrame))
    return times.slice(1).map((time, i) => time - times[i])
}"""
ASKED = [share for share in range(51, 92) if share % 5][:30]  # not recorded: those are 0, 5, ... 95%
CELLS = [
    "from helpers.widgets.living import Garage\nGarage(share=0.9).show()",
    "import torch\n"
    "from transformers import LlamaConfig, LlamaForCausalLM\n"
    "from helpers.cache import PagedCache\n"
    "from helpers.decoding import generate\n"
    "from helpers.widgets.living.garage_live import LiveGarage\n"
    "torch.manual_seed(0)\n"
    "sizes = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=4, num_attention_heads=3, vocab_size=26)\n"
    "model = LlamaForCausalLM(LlamaConfig(**sizes, eos_token_id=None)).eval()\n"
    "class Letters:\n"
    "    def decode(self, tokens):\n"
    "        return chr(97 + tokens[0])\n"
    "ids, cache = torch.arange(20)[None], PagedCache.for_model(model, 12, 16, 'fp32')\n"
    "live = LiveGarage(cache, Letters())\n"
    "live.show()\n"
    "generate(model, ids, cache, max_new_tokens=100, on_step=live.reading(ids))\n"
    "live.finish()",
]


def slowest(times):
    """The 95th percentile, and the longest."""
    return f"95th percentile {quantiles(times, n=20)[-1]:.0f} ms, longest {max(times):.0f} ms, of {len(times)}"


def line(page):
    return page.locator(f"{GARAGE} .living-line").first.text_content()


def control(page, label):
    return page.locator(f"{GARAGE} label", has_text=label).first.locator("input, select")


@pytest.fixture
def living(course, tmp_path):
    """A page of the garage, without a kernel; what goes wrong on it fails the test."""
    context, _ = course
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("request", lambda asked: asked.url.startswith("http") and wrong.append(f"asked for {asked.url}"))
    path = write_page({"garage": Garage()}, tmp_path / "living.html")
    page.goto(path.as_uri())
    page.locator(f"{GARAGE} .garage-floor").first.wait_for()
    with jupyter.screenshot_on_failure(page, "living"):
        yield page
    page.close()
    assert wrong == []


# --- Without a kernel -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(living, scheme):
    living.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for share in ("0", "90"):
        control(living, "evict").fill(share)
        found = Axe().run(living).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page(living, width):
    living.set_viewport_size({"width": width, "height": 800})
    for second in (False, True):
        control(living, "second conversation").set_checked(second)
        assert living.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = "nodes => nodes.filter(n => n.childElementCount === 0 && n.textContent.trim() && n.offsetWidth)"
    sizes = f"nodes => ({small})(nodes).map(n => parseFloat(getComputedStyle(n).fontSize))"
    assert min(living.locator(f"{GARAGE} :not(style)").evaluate_all(sizes)) >= 13


def test_every_control_is_turned(living):
    control(living, "evict").fill("50")
    said = {line(living)}
    for select in living.locator(f"{GARAGE} select").all():
        for index in range(select.locator("option").count()):
            select.select_option(index=index)
            said.add(line(living))
        select.select_option(index=0)  # by hand there is nobody else to choose
    for share in ("90", "45", "0"):
        control(living, "evict").fill(share)
        said.add(line(living))
    for box in living.locator(f"{GARAGE} input[type=checkbox]").all():
        for checked in (True, False):
            box.set_checked(checked)
            said.add(line(living))
    for seen in ("0", "41", "192"):
        control(living, "tokens written").fill(seen)
        said.add(line(living))
    assert all(said) and len(said) >= 6


def test_what_was_not_recorded_is_said_and_undone(living):
    control(living, "evict").fill("90")
    before = living.locator(f"{GARAGE} .garage-number").all_text_contents()
    control(living, "second conversation").click()
    assert "kernel" in line(living)
    assert not control(living, "second conversation").is_checked()
    assert living.locator(f"{GARAGE} .garage-number").all_text_contents() == before


def test_the_figures_are_python_s(living):
    for state in ({"share": 0.9}, {"share": 0.9, "compact": True}):
        control(living, "evict").fill(str(round(100 * state["share"])))
        control(living, "slide together").set_checked(state.get("compact", False))
        garage = Garage(**state)
        assert line(living) == sentence(garage.frame(garage.choice), garage.choice["compact"])
        assert living.locator(f"{GARAGE} [data-state=shut]").count() == garage.frame(garage.choice)["floors_closed"]


def test_what_a_car_weighs_is_python_s_too(living, tmp_path):
    car, *others = CARS
    living.goto(write_page({"garage": Garage(car=car)}, tmp_path / "cars.html").as_uri())
    living.locator(f"{GARAGE} .garage-floor").first.wait_for()
    assert living.locator(f"{GARAGE} .garage-panel select").count() == 1  # the one thing to choose
    for turned in (*others, car):
        control(living, "a car has").select_option(turned)
        garage = Garage(car=turned)
        assert line(living) == sentence(garage.frame(garage.choice), False)


def test_a_keyboard_is_enough(living):
    focused = "() => document.activeElement.getAttribute('role') ?? document.activeElement.tagName"
    stops = []
    for _ in range(40):
        living.keyboard.press("Tab")
        stops.append(living.evaluate(focused))
        if living.evaluate("document.activeElement.closest('.garage-deck') !== null"):
            break
    assert stops.count("option") == 2, stops  # the words are one stop, and the floors one
    living.keyboard.press("ArrowUp")
    living.keyboard.press("ArrowUp")
    assert living.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Block 2:")
    control(living, "chosen by").select_option(label="your hand")
    living.keyboard.press("Shift+Tab")
    word = living.locator(f"{GARAGE} .garage-word[tabindex='0']")
    word.focus()
    for key in ("End", "ArrowUp", "ArrowLeft"):
        living.keyboard.press(key)
        assert "attends most to" in living.locator(f"{GARAGE} .garage-look").text_content()
        assert living.locator(f"{GARAGE} .garage-arcs path").count()
    living.keyboard.press("Enter")
    assert "kernel" in line(living)


def test_dark_in_the_theme_of_the_notebook_too(living):
    paper = f"() => getComputedStyle(document.querySelector('{GARAGE}')).backgroundColor"
    light = living.evaluate(paper)
    living.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert living.evaluate(paper) != light


def test_nothing_moves_where_no_motion_is_wanted(living):
    living.emulate_media(reduced_motion="reduce")
    cars = f"() => document.querySelector('{GARAGE} canvas').toDataURL()"
    next_frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    for share in ("90", "30"):
        control(living, "evict").fill(share)
        living.evaluate(next_frame)
        at_once = living.evaluate(cars)
        living.wait_for_timeout(900)
        assert living.evaluate(cars) == at_once


def test_how_quick_it_is(living):
    figure = living.locator(GARAGE).element_handle()
    values = [5 * (1 + i % 19) for i in range(30)]
    print("\nthe picture alone:", slowest(living.evaluate(MOVES, [figure, "evict", values, False])))
    living.get_by_role("button", name="let it write").click()
    print("gaps between frames while it plays:", slowest(living.evaluate(GAPS, 3)))
    living.get_by_role("button", name="pause").click()
    assert "Nobody leaves" in line(living)


# --- In JupyterLab ----------------------------------------------------------------------------------------------------
def test_in_jupyterlab_python_counts_and_a_saved_notebook_stands_still(course):
    context, lab = course
    cells = [
        {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None} for text in CELLS
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    (lab.folder / "living.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with jupyter.notebook(context, lab, "living.ipynb") as page, jupyter.screenshot_on_failure(page, "living_lab"):
        jupyter.run_all(page)
        assert jupyter.errors(page) == []
        _turn_with_a_kernel(page)
        live = page.locator(GARAGE).nth(1)
        assert live.locator(".living-line").text_content().startswith("119 tokens on 8 floors")
        assert live.locator(".garage-word:visible").count() == 119
        hidden = page.locator(f"{jupyter.PICTURE}, {jupyter.OUTPUT} > svg, .jp-RenderedSVG").first
        assert not hidden.is_visible()
        page.keyboard.press("Control+s")
        page.wait_for_function("!document.querySelector('.jp-mod-dirty')")
    saved = json.loads((lab.folder / "living.ipynb").read_text(encoding="utf-8"))
    outputs = [output for output in saved["cells"][0]["outputs"] if "image/png" in output.get("data", {})]
    assert len(outputs) == 1
    with jupyter.notebook(context, lab, "living.ipynb") as page, jupyter.screenshot_on_failure(page, "living_saved"):
        assert page.locator(".jp-RenderedSVG").first.is_visible()
        assert "0 of 12 floors given back" in page.locator(jupyter.CAPTION).first.text_content()


def _turn_with_a_kernel(page):
    figure = page.locator(GARAGE).first
    times = page.evaluate(MOVES, [figure.element_handle(), "evict", ASKED, True])
    print("\nwhere Python counts:", slowest(times))
    assert line(page).startswith(f"{ASKED[-1]}% of the rows evicted")
    control(page, "chosen by").select_option(label="your hand")
    floor = figure.locator(".garage-floor").nth(3)
    floor.click()
    page.wait_for_function(
        "line => line.textContent.includes('1 of 12')", arg=figure.locator(".living-line").element_handle()
    )
    assert floor.get_attribute("data-state") == "shut"
    figure.locator(".garage-word").nth(100).click()
    page.wait_for_function(
        "word => word.dataset.state === 'gone'", arg=figure.locator(".garage-word").nth(100).element_handle()
    )
    assert figure.locator(".garage-number").nth(0).text_content() == "9%"
