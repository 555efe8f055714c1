"""The run's one Ray on this machine.

The first step that needs Ray starts a holder process (``ray_holder``), which
owns Ray and ends it when the orchestrator ends, however it ends. Everything a
later step needs to find it is in ``<run_dir>/ray``: ``lock``, ``token`` (0600),
``address.json`` and the holder's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from platform_ctl.adapters.local import ray_switches
from platform_ctl.errors import RayUnavailable

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.02


@dataclass(frozen=True)
class Holder:
    """What ``address.json`` says: where Ray answers and who owns it."""

    address: str
    pid: int
    create_time: float
    temp_dir: str

    def process(self) -> psutil.Process | None:
        """The live holder; None when it ended (a recycled pid is not it)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < 0.01
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True)
class LocalTraining:
    """Implements ports.training.Training. Without a run, ``connect`` starts a private Ray."""

    run_dir: Path | None = None
    run_pid: int | None = None

    @contextlib.contextmanager
    def connect(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.run_dir is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-")))
                write_token(folder / "token")
                ray_switches.apply(folder / "token")
                options = ray_switches.head_options(folder)
            else:
                folder = self.run_dir / "ray"
                address = self._find_or_start(folder).address
                ray_switches.apply(folder / "token")
                options = {**ray_switches.driver_options(), "address": address}
            import ray

            try:
                ray.init(**options)
            except (ConnectionError, RuntimeError, TimeoutError) as exc:
                raise _unavailable(f"Ray does not answer: {exc}", folder) from exc
            stack.callback(ray.shutdown)
            yield

    def stop(self, run_dir: Path) -> None:
        folder = run_dir / "ray"
        holder = read_holder(folder)
        if holder is None:
            return
        process = holder.process()
        if process is not None:
            family = [process, *process.children(recursive=True)]
            process.terminate()
            _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
            for straggler in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    straggler.kill()
        shutil.rmtree(holder.temp_dir, ignore_errors=True)
        for name in ("address.json", "token"):
            (folder / name).unlink(missing_ok=True)

    def _find_or_start(self, folder: Path) -> Holder:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "lock", timeout=START_TIMEOUT_S):
            holder = read_holder(folder)
            if holder is not None and holder.process() is not None:
                return holder
            return self._start(folder)

    def _start(self, folder: Path) -> Holder:
        (folder / "address.json").unlink(missing_ok=True)
        write_token(folder / "token")
        created = psutil.Process(self.run_pid).create_time()
        command = [sys.executable, "-m", "platform_ctl.adapters.local.ray_holder"]
        with (folder / "holder.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, str(folder), str(self.run_pid), repr(created)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it outlives the step that started it
            )

        @retry(
            retry=retry_if_result(lambda found: found is None),
            wait=wait_fixed(POLL_S),
            stop=stop_after_delay(START_TIMEOUT_S),
            retry_error_callback=lambda state: None,
        )
        def wait_for_address() -> Holder | None:
            if process.poll() is not None:
                raise _unavailable(f"Ray's holder ended with {process.returncode}", folder)
            return read_holder(folder)

        holder = wait_for_address()
        if holder is None:
            process.terminate()
            raise _unavailable(f"Ray did not start within {START_TIMEOUT_S:.0f} s", folder)
        return holder


def read_holder(folder: Path) -> Holder | None:
    """The record of a Ray that was started in ``folder``; None when there is none."""
    try:
        return Holder(**json.loads((folder / "address.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_token(path: Path) -> None:
    """A new secret, readable by this user only from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))


def _unavailable(what: str, folder: Path) -> RayUnavailable:
    return RayUnavailable(what, where=str(folder), fix=f"tail {folder / 'holder.log'}")
