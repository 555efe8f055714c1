"""How far a clone can vouch: the newest moment at which its HEAD held the tip of its origin.

A week may be called empty only where somebody looked. What proves a look is what git wrote down of
it together with the commit it saw: entries of the reflogs of remote branches, and FETCH_HEAD, which
names commits only when a fetch succeeded. Each counts only where HEAD holds that commit. A file's
time counts for FETCH_HEAD alone, and not in a copied clone, whose files are all of one time.
Without a proof, the clone vouches up to its newest commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Protocol

_COPY_S = 120
"""Files of a copied clone are as old as each other, within this."""
_LOOKS = re.compile(r"clone|fetch|pull|update by push")
_ENTRY = re.compile(r"^[0-9a-f]{40,64} ([0-9a-f]{40,64}) .*?> (\d+) [+-]\d{4}\t(.*)$")


class Git(Protocol):
    @property
    def path(self) -> Path: ...

    def __call__(self, *words: str) -> str | None: ...


@dataclass(frozen=True)
class Folders:
    """``own``: of this working tree; ``common``: of the repository."""

    own: Path
    common: Path


@dataclass(frozen=True)
class Observed:
    """``until`` in seconds since 1970."""

    until: int
    notes: tuple[str, ...] = ()


NOTHING = Observed(0)


def until(git: Git, folders: Folders, url: str, head: str, now_s: int) -> Observed:
    """What the clone at ``git.path``, read at ``head``, can vouch for. ``url``: its origin."""
    newest = int(git("show", "-s", "--format=%ct", head) or 0)
    notes: list[str] = []
    if not url:
        looks = list(_local(git, folders, head))
    else:
        looks = list(_remote(git, folders, head, notes))
    proven = max((at for at in looks if at <= now_s), default=0)
    if bound := _stopped_mirror(git, url, now_s):
        if proven > bound:
            notes.append(
                f"its origin is a mirror that was itself brought up to date {_day(bound)} for the "
                "last time: nothing is known of later weeks"
            )
        proven = min(proven, bound)
    if not proven and newest:
        notes.append(
            "nothing says when it was last brought up to date: it vouches up to its newest commit"
        )
    return Observed(max(proven, min(newest, now_s)), tuple(notes))


def _remote(git: Git, folders: Folders, head: str, notes: list[str]) -> Iterator[int]:
    """Times at which HEAD is known to have held the tip of the branch that it follows."""
    branch = git("rev-parse", "--symbolic-full-name", "@{upstream}") or git(
        "symbolic-ref", "refs/remotes/origin/HEAD"
    )
    tip = git("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}") if branch else None
    mirrored = git("symbolic-ref", "HEAD") or ""
    behind = _missing(git, head, tip) if tip else 0
    if behind:
        short = (branch or "").removeprefix("refs/remotes/")
        notes.append(
            f"HEAD lacks {behind} commits that were fetched, and says nothing of the time since: "
            f"git -C {quote(str(git.path))} merge --ff-only {short}, then ingest again"
        )
    logs = folders.common / "logs"
    names = {branch, "refs/remotes/origin/HEAD"} if branch else {"refs/remotes/origin/HEAD"}
    for name in sorted(n for n in names if n):
        for commit, at, what in _entries(logs / name):
            if _LOOKS.match(what) and (commit == head or _missing(git, head, commit) == 0):
                yield at
    followed = {
        (branch or "").rpartition("refs/remotes/origin/")[2],
        mirrored.rpartition("heads/")[2],
    }
    for commit, name, at in _fetched(folders):
        if name in followed and _missing(git, head, commit) == 0:
            yield at


def _local(git: Git, folders: Folders, head: str) -> Iterator[int]:
    """Of a repository without an origin: it is the origin. Where HEAD is no branch's tip it says
    nothing of what came after."""
    if git("symbolic-ref", "--quiet", "HEAD") is None:
        tips = (git("for-each-ref", "--format=%(objectname)", "refs/heads") or "").split()
        if tips and head not in tips:
            return
    for _, at, _ in _entries(folders.own / "logs" / "HEAD"):
        yield at
    for commit, _, at in _fetched(folders):
        if _missing(git, head, commit) == 0:
            yield at


def _missing(git: Git, head: str, commit: str) -> int | None:
    """How many commits of ``commit``'s history HEAD lacks; None when it is not there."""
    count = git("rev-list", "--count", f"{head}..{commit}")
    return int(count) if count else None


def _entries(log: Path) -> Iterator[tuple[str, int, str]]:
    """(new commit, time, message) of each reflog entry."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return
    for line in lines:
        if found := _ENTRY.match(line):
            yield found[1], int(found[2]), found[3]


def _fetched(folders: Folders) -> Iterator[tuple[str, str, int]]:
    """(commit, branch, time) of each line of FETCH_HEAD; git empties it before it fetches."""
    for folder in {folders.own, folders.common}:
        file = folder / "FETCH_HEAD"
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            at = int(file.stat().st_mtime)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if _was_copied(folders, at):
            continue
        for line in lines:
            if found := re.match(r"^([0-9a-f]{40,64})\t[^\t]*\tbranch '(.+)' of ", line):
                yield found[1], found[2], at


def _was_copied(folders: Folders, fetched_at: int) -> bool:
    """A file that git writes once, when it makes the repository, is as new as the fetch; and the
    repository is older than that."""
    born = folders.common / "description"
    if not born.is_file() or abs(int(born.stat().st_mtime) - fetched_at) > _COPY_S:
        return False
    logs = folders.common / "logs"
    known = [at for log in logs.rglob("*") if log.is_file() for _, at, _ in _entries(log)]
    return bool(known) and min(known) < fetched_at - _COPY_S


def _stopped_mirror(git: Git, url: str, now_s: int) -> int:
    """Up to when a mirror on this machine, from which the clone was made, can vouch; 0 where the
    origin is no mirror or is elsewhere."""
    place = Path(url.removeprefix("file://"))
    if "://" in url.removeprefix("file://") or not place.is_absolute() or not place.is_dir():
        return 0
    away = ["-C", str(place)]
    if git(*away, "config", "--get", "remote.origin.url") is None:
        return 0
    common = git(*away, "rev-parse", "--path-format=absolute", "--git-common-dir")
    head = git(*away, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if common is None or head is None:
        return 0
    folders = Folders(Path(common), Path(common))
    looks = [at for _, _, at in _fetched(folders)]
    newest = int(git(*away, "show", "-s", "--format=%ct", head) or 0)
    return min(now_s, max([*looks, newest]))


def _day(epoch_s: int) -> str:
    from datetime import UTC, datetime

    return f"on {datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d}"
