"""Metrics of the Iceberg tables: how fresh they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.recipe import iceberg_sqlite

Newest = Callable[[Sequence[Mapping[str, str]]], float | None]
"""Summaries of a table's snapshots, oldest first -> seconds since the epoch, None when unknown."""


class TableMetrics:
    """Implements ``metrics.port.Metrics`` for a catalog on this machine; of another one it
    tells nothing."""

    name = "tables"

    def __init__(
        self,
        catalog: Mapping[str, str],
        newest: Callable[[], Mapping[str, Newest]],
        age_limits_s: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """``newest`` is asked for each table's recipe's way of telling its newest record, and
        ``age_limits_s`` for each pipeline's limit on the age of what was learnt; they import
        recipes, which may be broken, so they are asked when the tables are."""
        self._catalog = catalog
        self._newest = newest
        self._age_limits_s = age_limits_s

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error, OSError, and whatever a recipe raises."""
        newest_of = self._newest()
        for pipeline, limit_s in sorted(self._age_limits_s().items()):
            yield metrics.TRAINING_AGE_LIMIT.of(pipeline, value=limit_s)
        for name in iceberg_sqlite.names(self._catalog):
            table = iceberg_sqlite.read(self._catalog, name)
            if table is None or not table.snapshots:
                continue
            current = table.snapshot(table.current) or table.snapshots[-1]
            yield metrics.TABLE_SNAPSHOT.of(name, value=current.at)
            yield metrics.TABLE_ROWS.of(name, value=current.total_rows)
            tell = newest_of.get(name)
            newest = tell([s.summary for s in table.snapshots]) if tell else None
            if newest is not None:
                yield metrics.TABLE_NEWEST.of(name, value=newest)
