"""Files of a home: their owner alone reads them, and nobody ever sees half of one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def append_line(path: Path, line: bytes) -> int:
    """Add a line, without its end, by one ``write``; the size afterwards.

    Several processes may append at once. A line that a full disk or a power cut has
    cut short stays on its own. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # the size may be in the middle of another's write
        size = os.fstat(file).st_size
        torn = size and os.pread(file, 1, size - 1) != b"\n"
        return size + os.write(file, (b"\n" if torn else b"") + line + b"\n")
    finally:
        os.close(file)


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(content)
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
