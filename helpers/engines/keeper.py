"""Keeps a server and all that it starts together: run as a script, it ends them all when its standard input ends.

A server of several processes does not die with the one that was started: vLLM's front, killed, leaves two others
running, with their ports, and hundreds of megabytes in shared memory. So they get a group of their own, and this
process, which does nothing else, ends the group when its parent stops it or has died in whatever way, or when the
server itself has ended. Linux alone, as the servers that need it.

Arguments: a folder that is deleted at the end, and the server's command.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import psutil

TRACKER = "multiprocessing.resource_tracker"
PATIENCE = 10  # seconds that processes may take to be gone


def main() -> None:
    """Start the server, say its number on standard output, and stay until it or the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted cell interrupts all that the kernel started
    folder, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    print(server.pid, flush=True)
    over = threading.Event()
    for wait in (sys.stdin.read, server.wait):
        threading.Thread(target=lambda wait=wait: (wait(), over.set()), daemon=True).start()
    over.wait()
    end_group(server.pid)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def end_group(group: int) -> None:
    """Kill a group of processes and wait until they are gone.

    Python's own trackers come last: once nobody holds their pipe, they remove the shared memory that was left behind,
    and end.
    """
    members = [process for process in psutil.process_iter() if _group_of(process) == group]
    trackers = [process for process in members if _is_tracker(process)]
    _kill([process for process in members if process not in trackers])
    _kill(psutil.wait_procs(trackers, timeout=PATIENCE)[1])


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:  # not killpg: with no member left, the number may be another group's
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=PATIENCE)


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except OSError:  # it has ended meanwhile
        return None


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return any(TRACKER in word for word in process.cmdline())
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
