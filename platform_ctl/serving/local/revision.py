"""The process of one revision: a model behind KServe's protocols.

Started by the supervisor as ``python -m … CONTROL_FD LISTEN_FD LIFELINE_FD``.
It always listens on a unix socket of its own (the canary's share arrives
there); at the listener, the service's shared TCP socket, it accepts only
while it is told to. When the supervisor's end of the parent-death pipe closes, the
supervisor was killed: this process goes on answering until a successor's
processes do, and ends in any case (parent_death.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from platform_ctl import __version__
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.home.environment import remember
from platform_ctl.home.log_lines import log_lines
from platform_ctl.models.stored import check_stored
from platform_ctl.serving.local import channel
from platform_ctl.serving.local.parent_death import ParentDeathPipe
from platform_ctl.serving.server import request_timeout
from platform_ctl.serving.server.front import App, Front
from platform_ctl.serving.server.request_log import RequestLog

_KEEP_ALIVE_S = 65
log = logging.getLogger("platform_ctl.revision")


class Listener(uvicorn.Server):
    """uvicorn for one socket; signals belong to the process, which has two of these."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def drain(self, seconds: float) -> None:
        """Stop accepting; let connections leave with their next answer, then close the idle."""
        for server in self.servers:
            server.close()
        deadline = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self.should_exit = True


class RevisionServer:
    """Wires the listener, the two sockets and the supervisor's channel."""

    def __init__(self, launch: channel.Launch, front: Front, listen_fd: int) -> None:
        self.launch = launch
        self._front = front
        self._listen_fd = listen_fd
        self._public: Listener | None = None
        self._tasks: set[asyncio.Task] = set()
        self._stop = asyncio.Event()

    async def run(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        reader, self._writer = await asyncio.open_unix_connection(sock=control)
        inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inside.bind(self.launch.socket)
        hidden = await self._listen(inside, self._front.inside)
        await self._front.prepare()
        self._tell("ready")
        obey = asyncio.create_task(self._obey(reader))
        obey.add_done_callback(self._command_ended)
        await self._stop.wait()
        obey.cancel()
        if self._public is not None:
            await self._detach(self.launch.limits.drain_s / 2)
        hidden.should_exit = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._front.finish()

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            command = channel.decode_command(line)
            if isinstance(command, channel.Route):
                await self._route(command)
            if not isinstance(command, channel.Launch):
                self._tell("done", command.seq, self._front.condition())

    def _command_ended(self, obey: asyncio.Task) -> None:
        """The supervisor is gone, which the parent-death pipe sees to; or a command has failed."""
        if not obey.cancelled() and obey.exception() is not None:
            log.error("a command failed", exc_info=obey.exception())
            self._stop.set()

    @property
    def is_accepting(self) -> bool:
        return self._public is not None

    @property
    def is_ending(self) -> bool:
        return self._stop.is_set()

    async def _route(self, wanted: channel.Route) -> None:
        await self._front.route(production=wanted.production, canary=wanted.canary)
        if wanted.front and self._public is None:
            self._front.draining = False
            shared = socket.socket(fileno=os.dup(self._listen_fd))
            self._public = await self._listen(shared, self._front)
        elif not wanted.front and self._public is not None:
            self._keep(self._detach(self.launch.limits.drain_s))

    async def _detach(self, seconds: float) -> None:
        public, self._public = self._public, None
        self._front.draining = True
        if public is not None:
            await public.drain(seconds)
        self._tell("drained")

    async def _listen(self, sock: socket.socket, app: App) -> Listener:
        limit = self.launch.limits.request_timeout_s
        config = uvicorn.Config(
            app,
            http=request_timeout.protocol(limit),
            interface="asgi3",  # uvicorn takes a bound method for ASGI 2
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(self.launch.limits.drain_s)),
            server_header=False,
        )
        listener = Listener(config)
        self._keep(listener.serve(sockets=[sock]))
        while not listener.started:
            await asyncio.sleep(0.002)
        return listener

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, event: str, seq: int = 0, condition: str = "") -> None:
        self._writer.write(channel.encode(channel.Event(event, seq, condition)))


def _read_launch(control: socket.socket) -> channel.Launch:
    line = b""
    while not line.endswith(b"\n"):
        line += control.recv(1) or sys.exit("the supervisor is gone")
    launch = channel.decode_command(line)
    assert isinstance(launch, channel.Launch)  # the first line is
    return launch


def _build_front(launch: channel.Launch) -> Front:
    from platform_ctl.serving.server.application import build_application
    from platform_ctl.serving.server.model import (
        EntityLookup,
        RevisionModel,
        load_predictor,
        read_example,
    )

    model_dir = Path(launch.revision.model_dir)
    if launch.revision.model_digest:
        check_stored(model_dir, launch.revision.model_digest)
    lookup = EntityLookup(launch.online_features, launch.data) if launch.online_features else None
    warming = lookup.warm() if lookup is not None else None
    model = RevisionModel(
        launch.service,
        load_predictor(model_dir),
        entity=launch.entity,
        lookup=lookup,
        max_rows=launch.limits.rows,
    )
    requests = RequestLog(Path(launch.request_log), max_bytes=launch.limits.log_bytes)
    return Front(
        build_application(model, __version__),
        service=launch.service,
        revision=launch.revision.name,
        log=requests,
        limits=launch.limits,
        example=read_example(model_dir),
        warming=warming,
    )


def main() -> None:
    remember()
    control_fd, listen_fd, parent_fd = map(int, sys.argv[1:4])
    log_lines()
    for library in ("httpx", "uvicorn", "feast"):
        logging.getLogger(library).setLevel(logging.WARNING)
    parent_pipe = ParentDeathPipe(parent_fd, listen_fd)
    control = socket.socket(fileno=control_fd)
    launch = _read_launch(control)
    try:
        front = _build_front(launch)
    except EvidenceMismatch as exc:
        log.error("%s", exc)
        control.sendall(channel.encode(channel.Event("refused", error=exc.as_dict())))
        sys.exit(exc.exit_code)
    process = RevisionServer(launch, front, listen_fd)
    parent_pipe.protects(process)
    control.setblocking(False)
    with asyncio.Runner(
        loop_factory=uvicorn.Config(front, log_config=None).get_loop_factory()
    ) as runner:
        runner.run(process.run(control))


if __name__ == "__main__":
    main()
