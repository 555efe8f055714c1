"""Starts the steps of one run and ends them all when the run's process ends.

``python -m platform_ctl.runs.local.step_server FD``: a small
single-threaded process that has imported kfp's executor and nothing else. A
step is a fork of it (6 ms instead of 60), or a fresh interpreter where a fork
is not safe (macOS) or not enough (the step sets PYTHON*). It talks JSON lines
over the socket FD; when the other end closes, even by kill -9, it kills every
process group it started. If it is killed itself, its children die with it
(parent-death signal, Linux) or are killed by the run's process (elsewhere).

Requests: {"op": "start", "id", "source", "function", "input", "log", "env",
"exec"} and {"op": "signal", "id", "signal"}. Answers: {"event": "started",
"id", "pid"} and {"event": "exited", "id", "status", "cpu_s", "peak_memory_bytes"}.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import importlib.util
import io
import json
import logging
import os
import selectors
import signal
import socket
import sys
import traceback
from types import FrameType, TracebackType
from typing import Any

from platform_ctl.home.environment import remember
from platform_ctl.runs.step_log import quiet_libraries

MODULE = "platform_ctl.runs.local.step_server"
_PR_SET_PDEATHSIG = 1
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class StepServer:
    """One per run. ``serve`` returns None at the end, or, in a forked child, its step."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = b""
        self._requests: collections.deque[dict[str, Any]] = collections.deque()
        self._running: dict[int, str] = {}
        self._wake, wake_writer = socket.socketpair()
        self._wake.setblocking(False)
        wake_writer.setblocking(False)
        self._wake_writer = wake_writer
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> dict[str, Any] | None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    self._wake.recv(4096)
                elif not self._receive():
                    self._kill_all()
                    return None
            self._reap()
            while self._requests:
                request = self._requests.popleft()
                if request["op"] == "signal":
                    self._signal(request["id"], request["signal"])
                elif self._start(request):
                    return request

    def _receive(self) -> bool:
        try:
            data = self._control.recv(1 << 16)
        except ConnectionError:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._requests.extend(map(json.loads, lines))
        return bool(data)

    def _answer(self, **message: Any) -> None:
        with contextlib.suppress(ConnectionError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _start(self, request: dict[str, Any]) -> bool:
        """Fork. True in the child, which then owns nothing of the server any more."""
        server = os.getpid()
        pid = os.fork()
        if pid:
            self._running[pid] = request["id"]
            self._answer(event="started", id=request["id"], pid=pid)
            return False
        os.setsid()
        _die_with(server)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for end in (self._control, self._wake, self._wake_writer):
            end.close()
        _redirect(request["log"])
        return True

    def _reap(self) -> None:
        """Collect ended steps; what is left of their process groups goes with them."""
        while self._running:
            pid = self._ended()
            if pid == 0:
                return
            _kill_group(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            self._answer(
                event="exited",
                id=self._running.pop(pid, ""),
                status=os.waitstatus_to_exitcode(status),
                cpu_s=round(usage.ru_utime + usage.ru_stime, 6),
                peak_memory_bytes=usage.ru_maxrss * _RSS_UNIT,
            )

    def _ended(self) -> int:
        """Pid of a child that ended and is not yet collected (so its pid is not reused), or 0."""
        if not hasattr(os, "waitid"):
            return next((pid for pid in self._running if _is_zombie(pid)), 0)
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended.si_pid if ended else 0

    def _signal(self, step: str, number: int) -> None:
        for pid, known in self._running.items():
            if known == step:
                _kill_group(pid, number)

    def _kill_all(self) -> None:
        for pid in self._running:
            _kill_group(pid, signal.SIGKILL)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal wakes the selector."""


def _is_zombie(pid: int) -> bool:
    import psutil

    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _kill_group(pid: int, number: int) -> None:
    """The step's process group; the step alone when it has not made its group yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    except PermissionError:
        pass  # macOS: only zombies are left


def _die_with(parent: int) -> None:
    prctl = _prctl()
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@functools.cache
def _prctl() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


def _redirect(log: str) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target, source in ((0, null), (1, out), (2, out)):
        os.dup2(source, target)
    os.close(null)
    os.close(out)


def run_step(step: dict[str, Any]) -> None:
    """Call the component's function with kfp's executor, in this process."""
    sys.excepthook = functools.partial(_explain, os.path.dirname(step["input"]))
    sys.argv = [step["source"]]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)  # as the interpreter opened them
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    quiet_libraries()
    from kfp.dsl.executor import Executor

    with open(step["input"], encoding="utf-8") as file:
        executor_input = json.load(file)
    function = _load(step["source"], step["function"])
    executor = Executor(executor_input=executor_input, function_to_execute=function)
    for name, artifact_list in executor_input["inputs"]["artifacts"].items():
        if not artifact_list["artifacts"]:  # collected over a loop without items: kfp binds None
            executor.input_artifacts[name] = []
    executor.execute()


def _load(path: str, function: str) -> Any:
    """The component's function from its embedded source, without leaving a .pyc."""
    spec = importlib.util.spec_from_file_location("ephemeral_component", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, os.path.dirname(path))  # as kfp does: processes it spawns can import it
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return getattr(module, function)


def _explain(
    folder: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The traceback from the component's own code on: how it was called is of no interest.

    An error of the platform's own also leaves what it says, and its fix, as JSON; so does what
    the machine says in a step that works with the platform: a damaged file, a full disk.
    """
    if "platform_ctl.errors" in sys.modules:
        from platform_ctl.errors import PlatformError
        from platform_ctl.home.machine_errors import of_machine

        own = error if isinstance(error, PlatformError) else of_machine(error, "")
        if own is not None:
            with open(os.path.join(folder, "error.json"), "w", encoding="utf-8") as file:
                json.dump(own.as_dict(), file)
    inner = trace
    while inner and not inner.tb_frame.f_code.co_filename.endswith("ephemeral_component.py"):
        inner = inner.tb_next
    traceback.print_exception(kind, error, inner or trace)


def main(argv: list[str]) -> None:
    if argv[0] == "--step":
        remember()
        run_step(json.loads(argv[1]))
        return
    import kfp.dsl.executor  # noqa: F401  (what every step needs, imported once)

    control = socket.socket(fileno=int(argv[0]))
    _prctl()
    gc.collect()
    gc.freeze()
    step = StepServer(control).serve()
    if step is None:
        os._exit(0)
    if step["exec"]:
        words = {key: step[key] for key in ("source", "function", "input")}
        arguments = [sys.executable, "-m", MODULE, "--step", json.dumps(words)]
        os.execve(sys.executable, arguments, step["env"])
    os.environ.clear()
    os.environ.update(step["env"])
    remember()
    run_step(step)


if __name__ == "__main__":
    main(sys.argv[1:])
