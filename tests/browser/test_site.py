"""The site: built from the saved notebooks, and walked through by a reader who has no kernel and no network."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

from helpers.widgets.living import PICTURES
from tests.house.notebooks import REPO

PAGE_BYTES, THEME_BYTES = 1_500_000, 1_000_000
SOURCES = [*REPO.glob("notebooks/[0-9]*.ipynb"), *REPO.glob("labs/lab_*.ipynb")]
PAGES = sorted(str(path.relative_to(REPO).with_suffix(".html")) for path in SOURCES)
PAGES += [
    "index.html",
    "planner.html",
    "glossary.html",
    "docs/engines.html",
    "labs/TEACHING.html",
    "contents/lessons.html",
]
START = "notebooks/00_start_here.html"
SEEN = """nodes => nodes.filter(node => node.checkVisibility()).map(node => node.outerHTML.slice(0, 160))"""
# What sticks out of the page on the right; what scrolls by itself may.
OUTSIDE = """nodes => nodes.filter(node => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 1
    && !node.closest('svg, pre, .table-wrapper, .cell_output')).map(node => node.outerHTML.slice(0, 160))"""
OPEN_ALL = "document.querySelectorAll('.guess button[type=button]').forEach((button) => button.click())"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the built site."""
    target = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run([sys.executable, "site/build.py", target], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4_000:]
    return target / "html"


@pytest.fixture(scope="session")
def address(html):
    """Where the site is served, under a path as GitHub Pages has it."""
    (html.parent / "course").symlink_to(html)
    handler = functools.partial(Quiet, directory=html.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/course/"
    server.shutdown()


@pytest.fixture
def visit(course, address):
    """A function that opens a page; at the end nothing may have failed, and nobody else been asked."""
    page, problems = course[0].new_page(), []
    page.on("console", lambda said: said.type in ("error", "warning") and problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith((address, "data:", "blob:")) or problems.append(asked.url))
    page.on("requestfailed", lambda asked: problems.append(f"failed: {asked.url}"))
    page.on("response", lambda got: got.status >= 400 and problems.append(f"{got.status}: {got.url}"))

    def go(name, motion="reduce"):
        page.emulate_media(reduced_motion=motion)
        page.goto(address + name)
        return page

    yield go
    page.evaluate("localStorage.clear()")
    page.close()
    assert problems == []


def enliven(page):
    """Open all that waits for a guess, and scroll by every picture until it lives."""
    page.evaluate(OPEN_ALL)
    figures = page.locator(".living-picture")
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        page.locator(f".living-picture >> nth={number}").locator("figure.living").first.wait_for()
    return figures.count()


# --- What was built --------------------------------------------------------------------------------------------------
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def loaded(page):
    """What a page loads: files of its own folder's site, or addresses."""
    tags = page.find_all(["script", "img", "link", "source", "iframe"])
    return [
        tag.get("src") or tag.get("href") for tag in tags if (tag.get("src") or tag.get("href")) and not canonical(tag)
    ]


def canonical(tag):
    return tag.name == "link" and set(tag.get("rel", [])) & {"canonical", "search", "next", "prev", "index"}


def test_every_lesson_and_lab_is_a_page(html):
    assert [name for name in PAGES if not (html / name).is_file()] == []


def test_what_only_colab_needs_is_on_no_page(html):
    assert "google.colab" not in (html / START).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light_and_loads_from_nowhere_else(name, html):
    page = soup(html / name)
    names = [unquote(target) for target in loaded(page) if not target.startswith("data:")]
    assert [target for target in names if urlsplit(target).netloc] == []
    own = {(html / name).parent / urlsplit(target).path for target in names if "_static" not in target}
    living = {figure["data-picture"] for figure in page.select(".living-picture")}
    own |= {html / "_static" / "living" / f"{picture}.{kind}" for picture in living for kind in ("js", "json")}
    assert (html / name).stat().st_size + sum(path.stat().st_size for path in own) < PAGE_BYTES


def test_the_theme_is_light(html):
    ours = {"living", "planner"}
    theme = [path for path in (html / "_static").rglob("*") if path.is_file() and not ours & set(path.parts)]
    assert sum(path.stat().st_size for path in theme) <= THEME_BYTES
    assert [path for path in theme if path.suffix in (".woff", ".woff2", ".ttf", ".eot", ".map")] == []


def test_every_living_picture_of_a_lesson_is_on_its_page(html):
    found = {}
    for name in PAGES:
        if name.startswith("notebooks/"):
            for figure in soup(html / name).select(".living-picture"):
                found.setdefault(figure["data-picture"], []).append(name)
    assert set(found) == set(PICTURES)


def test_lessons_are_listed_by_their_numbers(html):
    links = soup(html / "index.html").select('.sidebar-tree a[href^="notebooks/"]')
    assert len(links) == len([name for name in PAGES if name.startswith("notebooks/")])
    for link in links:
        assert link.text.startswith(f"{link['href'].removeprefix('notebooks/')[:2]} "), link.text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_no_raw_table_and_links_no_everyday_word(name, html):
    page = soup(html / name)
    assert [text.text[:80] for text in page.select("article p") if text.text.lstrip().startswith("|")] == []
    assert [link.text for link in page.select("a.term") if link.text == "full"] == []
    assert re.findall(r"–[A-Za-z]\S*", page.text) == []  # an option's two dashes


def test_a_date_in_a_table_stands_on_one_line(html):
    page = soup(html / "docs/engines.html")
    dates = [cell for cell in page.select("td") if re.fullmatch(r"\s*\d{4}-\d\d-\d\d\s*", cell.text)]
    assert dates and all("date" in cell.get("class", []) for cell in dates)


def test_a_control_that_stands_still_says_so(html):
    for path in sorted(REPO.glob("notebooks/[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        calls = [re.search(r"^\w+_(control|quiz)\(", cell.source, re.MULTILINE) for cell in cells]
        tagged = [cell for cell in cells if "control" in cell.metadata.get("tags", [])]
        alive = [cell for cell in tagged if any("living_picture" in out.metadata for out in cell.outputs)]
        page = soup(html / "notebooks" / f"{path.stem}.html")
        said = page.select('.cell_output a[href="../index.html#run-it-yourself"]')
        assert len(said) == sum(map(bool, calls)) >= len(tagged) - len(alive), path.name


def test_the_front_page_says_of_each_lesson_what_one_will_do(html):
    table = soup(html / "index.html").select_one("article table").text
    assert "what you will do" in table and "find the law of what comes back" in table


def test_a_page_says_at_its_top_where_its_cells_run(html):
    for name in PAGES:
        if name.startswith(("notebooks/", "labs/lab_")):
            assert soup(html / name).select_one("article h1 + p em a")["href"] == "../index.html#run-it-yourself", name
    assert "make lab" in soup(html / "index.html").select_one("#run-it-yourself pre").text


def test_links_within_the_site_lead_somewhere(html):
    wrong = []
    for path in html.rglob("*.html"):
        for link in soup(path).find_all("a", href=True):
            parts = urlsplit(link["href"])
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.path.startswith("/") or "search.html" in parts.path:
                continue
            if not target.exists() or (parts.fragment and not named(target, unquote(parts.fragment))):
                wrong.append((path.name, link["href"]))
    assert wrong == []


@functools.cache
def ids(path):
    return {tag["id"] for tag in soup(path).find_all(id=True)} | {""}


def named(path, fragment):
    return path.suffix != ".html" or fragment in ids(path)


def test_badges_and_citation_have_the_address_of_pyproject():
    script = (
        "import address; print([path.name for path, text in address.renewed().items() if path.read_text() != text])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO / "site", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "run: python site/address.py"


def test_the_page_for_nothing_leads_home(html):
    links = soup(html / "404.html").find_all("a")
    assert links and all(re.fullmatch(r"/[\w-]+/|/", link["href"]) for link in links)


# --- What a visitor meets --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PAGES)
def test_a_visitor_finds_every_picture_alive_and_axe_nothing(name, visit):
    page = visit(name)
    assert page.locator("[hidden]").evaluate_all(SEEN) == []
    assert enliven(page) == page.locator(".living-picture.alive").count()
    for figure in page.locator(".living-picture").all():
        own, still = figure.locator(".living figcaption"), figure.locator("> figcaption")
        assert own.is_visible() and not still.is_visible()
        assert still.text_content().startswith(own.text_content())
    assert jupyter_words(page) == []
    assert [line for line in page.locator(".living-line").all_inner_texts() if "not recorded" in line] == []
    assert violations(page) == []


def jupyter_words(page):
    """Words that only a kernel could make good."""
    text = page.locator("main, article").first.inner_text()
    return [word for word in ("Error displaying widget", "Traceback (most", "<Figure size") if word in text]


def violations(page):
    page.add_style_tag(content="*{transition:none!important;animation:none!important}")
    return [(each["id"], each["nodes"][0]["html"][:160]) for each in Axe().run(page).response["violations"]]


@pytest.mark.parametrize("name", ["index.html", START, "planner.html", "docs/engines.html"])
def test_dark_is_as_readable(name, visit):
    page = visit(name)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    enliven(page)
    assert violations(page) == []


@pytest.mark.parametrize("name", ["index.html", START, "planner.html", "glossary.html", "docs/engines.html"])
def test_a_phone_shows_the_whole_width(name, visit):
    page = visit(name)
    page.set_viewport_size({"width": 390, "height": 844})
    enliven(page)
    if name == "planner.html":
        page.locator("#planner .verdict").wait_for()
    assert page.locator("article *").evaluate_all(OUTSIDE) == []


@pytest.mark.parametrize("width, drawer", [(1_280, ".toc-drawer"), (390, ".sidebar-drawer")])
def test_a_list_outside_the_page_comes_in_with_the_focus(width, drawer, visit):
    page = visit("glossary.html")
    page.set_viewport_size({"width": width, "height": 844})
    visit(START)  # a page that has this width from the first: there no list is still on its way out
    link = page.locator(f"{drawer} a[href]:visible").first
    page.keyboard.press("Tab")
    link.focus()
    page.wait_for_function(
        "node => node.getBoundingClientRect().left >= 0 && node.getBoundingClientRect().right <= innerWidth",
        arg=link.element_handle(),
    )


def test_a_guess_opens_what_follows_and_is_kept_in_the_browser(visit):
    page = visit(START)
    result = page.locator(".tag_prediction ~ .cell .output").first
    assert not result.is_visible()
    page.locator(".guess input").first.fill("lots")
    page.locator(".guess button").first.click()
    assert "a number" in page.locator(".guess .said").first.inner_text() and not result.is_visible()
    page.locator(".guess input").first.fill("3")
    page.locator(".guess button").first.click()
    result.scroll_into_view_if_needed()
    assert not page.locator(".guess >> nth=0 >> button").first.is_visible()
    assert page.locator(".guess input").first.get_attribute("readonly") is not None
    assert result.is_visible() and "You guessed 3." in page.locator(".guess .said").first.inner_text()
    page.reload()
    assert page.locator(".tag_prediction ~ .cell .output").first.is_visible()
    assert page.locator(".guess input").first.input_value() == "3"


def test_the_garage_answers_a_hand_without_a_kernel(visit):
    page = visit(START)
    enliven(page)
    garage = page.locator("figure.living:has(.garage)").last
    line = garage.locator(".living-line")
    before = line.inner_text()
    garage.locator("label", has_text="evict").locator("input").fill("50")
    page.wait_for_function("([line, before]) => line.innerText !== before", arg=[line.element_handle(), before])


def test_a_garage_emptied_by_hand_shows_what_was_saved_and_answers_where_python_has_counted(visit):
    page = visit("notebooks/07_the_90_percent_eviction_trap.html")
    enliven(page)
    garage = page.locator("figure.living:has(.garage)").first
    line = garage.locator(".living-line")
    assert line.inner_text().startswith("94% of the rows evicted, 0 of 12 floors given back")
    garage.locator("label", has_text="slide together").locator("input").check()
    assert "11 of 12 floors given back" in line.inner_text()
    garage.locator("label", has_text=re.compile("^layer")).locator("select").select_option("all 30")
    assert "11 of 12 floors given back" in line.inner_text()


def test_the_garage_of_the_front_page_moves(visit):
    page = visit("index.html", motion="no-preference")
    line = page.locator(".living-line")
    line.wait_for()
    before = line.inner_text()
    page.wait_for_function("([line, before]) => line.innerText !== before", arg=[line.element_handle(), before])
    assert page.evaluate("scrollY") == 0 and page.locator("h1").is_visible()


def test_a_search_finds_the_lesson(visit):
    page = visit("search.html?q=TriAttention")
    page.locator("#search-results li a").first.wait_for()
    assert "TriAttention" in " ".join(page.locator("#search-results li a").all_inner_texts())


def test_the_planner_answers_as_python_does(visit):
    from helpers.arithmetic.plan import Plan

    page = visit("planner.html")
    verdict = page.locator("#planner .verdict")
    for model, card, context in (("Llama-3.1-70B", "RTX 4090", 4_096), ("Qwen3-32B", "M4 Max 128GB", 131_072)):
        page.select_option("#plan-model", model)
        page.select_option("#plan-card", card)
        page.select_option("#plan-context", str(context))
        plan = Plan(model, "q4_k_m", card, "fp16", context)
        page.wait_for_function(
            "([line, said]) => line.innerText === said", arg=[verdict.element_handle(), f"{plan.verdict}."]
        )
        assert verdict.get_attribute("data-fit") == plan.fit


def test_an_answer_that_comes_late_is_not_shown(visit):
    page, held = visit("planner.html"), []
    page.locator("#planner .verdict").wait_for()
    late, last = page.locator("#plan-model option").all_inner_texts()[:2]
    page.route("**/planner/00.json", lambda route: held.append(route))
    page.select_option("#plan-model", late)
    page.select_option("#plan-model", last)
    page.wait_for_function("model => new URLSearchParams(location.hash.slice(1)).get('model') === model", arg=last)
    verdict = page.locator("#planner .verdict").inner_text()
    with page.expect_response("**/planner/00.json") as came:
        held[0].continue_()
    came.value.finished()
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.locator("#planner .verdict").inner_text() == verdict and f"model={last}" in unquote(page.url)


def test_a_page_that_was_read_is_marked(visit):
    page = visit("glossary.html")
    page.mouse.wheel(0, 20_000)
    page.locator(".sidebar-tree a.read").wait_for(state="attached")
    visit("index.html")
    assert page.locator(".sidebar-tree a.read").inner_text().startswith("Glossary")


def test_a_printed_page_shows_everything_and_asks_nothing(visit):
    page = visit(START)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[hidden], .guess, .skip-to-content").evaluate_all(SEEN) == []
    unfolded = page.locator("details.hide[open] > .cell_output")
    assert {node.evaluate("node => getComputedStyle(node).animationName") for node in unfolded.all()} == {"none"}
    assert page.locator(".tag_prediction ~ .cell .output").first.is_visible()
    assert not page.locator(".sidebar-drawer").is_visible()


def test_words_lead_to_the_glossary(visit):
    page = visit(START)
    page.locator("a.term").first.click()
    assert "glossary.html#term-" in page.url
