"""The serving port on this machine: finds, starts and asks the supervisors."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl import errors
from platform_ctl.folders import make_private
from platform_ctl.home.process import tree_cpu_s
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.serving.local import records
from platform_ctl.serving.local.handover import (
    have_ended,
    start_supervisor,
)
from platform_ctl.serving.local.records import (
    Running,
    SavedSpec,
    ServiceFiles,
    ServiceLimits,
    SupervisorOptions,
)
from platform_ctl.serving.reported import as_raised
from platform_ctl.serving.server import request_log as requestlog
from platform_ctl.serving.service import (
    InferenceService,
    RequestObservation,
    RevisionStatus,
    ServiceSpec,
    ServiceState,
    check_spec,
)

_PING_TIMEOUT_S = 10.0
"""A supervisor answers this at once, whatever else it does."""
_CONTROL_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 30.0
_ENDING_S = 2.0
"""A killed process may be seen for a moment after its sockets have closed."""
_SUCCESSION_S = 60.0
"""Most of it is two imports; on a busy machine they take long."""
_KILLED = "its processes are gone, and nobody stopped it"
_ASK_AGAIN = 3
_POLL_S = 0.05


class _NoAnswer(Exception):
    """A supervisor did not answer."""


class LocalServing:
    """One supervisor process per InferenceService, under ``services_dir``."""

    def __init__(
        self,
        services_dir: Path,
        *,
        host: str,
        port: int,
        project_root: str,
        data: DataAccess,
        limits: ServiceLimits | None = None,
    ) -> None:
        self._dir = services_dir
        self._options = SupervisorOptions(host, port, project_root, data, limits or ServiceLimits())

    # ---- the port ---------------------------------------------------------

    def list(self) -> Sequence[InferenceService]:
        return [self._seen(ServiceFiles(p.parent)) for p in sorted(self._dir.glob("*/spec.json"))]

    def _seen(self, files: ServiceFiles) -> InferenceService:
        """Its status; that of one whose supervisor does not answer is what was recorded."""
        try:
            return self.get(files.name)
        except errors.ServiceUnavailable as exc:
            stopped = self._stopped(files)
            unwell = [dataclasses.replace(r, last_failure=exc.what) for r in stopped.revisions]
            running = records.read_json(files.running, Running)
            return dataclasses.replace(
                stopped,
                state=ServiceState.UNKNOWN,
                revisions=tuple(unwell),
                pid=running.supervisor.pid if running else None,
            )

    def get(self, name: str) -> InferenceService:
        files = self._known(name)
        answer = self._told(files, {"verb": "status"})
        return self._status(files, answer) if answer else self._stopped(files)

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        check_spec(name, spec)
        files = ServiceFiles(self._dir / name)
        if self._running(files) is None:
            self._start(files)
        answer = self._told(files, {"verb": "apply", "spec": spec})
        if answer is None:
            raise _has_ended(files)
        return self._status(files, answer)

    def start(self, name: str, *, anew: bool = False) -> InferenceService:
        files = self._known(name)
        running = self._running(files)
        if running is None:
            self._start(files)
        elif anew:
            records.write_json(files.options, self._options)
            self._told(files, {"verb": "restart"})
            have_ended([running.supervisor], within_s=_STOP_TIMEOUT_S)
        return self.get(name)

    def stop(self, name: str) -> InferenceService:
        files = self._known(name)
        while (running := self._running(files)) is not None:
            self._told(files, {"verb": "stop"})
            if not have_ended([running.supervisor], within_s=_STOP_TIMEOUT_S):
                pid = running.supervisor.pid
                raise errors.ServiceUnavailable(
                    f"the supervisor of {name} does not end",
                    where=f"process {pid}",
                    fix=f"kill -9 {pid} && platform-ctl service list",
                )
        return self._stopped(files)

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        return requestlog.read(self._known(name).requests, since=since)

    def log(self, name: str, *, lines: int, revision: str | None = None) -> Sequence[str]:
        path = self._known(name).log
        if not path.is_file():
            return []
        with path.open(encoding="utf-8", errors="replace") as file:
            wanted = (s.rstrip("\n") for s in file if revision is None or f"[{revision}]" in s)
            return list(deque(wanted, maxlen=lines))

    def cpu_s(self, name: str) -> float:
        """CPU seconds of a service's processes since they started; 0.0 when it does not run."""
        running = self._running(ServiceFiles(self._dir / name))
        return tree_cpu_s(running.supervisor.pid) if running else 0.0

    # ---- supervisors ------------------------------------------------------

    def _known(self, name: str) -> ServiceFiles:
        files = ServiceFiles(self._dir / name)
        if not files.spec.is_file():
            known = [p.parent.name for p in self._dir.glob("*/spec.json")]
            if not known:
                raise errors.NothingYet(
                    f"there is no InferenceService yet, so there is no {name!r}",
                    where=str(self._dir),
                    fix="platform-ctl model list",
                )
            raise errors.unknown(
                f"there is no InferenceService {name!r}",
                name,
                known,
                where=str(self._dir),
                fix="platform-ctl service list",
            )
        return files

    def _running(self, files: ServiceFiles) -> Running | None:
        """Where the supervisor is. After a kill, its successor is on its way: waited for."""
        deadline = time.monotonic() + _SUCCESSION_S
        while True:
            running = records.read_json(files.running, Running)
            if running is None or running.supervisor.process():
                return running
            if not running.is_orphaned() or time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)

    def _start(self, files: ServiceFiles) -> None:
        """Start the supervisor and wait until it serves. Raises what it reports."""
        make_private(files.root)
        records.write_json(files.options, self._options)
        start_supervisor(files, self._options.project_root)

    def _told(self, files: ServiceFiles, request: dict[str, Any]) -> dict[str, Any] | None:
        """Its supervisor's answer; None when there is none. One that is killed meanwhile has a
        successor, and every request may be repeated."""
        for _ in range(_ASK_AGAIN):
            running = self._running(files)
            if running is None:
                return None
            try:
                _ping(running)
                return _ask(running, request, _CONTROL_TIMEOUT_S)
            except _NoAnswer as exc:
                now = records.read_json(files.running, Running)
                has_successor = now is not None and now.supervisor != running.supervisor
                if not has_successor and not have_ended([running.supervisor], within_s=_ENDING_S):
                    raise _unreachable(running, str(exc)) from exc
        return None

    # ---- status -----------------------------------------------------------

    def _url(self, port: int) -> str:
        return f"http://{self._options.host}:{port}"

    def _stopped(self, files: ServiceFiles) -> InferenceService:
        saved = records.read_known(files.spec, SavedSpec)
        # Whoever stops a service removes the note of its processes.
        failure = _KILLED if files.running.exists() else ""
        revisions = tuple(
            RevisionStatus(r.name, role, None, False, last_failure=failure)
            for role, r in (("production", saved.spec.production), ("canary", saved.spec.canary))
            if r is not None
        )
        return InferenceService(
            files.name,
            ServiceState.STOPPED,
            self._url(saved.port),
            saved.spec,
            revisions,
            log_file=str(files.log),
        )

    def _status(self, files: ServiceFiles, answer: dict[str, Any]) -> InferenceService:
        status = answer["status"]
        running = self._running(files)
        return InferenceService(
            files.name,
            ServiceState(status["state"]),
            self._url(status["port"]),
            msgspec.convert(status["spec"], ServiceSpec),
            tuple(msgspec.convert(status["revisions"], list[RevisionStatus])),
            pid=running.supervisor.pid if running else None,
            log_file=str(files.log),
        )


def _ping(running: Running) -> None:
    """Raises _NoAnswer for a supervisor that does not react, because it is stopped."""
    with contextlib.suppress(errors.UsageError):  # one that is older than the command reacts, too
        _ask(running, {"verb": "ping"}, _PING_TIMEOUT_S)


def _ask(running: Running, request: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Raises _NoAnswer, and what the supervisor reports."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(limit_s)
            control.connect(running.socket)
            control.sendall(msgspec.json.encode(request) + b"\n")
            with control.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b"null")
    except (OSError, json.JSONDecodeError) as exc:
        slow = isinstance(exc, TimeoutError)
        raise _NoAnswer(f"nothing in {limit_s:g} s" if slow else str(exc)) from exc
    if answer is None:
        raise _NoAnswer("it ended")
    if "error" in answer:
        raise as_raised(answer["error"])
    return answer


def _has_ended(files: ServiceFiles) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(
        f"the supervisor of {files.name} has ended",
        where=str(files.log),
        fix=f"platform-ctl service logs {files.name}",
    )


def _unreachable(running: Running, why: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(
        f"the supervisor (process {running.supervisor.pid}) does not answer: {why}",
        where=running.socket,
        fix=f"kill -CONT {running.supervisor.pid} && platform-ctl service list",
    )
