"""Content-addressed artifacts under ``<home>/cache``, sharing bytes with the runs by hard links.

``objects/ab/<digest>/data`` is a file or a directory. An object appears by one
rename, so there are no half objects; what is taken out goes to ``quarantine/``
or is renamed to ``retired/`` and deleted there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path

from platform_ctl.folders import make_private

_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EACCES}
"""Other file system, too many links (65,000 on ext4), or a file system without links."""
_ABANDONED_S = 24 * 3600.0
"""Age of a staging folder that no living process still fills."""


class ObjectStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where an object's bytes are, if they are there."""
        return self._home(digest) / "data"

    def stage(self, source: Path) -> Path:
        """Link an artifact into the staging area; ``publish`` makes it an object.

        Raises OSError (no space, no such file) and then leaves nothing behind.
        """
        folder = self._staging()
        try:
            folder.mkdir(parents=True)
            link_tree(source.resolve(), folder / "data")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def publish(self, staged: Path, digest: str) -> None:
        """Give a staged artifact its name; one that is there already stays."""
        home = self._home(digest)
        make_private(home.parent)
        try:
            staged.rename(home)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self.discard(staged)

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def quarantine(self, digest: str) -> str:
        """Take an object out of service; where it is kept now, '' when there is nothing."""
        place = self.root / "quarantine" / f"{digest}-{uuid.uuid4().hex[:8]}"
        make_private(place.parent)
        try:
            self._home(digest).rename(place)
        except FileNotFoundError:
            return ""
        os.utime(place)  # its age is that of the finding
        return str(place)

    def retire(self, digest: str) -> None:
        """Take an object out of sight; ``sweep`` deletes it."""
        retired = self.root / "retired" / uuid.uuid4().hex
        make_private(retired.parent)
        with contextlib.suppress(FileNotFoundError):
            self._home(digest).rename(retired)

    def sweep(self, *, now: float, quarantine_s: float | None) -> None:
        """Delete what was retired, what killed processes left half staged, and what was
        quarantined longer ago than ``quarantine_s``."""
        self._sweep("retired", now, 0.0)
        self._sweep("staging", now, _ABANDONED_S)
        if quarantine_s is not None:
            self._sweep("quarantine", now, quarantine_s)

    def _sweep(self, folder: str, now: float, older_than_s: float) -> None:
        with contextlib.suppress(FileNotFoundError):
            for entry in (self.root / folder).iterdir():
                if now - entry.stat().st_mtime >= older_than_s:
                    self.discard(entry)

    def _home(self, digest: str) -> Path:
        return self.root / "objects" / digest[:2] / digest

    def _staging(self) -> Path:
        return self.root / "staging" / uuid.uuid4().hex


def link_tree(source: Path, destination: Path) -> None:
    """A second name for a file, or for every file of a directory; a copy where links cannot go."""
    if not source.is_dir():
        _link(str(source), str(destination))
        return
    destination.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            target = destination / entry.name
            if entry.is_symlink():
                target.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                link_tree(Path(entry.path), target)
            else:
                _link(entry.path, str(target))


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _CANNOT_LINK:
            raise
        shutil.copy2(source, destination, follow_symlinks=False)
