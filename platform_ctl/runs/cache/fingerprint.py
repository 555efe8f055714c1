"""Digests of artifacts on disk, and stamps that say whether to hash again.

A file's digest is the sha256 of its bytes, a directory's that of a sorted
listing of its files, links and empty directories; names inside count, the
path of the artifact itself does not. A symbolic link counts by its text.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from platform_ctl.runs.cache.key import ABSENT
from platform_ctl.runs.record import Artifact, Outputs

CLOCK_TICK_NS = 20_000_000
"""File systems stamp with the kernel's tick (4 to 10 ms): a write in the same tick as a
stamp can leave mtime as it was, so a stamp this fresh proves nothing."""

Stamp = tuple[str, int, int, int]
"""Path inside the artifact, size in bytes, mtime in ns, inode."""


@dataclass(frozen=True)
class Measured:
    """What one pass over an artifact found."""

    digest: str
    size_bytes: int
    stamps: tuple[Stamp, ...]
    stamped_at_ns: int
    """When the pass began."""


def measure(path: Path) -> Measured:
    """Hash an artifact: file, directory, or nothing (digest ``absent``).

    The stamps are taken before the bytes are read, so that a write during the
    pass shows in the next comparison. Raises OSError.
    """
    begun = time.time_ns()
    taken = stamps(path)
    if taken is None:
        return Measured(ABSENT, 0, (), begun)
    size = sum(s[1] for s in taken)
    return Measured(_digest(path), size, taken, begun)


def digest_path(path: Path) -> str:
    """The content digest of a file or directory; ``absent`` when there is none."""
    return measure(path).digest


def digest_outputs(outputs: Outputs) -> Outputs:
    """The same outputs with digest and size of every artifact: for tasks that are not cached."""
    return replace(
        outputs,
        artifacts={n: tuple(map(digest_artifact, a)) for n, a in outputs.artifacts.items()},
    )


def digest_artifact(artifact: Artifact) -> Artifact:
    """The same artifact with its digest and size."""
    path = local_path(artifact.uri)
    return measured(artifact, None if path is None else measure(path))


def measured(artifact: Artifact, content: Measured | None) -> Artifact:
    """The artifact with what was found; None stands for bytes that are not on this machine."""
    if content is None:
        return replace(artifact, digest=digest_address(artifact.uri))
    return replace(artifact, digest=content.digest, size_bytes=content.size_bytes)


def local_path(uri: str) -> Path | None:
    """The path a uri means on this machine; None when its bytes are elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if "://" in uri else Path(uri)


def digest_address(uri: str) -> str:
    """Identity of bytes that are not on this machine: their address."""
    return "uri:" + hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()


def stamps(path: Path) -> tuple[Stamp, ...] | None:
    """Stamp of every file below ``path`` in sorted order, without reading any; None if absent."""
    try:
        top = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(top.st_mode):
        return (("", top.st_size, top.st_mtime_ns, top.st_ino),)
    entries = []
    for name, entry in _walk(path):
        info = entry.stat(follow_symlinks=False)
        is_dir = stat.S_ISDIR(info.st_mode)
        entries.append((name, 0, 0, 0) if is_dir else _stamp(name, info))
    return tuple(sorted(entries))


def is_fresh(now: tuple[Stamp, ...], then: tuple[Stamp, ...], stamped_at_ns: int) -> bool:
    """Whether equal stamps prove equal bytes."""
    return now == then and all(s[2] + CLOCK_TICK_NS < stamped_at_ns for s in now)


def _stamp(name: str, info: os.stat_result) -> Stamp:
    return (name, info.st_size, info.st_mtime_ns, info.st_ino)


def _digest(path: Path) -> str:
    if not path.is_dir():
        return _file_digest(path)
    listing = hashlib.sha256(b"tree\0")
    for name, entry in sorted(_walk(path), key=lambda pair: pair[0]):
        if entry.is_symlink():
            kind, content = "link", hashlib.sha256(os.fsencode(os.readlink(entry.path))).hexdigest()
        elif entry.is_dir():
            kind, content = "dir", ""
        else:
            kind, content = "file", _file_digest(Path(entry.path))
        listing.update(os.fsencode(f"{kind} {content} {name}\0"))
    return listing.hexdigest()


def _file_digest(path: Path) -> str:
    if not path.is_file():
        return "special"  # a pipe or socket: opening it could block for ever
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file, link and empty directory below, as (path inside, entry)."""
    pending = [(str(folder), "")]
    while pending:
        current, prefix = pending.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if not entry.is_dir(follow_symlinks=False):
                    yield name, entry
                    continue
                if not os.listdir(entry.path):
                    yield name, entry
                pending.append((entry.path, f"{name}/"))
