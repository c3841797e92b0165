"""The hub for a room, really started: learners log in over HTTP, and each runs lesson 00 on a server of their own.

Run by ``make test-hub``, which prints seconds and memory for each learner; ``make test-hub LEARNERS=30`` rehearses a
full room on the machine that will serve it. This file stands outside the tests' folder, so that ``make test`` does
not start a hub.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import psutil
import pytest
import requests
import websocket

from labs.workshop.handout import handed_bytes

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "labs" / "workshop" / "jupyterhub_config.py"
PASSWORD = uuid.uuid4().hex
LEARNERS = [f"learner-{i:02}" for i in range(1, int(os.environ.get("LEARNERS") or 8) + 1)]
LESSON = "notebooks/00_start_here.ipynb"
PATIENCE = 600  # seconds for anything that all learners do at once
CELL_PATIENCE = 300
MiB = 1024**2


class Learner:
    """A learner's browser, as far as the hub can tell: cookies, forms, and a socket to the kernel."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.session = requests.Session()

    def log_in(self, password: str = PASSWORD) -> requests.Response:
        """Fill in the form; the answer is the page that the hub shows next, without starting a server."""
        self.session.get(f"{self.url}/hub/login", timeout=60)
        form = {"username": self.name, "password": password, "_xsrf": self.token("/hub/")}
        return self.session.post(f"{self.url}/hub/login?next=%2Fhub%2Fhome", data=form, timeout=60)

    def token(self, path: str) -> str:
        """The cookie that a form must repeat."""
        return next((c.value for c in self.session.cookies if c.name == "_xsrf" and c.path == path), "")

    def hub(self, method: str, path: str) -> requests.Response:
        """Ask the hub's own interface."""
        headers = {"X-XSRFToken": self.token("/hub/")}
        return self.session.request(method, f"{self.url}/hub/api/users/{self.name}{path}", headers=headers, timeout=60)

    def start(self) -> None:
        """Start the server, wait for it, and enter."""
        assert self.hub("POST", "/server").status_code in (201, 202)
        self._wait(lambda: self._server().get("ready"))
        assert self.session.get(f"{self.url}/user/{self.name}/lab", timeout=60).status_code == 200

    def stop(self) -> None:
        """Stop the server, and wait until it has gone."""
        assert self.hub("DELETE", "/server").status_code in (202, 204)
        self._wait(lambda: not self._server())

    def _server(self) -> dict[str, Any]:
        return self.hub("GET", "").json().get("servers", {}).get("", {})

    def _wait(self, done: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, f"{self.name}'s server takes more than {PATIENCE} s"
            time.sleep(0.5)

    def ask(self, method: str, path: str, /, whose: str = "", **body: Any) -> requests.Response:
        """Ask one's own Jupyter server, or try somebody else's."""
        headers = {"X-XSRFToken": self.token(f"/user/{self.name}/")}
        url = f"{self.url}/user/{whose or self.name}/api/{path}"
        return self.session.request(method, url, headers=headers, json=body or None, timeout=60)

    def open(self, path: str) -> dict[str, Any]:
        """A notebook of one's own copy."""
        answer = self.ask("GET", f"contents/{path}")
        assert answer.status_code == 200, f"{self.name} cannot open {path}: {answer.status_code}"
        return answer.json()["content"]

    def kernel(self, path: str) -> Kernel:
        """A kernel for a notebook, as opening it in JupyterLab starts one."""
        session = self.ask("POST", "sessions", path=path, name=path, type="notebook", kernel={"name": "python3"})
        assert session.status_code == 201, session.text
        return Kernel(self, session.json()["kernel"]["id"])


class Kernel:
    """A socket to a kernel, through the proxy and the learner's server."""

    def __init__(self, learner: Learner, kernel_id: str) -> None:
        address = f"{learner.url.replace('http', 'ws', 1)}/user/{learner.name}/api/kernels/{kernel_id}/channels"
        cookies = "; ".join(f"{c.name}={c.value}" for c in learner.session.cookies if c.path.startswith("/user/"))
        self.socket = websocket.create_connection(address, timeout=CELL_PATIENCE, cookie=cookies, origin=learner.url)

    def run(self, code: str) -> tuple[str, list[str]]:
        """Run one cell to its end.

        Returns:
            What it printed, and its errors; an exception in a widget's callback is one too.
        """
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self.socket.send(json.dumps(message | {"buffers": []}))
        printed, errors, replied, idle = "", [], False, False
        while not (replied and idle):
            answer = self._receive()
            if answer["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            kind, content = answer["msg_type"], answer["content"]
            replied |= kind == "execute_reply"
            idle |= kind == "status" and content["execution_state"] == "idle"
            printed += content["text"] if kind == "stream" else ""
            if kind == "error":
                errors.append(f"{content['ename']}: {content['evalue']}")
        return printed, errors

    def _receive(self) -> dict[str, Any]:
        """The next message; one that carries buffers comes packed, its text after a table of offsets."""
        data = self.socket.recv()
        if isinstance(data, bytes):
            count = int.from_bytes(data[:4], "big")
            offsets = [int.from_bytes(data[4 * i + 4 : 4 * i + 8], "big") for i in range(count)] + [len(data)]
            data = data[offsets[0] : offsets[1]]
        return json.loads(data)


@dataclass
class Hub:
    """A running hub."""

    url: str
    room: Path
    process: subprocess.Popen
    log: Path
    learners: list[Learner] = field(default_factory=list)

    def processes(self, name: str | None) -> list[psutil.Process]:
        """A learner's processes; with None, the hub and its proxy."""
        hub = psutil.Process(self.process.pid)
        everybody = [hub, *hub.children(recursive=True)]
        return [process for process in everybody if process.environ().get("JUPYTERHUB_USER") == name]


def free_port() -> int:
    """The first of three ports in a row that nobody uses."""
    for port in range(18000, 19000, 3):
        taken = False
        for offset in range(3):
            with socket.socket() as probe:
                taken |= probe.connect_ex(("127.0.0.1", port + offset)) == 0
        if not taken:
            return port
    raise RuntimeError("no free ports")


def start_hub(room: Path, **settings: str) -> subprocess.Popen:
    """Start the hub as ``make hub`` does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    command = [sys.executable, "-m", "jupyterhub", "--config", str(CONFIG)]
    environment |= {"HUB_ROOM": str(room), **{f"HUB_{name}": value for name, value in settings.items()}}
    with (room / "log.txt").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The hub, with a list of learners."""
    room, port = tmp_path_factory.mktemp("room"), free_port()
    names = room / "names.txt"
    names.write_text("# the class\n" + "\n".join(LEARNERS))
    settings = {"PASSWORD": PASSWORD, "PORT": str(port), "LEARNERS": str(names), "ADDRESS": "127.0.0.1"}
    process = start_hub(room, **settings)
    hub = Hub(f"http://127.0.0.1:{port}", room, process, room / "log.txt")
    try:
        wait_for(hub)
        yield hub
    finally:
        servers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)  # what Ctrl-C sends
        _, left = psutil.wait_procs([*servers, process], timeout=60)
        for survivor in left:
            survivor.kill()
    assert left == [], "Ctrl-C did not end everything that the hub started"


def wait_for(hub: Hub) -> None:
    """Wait until the hub answers through its proxy."""
    for _ in range(240):
        assert hub.process.poll() is None, hub.log.read_text()
        try:
            if requests.get(f"{hub.url}/hub/health", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.25)
    raise AssertionError(hub.log.read_text())


# --- Who may come in -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "choose a password"),
        ({"PASSWORD": "short"}, "has 5 characters and needs 8"),
        ({"PASSWORD": PASSWORD, "TEACHER_PASSWORD": PASSWORD[:31]}, "has 31 characters and needs 32"),
        ({"PASSWORD": PASSWORD, "PORT": "eighty"}, "'eighty'"),
        ({"PASSWORD": PASSWORD, "LEARNERS": "nowhere.txt"}, "cannot be read"),
        ({"PASSWORD": PASSWORD, "LEARNERS": os.devnull}, "has no names"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_it_refuses_to_start_and_says_why_in_one_line(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    """A hub without a password would be open to the whole network."""
    assert start_hub(tmp_path, **settings).wait(60) == 1
    [line] = (tmp_path / "log.txt").read_text().splitlines()
    assert line.startswith("The hub does not start: ") and reason in line


def test_it_refuses_ports_that_are_taken(tmp_path: Path) -> None:
    """Of the three in a row, the last."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 2)):
        assert start_hub(tmp_path, PASSWORD=PASSWORD, PORT=str(port)).wait(60) == 1
    assert (tmp_path / "log.txt").read_text().startswith(f"The hub does not start: port {port + 2} is taken")


@pytest.mark.parametrize(("name", "password"), [(LEARNERS[0], "a wrong password"), ("stranger", PASSWORD)])
def test_a_wrong_password_and_a_name_not_on_the_list_are_refused(hub: Hub, name: str, password: str) -> None:
    """Neither gets as far as a home page."""
    visitor = Learner(hub.url, name)
    assert visitor.log_in(password).status_code in (401, 403)
    assert visitor.hub("GET", "").status_code in (401, 403)
    assert visitor.hub("POST", "/server").status_code in (401, 403)


# --- All of them at once ---------------------------------------------------------------------------------------------
@dataclass
class Visit:
    """What a learner met, and for how long."""

    learner: Learner
    seconds_to_start: float
    seconds_of_lesson: float = 0.0
    cells: int = 0
    errors: list[str] = field(default_factory=list)
    threads: str = ""


def visit(hub: Hub, name: str, together: Barrier) -> Visit:
    """Log in, start, wait for the others, run lesson 00 cell by cell."""
    begin = time.monotonic()
    learner = Learner(hub.url, name)
    assert learner.log_in().status_code == 200
    learner.start()
    result = Visit(learner, time.monotonic() - begin)
    together.wait(PATIENCE)
    begin = time.monotonic()
    kernel = learner.kernel(LESSON)
    for cell in learner.open(LESSON)["cells"]:
        if cell["cell_type"] == "code":
            result.errors += kernel.run(cell["source"])[1]
            result.cells += 1
    result.seconds_of_lesson = time.monotonic() - begin
    # What torch took at its start: the reasoner's loader asks for one thread by itself, other models do not.
    result.threads = kernel.run("from helpers.models.loading import ALL_THREADS; print(ALL_THREADS, end='')")[0]
    return result


@pytest.fixture(scope="module")
def visits(hub: Hub) -> list[Visit]:
    """All learners, at once; their servers and kernels are still there."""
    together = Barrier(len(LEARNERS))
    with ThreadPoolExecutor(len(LEARNERS)) as crowd:
        return list(crowd.map(lambda name: visit(hub, name, together), LEARNERS))


def memory(processes: list[psutil.Process]) -> tuple[float, float]:
    """PSS (pages that several share count in part) and RSS of some processes, in MiB."""
    seen = [process.memory_full_info() for process in processes]
    return sum(m.pss for m in seen) / MiB, sum(m.rss for m in seen) / MiB


def test_every_learner_runs_lesson_00(hub: Hub, visits: list[Visit], capsys: pytest.CaptureFixture) -> None:
    """To its last cell, without an error; and what that takes is reported."""
    lines = [f"{'':12}{'server ready':>14}{'lesson 00':>12}{'memory, PSS':>14}{'RSS':>11}"]
    total = 0.0
    for met in visits:
        pss, rss = memory(hub.processes(met.learner.name))
        total += pss
        seconds = f"{met.seconds_to_start:>12.1f} s{met.seconds_of_lesson:>10.1f} s"
        lines.append(f"{met.learner.name:12}{seconds}{pss:>10.0f} MiB{rss:>7.0f} MiB")
    pss, rss = memory(hub.processes(None))
    lines.append(f"{'hub, proxy':12}{'':26}{pss:>10.0f} MiB{rss:>7.0f} MiB")
    lines.append(f"{len(visits)} learners on {os.cpu_count()} cores: {total + pss:,.0f} MiB in all")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert {met.learner.name: met.errors for met in visits if met.errors} == {}
    assert {met.cells for met in visits} == {count_code_cells()}
    assert {met.threads for met in visits} == {"1"}


def count_code_cells() -> int:
    """Of lesson 00 as the course has it."""
    cells = json.loads((ROOT / LESSON).read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


# --- What a learner has ----------------------------------------------------------------------------------------------
def test_a_learner_has_all_lessons_and_no_solutions(hub: Hub, visits: list[Visit]) -> None:
    """Neither through the server nor in the folder."""
    learner = visits[0].learner
    lessons = {entry["name"] for entry in learner.ask("GET", "contents/notebooks").json()["content"]}
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} <= lessons
    assert learner.ask("GET", "contents/labs/masters").status_code == 404
    folder = hub.room / "learners" / learner.name
    secret = {path.name: handed_bytes(path) for path in (ROOT / "labs" / "masters").glob("*.ipynb")}
    assert [path for path in folder.rglob("*.ipynb") if secret.get(path.name) == handed_bytes(path)] == []


@pytest.mark.skipif(len(LEARNERS) == 1, reason="there is no other learner")
def test_a_learner_does_not_get_into_another_s_server(visits: list[Visit]) -> None:
    """Over HTTP, that is; the processes belong to one system user."""
    anna, bert = visits[0].learner, visits[1].learner
    assert anna.ask("GET", f"contents/{LESSON}", whose=bert.name).status_code in (403, 404)


def test_a_second_start_keeps_what_a_learner_changed(visits: list[Visit]) -> None:
    """A lesson written in stays; one that was deleted comes back."""
    learner, deleted = visits[0].learner, "notebooks/01_kv_formula.ipynb"
    lesson = learner.open(LESSON)
    lesson["cells"][0]["source"] = "# Mine now"
    saved = learner.ask("PUT", f"contents/{LESSON}", type="notebook", format="json", content=lesson)
    assert saved.status_code == 200
    assert learner.ask("DELETE", f"contents/{deleted}").status_code == 204
    learner.stop()
    learner.start()
    assert learner.open(LESSON)["cells"][0]["source"] == "# Mine now"
    assert learner.open(deleted)["cells"]
