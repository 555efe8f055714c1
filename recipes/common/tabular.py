"""Recipes on a CSV or Parquet table: ingest, split, golden set, extract.

A file's rows go into one Iceberg table. A row is known by its time (and entity) where the table has
a time column, else by a digest of its values; the same row is never stored twice. Features are
numbers. A label may come later than its row, in a file of its own (``late_labels``): the table
keeps both as records of one row, and a run learns from the rows that have one.

Splits: with a time, the newest fifth of the periods is golden and the sixth before it validation;
without, a row's features decide by their digest, so that rows which look the same stay together and
later rows move none.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platform_ctl.errors import BadParameter, MissingTable, TooLittleHistory
from platform_ctl.recipe.datasets import (
    AuditReport,
    DataSummary,
    EntitySummary,
    GoldenSet,
    Ingested,
    IngestReport,
    Progress,
    Resolved,
    SnapshotSummary,
    no_progress,
)
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.truth import Truth
from recipes.common import audit, iceberg, table_file
from recipes.common.golden import GoldenFile, GoldenSets, of_rows
from recipes.common.judge import GOLDEN_KEY

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GOLDEN_SHARE, VALIDATION_SHARE = 0.2, 0.15
MIN_ROWS = {"train": 30, "validation": 10, "golden": 20}
LAGS = tuple(range(1, 9))
"""Of a forecast: so many earlier values are features, and their means."""
FORECAST_FEATURES = (*(f"lag_{n}" for n in LAGS), "mean_4", "mean_8")
_ROW, _INGESTED = "row", "ingested_at"


@dataclass(frozen=True)
class Table:
    """Which columns of the file mean what."""

    recipe: str
    name: str
    """Of the Iceberg table: ``namespace.table``."""
    label: str
    features: tuple[str, ...]
    positive: str = ""
    """The label that counts as 1; empty: labels are numbers."""
    negative: str = ""
    """The label that counts as 0, and none but these two; empty: every other one does."""
    time: str = ""
    entity: str = ""
    forecast: bool = False
    """Features are made of earlier values of ``label``, of the same entity."""
    late_labels: bool = False
    """Rows may come without a label. They need an entity or a time, by which a label finds them."""

    @property
    def columns(self) -> tuple[str, ...]:
        features = () if self.forecast else self.features
        return tuple(c for c in (self.entity, self.time, *features, self.label) if c)

    # ---- ingest ----------------------------------------------------------------------

    def ingest(
        self,
        access: DataAccess,
        *,
        paths: Sequence[Path],
        now: datetime,
        progress: Progress = no_progress,
    ) -> IngestReport:
        """Append the rows of files that the table does not have yet, as one snapshot.

        Every file is read before anything is written. Raises BadParameter naming the file and the
        column, HomeBusy, DiskFull.
        """
        read = [(path, *self._read(path, self.columns)) for path in paths]
        with iceberg.exclusive(access, self.recipe, "data"):
            table = iceberg.load_or_create(access, self.name, self._schema())
            known = set(table.scan(selected_fields=(_ROW,)).to_arrow()[_ROW].to_pylist())
            was_empty, parts, fresh = not known, [], []
            for done, (path, frame, notes) in enumerate(read):
                progress(f"reading {path.name}", done, len(read))
                new = frame[~frame[_ROW].isin(known)]
                known |= set(new[_ROW])
                fresh.append(new)
                count = len(frame) - len(new)
                parts.append(
                    Ingested(path.name, len(new), count, str(path), was_empty, notes=notes)
                )
            snapshot = self._append(table, fresh, now)
        return IngestReport(self.name, snapshot, now, tuple(parts))

    def ingest_frame(
        self, access: DataAccess, frame: pd.DataFrame, *, now: datetime, progress: Progress
    ) -> IngestReport:
        """Append rows that a recipe makes itself, as ``ingest`` does those of a file."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{self.recipe}.parquet"
            frame.to_parquet(file)
            return self.ingest(access, paths=[file], now=now, progress=progress)

    def ingest_labels(
        self,
        access: DataAccess,
        *,
        paths: Sequence[Path],
        now: datetime,
        progress: Progress = no_progress,
    ) -> IngestReport:
        """Append labels that came later: files with the entity (and time) and the label.

        Of rows that the table does not have, nothing is kept; another label than before counts
        from now on. Raises BadParameter, MissingTable, HomeBusy, DiskFull.
        """
        key = tuple(c for c in (self.entity, self.time, self.label) if c)
        read = [(path, *self._read(path, key)) for path in paths]
        with iceberg.exclusive(access, self.recipe, "data"):
            table = iceberg.load(access, self.name, self.recipe)
            held = table.scan().to_arrow().to_pandas().sort_values(_INGESTED, kind="stable")
            known: dict[str, Any] = dict.fromkeys(held[_ROW]) | dict(
                held.dropna(subset=[self.label])[[_ROW, self.label]].itertuples(index=False)
            )
            parts, fresh = [], []
            for done, (path, frame, notes) in enumerate(read):
                progress(f"reading {path.name}", done, len(read))
                ours = frame[frame[_ROW].isin(known)]
                pairs = zip(ours[_ROW], ours[self.label], strict=True)
                new = ours[[known[row] != label for row, label in pairs]]
                known |= dict(new[[_ROW, self.label]].itertuples(index=False))
                fresh.append(new)
                if strangers := len(frame) - len(ours):
                    notes = (*notes, f"{strangers} labels of rows that were never ingested")
                parts.append(
                    Ingested(path.name, len(new), len(ours) - len(new), str(path), notes=notes)
                )
            snapshot = self._append(table, fresh, now)
        return IngestReport(self.name, snapshot, now, tuple(parts))

    def _append(self, table: Any, fresh: list[pd.DataFrame], now: datetime) -> str | None:
        import pandas as pd
        import pyarrow as pa

        rows = pd.concat(fresh)
        if not len(rows):
            return None
        rows = rows.reindex(columns=[_ROW, *self.columns]).assign(**{_INGESTED: now})
        with iceberg.disk_errors():
            arrow = pa.Table.from_pandas(
                rows, schema=self._schema().as_arrow(), preserve_index=False
            )
            return iceberg.append(table, arrow)

    def _read(self, path: Path, columns: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The file's rows in those columns, and what was left out."""
        frame = self._file(path)
        missing = [c for c in columns if c not in frame.columns]
        if missing:
            raise self._bad(path, f"has no column {missing[0]!r}; it has: {', '.join(frame)}")
        frame = frame[list(columns)].copy()
        for column in columns:
            frame[column] = self._typed(path, column, frame[column])
        unlabelled = columns == self.columns and self.late_labels
        needed = (self.entity, self.time) if unlabelled else (self.label, self.time)
        complete = frame.dropna(subset=[c for c in needed if c])
        notes = []
        if len(complete) < len(frame):
            what = "entity" if unlabelled else "label"
            notes.append(f"{len(frame) - len(complete)} rows without {what} or time left out")
        named = complete.assign(**{_ROW: self._names(complete)})
        once = named.drop_duplicates(_ROW)
        if len(once) < len(named):
            notes.append(
                f"{len(named) - len(once)} rows of a name that the file has twice left out"
            )
        return once, tuple(notes)

    def _file(self, path: Path) -> pd.DataFrame:
        try:
            return table_file.read(path)
        except table_file.UnreadableFile as exc:
            raise self._bad(path, str(exc), exc.fix) from exc

    def _typed(self, path: Path, column: str, values: pd.Series) -> pd.Series:
        import pandas as pd

        try:
            if column == self.time:
                return table_file.times(values)
            if column == self.label and self.positive:
                return self._classes(path, values)
            if column == self.entity:
                return table_file.classes(values)
            return self._numbers(pd.to_numeric(values).astype("float64"))
        except (ValueError, TypeError) as exc:
            kind = "times" if column == self.time else "numbers"
            raise self._bad(path, f"column {column!r} does not hold {kind}: {exc}") from exc

    def _classes(self, path: Path, values: pd.Series) -> pd.Series:
        classes = table_file.classes(values)
        others = classes[~classes.isin([self.positive, self.negative])].dropna().unique()
        if self.negative and len(others):
            raise self._bad(
                path,
                f"column {self.label!r} has {others[0]!r}, which is neither {self.positive!r} "
                f"nor {self.negative!r}",
            )
        return classes

    @staticmethod
    def _numbers(values: pd.Series) -> pd.Series:
        """JSON, in which rows are asked about, has no infinity. Raises ValueError."""
        if np.isinf(values).any():
            raise ValueError(f"{values[np.isinf(values)].iloc[0]} is not finite")
        return values

    def _names(self, frame: pd.DataFrame) -> list[str]:
        if self.time:
            times = frame[self.time].dt.strftime("%Y-%m-%dT%H:%M:%S")
            return [
                f"{e}@{t}"
                for e, t in zip(frame[self.entity] if self.entity else times, times, strict=True)
            ]
        if self.late_labels:
            return [str(entity) for entity in frame[self.entity]]
        seen: dict[str, int] = {}
        names = []
        for values in frame.itertuples(index=False):
            digest = _digest(values)
            seen[digest] = seen.get(digest, 0) + 1
            names.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
        return names

    def _schema(self) -> Any:
        from pyiceberg.schema import Schema
        from pyiceberg.types import DoubleType, NestedField, StringType, TimestamptzType

        def kind(column: str) -> Any:
            if column in (self.time, _INGESTED):
                return TimestamptzType()
            text = column in (_ROW, self.entity) or (column == self.label and self.positive)
            return StringType() if text else DoubleType()

        named = (_ROW, *self.columns, _INGESTED)
        return Schema(*(NestedField(i, c, kind(c), required=False) for i, c in enumerate(named, 1)))

    def _bad(self, path: Path, what: str, fix: str = "") -> BadParameter:
        return BadParameter(
            f"{path} {what}",
            where=str(path),
            fix=fix or f"platform-ctl data ingest --recipe {self.recipe} --csv FILE",
        )

    # ---- what a run is about ---------------------------------------------------------

    def resolve(self, access: DataAccess) -> Resolved:
        """Pin the newest snapshot and its golden rows. Raises MissingTable, TooLittleHistory."""
        snapshot, rows = self._newest(access)
        with iceberg.exclusive(access, self.recipe, "golden set"):
            digest = self.golden(access).pin(
                self._golden(rows), snapshot, datetime.now(UTC), "newest rows"
            )
        return Resolved(snapshot, self._as_of(rows), digest)

    def foresee(self, access: DataAccess) -> Resolved:
        """What ``resolve`` would return now. Writes nothing."""
        snapshot, rows = self._newest(access)
        return Resolved(snapshot, self._as_of(rows), self._golden(rows).digest)

    def golden(self, access: DataAccess) -> GoldenSets:
        return GoldenSets(access, self.recipe)

    def golden_show(self, access: DataAccess) -> GoldenSet | None:
        """The golden set in force; None before the first run. Raises GoldenSetTampered."""
        return self.golden(access).show()

    def golden_refresh(self, access: DataAccess, reason: str) -> GoldenSet | None:
        """Pin the newest rows, also where the set in force is damaged (contract.MoreData). Raises
        MissingTable, TooLittleHistory."""
        snapshot, rows = self._newest(access)
        with iceberg.exclusive(access, self.recipe, "golden set"):
            golden, now = self._golden(rows), datetime.now(UTC)
            self.golden(access).pin(golden, snapshot, now, reason, renew=True)
        return self.golden_show(access)

    def show(self, access: DataAccess) -> DataSummary:
        """Entities with their ranges, and the table's snapshots; where each row is an entity of its
        own, how many there are. Raises MissingTable."""
        table = iceberg.load(access, self.name, self.recipe)
        frame = table.scan().to_arrow().to_pandas()
        groups = self._groups(frame)
        entities = []
        for name, part in groups:
            span = (part[self.time].min(), part[self.time].max()) if self.time else (None, None)
            entities.append(EntitySummary(str(name), len(part), "", *span))
        snapshots = tuple(self._snapshot(s) for s in table.snapshots())
        as_of = frame[self.time].max().isoformat() if self.time and len(frame) else None
        return DataSummary(as_of, tuple(entities), snapshots)

    def _groups(self, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        if self.entity and self.time:
            return [(str(name), part) for name, part in frame.groupby(self.entity)]
        if not self.late_labels:
            return [("all", frame)]
        labelled = frame[_ROW].isin(frame.dropna(subset=[self.label])[_ROW])
        rows = ~frame[_ROW].duplicated()
        return [("labelled", frame[labelled & rows]), ("unlabelled", frame[~labelled & rows])]

    def _snapshot(self, snapshot: Any) -> SnapshotSummary:
        properties = snapshot.summary.additional_properties if snapshot.summary else {}
        return SnapshotSummary(
            table=self.name,
            snapshot_id=str(snapshot.snapshot_id),
            committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
            operation=snapshot.summary.operation.value if snapshot.summary else "",
            added_rows=int(properties.get("added-records", 0)),
            total_rows=int(properties.get("total-records", 0)),
        )

    def extract(
        self,
        access: DataAccess,
        snapshot_id: str,
        as_of: str,
        golden_digest: str,
        out_path: str | Path,
    ) -> dict[str, Any]:
        """Write the rows of a snapshot (contract.Extract). Raises MissingTable,
        TooLittleHistory, GoldenSetStale, MissingGoldenSet."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        pinned = self.golden(access).read(golden_digest)
        table = iceberg.load_whole(access, self.name, self.recipe)
        rows = self.rows(table.scan(snapshot_id=int(snapshot_id)).to_arrow().to_pandas())
        self._check_enough(rows)
        rows, _ = self.golden(access).apply_to(rows, pinned)
        origin = {b"snapshot_id": snapshot_id.encode(), GOLDEN_KEY: golden_digest.encode()}
        with iceberg.disk_errors():
            pq.write_table(rows.replace_schema_metadata(origin), out_path, compression="zstd")
        counts = {v["values"]: v["counts"] for v in pc.value_counts(rows["split"]).to_pylist()}
        splits = {s: counts.get(s, 0) for s in MIN_ROWS}
        metadata = {
            "rows": rows.num_rows,
            "splits": splits,
            "features": len(self.features),
            "snapshot_id": snapshot_id,
            "golden_digest": golden_digest,
        }
        return {**metadata, "metadata": metadata, "summary": f"{rows.num_rows} rows"}

    def rows(self, frame: pd.DataFrame) -> pa.Table:
        """Rows with ``row``, ``split``, ``label`` and the features, in a fixed order."""
        import pandas as pd
        import pyarrow as pa

        if self.late_labels:
            frame = self._labelled(frame)
        frame = frame.sort_values([*([self.time] if self.time else []), _ROW])
        if self.forecast:
            frame = _with_lags(frame, self.label, self.entity).dropna(subset=[*self.features])
        label = frame[self.label]
        split = self._by_time(frame) if self.time else self._by_digest(frame)
        chosen = {
            "row": pa.array(frame[_ROW], pa.string()),
            "split": pa.array(split, pa.string()),
            "label": pa.array(
                (label == self.positive).astype("float64") if self.positive else label, pa.float64()
            ),
            **{c: pa.array(frame[c], pa.float64()) for c in self.features},
        }
        if self.time:
            chosen["time"] = pa.array(pd.to_datetime(frame[self.time]), pa.timestamp("us", "UTC"))
        if self.entity:
            chosen["entity"] = pa.array(frame[self.entity], pa.string())
        return pa.table(chosen)

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows whose label is known, each with its newest one."""
        records = frame.sort_values(_INGESTED, kind="stable")
        labels = records.dropna(subset=[self.label]).groupby(_ROW)[self.label].last()
        rows = records.drop_duplicates(_ROW)
        return rows.assign(**{self.label: rows[_ROW].map(labels)}).dropna(subset=[self.label])

    def labels(
        self, access: DataAccess, asked: Sequence[tuple[str, datetime]]
    ) -> list[Truth | None]:
        """What came true of each (entity, moment): the label of the entity's newest row at that
        moment (contract.Labels). Raises MissingTable."""
        table = iceberg.load(access, self.name, self.recipe)
        rows = self._labelled(table.scan().to_arrow().to_pandas())
        of: dict[str, list[tuple[datetime | None, str, Truth]]] = {}
        for _, row in rows.iterrows():
            value = float(row[self.label] == self.positive if self.positive else row[self.label])
            at = row[self.time].to_pydatetime() if self.time else None
            known = Truth(row[_ROW].rpartition("@")[2] if self.time else "", value)
            of.setdefault(str(row[self.entity]), []).append((at, row[_ROW], known))

        def truth(entity: str, moment: datetime) -> Truth | None:
            then = [one for one in of.get(entity, []) if one[0] is None or one[0] <= moment]
            return max(then)[2] if then else None

        return [truth(entity, moment) for entity, moment in asked]

    def online_features(
        self, access: DataAccess, entities: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        """Entity -> the features of its newest row, labelled or not (contract.Online). Raises
        MissingTable."""
        from pyiceberg.expressions import In

        if not entities:
            return {}
        table = iceberg.load(access, self.name, self.recipe)
        chosen = In(self.entity, set(entities))  # type: ignore[call-arg, arg-type]
        scan = table.scan(chosen).to_arrow().to_pandas()
        records = scan.dropna(subset=[self.features[0]])
        order = [*([self.time] if self.time else []), _INGESTED]
        newest = records.sort_values(order, kind="stable").drop_duplicates(self.entity, keep="last")
        values = newest.set_index(self.entity)[list(self.features)]
        return {str(e): dict(row) for e, row in values.astype(float).to_dict("index").items()}

    def audit(self, access: DataAccess, rows_path: str | Path | None, n: int) -> AuditReport:
        """Recompute ``n`` rows by brute force; of a fresh extraction when no file is given
        (contract.MoreData). Raises MissingTable, TooLittleHistory."""
        import pyarrow.parquet as pq

        if rows_path is None:
            pinned = self.resolve(access)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "rows.parquet"
                words = (pinned.snapshot_id, pinned.as_of, pinned.golden_digest)
                self.extract(access, *words, path)
                return self.audit(access, path, n)
        rows = pq.read_table(rows_path)
        snapshot = (rows.schema.metadata or {})[b"snapshot_id"].decode()
        table = iceberg.load_whole(access, self.name, self.recipe)
        records = table.scan(snapshot_id=int(snapshot)).to_arrow().sort_by(_INGESTED)
        subject = audit.Subject(
            rows.to_pylist(),
            records.to_pylist(),
            self.label,
            self.positive,
            self.features,
            self.time,
            self.entity,
            self.forecast,
        )
        return audit.audit(subject, Path(rows_path), snapshot, n)

    def latest_rows(self, access: DataAccess) -> pa.Table:
        """What ``model predict`` answers for: the newest row of each entity, or the golden rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        _, rows = self._newest(access)
        if not self.time:
            return rows.filter(pc.equal(rows["split"], "golden")).drop_columns(["split"])
        frame = rows.to_pandas().drop(columns=["split"])
        newest = frame.groupby("entity").tail(1) if self.entity else frame.tail(1)
        return pa.Table.from_pandas(newest, preserve_index=False)

    def _newest(self, access: DataAccess) -> tuple[str, pa.Table]:
        table = iceberg.load_whole(access, self.name, self.recipe)
        snapshot = table.current_snapshot()
        if snapshot is None:
            raise MissingTable(
                f"{self.name} is empty",
                where=self.name,
                fix=f"platform-ctl data ingest --recipe {self.recipe} --csv FILE",
            )
        return str(snapshot.snapshot_id), self.rows(table.scan().to_arrow().to_pandas())

    def _golden(self, rows: pa.Table) -> GoldenFile:
        self._check_enough(rows)
        return of_rows(rows)

    def _as_of(self, rows: pa.Table) -> str:
        import pyarrow.compute as pc

        return pc.max(rows["time"]).as_py().isoformat() if self.time else ""

    def _by_digest(self, frame: pd.DataFrame) -> np.ndarray:
        names = frame[list(self.features)].itertuples(index=False)
        at = np.array([int(_digest(values)[:8], 16) / 16**8 for values in names])
        return np.where(
            at < GOLDEN_SHARE,
            "golden",
            np.where(at < GOLDEN_SHARE + VALIDATION_SHARE, "validation", "train"),
        ).astype(object)

    def _by_time(self, frame: pd.DataFrame) -> np.ndarray:
        dense = frame[self.time].rank(method="dense").to_numpy()
        rank = (dense - 1) / max(dense.max(initial=0), 1)
        return np.where(
            rank >= 1 - GOLDEN_SHARE,
            "golden",
            np.where(rank >= 1 - GOLDEN_SHARE - VALIDATION_SHARE, "validation", "train"),
        ).astype(object)

    def _check_enough(self, rows: pa.Table) -> None:
        split = rows["split"].to_pylist()
        short = [
            f"{split.count(s)} of {least} {s} rows"
            for s, least in MIN_ROWS.items()
            if split.count(s) < least
        ]
        if short:
            raise TooLittleHistory(
                f"too few rows: {'; '.join(short)}",
                where=self.name,
                fix=f"platform-ctl data ingest --recipe {self.recipe} --csv MORE-ROWS",
            )


def _with_lags(frame: pd.DataFrame, label: str, entity: str) -> pd.DataFrame:
    """Earlier values of the same entity as features: nothing of a row's own time is in them."""
    values = frame.groupby(entity)[label] if entity else frame[label]
    lags = {f"lag_{n}": values.shift(n) for n in LAGS}
    lagged = frame.assign(**lags)
    for length in (4, 8):
        lagged[f"mean_{length}"] = lagged[[f"lag_{n}" for n in range(1, length + 1)]].mean(axis=1)
    return lagged


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256("\x1f".join(map(repr, values)).encode()).hexdigest()[:16]
