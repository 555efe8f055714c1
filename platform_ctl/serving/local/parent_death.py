"""What a revision's process does when its supervisor is gone.

A supervisor that ends in order ends its processes first. So a pipe that
closes means that it was killed. Whoever accepts at the service's address then
starts a successor with the listening socket and goes on answering until the
successor ends it. Everybody else waits to be ended, and ends by itself when
nobody comes: no supervisor, however it died, leaves a process behind.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Protocol

from platform_ctl.errors import HomeBusy, PlatformError
from platform_ctl.serving.local.channel import Launch
from platform_ctl.serving.local.handover import start_supervisor
from platform_ctl.serving.local.records import ServiceFiles

_ATTEMPTS = 3
_RETRY_S = 1.0
_ADOPTION_S = 60.0
"""A successor that serves needs no longer to end its predecessor's processes."""
_DEATH_S = 2.0
log = logging.getLogger("platform_ctl.revision")


class WatchedProcess(Protocol):
    """What the pipe's reader has to know of its process."""

    launch: Launch

    @property
    def is_accepting(self) -> bool: ...

    @property
    def is_ending(self) -> bool: ...


class ParentDeathPipe:
    """Watched from a thread, so that a stuck event loop is no way to stay alive."""

    def __init__(self, parent_fd: int, listen_fd: int) -> None:
        self._fd = parent_fd
        self._listen_fd = listen_fd
        self._process: WatchedProcess | None = None
        threading.Thread(target=self._watch, name="parent-death", daemon=True).start()

    def protects(self, process: WatchedProcess) -> None:
        """From now on there is something that is worth outliving the supervisor for."""
        self._process = process

    def _watch(self) -> None:
        while os.read(self._fd, 1):
            pass
        process = self._process
        grace_s = _DEATH_S
        if process is not None:
            grace_s += process.launch.limits.drain_s
            if not process.is_ending:
                self._outlive(process)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    def _outlive(self, process: WatchedProcess) -> None:
        files = ServiceFiles(Path(process.launch.service_dir))
        if not files.root.is_dir():  # the home was removed, and the supervisor with it
            return
        _print_to(files.log)
        if process.is_accepting and not self._find_successor(process, files):
            return
        time.sleep(_ADOPTION_S)

    def _find_successor(self, process: WatchedProcess, files: ServiceFiles) -> bool:
        log.warning("the supervisor is gone; starting its successor")
        for _ in range(_ATTEMPTS):
            try:
                start_supervisor(files, process.launch.project_root, listen_fd=self._listen_fd)
                return True
            except HomeBusy:  # somebody else was faster
                return True
            except (PlatformError, OSError) as exc:
                log.error("no successor: %s", exc)
                time.sleep(_RETRY_S)
        return False


def _print_to(path: Path) -> None:
    """Our output went to the supervisor: a model that prints would fail from now on."""
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
