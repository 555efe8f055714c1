"""The run's end of the step server: start, signal, and hear of the end of steps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.errors import WorkloadFailed
from platform_ctl.runs.local import step_server

_INTERPRETER_VARIABLES = ("PYTHON", "LD_", "DYLD_")


@dataclass(frozen=True)
class StepCommand:
    """One step to start: paths are absolute, ``env`` is complete."""

    id: str
    source: str
    function: str
    input: str
    log: str
    env: Mapping[str, str]


@dataclass(frozen=True)
class Exited:
    """A step ended. ``status`` is its exit code, or minus the signal."""

    id: str
    status: int
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    reason: str = ""


class Steps:
    """Started with the first step; ``close`` ends whatever still runs."""

    def __init__(self, *, cwd: Path, log: Path, env: Mapping[str, str]) -> None:
        self._cwd, self._log, self._env = cwd, log, env
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._pids: dict[str, int] = {}
        self._started: set[str] = set()

    @property
    def socket(self) -> socket.socket | None:
        """Readable when ``events`` has something; None before the first step."""
        return self._socket

    def start(self, command: StepCommand) -> None:
        if self._socket is None:
            self._launch()
        self._started.add(command.id)
        self._send(
            {
                "op": "start",
                "id": command.id,
                "source": command.source,
                "function": command.function,
                "input": command.input,
                "log": command.log,
                "env": dict(command.env),
                "exec": self._needs_interpreter(command),
            }
        )

    def signal(self, step: str, number: int) -> None:
        """To the step's whole process group."""
        self._send({"op": "signal", "id": step, "signal": number})

    def events(self) -> list[Exited]:
        """What ended since the last call; blocks only when ``socket`` is not readable."""
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            return self._lost()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        ended = []
        for message in map(json.loads, lines):
            event = message.pop("event")
            if event == "started":
                self._pids[message["id"]] = message["pid"]
            else:
                self._forget(message["id"])
                ended.append(Exited(**message))
        return ended

    def close(self) -> None:
        """The server kills what still runs when its socket closes."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket = self._process = None

    def _needs_interpreter(self, command: StepCommand) -> bool:
        """Whether a fork of the server will not do: see step_server."""
        changed = {k for k, v in command.env.items() if self._env.get(k) != v}
        return sys.platform == "darwin" or any(
            k.startswith(_INTERPRETER_VARIABLES) for k in changed
        )

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", step_server.MODULE, str(theirs.fileno())],
                cwd=self._cwd,
                env={**self._env, "_KFP_RUNTIME": "true"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket, self._buffer = ours, b""

    def _send(self, message: dict[str, object]) -> None:
        if self._socket is not None:
            with contextlib.suppress(ConnectionError):
                self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _forget(self, step: str) -> None:
        self._pids.pop(step, None)
        self._started.discard(step)

    def _lost(self) -> list[Exited]:
        """The server is gone: so must be its steps. The next step starts a new one."""
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        never_ran = self._started - set(self._pids)
        lost, self._started = self._started, set()
        self._pids.clear()
        self.close()
        if never_ran == lost and lost:
            tail = self._log.read_text(encoding="utf-8", errors="replace").strip()
            last = tail.splitlines()[-1] if tail else "no message"
            raise WorkloadFailed(
                f"steps cannot be started: {last}",
                where=str(self._log),
                fix="platform-ctl doctor",
            )
        return [Exited(step, -signal.SIGKILL, reason="the step server died") for step in lost]
