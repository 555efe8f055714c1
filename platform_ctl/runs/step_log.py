"""What a step writes to its log: lines for people, without the chatter of libraries."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform_ctl.progress import WORD, parse, summary

CHATTY = ("feast", "alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent")
"""Loggers that report their own housekeeping as INFO."""


def quiet_libraries() -> None:
    """Leave only warnings and errors of the chatty libraries in the log of this process."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def evaluation_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """The table of an evaluation: model, champion and baselines, then the slices."""
    rows = {"model": figures["metrics"]}
    if figures.get("champion"):
        rows["champion"] = figures["champion"]
    rows |= figures.get("baselines") or {}
    metrics = list(figures["metrics"])
    yield from _table(
        ["golden set", *metrics], [[n, *map(m.get, metrics)] for n, m in rows.items()]
    )
    loss, slices = figures["loss"]["name"], figures.get("slices") or {}
    if slices:
        cells = [[s, f["rows"], f[loss], f[f"baseline_{loss}"]] for s, f in slices.items()]
        yield from _table(["slice", "rows", loss, "best baseline"], cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    texts = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *rest in texts:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def readable(line: bytes) -> bytes:
    """A line of a log for people: progress in words, everything else as it was written."""
    text = line.decode(errors="replace")
    record = parse(text)
    if record is None:
        return line
    before = text.rpartition(WORD)[0]
    return f"{before}{summary(record)}\n".encode()
