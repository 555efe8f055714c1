"""A Ray cluster of one node, as `ray start --head` makes one: what a team already has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

START_S = 120
HOST = "127.0.0.1"


@contextlib.contextmanager
def ray_head(token: str) -> Iterator[str]:
    """The address of a head that asks for ``token``; it is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="ray-head-")  # a socket's path is at most 107 bytes
    port = _free_port()
    words = {
        "port": port,
        "node-ip-address": HOST,
        "num-cpus": 2,
        "include-dashboard": "false",
        "temp-dir": folder,
        "object-store-memory": 80_000_000,
    }
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
    command += ["--head", "--block", "--disable-usage-stats"]
    with (Path(folder) / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in words.items())],
            env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(port)
        yield f"{HOST}:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait(port: int) -> None:
    waiting = Retrying(
        retry=retry_if_exception_type(OSError), wait=wait_fixed(0.2), stop=stop_after_delay(START_S)
    )
    waiting(lambda: socket.create_connection((HOST, port), timeout=1).close())
