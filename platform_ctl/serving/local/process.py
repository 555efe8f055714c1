"""One revision's process, as its supervisor sees it: start, tell, watch, end."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from platform_ctl.errors import ServiceUnavailable
from platform_ctl.home.environment import environment
from platform_ctl.serving.local import channel
from platform_ctl.serving.local.records import ProcessId
from platform_ctl.serving.reported import as_raised

_ACK_TIMEOUT_S = 15.0
_KILL_AFTER_S = 3.0
_LAST_WORDS_S = 1.0

_ENVIRONMENT = {
    # One caller's request is one small matrix: more threads only contend for the cores.
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class RevisionProcess:
    """A running revision. ``on_line`` gets what it prints."""

    def __init__(
        self,
        launch: channel.Launch,
        on_line: Callable[[str], None],
    ) -> None:
        self.launch = launch
        self.name = launch.revision.name
        self.ready = False
        self.condition = ""
        """Why it gives no predictions, as it last said; empty when it does."""
        self.last_seen = time.monotonic()
        self._refused: dict[str, str] = {}
        self._on_line = on_line
        self._seq = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._writer: asyncio.StreamWriter | None = None

    @property
    def id(self) -> ProcessId:
        return self._id

    async def start(self, *, listen_fd: int, parent_fd: int, cwd: str) -> None:
        """Start it and wait until it is ready. Raises ServiceUnavailable."""
        Path(self.launch.socket).unlink(missing_ok=True)
        ours, theirs = socket.socketpair()
        fds = (theirs.fileno(), listen_fd, parent_fd)
        module = "platform_ctl.serving.local.revision"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *map(str, fds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=fds,
            cwd=cwd,
            env=environment() | _ENVIRONMENT,
        )
        theirs.close()
        try:
            await self._begin(ours)
        except asyncio.CancelledError:  # nobody waits for it any more
            await asyncio.shield(self.kill())
            raise

    async def _begin(self, ours: socket.socket) -> None:
        self.ended = asyncio.create_task(self._process.wait())
        self._id = ProcessId.of(self._process.pid)
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._writer.write(channel.encode(self.launch))
        self._tasks = [
            asyncio.create_task(self._listen(reader)),
            asyncio.create_task(self._copy_output()),
        ]
        await self._wait_ready()

    async def _wait_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        limit = self.launch.limits.ready_timeout_s
        await asyncio.wait({ready, self.ended}, timeout=limit, return_when="FIRST_COMPLETED")
        ready.cancel()
        if self.ended.done():  # what it said last
            await asyncio.wait({self._tasks[0]}, timeout=_LAST_WORDS_S)
        if self._ready.is_set():
            self.ready = True
            return
        if self._refused:
            await self.kill()
            raise as_raised(self._refused)
        how = (
            f"ended with code {self._process.returncode}"
            if self.ended.done()
            else f"was not ready in {limit:g} s"
        )
        await self.kill()
        raise ServiceUnavailable(
            f"revision {self.name} {how}",
            where=self.launch.revision.model_dir,
            fix=f"platform-ctl service logs {self.launch.service}",
        )

    async def route(
        self, *, front: bool, production: bool, canary: channel.Canary | None = None
    ) -> None:
        """Change what it does with requests; returns when it holds. Raises ServiceUnavailable."""
        seq = next(self._seq)
        if not front:
            self._drained.clear()
        await self._ask(channel.Route(seq, front, production, canary))

    async def ping(self) -> None:
        await self._ask(channel.Ping(next(self._seq)))

    async def _ask(self, message: channel.Route | channel.Ping) -> None:
        answer = asyncio.get_running_loop().create_future()
        self._waiting[message.seq] = answer
        assert self._writer is not None  # it was started
        try:
            self._writer.write(channel.encode(message))
            await asyncio.wait(
                {answer, self.ended}, timeout=_ACK_TIMEOUT_S, return_when="FIRST_COMPLETED"
            )
            if not answer.done():
                raise ServiceUnavailable(
                    f"revision {self.name} does not react",
                    where=f"process {self._process.pid}",
                    fix=f"platform-ctl service logs {self.launch.service}",
                )
        finally:
            self._waiting.pop(message.seq, None)

    async def wait_drained(self) -> None:
        """Until the listener has no open request, or the drain time is over."""
        limit = self.launch.limits.drain_s + 1.0
        drained = asyncio.create_task(self._drained.wait())
        await asyncio.wait({drained, self.ended}, timeout=limit, return_when="FIRST_COMPLETED")
        drained.cancel()

    async def end(self) -> None:
        """SIGTERM, time to answer what was accepted, then SIGKILL."""
        if not self.ended.done():
            self._signal(signal.SIGTERM)
            limit = self.launch.limits.drain_s + _KILL_AFTER_S
            await asyncio.wait({self.ended}, timeout=limit)
        await self.kill()

    async def kill(self) -> None:
        if not self.ended.done():
            self._signal(signal.SIGKILL)
        await self.ended
        for task in self._tasks:
            await asyncio.wait({task}, timeout=1.0)
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        Path(self.launch.socket).unlink(missing_ok=True)

    def _signal(self, number: int) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            pass

    def rss_bytes(self) -> int:
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            event = channel.decode_event(line)
            self.last_seen = time.monotonic()
            self.condition = event.condition
            if event.event == "ready":
                self._ready.set()
            elif event.event == "refused":
                self._refused = event.error
            elif event.event == "drained":
                self._drained.set()
            elif (answer := self._waiting.get(event.seq)) and not answer.done():
                answer.set_result(None)

    async def _copy_output(self) -> None:
        rest, output = b"", self._process.stdout
        assert output is not None  # PIPE
        while chunk := await output.read(64 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._on_line(line.decode(errors="replace"))
            rest = rest[-64 * 1024 :]
        if rest:
            self._on_line(rest.decode(errors="replace"))
