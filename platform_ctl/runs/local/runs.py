"""The local orchestrator: implements ``runs.port.Orchestrator`` on this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from platform_ctl.errors import (
    DiskFull,
    HomeBusy,
    PlatformError,
    UnknownName,
    UnsupportedInPipeline,
    UsageError,
)
from platform_ctl.home.environment import environment
from platform_ctl.home.process import suspended
from platform_ctl.home.state import Database
from platform_ctl.ir import file as ir_file
from platform_ctl.ir import parameters, support
from platform_ctl.ir.catalogue import require_kfp
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.cache.cache import StepCache
from platform_ctl.runs.cache.code_digest import CodeDigester
from platform_ctl.runs.cache.computing import Computations
from platform_ctl.runs.ledger import Ledger
from platform_ctl.runs.local import conditions, importer, requirements
from platform_ctl.runs.local.cached_steps import CachedSteps
from platform_ctl.runs.local.cost import RunCost
from platform_ctl.runs.local.engine import Engine
from platform_ctl.runs.local.execution import Execution
from platform_ctl.runs.local.graph import RunContext
from platform_ctl.runs.local.reader import PIPELINE_FILE, LocalRuns
from platform_ctl.runs.local.records import RunEnd, RunRecords, now
from platform_ctl.runs.local.steps import Steps
from platform_ctl.runs.record import (
    EventKind,
    Run,
    RunEvent,
    RunRequest,
    RunState,
    Task,
)
from platform_ctl.settings import Settings

MIN_PARALLEL = 4
"""Tasks at a time on a small machine: many of them wait rather than compute."""
REVIVED_FILE = "revived"
"""In the directory of a run whose process died and that was continued by itself."""
_CANCEL_TIMEOUT_S = 5.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}

OnEvent = Callable[[RunEvent], None]


@dataclass(frozen=True)
class Hooks:
    """What the composition root adds to a run."""

    at_end: Callable[[Path], None]
    """Called with the run's directory, however the run ended."""
    execute: tuple[str, ...]
    """``python -c`` program and its words that call ``execute``; the id is appended."""
    on_death: Callable[[str], None] = lambda run_id: None
    """Hears of a run whose process is gone, before its record says so. Must not raise."""


class LocalOrchestrator(LocalRuns):
    """Runs compiled IR in processes of this machine. One instance serves one thread."""

    def __init__(self, settings: Settings, database: Database, hooks: Hooks) -> None:
        super().__init__(RunRecords(database, hooks.on_death))
        self._settings = settings
        self._database = database
        self._hooks = hooks

    # ---- port -------------------------------------------------------------

    def run(self, request: RunRequest, on_event: OnEvent) -> Run:
        pipeline, run = self._admit(request)
        return self._execute(pipeline, run, on_event)

    def submit(self, request: RunRequest) -> Run:
        if request.idempotency_key:
            earlier = self._records.by_key(request)
            if earlier:
                return self._revived(earlier.id)
        try:
            _, run = self._admit(request)
        except sqlite3.IntegrityError:  # somebody submitted the same a moment ago
            earlier = self._records.by_key(request)
            if earlier is None:
                raise
            return self._records.get(earlier.id)
        self._detach(run)
        return self._records.get(run.id)

    def resume(self, run_id: str, on_event: OnEvent) -> Run:
        self.record_deaths()
        run = self._records.get(run_id)
        if run.state is RunState.SUCCEEDED:
            raise UsageError(
                "the run succeeded: there is nothing to resume",
                where=run.id,
                fix=f"platform-ctl run show {run.id[:8]}",
            )
        if self._records.owner(run.id):
            raise _still_running(run)
        pipeline = ir_file.read(Path(run.directory) / PIPELINE_FILE)
        self.refuse_unsupported(pipeline, run.pipeline)
        return self._execute(pipeline, run, on_event)

    def cancel(self, run_id: str) -> Run:
        run = self._records.get(run_id)
        owner = self._records.owner(run.id)
        if run.state.final or owner is None:
            return run
        os.kill(owner, signal.SIGTERM)
        deadline = time.monotonic() + _CANCEL_TIMEOUT_S
        while time.monotonic() < deadline and self._records.owner(run.id):
            time.sleep(0.05)
        if self._records.owner(run.id) == owner and suspended(owner):
            raise _suspended(run, owner)
        return self._records.get(run.id)

    # ---- beyond the port: what the CLI needs ------------------------------

    def execute(self, run_id: str, on_event: OnEvent) -> Run:
        """The body of a detached run's process."""
        run = self._records.get(run_id)
        pipeline = ir_file.read(Path(run.directory) / PIPELINE_FILE)
        return self._execute(pipeline, run, on_event)

    def explain(self, pipeline: Pipeline) -> Sequence[support.UnsupportedUse]:
        """What of the pipeline is ignored or refused here."""
        return support.findings(
            pipeline, support.Environment(requirements.satisfied, importer.unreadable)
        )

    def refuse_unsupported(self, pipeline: Pipeline, where: str) -> None:
        """Raise UnsupportedInPipeline naming everything this target does not run."""
        refused = [f for f in self.explain(pipeline) if f.action == "refused"]
        if refused:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise UnsupportedInPipeline(
                f"{refused[0]}{more}",
                where=where,
                fix=f"platform-ctl pipeline run {where} --explain",
            )

    def record_deaths(self) -> tuple[str, ...]:
        """Write down that runs whose process is gone have failed, which they read as already;
        the ids of these runs."""
        return self._records.record_deaths()

    def delete(self, run: Run) -> None:
        """Forget a run that has ended, and its files.

        The files first: on a full disk the record can be deleted when they are gone, and who
        is killed between the two finds the run again.
        """
        if run.died:
            self.record_deaths()  # totals of runs count it
        shutil.rmtree(run.directory, ignore_errors=True)
        self._records.delete(run.id)

    # ---- inside -----------------------------------------------------------

    def _admit(self, request: RunRequest) -> tuple[Pipeline, Run]:
        """Everything is checked before there is a record."""
        data = _read(request.pipeline)
        pipeline = ir_file.parse(data, request.pipeline)
        self.refuse_unsupported(pipeline, str(request.pipeline))
        conditions.check(pipeline)
        require_kfp("steps, which kfp's executor runs")
        values = parameters.resolve(pipeline, request.parameters)
        run_id = str(uuid.uuid4())
        directory = self._settings.layout.runs / run_id
        run = Run(
            id=run_id,
            name=request.name or f"{pipeline.name}-{run_id[:8]}",
            pipeline=pipeline.name,
            state=RunState.PENDING,
            created_at=now(),
            directory=str(directory),
            parameters=values,
            use_cache=request.use_cache,
            scheduled_at=request.scheduled_at,
            pid=os.getpid(),
        )
        with _disk_errors(directory):
            self._database.writing()  # an empty file beside runs would be a database that was lost
            directory.mkdir(parents=True)
            (directory / PIPELINE_FILE).write_bytes(data)
            try:
                self._records.create(run, request.idempotency_key)
            except sqlite3.IntegrityError:
                shutil.rmtree(directory)
                raise
        return pipeline, run

    def _revived(self, run_id: str) -> Run:
        """The run, continued when its process died; once, so that one that kills itself ends."""
        self.record_deaths()
        run = self._records.get(run_id)
        if not run.died:
            return run
        try:
            (Path(run.directory) / REVIVED_FILE).touch(exist_ok=False)
        except FileExistsError:
            return run
        if self._records.reopen(run.id, os.getpid()):
            self._detach(self._records.get(run.id))
        return self._records.get(run.id)

    def _detach(self, run: Run) -> None:
        """Start the run's own process; it outlives this one and is found by its record."""
        log = Path(run.directory) / "orchestrator.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", *self._hooks.execute, run.id],
                cwd=self._settings.project_root,
                env=environment(PLATFORM_HOME=self._settings.home),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._records.own(run, process.pid, RunState.PENDING)

    def _execute(self, pipeline: Pipeline, run: Run, on_event: OnEvent) -> Run:
        """Own the run, interpret it, and leave a final record however it ends."""
        directory = Path(run.directory)
        finished = self._records.finished(run.id)
        if not self._records.own(run, os.getpid(), RunState.RUNNING):
            raise _still_running(run)
        on_event(RunEvent(EventKind.RUN, run.id, RunState.RUNNING))
        steps = Steps(
            cwd=Path(self._settings.project_root),
            log=directory / "steps.log",
            env=self._environment(run),
        )
        cost = RunCost(Ledger(self._database.writing(), self._settings.money_per_cpu_hour), run.id)
        end = RunEnd(RunState.FAILED, "the run was interrupted")
        try:
            with _disk_errors(directory), _Signals() as signals:
                end = self._interpret(pipeline, run, steps, cost, finished, signals, on_event)
        except PlatformError as exc:
            end = RunEnd(RunState.FAILED, exc.what)
            raise
        finally:
            steps.close()
            with contextlib.suppress(sqlite3.OperationalError):
                self._records.end(run.id, end)
                cost.end()
            self._hooks.at_end(directory)
        on_event(RunEvent(EventKind.RUN, run.id, end.state))
        return self._records.get(run.id)

    def _interpret(
        self,
        pipeline: Pipeline,
        run: Run,
        steps: Steps,
        cost: RunCost,
        finished: Mapping[str, Task],
        signals: _Signals,
        on_event: OnEvent,
    ) -> RunEnd:
        context = _context(run)
        if "workspace" in pipeline.kubernetes_pipeline:
            Path(context.workspace).mkdir(exist_ok=True)

        def record(task: Task) -> None:
            self._records.save_task(run.id, task)
            cost.task(task)
            on_event(RunEvent(EventKind.TASK, run.id, task.state, task))

        execution = Execution(
            pipeline,
            context,
            steps,
            self._environment(run),
            record,
            max_parallel=self._max_parallel(),
            wakeup=signals.selector,
            reuse=self._reuse(pipeline, run, cost, on_event),
            finished=finished,
        )
        engine = Engine(pipeline, context, execution, record)
        state = engine.run(dict(run.parameters), signals.received)
        error = engine.failures[0][1] if engine.failures else ""
        return RunEnd(state, error, tuple(engine.verdicts), engine.outputs)

    def _reuse(self, pipeline: Pipeline, run: Run, cost: RunCost, on_event: OnEvent) -> CachedSteps:
        return CachedSteps(
            StepCache(self._settings.layout.cache, self._database.writing()),
            CodeDigester(Path(self._settings.project_root), self._database.writing()),
            pipeline,
            run.id,
            computations=Computations(self._settings.layout.cache, run.id),
            use_cache=run.use_cache,
            saved=cost.saved,
            warn=lambda text: on_event(RunEvent(EventKind.NOTE, run.id, text=text)),
        )

    def _environment(self, run: Run) -> Mapping[str, str]:
        return {
            # torch makes this folder when an optimiser is made, by itself in the machine's /tmp.
            "TORCHINDUCTOR_CACHE_DIR": str(self._settings.layout.torch_cache),
            **environment(),
            "PLATFORM_HOME": self._settings.home,
            "PLATFORM_RUN_ID": run.id,
            "PLATFORM_RUN_DIR": run.directory,
            "PLATFORM_RUN_PID": str(os.getpid()),
        }

    def _max_parallel(self) -> int:
        return self._settings.max_parallel_tasks or max(MIN_PARALLEL, os.cpu_count() or 1)


class _Signals:
    """SIGINT and SIGTERM ask the run to end; outside the main thread there are none to hear."""

    def __init__(self) -> None:
        self._count = 0
        self._reader, self._writer = socket.socketpair()
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Signals:
        self.selector = selectors.DefaultSelector()
        self.selector.register(self._reader, selectors.EVENT_READ)
        self._writer.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
        self.selector.close()
        self._reader.close()
        self._writer.close()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._count += 1

    def received(self) -> bool:
        return self._count > 0


def _context(run: Run) -> RunContext:
    return RunContext(
        run_id=run.id,
        name=run.name,
        pipeline=run.pipeline,
        created_at=run.created_at,
        scheduled_at=run.scheduled_at or run.created_at,
        root=run.directory,
        workspace=str(Path(run.directory) / "workspace"),
    )


def _suspended(run: Run, pid: int) -> HomeBusy:
    """SIGTERM waits for a process that was stopped until that goes on."""
    return HomeBusy(
        f"the process of the run is suspended (process {pid}): it ends when it goes on",
        where=run.id,
        fix=f"kill -CONT {pid} && platform-ctl run watch {run.id[:8]}",
    )


def _still_running(run: Run) -> HomeBusy:
    return HomeBusy(
        "the run is still running", where=run.id, fix=f"platform-ctl run cancel {run.id[:8]}"
    )


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """What the disk refuses, as an error with a fix."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as exc:
        if not _is_full_or_readonly(exc):
            raise
        raise DiskFull(
            f"the run's records or files cannot be written: {exc}",
            where=str(directory),
            fix="df -h",
        ) from exc


def _is_full_or_readonly(exc: OSError | sqlite3.OperationalError) -> bool:
    if isinstance(exc, OSError):
        return exc.errno in _NO_ROOM
    return exc.sqlite_errorname.startswith(
        ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UnknownName(
            f"cannot read the pipeline: {exc.strerror}",
            where=str(path),
            fix="platform-ctl pipeline list",
        ) from exc
