"""The process that owns a run's Ray: ``python -m platform_ctl.adapters.local.ray_holder``.

Arguments: the folder to publish the address in, the folder for Ray's files,
the pid of the run's orchestrator and its creation time (a pid alone may be
recycled). Ends Ray when the orchestrator is gone, kill -9 included, or on
SIGTERM. Should this process itself be killed, Ray's daemons follow, and ``training``
clears up after them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import psutil

from platform_ctl.adapters.local import ray_switches

ADDRESS_FILE = "address"
TOKEN_FILE = "token"
WATCH_S = 0.25
SETTLE_S = 0.02


def main(folder: Path, temp_dir: Path, run_pid: int, run_created: float) -> NoReturn:
    """Hold Ray until the run or this process is told to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ray_switches.apply(folder / TOKEN_FILE)
    import ray

    try:
        context = ray.init(**ray_switches.head_options(temp_dir))
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # ray.init put its own there
        _publish(folder / ADDRESS_FILE, context.address_info["address"])
        while not stop.wait(WATCH_S) and _runs(run_pid, run_created):
            pass
    finally:
        # Nothing in Ray is worth a farewell: its own shutdown takes 1.4 s, this 0.1 s.
        end_family(psutil.Process())
        shutil.rmtree(temp_dir, ignore_errors=True)
        if sys.exc_info()[0] is None:
            os._exit(0)  # Ray's exit hooks would wait for daemons that are gone
    sys.exit(1)


def end_family(parent: psutil.Process) -> None:
    """Kill every descendant, and those they start meanwhile; ``parent`` stays."""
    while family := [p for p in parent.children(recursive=True) if alive(p)]:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(SETTLE_S)  # not wait_procs: a zombie whose init never reaps it would hold it up


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _runs(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 0.01 and alive(process)
    except psutil.NoSuchProcess:
        return False


def _publish(path: Path, address: str) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(address, encoding="ascii")
    draft.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
