"""The keeper of a server of several processes: whoever dies, none of them is left, and no port."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.engines import keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it keeps servers that run on Linux alone")
# A server that starts a second process, which holds a port and shared memory, and would outlive it.
SERVER = """
import multiprocessing, socket, subprocess, sys, time
if __name__ == "__main__":
    from multiprocessing import shared_memory
    shared = shared_memory.SharedMemory(create=True, size=4096)
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
    child = subprocess.Popen([sys.executable, "-c", code + "time.sleep(600)"], stdout=subprocess.PIPE, text=True)
    print(child.pid, child.stdout.readline().strip(), shared.name, file=sys.stderr, flush=True)
    time.sleep(600)
"""


def gone(pid, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def free(port):
    """Whether nobody listens there."""
    return all(c.laddr.port != port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)


@pytest.fixture
def kept(tmp_path):
    """A running keeper: its process, the server, its child, the child's port, the shared memory, a folder."""
    script, folder = tmp_path / "server.py", tmp_path / "folder"
    script.write_text(SERVER)
    folder.mkdir()
    command = [sys.executable, "-P", keeper.__file__, str(folder), sys.executable, str(script)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        server = int(process.stdout.readline())
        child, port, name = process.stderr.readline().split()
        yield process, server, int(child), int(port), Path("/dev/shm") / name, folder
        keeper.end_group(server)
        process.kill()


def require_nothing_left(kept):
    _, server, child, port, shared, folder = kept
    assert gone(server) and gone(child) and free(port)
    until = time.monotonic() + 20
    while (shared.exists() or folder.exists()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not shared.exists() and not folder.exists()


def test_it_ends_them_all_when_its_input_ends(kept):
    process, _, child, port, shared, folder = kept
    assert psutil.pid_exists(child) and not free(port) and shared.exists() and folder.exists()
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    require_nothing_left(kept)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_the_rest_when_the_server_is_killed(kept, how):
    os.kill(kept[1], how)
    assert kept[0].wait(timeout=30) == 0
    require_nothing_left(kept)


def test_an_interrupt_ends_nothing(kept):
    process, server, child, *_ = kept
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None and psutil.pid_exists(server) and psutil.pid_exists(child)


def test_where_the_keeper_is_killed_its_group_can_still_be_ended(kept):
    process, server, child, port, shared, _ = kept
    process.kill()
    process.wait()
    assert psutil.pid_exists(server)
    keeper.end_group(server)
    assert gone(server) and gone(child) and free(port) and not shared.exists()
