"""What an audit of training rows tells the lineage of the home."""

from __future__ import annotations

import contextlib
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import NothingYet, UnknownName, Unsupported
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.settings import Settings
from platform_ctl.targets.lineage import lineage_outbox, lineage_producer, start_delivery
from platform_ctl.targets.runs import run_reader

if TYPE_CHECKING:
    from platform_ctl.lineage.facets import Dataset, Producer
    from platform_ctl.recipe.datasets import AuditReport


def record_audit(
    settings: Settings, recipe: Recipe, report: AuditReport, times: tuple[datetime, datetime]
) -> None:
    """Say in the lineage what was asserted, and of which rows: those of a run, or, of rows that
    nobody kept, the table they came from. Never in the way: a full disk costs the event."""
    from platform_ctl.lineage import events as lineage

    by = lineage_producer(settings)
    began, ended = (t.isoformat(timespec="milliseconds").replace("+00:00", "Z") for t in times)
    read = _audited(settings, recipe, report, by)
    run_id = str(uuid.uuid4())
    job = recipe.pipeline or recipe.name
    events = lineage.audit(job, run_id, (began, ended), report, read, by)
    with contextlib.suppress(OSError):
        lineage_outbox(settings).append(events)
        start_delivery(settings)


def _audited(settings: Settings, recipe: Recipe, report: AuditReport, by: Producer) -> Dataset:
    from platform_ctl.lineage import datasets

    path = str(Path(report.rows_path).resolve())
    if run_id := datasets.run_of(path):
        with contextlib.suppress(NothingYet, UnknownName, Unsupported):
            run = run_reader(settings).get(run_id)
            if dataset := datasets.written_at(run, path, by):
                return dataset
    return datasets.table_at(recipe, report.snapshot_id, by)
