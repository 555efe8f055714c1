"""Point-in-time audit of recipes on a table: rows recomputed by plain loops over the records.

It shares no code with ``tabular``: values are looked up in the records of the pinned snapshot, and
a forecast's features are counted from what is older than the row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform_ctl.recipe.datasets import AuditReport, Mismatch

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
TOLERANCE = 1e-9
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is audited: the rows of a run, and the records of the snapshot they came from."""

    rows: Sequence[Record]
    records: Sequence[Record]
    """In the order of their ingest."""
    label: str
    positive: str
    features: tuple[str, ...]
    time: str
    entity: str
    forecast: bool


def audit(subject: Subject, rows_path: Path, snapshot_id: str, n: int) -> AuditReport:
    """Recompute ``n`` rows, chosen by a seed."""
    chosen = random.Random(0).sample(list(subject.rows), min(n, len(subject.rows)))
    mismatches = tuple(m for row in chosen for m in _mismatches(subject, row))
    return AuditReport(
        ok=not mismatches,
        rows_checked=len(chosen),
        values_checked=len(chosen) * (len(subject.features) + 1),
        rows_path=str(rows_path),
        snapshot_id=snapshot_id,
        mismatches=mismatches,
    )


def _mismatches(subject: Subject, row: Record) -> Iterator[Mismatch]:
    at = row["time"] if subject.time else NO_TIME
    own = [record for record in subject.records if record["row"] == row["row"]]
    recomputed = _of_history(subject, row) if subject.forecast else _of_record(subject, own)
    recomputed["label"] = _label(subject, own)
    for column in (*subject.features, "label"):
        found, expected = float(row[column]), recomputed[column]
        if not abs(found - expected) <= TOLERANCE * max(1.0, abs(expected)):
            why = "not what the records known at its time give"
            yield Mismatch(row["row"], at, column, found, expected, why)


def _label(subject: Subject, own: Sequence[Record]) -> float:
    """The newest one that was ingested; NaN without any."""
    known = [r[subject.label] for r in own if not _missing(r[subject.label])]
    if not known:
        return float("nan")
    return float(known[-1] == subject.positive) if subject.positive else float(known[-1])


def _of_record(subject: Subject, own: Sequence[Record]) -> dict[str, float]:
    """Of a table whose features stand in the file: what came first."""
    first = next((r for r in own if not _missing(r[subject.features[0]])), None)
    return {f: float(first[f]) if first else float("nan") for f in subject.features}


def _of_history(subject: Subject, row: Record) -> dict[str, float]:
    """Of a forecast: values of the same entity that are older than the row."""
    older = [
        (r[subject.time], float(r[subject.label]))
        for r in subject.records
        if (not subject.entity or r[subject.entity] == row["entity"])
        and r[subject.time] < row["time"]
    ]
    values = [value for _, value in sorted(older)]
    recomputed = {}
    for feature in subject.features:
        kind, _, count = feature.partition("_")
        last = values[-int(count) :]
        recomputed[feature] = last[0] if kind == "lag" else sum(last) / len(last)
    return recomputed


def _missing(value: Any) -> bool:
    return value is None or value != value
