"""Feast's files in a home: the registry, the online store, and what is rebuilt from Iceberg.

The registry is one protobuf message (feast.core.Registry,
https://protobuf.dev/programming-guides/encoding/), written anew at each ``apply``: it is walked
field by field here, because importing Feast takes a second. The online store is SQLite.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.home.state import damage

REPAIR = "platform-ctl doctor --repair"


def check_feature_stores(folder: Path) -> Iterator[Check]:
    """``folder``: with one folder for each recipe. Changes nothing."""
    damaged = damaged_files(folder)
    for path, problem in damaged.items():
        yield Check("feature store", Health.FAIL, f"{path} is damaged: {problem}", REPAIR)
    if not damaged:
        yield Check("feature store", Health.OK, "registry and online store are whole")


def damaged_files(folder: Path) -> dict[Path, str]:
    """Each damaged file of Feast below ``folder``, with what is wrong with it."""
    problems = {}
    for path in sorted(folder.glob("*/*.db")):
        online = path.name.startswith("online")
        problem = damage(path) if online else _registry_damage(path)
        if problem:
            problems[path] = problem
    return problems


def set_aside(paths: Iterable[Path]) -> None:
    """Move damaged files, with what SQLite keeps beside them, into ``damaged/`` beside them."""
    for path in paths:
        folder = path.parent / "damaged"
        folder.mkdir(exist_ok=True, mode=0o700)
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if file.exists():
                os.replace(file, folder / file.name)


def _registry_damage(path: Path) -> str:
    content = path.read_bytes()
    return "" if content and _is_message(content) else "it is cut short, and no registry of Feast"


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf that are in use."""


def _is_message(content: bytes) -> bool:
    """Whether the fields of a protobuf message end where the message does."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if tag >> 3 == 0 or kind not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            return False
        if kind == _VARINT:
            _, at = _varint(content, at)
        elif kind == _BYTES:
            length, at = _varint(content, at)
            at += length
        else:
            at += 8 if kind == _FIXED64 else 4
    return at == len(content)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; one that is cut short ends behind the message."""
    value = shift = 0
    for position in range(at, min(at + 10, len(content))):
        value |= (content[position] & 0x7F) << shift
        if content[position] < 0x80:
            return value, position + 1
        shift += 7
    return value, len(content) + 1
