"""Metrics of hyperparameter searches under way on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.metrics.home import reading
from platform_ctl.tuning.find_search import FOLDER
from platform_ctl.tuning.local import journal


class SearchMetrics:
    """Implements ``metrics.port.Metrics``. Only open runs are looked at; each change of a trial is
    a line of the search's journal, and its end is a file beside it."""

    name = "searches"

    def __init__(self, database: Path, runs: Path) -> None:
        self._database, self._runs = database, runs

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error, OSError."""
        with reading(self._database) as db:
            if db is None:
                return
            rows = db.execute("SELECT id, pipeline FROM runs WHERE state IN ('PENDING', 'RUNNING')")
            searches = [(self._runs / row["id"] / FOLDER, row["pipeline"]) for row in rows]
        progress: dict[str, list[float]] = {}
        for folder, pipeline in searches:
            changed = progress.setdefault(pipeline, [])
            written = folder / journal.FILE
            if written.is_file() and not (folder / journal.STATUS).is_file():
                changed.append(written.stat().st_mtime)
        for pipeline, changed in progress.items():
            yield metrics.SEARCHES_RUNNING.of(pipeline, value=len(changed))
            if changed:
                yield metrics.SEARCH_PROGRESS.of(pipeline, value=min(changed))
