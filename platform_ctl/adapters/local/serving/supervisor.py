"""The detached process of one InferenceService: ``python -m … SERVICE_DIR READY_FD``.

Holds the listening socket across revisions and command-line calls, starts and
watches one process per revision, and applies specs that arrive on its control
socket (one JSON object a line: ``{"verb": "status" | "apply" | "stop"}``).
What it serves is on disk before callers see it, so that a restart serves it again.
"""

from __future__ import annotations

import asyncio
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
import tenacity

from platform_ctl.adapters.local.serving import records
from platform_ctl.adapters.local.serving.fleet import Fleet
from platform_ctl.adapters.local.serving.records import (
    Options,
    ProcessId,
    Running,
    SavedSpec,
    ServiceFiles,
)
from platform_ctl.domain.serving import ServiceSpec, check_spec
from platform_ctl.errors import HomeBusy, PlatformError, PortInUse, ServiceUnavailable

_BACKLOG = 512
_HOME_CHECK_S = 2.0
log = logging.getLogger("platform_ctl.supervisor")


class Supervisor:
    """Control socket and life cycle; the revisions are the Fleet's."""

    def __init__(self, files: ServiceFiles, options: Options, listener: socket.socket) -> None:
        self._files = files
        self._listener = listener
        self._sockets = files.socket_dir()
        self._control = self._sockets / "control.sock"
        self._stop = asyncio.Event()
        self._turn = asyncio.Lock()
        self._fleet = Fleet(files.name, options, listener, self._sockets, files, self._record)

    async def run(self, spec: ServiceSpec | None, announce: Any) -> None:
        """Serve until told to stop. ``announce(error or None)`` is called once, when serving."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, self._control)
        os.chmod(self._control, 0o600)
        try:
            if spec is not None:
                await self._restore(spec)
            self._record()
            announce(None)
            await self._until_stopped()
        finally:
            async with self._turn:
                server.close()
                await self._fleet.close()
            self._control.unlink(missing_ok=True)
            self._files.running.unlink(missing_ok=True)

    async def _restore(self, spec: ServiceSpec) -> None:
        """Serve what was served last; a canary that does not start keeps production from nobody."""
        try:
            await self._fleet.apply(spec)
        except ServiceUnavailable as exc:
            if spec.production is None or spec.canary is None:
                raise
            log.error("%s: serving production alone", exc.what)
            await self._fleet.apply(dataclasses.replace(spec, canary=None, weight_percent=0))

    async def _until_stopped(self) -> None:
        """Until told to stop, or until the home was deleted under us."""
        while not self._stop.is_set() and self._files.root.is_dir():
            try:
                await asyncio.wait_for(self._stop.wait(), _HOME_CHECK_S)
            except TimeoutError:
                continue

    def _record(self) -> None:
        me = ProcessId.of(os.getpid())
        running = Running(me, str(self._control), self._fleet.process_ids())
        records.write_json(self._files.running, running)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(await reader.readline())
            async with self._turn:
                answer = await self._obey(request)
        except PlatformError as exc:
            answer = {"error": exc.as_dict()}
        writer.write(msgspec.json.encode(answer, enc_hook=str) + b"\n")
        await writer.drain()
        writer.close()
        if "stopped" in answer:
            self._stop.set()

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["verb"] == "apply":
            spec = msgspec.convert(request["spec"], ServiceSpec)
            check_spec(self._files.name, spec)
            await self._fleet.apply(spec)
            self._record()
        elif request["verb"] == "stop":
            return {"stopped": True}
        return {"status": self._fleet.status()}


def _bind(options: Options, port: int, name: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, port))
    except OSError as exc:
        listener.close()
        raise PortInUse(
            f"{options.host}:{port} cannot be had: {exc.strerror}",
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
def _bind_again(options: Options, port: int, name: str) -> socket.socket:
    """After a kill: a process that was just starting then holds the socket until it notices."""
    return _bind(options, port, name)


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=2_000_000, backupCount=2, encoding="utf-8"
    )
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=[handler], force=True
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _serve(files: ServiceFiles, announce: Any) -> None:
    lock = filelock.FileLock(files.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise HomeBusy(
            f"{files.name} has a supervisor already",
            where=str(files.lock),
            fix="platform-ctl service list",
        ) from exc
    options = records.read_json(files.options, Options)
    saved = records.read_json(files.spec, SavedSpec)
    port = saved.port if saved and saved.port else options.port
    left = records.read_json(files.running, Running)
    if left is None:
        listener = _bind(options, port, files.name)
    else:
        _end_leftovers(left)
        listener = _bind_again(options, port, files.name)
    supervisor = Supervisor(files, options, listener)
    with lock, asyncio.Runner() as runner:
        runner.run(supervisor.run(saved.spec if saved else None, announce))


def _end_leftovers(left: Running) -> None:
    """End what a supervisor that was killed has left behind."""
    for child in left.children:
        process = child.process()
        if process is not None:
            log.info("ending process %d, left by supervisor %d", child.pid, left.supervisor.pid)
            process.kill()
            process.wait(timeout=5)


def main() -> None:
    files = ServiceFiles(Path(sys.argv[1]))
    ready = os.fdopen(int(sys.argv[2]), "w")

    def announce(error: dict | None) -> None:
        json.dump({"error": error} if error else {"ready": True}, ready)
        ready.close()

    _log_to(files.log)
    try:
        _serve(files, announce)
    except PlatformError as exc:
        log.error("%s", exc.what)
        if not ready.closed:
            announce(exc.as_dict())
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
