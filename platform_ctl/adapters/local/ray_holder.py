"""The process that owns a run's Ray: ``python -m platform_ctl.adapters.local.ray_holder``.

Arguments: the folder, the pid of the run's orchestrator and its creation time
(a pid alone may be recycled). Ends Ray when the orchestrator is gone, kill -9
included, or on SIGTERM. Ray's daemons die with this process in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

import psutil

from platform_ctl.adapters.local import ray_switches

WATCH_S = 0.25


def main(folder: Path, run_pid: int, run_created: float) -> int:
    """Hold Ray until the run or this process is told to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ray_switches.apply(folder / "token")
    # Ray's sockets live here: a path in the home may be longer than a socket's 107 bytes.
    temp_dir = Path(tempfile.mkdtemp(prefix="ray-"))
    import ray

    try:
        context = ray.init(**ray_switches.head_options(temp_dir))
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # ray.init installs its own
        _publish(folder / "address.json", context.address_info["address"], temp_dir)
        while not stop.wait(WATCH_S) and _runs(run_pid, run_created):
            pass
    finally:
        ray.shutdown()
        shutil.rmtree(temp_dir, ignore_errors=True)
    return 0


def _runs(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - created) < 0.01
    except psutil.NoSuchProcess:
        return False


def _publish(path: Path, address: str, temp_dir: Path) -> None:
    me = psutil.Process()
    record = {
        "address": address,
        "pid": me.pid,
        "create_time": me.create_time(),
        "temp_dir": str(temp_dir),
    }
    draft = path.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
