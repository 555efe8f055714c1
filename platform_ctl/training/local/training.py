"""Training on this machine: the function runs in this process, its workers in the run's one Ray.

The first step that needs Ray starts a holder process (``ray_head``), which
owns Ray and ends it when the orchestrator ends, however it ends. Everything a
later step needs to find it is in ``<run_dir>/ray``: ``lock``, ``token``,
``holder.json``, ``address`` (files 0600), ``usage.json`` and the holder's log.
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
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import psutil
from filelock import FileLock
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from platform_ctl.errors import BadParameter, PlatformError, RayUnavailable, TrainingFailed
from platform_ctl.folders import make_private
from platform_ctl.home import files
from platform_ctl.home.environment import environment
from platform_ctl.home.process import ProcessId
from platform_ctl.training import call
from platform_ctl.training.local import ray_switches
from platform_ctl.training.local.capacity import cpus_per_worker, refuse_what_is_not_there
from platform_ctl.training.local.ray_head import (
    ADDRESS_FILE,
    TOKEN_FILE,
    alive,
    end_family,
    used_cpu_s,
)
from platform_ctl.training.local.reports import FileReport, follow
from platform_ctl.training.port import Metrics, OnProgress, TrainingJob

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.02
HOLDER_FILE = "holder.json"


@dataclass(frozen=True)
class RayHeadRecord:
    """What ``holder.json`` says: the process that owns this run's Ray, and where it works.

    ``create_time`` stands instead of the stamp in a file that an earlier version wrote.
    """

    pid: int
    temp_dir: str
    stamp: str = ""
    create_time: float = 0.0

    def process(self) -> psutil.Process | None:
        """The live holder; None when it ended (a recycled pid is not it)."""
        return ProcessId(self.pid, self.stamp, self.create_time).process()


@dataclass(frozen=True)
class LocalTraining:
    """Implements training.port.Training. Without a run, ``connect`` starts a private Ray."""

    run_dir: Path | None = None
    run_pid: int | None = None
    charge: Callable[[float], None] = lambda cpu_s: None
    """Told, when a step leaves ``connect``, the CPU seconds of the run's Ray so far."""

    def run(self, job: TrainingJob, *, on_progress: OnProgress = lambda progress: None) -> Metrics:
        """One call of the function; a job that is asked for twice runs twice."""
        refuse_what_is_not_there(job)
        inputs = {name: local_path(uri) for name, uri in job.inputs.items()}
        needs_ray = "num_workers" in call.parameters(job.function)
        with contextlib.ExitStack() as stack:
            if needs_ray:
                stack.enter_context(self.connect())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="training-")))
            report = FileReport(str(folder / "reports"))
            stack.enter_context(follow(report, job, on_progress))
            try:
                return call.call(
                    job,
                    inputs,
                    local_path(job.out),
                    report=report,
                    resources_per_worker={"CPU": cpus_per_worker(job), "GPU": job.resources.gpus},
                )
            except PlatformError:
                raise
            except Exception as exc:  # whatever a recipe's function raises
                traceback.print_exc()  # the step's log is where people look for it
                raise TrainingFailed(
                    f"{job.function} raised {type(exc).__name__}: {exc}",
                    where=job.name,
                    fix="platform-ctl run logs latest",
                ) from exc

    def end_run(self, run_id: str) -> None:
        """End the run's Ray, if this is its run."""
        if self.run_dir is not None and self.run_dir.name == run_id:
            self.stop(self.run_dir)

    @contextlib.contextmanager
    def connect(self) -> Iterator[None]:
        """While inside, ``ray`` is connected in this process.

        The first step of a run that needs Ray starts it; later ones find it.
        Raises RayUnavailable when it does not come up.
        """
        with contextlib.ExitStack() as stack:
            if self.run_dir is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-")))
                files.replace(folder / TOKEN_FILE, secrets.token_hex(32).encode())
                ray_switches.apply(folder / TOKEN_FILE)
                options = ray_switches.head_options(folder)
            else:
                folder = self.run_dir / "ray"
                ray_switches.apply(folder / TOKEN_FILE)
                address = self._find_or_start(folder)
                stack.callback(lambda: self.charge(used_cpu_s(folder)))
                options = {**ray_switches.driver_options(), "address": address}
            import ray

            ray_switches.reread()
            try:
                ray.init(**options)
            except (ConnectionError, RuntimeError, TimeoutError) as exc:
                raise _unavailable(f"Ray does not answer: {exc}", folder) from exc
            stack.callback(ray.shutdown)
            yield

    def stop(self, run_dir: Path) -> None:
        """End the Ray of that run, if there is one. Idempotent."""
        folder = run_dir / "ray"
        holder = read_holder(folder)
        if holder is None:
            return
        process = holder.process()
        if process is not None:
            _end(process)
        _end_orphans(holder)
        for name in (HOLDER_FILE, ADDRESS_FILE, TOKEN_FILE):
            (folder / name).unlink(missing_ok=True)

    def _find_or_start(self, folder: Path) -> str:
        """The address of the run's Ray."""
        make_private(folder)
        with FileLock(folder / "lock", timeout=START_TIMEOUT_S):
            holder = read_holder(folder)
            process = holder.process() if holder else None
            if process is None:
                if holder is not None:
                    _end_orphans(holder)
                process = self._start(folder)
            return _wait_for_address(folder, process)

    def _start(self, folder: Path) -> psutil.Process:
        (folder / ADDRESS_FILE).unlink(missing_ok=True)
        files.replace(folder / TOKEN_FILE, secrets.token_hex(32).encode())
        # Ray's sockets live here: a path in the home may be longer than a socket's 107 bytes.
        temp_dir = tempfile.mkdtemp(prefix="ray-")
        run = ProcessId.of(self.run_pid or os.getpid())
        command = [sys.executable, "-m", "platform_ctl.training.local.ray_head"]
        with (folder / "holder.log").open("ab") as log:
            child = subprocess.Popen(
                [*command, str(folder), temp_dir, str(run.pid), run.stamp],
                env=environment(of_run=True),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it outlives the step that started it
            )
        record = RayHeadRecord(child.pid, temp_dir, ProcessId.of(child.pid).stamp)
        files.replace(folder / HOLDER_FILE, json.dumps(asdict(record)).encode())
        import ray  # noqa: F401  # 0.4 s, while the holder does the same

        return psutil.Process(child.pid)


def local_path(uri: str) -> Path:
    """The path of a file URI, or of a path. Raises BadParameter for any other URI."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme != "file":
        raise BadParameter(
            f"{uri} is not on this machine", where="local training", fix="use a file:// URI"
        )
    return Path(unquote(rest))


def _end(process: psutil.Process) -> None:
    """Ask the holder to end; where it does not, end it and its Ray."""
    waiting = Retrying(
        retry=retry_if_result(bool), wait=wait_fixed(POLL_S), stop=stop_after_delay(STOP_TIMEOUT_S)
    )
    try:
        process.terminate()
        waiting(alive, process)
    except RetryError:
        end_family(process)
        process.kill()
    except psutil.NoSuchProcess:
        pass  # it ended by itself in between


def _end_orphans(holder: RayHeadRecord) -> None:
    """What a killed holder leaves: Ray's agents wait for a raylet that is gone, and files.

    They are of the holder's session, and named after Ray: a session id alone
    could be somebody else's by now.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) != holder.pid:
                continue
            command = " ".join(process.cmdline())
            if command.startswith("ray::") or holder.temp_dir in command:
                process.kill()
    shutil.rmtree(holder.temp_dir, ignore_errors=True)


def _wait_for_address(folder: Path, process: psutil.Process) -> str:
    """Raises RayUnavailable when the holder ends first, or takes too long."""

    def address() -> str:
        if not alive(process):
            raise _unavailable("Ray's holder ended while it started Ray", folder)
        return (folder / ADDRESS_FILE).read_text(encoding="ascii")

    waiting = Retrying(
        retry=retry_if_exception_type(FileNotFoundError),
        wait=wait_fixed(POLL_S),
        stop=stop_after_delay(START_TIMEOUT_S),
    )
    try:
        return waiting(address)
    except RetryError as exc:
        process.terminate()
        what = f"Ray did not start within {START_TIMEOUT_S:.0f} s"
        raise _unavailable(what, folder) from exc


def read_holder(folder: Path) -> RayHeadRecord | None:
    """The record of a Ray that was started in ``folder``; None when there is none."""
    try:
        return RayHeadRecord(**json.loads((folder / HOLDER_FILE).read_text(encoding="ascii")))
    except FileNotFoundError:
        return None


def _unavailable(what: str, folder: Path) -> RayUnavailable:
    return RayUnavailable(what, where=str(folder), fix=f"tail {folder / 'holder.log'}")
