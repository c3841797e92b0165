"""A reader at a browser: start JupyterLab as ``make lab`` does, open a lesson, run it, turn its controls, look.

Nothing here knows a lesson. A ``cell`` is a Playwright locator of one notebook cell, a ``label`` what stands beside a
control.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.house.notebooks import REPO

SCREENSHOTS = Path(__file__).parent / "screenshots"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # in a container one is usually root, who has no sandbox; it opens only our own server
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW = {"width": 1280, "height": 800}  # a small laptop's
PATIENCE = 60.0  # seconds for a step that takes a few on a free machine
RUN = 180.0  # seconds for a lesson
REDRAW = 20.0  # seconds for a picture that takes a tenth of one
KINDS = ("dropdown", "slider")

STATUS = ".jp-Notebook-ExecutionIndicator"
PROMPT = ".jp-CodeCell .jp-InputPrompt"
OUTPUT = ".jp-OutputArea-output"
PICTURE, CAPTION = f"{OUTPUT} img", f"{OUTPUT}.jp-RenderedMarkdown"
STDERR = f"{OUTPUT}[data-mime-type$=stderr]"  # raised exceptions too
RAISED = re.compile(r"Traceback \(most recent call last\)|\w+Error: ")
BROKEN = "Error displaying widget"  # what stands in the place of a control that has no model
# All cells are in the page, those out of sight too, as JupyterLab 4.6 has it by default (windowing mode
# ``contentVisibility``); in the mode ``full`` they are not, and this would wait in vain.
ALL_CELLS = "([prompt, n_code_cells]) => document.querySelectorAll(prompt).length === n_code_cells"
# Each time anew: JupyterLab puts a new element in the place of the old one.
CHANGED = """([cell, selectors, before]) => selectors.every((selector, i) => {
    const shown = [...cell.querySelectorAll(selector)].at(-1)
    return shown.src ? shown.src !== before[i] && shown.complete : shown.textContent.trim() !== before[i]
})"""


class Lab(NamedTuple):
    """A running JupyterLab: the folder it shows, its address, what opens it, and the file of its log."""

    folder: Path
    address: str
    token: str
    log: Path

    def url(self, path: str) -> str:
        """The address of a page, with the token."""
        return f"{self.address}/{path}?token={self.token}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """What the server's own interface answers; None where that is nothing."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy: it is on this machine
        with direct.open(urllib.request.Request(self.url(path), method=method), timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")


# ----------------------------------------------------------------------------------------------------------------------
# The server and the browser
# ----------------------------------------------------------------------------------------------------------------------
def find_chromium() -> str | None:
    """The Chromium that is installed, or None; the environment variable CHROMIUM names another one.

    Raises:
        FileNotFoundError: if CHROMIUM names no program, since a skipped test would hide that.
    """
    wanted = os.environ.get("CHROMIUM")
    if not wanted:
        return next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found := shutil.which(wanted):
        return found
    raise FileNotFoundError(f"CHROMIUM is {wanted!r}; no such program")


@contextmanager
def jupyterlab(folder: Path, scratch: Path) -> Iterator[Lab]:
    """JupyterLab on a folder, started as ``make lab`` does; a user's own settings and history are left alone."""
    port = _free_port()
    lab = Lab(folder, f"http://127.0.0.1:{port}", "lesson", scratch / "jupyterlab.log")
    more = ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}"]
    with lab.log.open("w") as log:
        server = subprocess.Popen([*_make_lab(), *more], cwd=folder, env=_environment(scratch), stdout=log, stderr=log)
    try:
        _wait_for_server(server, lab)
        yield lab
    finally:
        _stop(server)


def _make_lab() -> list[str]:
    """The command that ``make lab`` ends with, for this Python."""
    make = ["make", "--just-print", "--no-print-directory", "lab", "BIN=BIN", "ARGS="]
    free = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of the make above
    said = subprocess.run(make, cwd=REPO, env=free, check=True, capture_output=True, text=True).stdout
    [command] = [line for line in said.splitlines() if "-m jupyterlab " in line]
    return ["env", *shlex.split(command.replace("BIN/python", shlex.quote(sys.executable)))]


def _environment(scratch: Path) -> dict[str, str]:
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    names += ["JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
    own = {name: str(scratch / name.lower()) for name in names}  # the widgets' own part is found in sys.prefix
    return {name: value for name, value in os.environ.items() if name != "COURSE_STATIC"} | own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for_server(server: subprocess.Popen[bytes], lab: Lab) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError):
            lab.ask("api/status")
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab does not answer; the end of its log:\n{_tail(lab.log)}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()  # it ends its kernels first
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


@contextmanager
def browser(executable: str, profile: Path) -> Iterator[BrowserContext]:
    """A headless Chromium; ``profile`` is an empty folder, or none yet."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=executable, headless=True, args=FLAGS, viewport=WINDOW
        )
        context.set_default_timeout(1e3 * PATIENCE)
        yield context
        context.close()


# ----------------------------------------------------------------------------------------------------------------------
# A notebook
# ----------------------------------------------------------------------------------------------------------------------
@contextmanager
def notebook(context: BrowserContext, lab: Lab, path: str) -> Iterator[Page]:
    """A notebook of the folder in a page of its own, once its cells and kernel are there; both end with the block."""
    page = context.new_page()
    name = Path(path).stem  # also of its workspace: in a shared one JupyterLab opens again what was open before
    cells = json.loads((lab.folder / path).read_text(encoding="utf-8"))["cells"]
    with screenshot_on_failure(page, f"open_{name}"):
        page.goto(lab.url(f"lab/workspaces/{name}/tree/{path}"))
        page.wait_for_function(ALL_CELLS, arg=[PROMPT, sum(cell["cell_type"] == "code" for cell in cells)])
        session = _wait_for_kernel(lab, path)
        page.locator(f"{STATUS}[data-status=idle]").wait_for(state="attached")
    yield page
    page.close()
    lab.ask(f"api/sessions/{session}", "DELETE")  # a closed page leaves its kernel running


def _wait_for_kernel(lab: Lab, path: str) -> str:
    # The page says idle even while there is no kernel yet; the server knows better.
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for session in lab.ask("api/sessions"):
            if session["path"] == path and session["kernel"]["connections"]:
                return session["id"]
        time.sleep(0.05)
    raise TimeoutError(f"{path} has no kernel; the end of JupyterLab's log:\n{_tail(lab.log)}")


def run_all(page: Page, timeout: float = RUN) -> None:
    """Run > Run All Cells, then wait until all have run.

    Raises:
        RuntimeError: if a cell raised, which stops the run, or if cells are still running after ``timeout`` seconds.
    """
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    deadline = time.monotonic() + timeout
    while not has_run(page):
        if time.monotonic() > deadline or _has_stopped(page):
            raise RuntimeError(f"not all cells have run: {' '.join(prompts(page))}, errors {errors(page)}")
        page.wait_for_timeout(100)


def has_run(page: Page) -> bool:
    """True when every code cell has its number, a folded one apart, which shows none, and the kernel is idle."""
    return _is_idle(page) and all(prompt.strip("[]:").isdigit() for prompt in prompts(page) if prompt.strip())


def _has_stopped(page: Page) -> bool:
    # Behind an error that is meant (raises-exception) the cells lose their stars and run on, with short pauses.
    for _ in range(5):
        if not _is_idle(page) or "[*]:" in prompts(page):
            return False
        page.wait_for_timeout(200)
    return not has_run(page)


def _is_idle(page: Page) -> bool:
    return page.locator(STATUS).get_attribute("data-status") == "idle"


def prompts(page: Page) -> list[str]:
    """What stands beside each code cell: ``[3]:`` has run, ``[*]:`` runs or waits, ``[ ]:`` was not asked to run."""
    return page.locator(PROMPT).all_text_contents()


def errors(page: Page) -> list[str]:
    """The last line of every error that a cell shows, and of every control that could not be shown."""
    shown = page.locator(STDERR, has_text=RAISED).or_(page.locator(OUTPUT, has_text=BROKEN))
    return [text.strip().splitlines()[-1] for text in shown.all_text_contents()]


@contextmanager
def screenshot_on_failure(page: Page, name: str) -> Iterator[None]:
    """Keep a screenshot under ``tests/browser/screenshots`` if what follows fails, and add what the page had to say."""
    try:
        yield
    except BaseException as failure:
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
        said = [f"{each.type}: {each.text}" for each in page.console_messages() if each.type in ("error", "warning")]
        failure.add_note("\n".join([f"screenshot: {SCREENSHOTS.name}/{name}.png", *said[-10:]]))
        raise


# ----------------------------------------------------------------------------------------------------------------------
# Controls, and the picture and caption that they turn
# ----------------------------------------------------------------------------------------------------------------------
def find_control(page: Page, label: str) -> Locator:
    """The last cell that has a control with this label."""
    return page.locator(".jp-CodeCell", has=_label(page, label)).last


def labels(cell: Locator, kind: str) -> list[str]:
    """The labels of a cell's controls of one kind, ``dropdown`` or ``slider``, from top to bottom."""
    return cell.locator(f".widget-{kind} .widget-label").all_text_contents()


def settings(cell: Locator) -> dict[str, str]:
    """What every dropdown and slider of a cell says it is set to, by label."""
    return {label: value(cell, label) for kind in KINDS for label in labels(cell, kind)}


def value(cell: Locator, label: str) -> str:
    """What a dropdown or a slider says it is set to."""
    widget = _widget(cell, label)
    shown = widget.locator("option:checked" if widget.locator("select").count() else ".widget-readout")
    return shown.text_content().replace("\xa0", " ")  # options have fixed spaces


def choose(cell: Locator, label: str, choice: str) -> None:
    """Set a dropdown to the option that reads so."""
    _widget(cell, label).locator("select").select_option(label=choice.replace(" ", "\xa0"))


def press(cell: Locator, label: str, key: str) -> None:
    """Move a control by ``ArrowRight``, ``ArrowLeft``, ``Home`` or ``End``; a dropdown obeys as a slider does."""
    select = _widget(cell, label).locator("select")
    if not select.count():
        _widget(cell, label).get_by_role("slider").press(key)
        return
    index, last = select.evaluate("select => [select.selectedIndex, select.length - 1]")
    select.select_option(index={"Home": 0, "End": last, "ArrowRight": index + 1, "ArrowLeft": index - 1}[key])


def stands_at(cell: Locator, label: str) -> str:
    """The key of the end at which a dropdown or a slider stands, ``Home`` or ``End``, or an empty string."""
    select = _widget(cell, label).locator("select")
    if select.count():
        index, first, last = select.evaluate("select => [select.selectedIndex, 0, select.length - 1]")
    else:
        handle = _widget(cell, label).get_by_role("slider")
        index, first, last = (handle.get_attribute(f"aria-value{name}") for name in ("now", "min", "max"))
    return {first: "Home", last: "End"}.get(index, "")


def _widget(cell: Locator, label: str) -> Locator:
    return cell.locator(".widget-inline-hbox", has=_label(cell.page, label))


def _label(page: Page, label: str) -> Locator:
    return page.locator(".widget-label", has_text=re.compile(f"^{re.escape(label)}$"))


def picture(cell: Locator) -> str:
    """The cell's picture, as the data address that holds its bytes."""
    return cell.locator(PICTURE).last.get_attribute("src")


def caption(cell: Locator) -> str:
    """The text under the cell's picture."""
    return cell.locator(CAPTION).last.text_content().strip()


def turn(cell: Locator, move: Callable[[], None], picture_too: bool = True, redraw: float = REDRAW) -> float:
    """Move a control and wait until the caption is another, and the picture; milliseconds from the move to then.

    Raises:
        RuntimeError: if they are still the same after ``redraw`` seconds, as when the drawing raised.
    """
    before = {CAPTION: caption(cell)} | ({PICTURE: picture(cell)} if picture_too else {})
    shown = [cell.element_handle(), list(before), list(before.values())]
    start = time.perf_counter()
    move()
    try:
        cell.page.wait_for_function(CHANGED, arg=shown, timeout=1e3 * redraw)
    except PlaywrightTimeout:
        raise RuntimeError(f"{redraw:.0f} s after the move nothing new is drawn; caption: {caption(cell)}") from None
    return 1e3 * (time.perf_counter() - start)


def turn_everything(
    cell: Locator,
    check: Callable[[Locator], None],
    walk: Sequence[str],
    still: Sequence[str] = (),
    turn: Callable[[Locator, Callable[[], None], bool], float] = turn,
    n_steps: int = 20,
    last: str = "Home",
) -> list[float]:
    """Walk along some controls, then move each control to both its ends; milliseconds of every move.

    Args:
        cell: the cell of the controls.
        check: called with the cell before the first move and after every one.
        walk: labels of the controls that are walked along in turns, to and fro; each step changes the picture.
        still: the kinds, of ``KINDS``, at whose ends the picture may stay as it was: two cards have the same memory.
        turn: how a control is moved.
        n_steps: steps of the walk, all controls together.
        last: the end at which a control is left; one that already stands at the other is left where it stands.
    """
    check(cell)
    times, first = [], "End" if last == "Home" else "Home"
    for label, key in _steps(cell, walk, n_steps):
        times.append(turn(cell, partial(press, cell, label, key), True))
        check(cell)
    for kind in KINDS:
        for label in labels(cell, kind):
            for end in (last, first) if stands_at(cell, label) == first else (first, last):
                times.append(turn(cell, partial(press, cell, label, end), kind not in still))
                check(cell)
    return times


def _steps(cell: Locator, walk: Sequence[str], n_steps: int) -> Iterator[tuple[str, str]]:
    keys = dict.fromkeys(walk, "ArrowRight")
    for label in islice(cycle(walk), n_steps):
        keys[label] = {"Home": "ArrowRight", "End": "ArrowLeft"}.get(stands_at(cell, label), keys[label])
        yield label, keys[label]
