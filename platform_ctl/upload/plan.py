"""Decides what to do with one pipeline, given the server's versions and the history of git.

KFP takes the version with the greatest creation time, in whole seconds, for the
latest; among equals it takes any. Schedules with ``version: latest`` follow it, so
the newest version has to belong to the newest commit, alone in its second.

There is no lock: two uploads may run at once and either may be killed. Each looks
again after its own write (``after_upload``) and takes back what came too late, and
each removes what a killed one left in the wrong order (``out_of_order``). A version
is deleted by somebody else only where its commit is an ancestor of the commit of an
earlier version, which no upload that ended well leaves behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from platform_ctl.upload.marks import Marks
from platform_ctl.upload.port import UploadedVersion


class History(Protocol):
    """What git knows of revisions."""

    def is_ancestor(self, older: str, newer: str) -> bool | None:
        """Strictly; None when the clone lacks one of them."""
        ...


class UploadAction(StrEnum):
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    UPLOAD = "upload"
    REPLACE = "replace"
    """Delete our own version that shares its second with another, and upload it again."""


@dataclass(frozen=True)
class UploadDecision:
    """``version`` is the one that the action is about: equal, newer, or to be replaced."""

    action: UploadAction
    version: UploadedVersion | None = None


def out_of_order(versions: Sequence[UploadedVersion], history: History) -> list[UploadedVersion]:
    """Versions of an older commit that were created after those of a newer one."""
    return [
        late
        for late in versions
        if any(
            early.created_at_s < late.created_at_s and _older(late, early, history)
            for early in versions
        )
    ]


def decide(mine: Marks, versions: Sequence[UploadedVersion], history: History) -> UploadDecision:
    """``versions``: the newest ones, newest first, without those out of order."""
    latest = _latest(versions)
    for version in versions:
        if version.marks and comes_after(version.marks, mine, history, guess=version in latest):
            return UploadDecision(UploadAction.SUPERSEDED, version)
    if latest and all(v.marks and v.marks.same_content(mine) for v in latest):
        return UploadDecision(UploadAction.UNCHANGED, latest[0])
    own = [v for v in latest if v.marks and v.marks.commit == mine.commit]
    if own and own[0].marks and own[0].marks.same_content(mine):
        return UploadDecision(UploadAction.REPLACE, own[0])
    return UploadDecision(UploadAction.UPLOAD)


def after_upload(
    uploaded: UploadedVersion,
    now: Sequence[UploadedVersion],
    before: Sequence[UploadedVersion],
    history: History,
) -> UploadAction:
    """Whether a version just made may stay (UPLOAD), came too late (SUPERSEDED), or shares
    its second with another of other content (REPLACE).

    ``before`` is what the decision to upload has seen: only what came since is a surprise.
    """
    marks = uploaded.marks
    if marks is None:
        return UploadAction.UPLOAD
    known = {v.id for v in before}
    others = [v for v in now if v.id != uploaded.id]
    for other in others:
        earlier = other.id not in known and other.created_at_s <= uploaded.created_at_s
        if earlier and other.marks and comes_after(other.marks, marks, history, guess=True):
            return UploadAction.SUPERSEDED
    beside = [v for v in others if v.created_at_s == uploaded.created_at_s]
    if any(v.marks is None or not v.marks.same_content(marks) for v in beside):
        return UploadAction.REPLACE
    return UploadAction.UPLOAD


def comes_after(theirs: Marks, mine: Marks, history: History, *, guess: bool) -> bool:
    """Whether their commit was made on top of mine.

    ``guess``: where the clone does not hold their commit (it was pushed after the clone
    was made), the later time of commit counts as newer; else what is unknown is no.
    """
    if theirs.commit == mine.commit:
        return False
    descends = history.is_ancestor(mine.commit, theirs.commit)
    if descends is None:
        return guess and theirs.committed_at > mine.committed_at
    return descends


class NameUse(StrEnum):
    """What a version name is taken by."""

    FREE = "free"
    OTHER = "another commit"
    SAME = "this commit, the same content"
    CONFLICT = "this commit, other content"


def name_use(mine: Marks, name: str, versions: Sequence[UploadedVersion]) -> NameUse:
    """``versions``: those of that name that a list has (one or none)."""
    holder = next((v for v in versions if v.name == name), None)
    if holder is None:
        return NameUse.FREE
    if holder.marks is None or holder.marks.commit != mine.commit:
        return NameUse.OTHER
    return NameUse.SAME if holder.marks.same_content(mine) else NameUse.CONFLICT


def free_of(
    versions: Sequence[UploadedVersion], removed: Sequence[UploadedVersion]
) -> list[UploadedVersion]:
    """``versions`` without the removed ones, order kept."""
    gone = {v.id for v in removed}
    return [v for v in versions if v.id not in gone]


def came_since(version: UploadedVersion, seen: Sequence[UploadedVersion]) -> bool:
    """Whether a version was made after ``seen``, a page of the newest ones, was read."""
    oldest = min((v.created_at_s for v in seen), default=0)
    return version.id not in {v.id for v in seen} and version.created_at_s >= oldest


def _latest(versions: Sequence[UploadedVersion]) -> list[UploadedVersion]:
    """Those of the greatest creation time: KFP takes any of them for the latest."""
    newest = max((v.created_at_s for v in versions), default=0)
    return [v for v in versions if v.created_at_s == newest]


def _older(one: UploadedVersion, other: UploadedVersion, history: History) -> bool:
    if one.marks is None or other.marks is None:
        return False
    return history.is_ancestor(one.marks.commit, other.marks.commit) is True


def wait_s(latest: UploadedVersion | None, now_s: int) -> float:
    """Seconds until a new version gets a creation time of its own; at most two."""
    if latest is None or now_s == 0 or now_s > latest.created_at_s:
        return 0.0
    return float(min(latest.created_at_s - now_s + 1, 2))
