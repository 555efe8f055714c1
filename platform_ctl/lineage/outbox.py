"""Lineage events of a home, as JSON lines: one file a month, only ever appended to.

A line is written by one ``write``; should the disk fill up in the middle of it, the next
one starts on a line of its own and readers pass over the fragment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.folders import make_private
from platform_ctl.home import files

_PATTERN = "events-*.jsonl"
_START_LINE = b'{"eventType":"START"'
"""How the outbox writes one: not worth decoding where only ends count."""


@dataclass(frozen=True)
class Position:
    """Where a reader is: everything before it was read."""

    file: str = ""
    offset: int = 0


_START = Position()


class Outbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, events: Iterable[dict[str, Any]]) -> None:
        """Raises OSError when the disk refuses."""
        make_private(self.folder)
        path = self.folder / f"events-{datetime.now(UTC):%Y-%m}.jsonl"
        for event in events:
            files.append_line(path, msgspec.json.encode(event))

    def files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob(_PATTERN))

    def lines(
        self, containing: str = "", since: Position = _START
    ) -> Iterator[tuple[Position, dict[str, Any]]]:
        """(position after it, event), in the order they were written."""
        wanted = containing.encode()
        for path in self.files():
            if path.name < since.file:
                continue
            offset = since.offset if path.name == since.file else 0
            with path.open("rb") as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    offset += len(line)
                    event = _event(line) if wanted in line else None
                    if event is not None:
                        yield Position(path.name, offset), event

    def events(self) -> list[dict[str, Any]]:
        """All of them."""
        return [event for _, event in self.lines()]

    def ends(self) -> Iterator[dict[str, Any]]:
        """Those that end something, one at a time: a home may hold more than fits in memory."""
        for path in self.files():
            with path.open("rb") as file:
                for line in file:
                    event = None if line.startswith(_START_LINE) else _event(line)
                    if event is not None and event["eventType"] != "START":
                        yield event

    def of_run(self, run_id: str) -> list[dict[str, Any]]:
        """The events of a run, its tasks and what is inside them; not of those that mention it."""
        return [event for _, event in self.lines(run_id) if _belongs(event, run_id)]

    def oldest(self) -> str:
        """Time of the first event; "" when there is none."""
        return next((event["eventTime"] for _, event in self.lines()), "")


def _belongs(event: dict[str, Any], run_id: str) -> bool:
    parent = event["run"]["facets"].get("parent")
    return (parent["root"] if parent else event)["run"]["runId"] == run_id


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
