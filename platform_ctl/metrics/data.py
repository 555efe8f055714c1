"""Metrics of the Iceberg tables: how fresh they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.recipe import iceberg_sqlite

Newest = Callable[[Sequence[Mapping[str, str]]], float | None]
"""Summaries of a table's snapshots, oldest first -> seconds since the epoch, None when unknown."""


class TableMetrics:
    """Implements ``ports.metrics.Metrics`` for a catalog on this machine; of another one it
    tells nothing."""

    name = "tables"

    def __init__(
        self, catalog: Mapping[str, str], newest: Callable[[], Mapping[str, Newest]]
    ) -> None:
        """``newest`` is asked for each table's recipe's way of telling its newest record; it
        imports recipes, which may be broken, so it is asked when the tables are."""
        self._catalog = catalog
        self._newest = newest

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error, OSError, and whatever a recipe raises."""
        newest_of = self._newest()
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
