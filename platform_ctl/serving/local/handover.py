"""Starting a supervisor: the first one of a service, or the successor of one.

A successor is given the listening socket, so that the address answers all the
while: by its predecessor for a restart, and by a revision's process when the
supervisor was killed. The predecessor's processes answer until the successor's do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from platform_ctl import errors
from platform_ctl.home.environment import environment
from platform_ctl.serving.local.records import ProcessId, ServiceFiles

_MODULE = "platform_ctl.serving.local.supervisor"
_POLL_S = 0.02


def start_supervisor(
    files: ServiceFiles, project_root: str, *, listen_fd: int | None = None
) -> None:
    """Start it detached and wait until it serves. Raises what it reports, as the same class."""
    ready, theirs = os.pipe()
    inherited = [] if listen_fd is None else [listen_fd]
    try:
        with open(files.log, "ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(files.root), *map(str, (theirs, *inherited))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs, *inherited),
                cwd=project_root,
                env=environment(),
                start_new_session=True,
            )
    finally:
        os.close(theirs)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
    report = json.loads(said) if said else {"error": None}
    if not report.get("ready"):
        raise _reported(report.get("error"), files)


def _reported(error: dict[str, str] | None, files: ServiceFiles) -> errors.PlatformError:
    if error is None:
        return errors.ServiceUnavailable(
            f"the supervisor of {files.name} ended before it served",
            where=str(files.log),
            fix=f"platform-ctl service logs {files.name}",
        )
    return as_raised(error)


def as_raised(said: dict[str, str]) -> errors.PlatformError:
    """The error a supervisor raised, as the same class here."""
    known = (errors.UsageError, errors.PortInUse, errors.ServiceUnavailable, errors.HomeBusy)
    kind = next((c for c in known if c.id == said["id"]), errors.ServiceUnavailable)
    return kind(said["what"], where=said["where"], fix=said["fix"])


def end_all(processes: Sequence[ProcessId], *, within_s: float) -> None:
    """SIGTERM, time to answer what was accepted, then SIGKILL. Blocks."""
    for one in processes:
        if (process := one.process()) is not None:
            process.terminate()
    if not have_ended(processes, within_s=within_s):
        for one in processes:
            if (process := one.process()) is not None:
                process.kill()
        have_ended(processes, within_s=5.0)


def have_ended(processes: Sequence[ProcessId], *, within_s: float) -> bool:
    """Whether they all end in time. A zombie that its parent has not reaped has ended."""
    deadline = time.monotonic() + within_s
    while any(one.process() is not None for one in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
