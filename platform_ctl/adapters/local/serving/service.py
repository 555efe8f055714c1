"""The serving port on this machine: finds, starts and asks the supervisors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl import errors
from platform_ctl.adapters.common.process import tree_cpu_s
from platform_ctl.adapters.local.serving import records, requestlog
from platform_ctl.adapters.local.serving.records import (
    Limits,
    Options,
    Running,
    SavedSpec,
    ServiceFiles,
)
from platform_ctl.domain.recipe import DataAccess
from platform_ctl.domain.serving import (
    InferenceService,
    Observation,
    RevisionStatus,
    ServiceSpec,
    ServiceState,
    check_spec,
)

_CONTROL_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 30.0
_ENDING_S = 2.0
"""A killed process may be seen for a moment after its sockets have closed."""


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
        limits: Limits | None = None,
    ) -> None:
        self._dir = services_dir
        self._options = Options(host, port, project_root, data, limits or Limits())

    # ---- the port ---------------------------------------------------------

    def list(self) -> Sequence[InferenceService]:
        return [self.get(path.parent.name) for path in sorted(self._dir.glob("*/spec.json"))]

    def get(self, name: str) -> InferenceService:
        files = self._known(name)
        running = self._running(files)
        if running is None:
            return self._stopped(files)
        try:
            return self._status(files, self._ask(running, {"verb": "status"}))
        except errors.ServiceUnavailable:
            if _has_ended(running, _ENDING_S):  # while we asked
                return self._stopped(files)
            raise

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        check_spec(name, spec)
        files = ServiceFiles(self._dir / name)
        running = self._running(files) or self._start(files)
        return self._status(files, self._ask(running, {"verb": "apply", "spec": spec}))

    def start(self, name: str) -> InferenceService:
        files = self._known(name)
        if self._running(files) is None:
            self._start(files)
        return self.get(name)

    def stop(self, name: str) -> InferenceService:
        files = self._known(name)
        running = self._running(files)
        if running is not None:
            self._ask(running, {"verb": "stop"})
            if not _has_ended(running, _STOP_TIMEOUT_S):
                pid = running.supervisor.pid
                raise errors.ServiceUnavailable(
                    f"the supervisor of {name} does not end",
                    where=f"process {pid}",
                    fix=f"kill -9 {pid} && platform-ctl service list",
                )
        return self._stopped(files)

    def observations(self, name: str, *, since: float) -> Sequence[Observation]:
        return requestlog.read(self._known(name).requests, since=since)

    def cpu_s(self, name: str) -> float:
        """CPU seconds of a service's processes since they started; 0.0 when it does not run."""
        running = self._running(ServiceFiles(self._dir / name))
        return tree_cpu_s(running.supervisor.pid) if running else 0.0

    # ---- supervisors ------------------------------------------------------

    def _known(self, name: str) -> ServiceFiles:
        files = ServiceFiles(self._dir / name)
        if not files.spec.is_file():
            known = [p.parent.name for p in self._dir.glob("*/spec.json")]
            raise errors.UnknownName(
                f"there is no InferenceService {name!r}; there is: {', '.join(known) or 'none'}",
                where=str(self._dir),
                fix="platform-ctl service list",
            )
        return files

    def _running(self, files: ServiceFiles) -> Running | None:
        running = records.read_json(files.running, Running)
        return running if running and running.supervisor.process() else None

    def _start(self, files: ServiceFiles) -> Running:
        """Start the supervisor and wait until it serves. Raises what it reports."""
        files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        records.write_json(files.options, self._options)
        ready, theirs = os.pipe()
        module = "platform_ctl.adapters.local.serving.supervisor"
        with open(files.log, "ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", module, str(files.root), str(theirs)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs,),
                cwd=self._options.project_root,
                start_new_session=True,
            )
        os.close(theirs)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
        report = json.loads(said) if said else {"error": None}
        running = self._running(files)
        if report.get("ready") and running:
            return running
        raise _reported(report.get("error"), files)

    def _ask(self, running: Running, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
                control.settimeout(_CONTROL_TIMEOUT_S)
                control.connect(running.socket)
                control.sendall(msgspec.json.encode(request) + b"\n")
                with control.makefile("rb") as answers:
                    answer = json.loads(answers.readline() or b"null")
        except (OSError, json.JSONDecodeError) as exc:
            raise _unreachable(running, str(exc)) from exc
        if answer is None:
            raise _unreachable(running, "it ended")
        if "error" in answer:
            raise _error(answer["error"])
        return answer

    # ---- status -----------------------------------------------------------

    def _url(self, port: int) -> str:
        return f"http://{self._options.host}:{port}"

    def _stopped(self, files: ServiceFiles) -> InferenceService:
        saved = records.read_json(files.spec, SavedSpec)
        revisions = tuple(
            RevisionStatus(r.name, role, None, False)
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


def _has_ended(running: Running, within_s: float) -> bool:
    """Whether the supervisor ends in time. A zombie that its parent has not reaped has ended."""
    deadline = time.monotonic() + within_s
    while running.supervisor.process() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _unreachable(running: Running, why: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(
        f"the supervisor (process {running.supervisor.pid}) does not answer: {why}",
        where=running.socket,
        fix="platform-ctl service list",
    )


def _reported(error: dict[str, str] | None, files: ServiceFiles) -> errors.PlatformError:
    if error is None:
        return errors.ServiceUnavailable(
            f"the supervisor of {files.name} ended before it served",
            where=str(files.log),
            fix=f"platform-ctl service logs {files.name}",
        )
    return _error(error)


def _error(said: dict[str, str]) -> errors.PlatformError:
    """The error a supervisor raised, as the same class here."""
    known = (errors.UsageError, errors.PortInUse, errors.ServiceUnavailable, errors.HomeBusy)
    kind = next((c for c in known if c.id == said["id"]), errors.ServiceUnavailable)
    return kind(said["what"], where=said["where"], fix=said["fix"])
