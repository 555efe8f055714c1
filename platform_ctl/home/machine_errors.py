"""What a machine or a library raised, as an error of ours by its type and number.

An exception is recognised by its class, ``errno`` or SQLite's result code
(https://www.sqlite.org/rescode.html), never by the words of its message.
"""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.errors import DiskFull, HomeDamaged, HomeNotUsable, PlatformError
from platform_ctl.home.extras import missing_extra
from platform_ctl.home.sqlite_file import no_room

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}


def of_machine(exc: BaseException, command: str) -> PlatformError | None:
    """What happened, by its id; None for what no machine says. ``command``: where it happened."""
    for cause in _chain(exc):
        if error := _of_module(cause, command) or _of_sqlite(cause, command):
            return error
        if isinstance(cause, EOFError):
            return HomeDamaged(
                "a file of the home ends before it should",
                where=command,
                fix="platform-ctl doctor",
            )
        if isinstance(cause, OSError):
            if cause.errno in _NO_ROOM:
                return _no_room(cause, command)
            if cause.errno == errno.ELOOP and cause.filename:
                return _linked(Path(os.fsdecode(cause.filename)), command)
            if _under_proc(cause) or (cause.errno in _NO_RIGHT and cause.filename):
                return _no_right(Path(os.fsdecode(cause.filename)), command)
    return None


def _under_proc(cause: OSError) -> bool:
    """Whether it is the kernel's own file system, where nobody makes a folder."""
    named_file = os.fsdecode(cause.filename or "")
    return cause.errno == errno.ENOENT and named_file.startswith(("/proc/", "/sys/"))


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised from: a library wraps what the machine said."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _of_module(cause: BaseException, command: str) -> PlatformError | None:
    if not isinstance(cause, ModuleNotFoundError):
        return None
    return missing_extra(cause.name or "", command)


def _of_sqlite(cause: BaseException, command: str) -> PlatformError | None:
    if not isinstance(cause, sqlite3.Error):
        return None
    if no_room(cause):
        return _no_room(cause, command)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return HomeDamaged(
            f"a database of the home is damaged: {cause}", where=command, fix="platform-ctl doctor"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return HomeNotUsable(
            f"a database of the home cannot be opened for this: {cause}",
            where=command,
            fix="platform-ctl config show --origin",
        )
    return None


def _no_room(cause: BaseException, command: str) -> DiskFull:
    return DiskFull(f"there is no room left to write: {cause}", where=command, fix="df -h")


def _linked(path: Path, command: str) -> HomeNotUsable:
    """Locks, logs and records are opened without following a link (O_NOFOLLOW)."""
    return HomeNotUsable(
        f"{path} is a symbolic link, where the platform keeps a file of its own",
        where=command,
        fix=f"rm {shlex.quote(str(path))}",
    )


def _no_right(path: Path, command: str) -> HomeNotUsable:
    """Names whose the file is: what helps depends on that."""
    owner = _owner(path)
    mine = owner == pwd.getpwuid(os.geteuid()).pw_name
    return HomeNotUsable(
        f"{path} may not be used by this account{f'; it belongs to {owner}' if owner else ''}",
        where=command,
        fix=f"chmod u+rwX {path}" if mine else "export PLATFORM_HOME=$HOME/.platform",
    )


def _owner(path: Path) -> str:
    """``NAME (mode 0700)`` of the nearest part of the path that can be looked at; "" if none."""
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        try:
            name = pwd.getpwuid(status.st_uid).pw_name
        except KeyError:
            name = f"uid {status.st_uid}"
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return name if place == path else f"{name} ({place}, mode {mode})"
    return ""
