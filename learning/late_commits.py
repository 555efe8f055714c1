"""Commits that became available long after they were made, in the lab's Iceberg table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from learning.sandbox import Sandbox

if TYPE_CHECKING:
    from pyiceberg.table import Table

TABLE = "abukix.commits"
_LATENESS = timedelta(days=45)
_BEFORE_END = timedelta(days=120)
_OBSERVED = "observed."


def append_late_commits(sandbox: Sandbox, count: int) -> None:
    """Copies of ``count`` commits of one repository, as if they had been pushed weeks later."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _table(sandbox)
    snapshot = table.current_snapshot()
    assert snapshot is not None, "a prepared home has commits"
    rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
    newest = pc.max(rows["committed_at"]).as_py()
    repo = rows["repo"][-1]
    old = rows.filter(
        pc.and_(pc.equal(rows["repo"], repo), pc.less(rows["committed_at"], newest - _BEFORE_END))
    )
    late = old.slice(max(0, old.num_rows - count), count)
    hashes = [f"1a7e{h[4:]}" for h in late["hash"].to_pylist()]
    arrival = pc.add(late["committed_at"], pa.scalar(_LATENESS, pa.duration("us")))
    values = {"hash": hashes, "available_at": arrival, "backfill": [False] * late.num_rows}
    for name, value in values.items():
        index = late.schema.get_field_index(name)
        field = late.schema.field(index)
        column = value if isinstance(value, pa.ChunkedArray) else pa.array(value)
        late = late.set_column(index, field, column.cast(field.type))
    kept = snapshot.summary.additional_properties if snapshot.summary else {}
    observed = {k: v for k, v in kept.items() if k.startswith(_OBSERVED)}
    table.append(late, snapshot_properties=observed)


def count_late_commits(sandbox: Sandbox) -> int:
    """Commits that became available after they were made."""
    import pyarrow.compute as pc

    columns = ("committed_at", "available_at")
    rows = _table(sandbox).scan(selected_fields=columns).to_arrow()
    return pc.sum(pc.greater(rows["available_at"], rows["committed_at"])).as_py() or 0


def _table(sandbox: Sandbox) -> Table:
    from pyiceberg.catalog import load_catalog

    iceberg = sandbox.home / "iceberg"
    catalog = load_catalog(
        "local",
        type="sql",
        uri=f"sqlite:///{iceberg}/catalog.db",
        warehouse=f"file://{iceberg}/warehouse",
    )
    return catalog.load_table(TABLE)
