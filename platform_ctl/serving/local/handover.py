"""Starts a supervisor: the first one of a service, or the one that replaces it.

A successor is given the listening socket, so that the address answers all the
while: by its predecessor for a restart, and by a revision's process when the
supervisor was killed. The predecessor's processes answer until the successor's do.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO

from platform_ctl import errors
from platform_ctl.home.environment import environment
from platform_ctl.serving.local.records import ProcessId, ServiceFiles
from platform_ctl.serving.reported import as_raised

_MODULE = "platform_ctl.serving.local.supervisor"
_POLL_S = 0.02
_START_LIMIT_S = 180.0
"""Two revisions may load at a time, on a busy machine."""


def start_supervisor(
    files: ServiceFiles, project_root: str, *, listen_fd: int | None = None
) -> None:
    """Start it detached and wait until it serves. Raises what it reports, as the same class."""
    ready, theirs = os.pipe()
    inherited = [] if listen_fd is None else [listen_fd]
    try:
        with open(files.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(files.root), *map(str, (theirs, *inherited))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs, *inherited),
                cwd=project_root,
                env=environment(),
                start_new_session=True,
            )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(theirs)
    with os.fdopen(ready, "rb") as pipe:
        outcome = _read_report(pipe, process, files)
    report = json.loads(outcome) if outcome else {"error": None}
    if not report.get("ready"):
        raise _reported(report.get("error"), files)


def _read_report(pipe: BinaryIO, process: subprocess.Popen[bytes], files: ServiceFiles) -> bytes:
    """What it reports, in one write; empty when it ends without a word.

    Raises ServiceUnavailable, and ends the process, when it says nothing in time.
    """
    readable, _, _ = select.select([pipe], [], [], _START_LIMIT_S)
    if readable:
        return pipe.read()
    process.kill()
    process.wait()
    raise errors.ServiceUnavailable(
        f"the supervisor of {files.name} did not serve in {_START_LIMIT_S:g} s, and was ended",
        where=str(files.log),
        fix=f"platform-ctl service logs {files.name}",
    )


def _reported(error: dict[str, str] | None, files: ServiceFiles) -> errors.PlatformError:
    if error is None:
        return errors.ServiceUnavailable(
            f"the supervisor of {files.name} ended before it served",
            where=str(files.log),
            fix=f"platform-ctl service logs {files.name}",
        )
    return as_raised(error)


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
