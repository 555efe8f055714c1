"""Writes files of a home: readable by their owner only, and replaced whole or not at all.

None is written through a symbolic link: the platform makes none, and would write elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from platform_ctl.folders import make_private

_LOCK_POLL_S = 0.05


def append_line(path: Path, line: bytes) -> int:
    """Add a line, without its end, by one ``write``; the size afterwards.

    Several processes may append at once. A line that a full disk or a power cut has
    cut short stays on its own. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # the size may be in the middle of another's write
        size = os.fstat(file).st_size
        torn = size and os.pread(file, 1, size - 1) != b"\n"
        return size + os.write(file, (b"\n" if torn else b"") + line + b"\n")
    finally:
        os.close(file)


def replace(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all. ``durable``: after a power cut too. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(draft, "wb", opener=_open_private) as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@contextlib.contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be. Raises OSError, which TimeoutError is.

    The lock that ``filelock`` takes, without the 25 ms of its import: for what every run does.
    """
    deadline = time.monotonic() + timeout_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is locked by another process") from None
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def create_whole(path: Path, build: Callable[[Path], None]) -> None:
    """Make a file that a library fills step by step: whole or not there, and by one process.

    ``build`` gets a path in a folder of its own and leaves one file there; its companions
    (a journal, a log) are not kept. Whoever else asks meanwhile waits and finds the file.
    A folder of a process that was killed is removed by the next one. Does nothing where
    ``path`` exists. Raises what ``build`` raises, and OSError.
    """
    from filelock import FileLock

    if path.exists():
        return
    make_private(path.parent)
    prefix = f".new-{path.name}-"
    with FileLock(path.parent / f".{path.name}.lock", mode=0o600):
        if path.exists():
            return
        for abandoned in path.parent.glob(f"{prefix}*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
            draft = Path(folder) / path.name
            build(draft)
            draft.chmod(0o600)
            with open(draft, "rb") as file:
                os.fsync(file.fileno())
            os.replace(draft, path)
