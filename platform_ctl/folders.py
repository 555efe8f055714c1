"""Folders of a home: for their owner alone, whoever makes the first of them."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder and every missing one above it, with mode 0700.

    ``Path.mkdir`` with ``parents`` gives its mode to the last one alone: whatever made the
    first file of a home left the home itself to the umask. Raises OSError.
    """
    for place in reversed((folder, *folder.parents)):
        if not place.is_dir():
            place.mkdir(exist_ok=True, mode=0o700)
