"""The process that owns a run's Ray: ``python -m platform_ctl.training.local.ray_head``.

Arguments: the folder to publish the address in, the folder for Ray's files,
the pid of the run's orchestrator and its stamp (a pid alone may be
recycled). Ends Ray when the orchestrator is gone, kill -9 included, or on
SIGTERM. Should this process itself be killed, Ray's daemons follow, and ``training``
clears up after them. What Ray has used is in ``usage.json``, brought up to date
four times a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import psutil

from platform_ctl.home import files
from platform_ctl.home.process import ProcessId
from platform_ctl.training.local import ray_switches

ADDRESS_FILE = "address"
TOKEN_FILE = "token"
USAGE_FILE = "usage.json"
WATCH_S = 0.25
LOOK_S = 1.0
"""Between two looks for new processes: each goes through all of the machine's."""
SETTLE_S = 0.02


class Meter:
    """Counts the CPU seconds of a process and its descendants into ``usage.json``.

    By the last reading of each process, because nobody waits for Ray's workers:
    the raylet ignores their end, and the kernel then adds their usage to
    nothing. What an earlier holder of the same run used stays counted.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / USAGE_FILE
        self._earlier_s = used_cpu_s(folder)
        self._family: list[psutil.Process] = []
        self._seen: dict[psutil.Process, float] = {}
        self._due = 0.0

    def read(self, *, look: bool = False) -> None:
        """Read every process known; ``look`` for new ones, which is also done now and then."""
        if look or time.monotonic() >= self._due:
            me = psutil.Process()
            self._family = [me, *me.children(recursive=True)]
            self._due = time.monotonic() + LOOK_S
        for process in self._family:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._seen[process] = times.user + times.system
        total = self._earlier_s + sum(self._seen.values())
        content = json.dumps({"cpu_s": round(total, 3)}).encode()
        files.replace(self._path, content, durable=False)


def used_cpu_s(folder: Path) -> float:
    """CPU seconds of the Ray that was started in ``folder``, at most WATCH_S ago; 0.0 for none."""
    try:
        return json.loads((folder / USAGE_FILE).read_text(encoding="ascii"))["cpu_s"]
    except FileNotFoundError:
        return 0.0


def main(folder: Path, temp_dir: Path, run: ProcessId) -> NoReturn:
    """Hold Ray until the run or this process is told to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ray_switches.apply(folder / TOKEN_FILE)
    meter = Meter(folder)
    import ray

    try:
        ray.init(**ray_switches.head_options(temp_dir))
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # ray.init put its own there
        address = ray.get_runtime_context().gcs_address
        files.replace(folder / ADDRESS_FILE, address.encode())
        while not stop.wait(WATCH_S) and run.process() is not None:
            meter.read()
        meter.read(look=True)
    finally:
        # Not ray.shutdown: it takes 1.4 s, this 0.1 s, and nothing in Ray has to be saved.
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), ProcessId(int(sys.argv[3]), sys.argv[4]))
