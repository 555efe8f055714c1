"""The detached process of one InferenceService: ``python -m … SERVICE_DIR READY_FD [LISTEN_FD]``.

Holds the listening socket across revisions and command-line calls, starts and
watches one process per revision, and applies specs that arrive on its control
socket (one JSON object a line: ``{"verb": "ping" | "status" | "apply" | "restart" | "stop"}``).
What it serves is on disk before callers see it, so that a restart serves it again.
With LISTEN_FD it is a successor (handover.py): it takes the address over.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import filelock
import msgspec
import psutil
import tenacity

from platform_ctl.errors import (
    HomeBusy,
    PlatformError,
    PortInUse,
    ServiceUnavailable,
    UsageError,
)
from platform_ctl.home.environment import remember
from platform_ctl.home.log_lines import log_lines
from platform_ctl.home.machine_errors import of_machine
from platform_ctl.serving.local import records
from platform_ctl.serving.local.handover import end_all, start_supervisor
from platform_ctl.serving.local.records import (
    ProcessId,
    Running,
    SavedSpec,
    ServiceFiles,
    SupervisorOptions,
)
from platform_ctl.serving.local.replica_set import ReplicaSet
from platform_ctl.serving.service import ServiceSpec, check_spec

_BACKLOG = 512
_HOME_CHECK_S = 2.0
_GRACE_S = 3.0
_REPLY_S = 5.0
log = logging.getLogger("platform_ctl.supervisor")


class Supervisor:
    """Control socket and life cycle; the revisions are the Fleet's."""

    def __init__(
        self,
        files: ServiceFiles,
        options: SupervisorOptions,
        listener: socket.socket,
        lock: filelock.BaseFileLock,
        predecessor: Running | None,
    ) -> None:
        self._files = files
        self._options = options
        self._listener = listener
        self._lock = lock
        self._left = predecessor
        """What a predecessor that was killed has left: it answers until we do."""
        self._sockets = files.socket_dir()
        self._control = self._sockets / f"{os.getpid()}-control.sock"
        self._stop = asyncio.Event()
        self._turn = asyncio.Lock()
        self._succeeded = False
        self._serves = False
        """What it should serve is known to the fleet."""
        self._replicas = ReplicaSet(
            files.name, options, listener, self._sockets, files, self._record
        )

    async def run(self, spec: ServiceSpec | None, announce: Any) -> None:
        """Serve until told to stop. ``announce(error or None)`` is called once, when serving."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = await asyncio.start_unix_server(self._answer, self._control)
        os.chmod(self._control, 0o600)
        relief = None
        try:
            async with self._turn:
                self._record()
                if spec is not None:
                    await self._restore(spec)
                    self._serves = True
            relief = asyncio.create_task(self._relieve())
            announce(None)
            await self._until_stopped()
        finally:
            async with self._turn:
                server.close()
                if relief is not None:
                    await relief
                await self._replicas.close()
            self._tidy()

    async def _restore(self, spec: ServiceSpec) -> None:
        """Serve what was served last; a canary that does not start keeps production from nobody."""
        try:
            await self._replicas.apply(spec)
        except ServiceUnavailable as exc:
            if spec.production is None or spec.canary is None:
                raise
            log.error("%s: serving production alone", exc.what)
            await self._replicas.apply(dataclasses.replace(spec, canary=None, weight_percent=0))

    async def _relieve(self) -> None:
        """End what a killed predecessor has left: first who accepts, then whom that one asks."""
        if (predecessor := self._left) is not None:
            for processes in (predecessor.accepting, predecessor.others):
                limit = self._options.limits.drain_s + _GRACE_S
                await asyncio.to_thread(end_all, processes, within_s=limit)
            log.info("the processes of supervisor %d have ended", predecessor.supervisor.pid)
            self._left = None
            self._record()

    async def _hand_over(self) -> None:
        """Let a successor take the listening socket; this one then ends. Raises what it reports:
        nothing has changed then."""
        self._succeeded = True
        self._lock.release()
        try:
            await asyncio.to_thread(
                start_supervisor,
                self._files,
                self._options.project_root,
                listen_fd=self._listener.fileno(),
            )
        except BaseException:
            self._lock.acquire()
            self._succeeded = False
            self._record()
            raise

    async def _until_stopped(self) -> None:
        """Until told to stop, or until the home was deleted under us."""
        while not self._stop.is_set() and self._files.root.is_dir():
            try:
                await asyncio.wait_for(self._stop.wait(), _HOME_CHECK_S)
            except TimeoutError:
                continue

    def _record(self) -> None:
        if self._succeeded:  # the record is the successor's
            return
        me = ProcessId.of(os.getpid())
        accepting, others = self._replicas.accepting_ids(), self._replicas.other_ids()
        if self._left is not None:
            accepting, others = [*accepting, *self._left.accepting], [*others, *self._left.others]
        records.write_json(self._files.running, Running(me, str(self._control), accepting, others))

    def _tidy(self) -> None:
        self._control.unlink(missing_ok=True)
        if self._succeeded:
            return
        if self._left is not None:  # we have failed; they are still there
            records.write_json(self._files.running, self._left)
            return
        self._files.running.unlink(missing_ok=True)
        for path in self._sockets.glob("*.sock"):  # ours, and what a kill has left
            pid = int(path.name.partition("-")[0])
            if pid == os.getpid() or not psutil.pid_exists(pid):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the home, and this in it, may be gone
            self._sockets.rmdir()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] | None
        try:
            request = msgspec.json.decode(await reader.readline())
            if request["verb"] == "ping":  # at once, whatever else it does
                answer = {}
            elif request["verb"] == "status" and self._serves:
                answer = self._status()  # also while a spec is being applied
            else:
                async with self._turn:
                    answer = None if self._succeeded else await self._obey(request)
        except PlatformError as exc:
            answer = {"error": exc.as_dict()}
        try:
            if answer is not None:  # whoever was late asks our successor
                writer.write(msgspec.json.encode(answer, enc_hook=str) + b"\n")
                async with asyncio.timeout(_REPLY_S):
                    await writer.drain()
        except (OSError, TimeoutError) as exc:  # the command was killed, or is stopped
            log.info("nobody reads the answer to %s: %s", request["verb"], exc)
        finally:
            writer.close()
            if answer and answer.get("ends"):
                self._stop.set()

    def _status(self) -> dict[str, Any] | None:
        return None if self._succeeded else {"status": self._replicas.status()}

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["verb"] == "apply":
            spec = msgspec.convert(request["spec"], ServiceSpec)
            check_spec(self._files.name, spec)
            await self._replicas.apply(spec)
            self._serves = True
            self._record()
        elif request["verb"] == "restart":
            await self._hand_over()
            return {"ends": True}
        elif request["verb"] == "stop":
            return {"ends": True}
        elif request["verb"] != "status":
            raise UsageError(
                f"this supervisor is older than the command: it knows no {request['verb']!r}",
                where=f"InferenceService {self._files.name}",
                fix=f"platform-ctl service stop {self._files.name}",
            )
        return {"status": self._replicas.status()}


def _bind(options: SupervisorOptions, port: int, name: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, port))
    except OSError as exc:
        listener.close()
        raise PortInUse(
            f"{options.host}:{port} cannot be opened: {exc.strerror}",
            where=f"InferenceService {name}",
            fix=f"end what listens on port {port}, then: platform-ctl service start {name}",
        ) from exc
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(PortInUse),
    wait=tenacity.wait_fixed(0.1),
    stop=tenacity.stop_after_delay(4.0),
    reraise=True,
)
def _bind_again(options: SupervisorOptions, port: int, name: str) -> socket.socket:
    """After a kill: a process that was just starting then holds the socket until it notices."""
    return _bind(options, port, name)


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=2_000_000, backupCount=2, encoding="utf-8"
    )
    log_lines(handler, form="%(asctime)s %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _serve(files: ServiceFiles, announce: Any, listen_fd: int | None) -> None:
    lock = filelock.FileLock(files.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise HomeBusy(
            f"{files.name} has a supervisor already",
            where=str(files.lock),
            fix="platform-ctl service list",
        ) from exc
    options = records.read_known(files.options, SupervisorOptions)
    saved = records.read_json(files.spec, SavedSpec)
    predecessor = records.read_json(files.running, Running)
    if predecessor is not None and predecessor.supervisor.process() is not None:
        predecessor = None  # it hands over to us, and ends its own
    if listen_fd is not None:
        listener = _adopt(listen_fd)
    else:
        port = saved.port if saved and saved.port else options.port
        listener, predecessor = _bind_after(predecessor, options, port, files.name), None
    supervisor = Supervisor(files, options, listener, lock, predecessor)
    try:
        with asyncio.Runner() as runner:
            runner.run(supervisor.run(saved.spec if saved else None, announce))
    finally:
        lock.release()


def _adopt(listen_fd: int) -> socket.socket:
    listener = socket.socket(fileno=listen_fd)
    listener.setblocking(False)
    return listener


def _bind_after(
    predecessor: Running | None, options: SupervisorOptions, port: int, name: str
) -> socket.socket:
    """Bind anew; what a killed supervisor has left would hold the port."""
    if predecessor is None:
        return _bind(options, port, name)
    end_all([*predecessor.accepting, *predecessor.others], within_s=options.limits.drain_s)
    return _bind_again(options, port, name)


def main() -> None:
    remember()
    files = ServiceFiles(Path(sys.argv[1]))
    ready = os.fdopen(int(sys.argv[2]), "w")
    listen_fd = int(sys.argv[3]) if len(sys.argv) > 3 else None

    def announce(error: dict | None) -> None:
        json.dump({"error": error} if error else {"ready": True}, ready)
        ready.close()

    _log_to(files.log)
    try:
        _serve(files, announce, listen_fd)
    except (PlatformError, OSError) as exc:
        error = exc if isinstance(exc, PlatformError) else of_machine(exc, f"service {files.name}")
        if error is None:
            raise
        log.error("%s", error.what)
        if not ready.closed:
            announce(error.as_dict())
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
