"""The files of one InferenceService, under ``services/NAME`` in the home.

``spec.json`` (what to serve, and the port) and ``options.json`` outlive the
processes; ``process.json`` says where the supervisor is while one runs.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from platform_ctl.errors import HomeDamaged, ServiceUnavailable
from platform_ctl.folders import make_private
from platform_ctl.home import files
from platform_ctl.home.process import ProcessId
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.serving.service import ServiceLimits, ServiceSpec

T = TypeVar("T")

_SOCKET_PATH_LIMIT = 100
"""sun_path is 104 bytes on macOS, 108 on Linux."""
_SOCKET_NAME_LIMIT = len("/4194304-control.sock")


class SupervisorOptions(msgspec.Struct, frozen=True):
    """How the supervisor was told to run."""

    host: str
    port: int
    """0: any free one."""
    project_root: str
    data: DataAccess
    limits: ServiceLimits = ServiceLimits()


class SavedSpec(msgspec.Struct, frozen=True):
    """What is served. ``port`` is fixed from the first start on."""

    spec: ServiceSpec
    port: int


class Running(msgspec.Struct, frozen=True):
    """Where a supervisor is, and its revisions' processes, which outlive it for a moment."""

    supervisor: ProcessId
    socket: str
    accepting: list[ProcessId] = msgspec.field(default_factory=list, name="door")
    """Those that accept at the service's address: one of them starts a supervisor's successor."""
    others: list[ProcessId] = []

    def is_orphaned(self) -> bool:
        """The supervisor is gone, but the service still answers."""
        if self.supervisor.process() is not None:
            return False
        return any(child.process() is not None for child in self.accepting)


@dataclass(frozen=True)
class ServiceFiles:
    """Paths of one service; nothing is created by naming them."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def options(self) -> Path:
        return self.root / "options.json"

    @property
    def running(self) -> Path:
        return self.root / "process.json"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def requests(self) -> Path:
        return self.root / "requests"

    @property
    def log(self) -> Path:
        return self.root / "service.log"

    def socket_dir(self) -> Path:
        """A private folder whose paths are short enough for a unix socket; created.

        Raises ServiceUnavailable when the temporary folder's is not private.
        """
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        outside = Path(tempfile.gettempdir()) / f"platform-ctl-{digest}"
        for folder in (self.root / "sockets", outside, Path("/tmp") / outside.name):
            if len(str(folder).encode()) + _SOCKET_NAME_LIMIT <= _SOCKET_PATH_LIMIT:
                break
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise ServiceUnavailable(
                f"{folder} is not this user's alone",
                where=f"InferenceService {self.name}",
                fix=f"rm -r {folder}, or a PLATFORM_HOME with a shorter path",
            )
        return folder


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step, so that a reader or a crash never sees half of it."""
    make_private(path.parent)
    files.replace(path, msgspec.json.encode(value, enc_hook=str))


def read_known(path: Path, kind: type[T]) -> T:
    """The record of a file that must be there. Raises HomeDamaged where it is not, or not whole."""
    record = read_json(path, kind)
    if record is None:
        raise HomeDamaged(
            f"{path.name} of InferenceService {path.parent.name} is gone",
            where=str(path),
            fix="platform-ctl doctor",
        )
    return record


def read_json(path: Path, kind: type[T]) -> T | None:
    """The record, or None when there is none. Raises HomeDamaged for one that is not whole."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(raw, type=kind, dec_hook=lambda t, v: t(v))
    except msgspec.MsgspecError as exc:
        raise HomeDamaged(
            f"{path.name} of InferenceService {path.parent.name} cannot be read: {exc}",
            where=str(path),
            fix=f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.damaged')}",
        ) from exc
