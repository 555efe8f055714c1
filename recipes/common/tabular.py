"""Recipes on a CSV or Parquet table: ingest, split, golden set, extract, evaluate.

A file's rows go into one Iceberg table. A row is known by its time (and entity) where the table has
a time column, else by a digest of its values; the same row is never stored twice. Features are
numbers. Splits: with a time, the newest fifth of the periods is golden and the sixth before it
validation; without, a row's features decide by their digest, so that rows which look the same stay
together and later rows move none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platform_ctl.errors import BadParameter, MissingTable, TooLittleHistory
from platform_ctl.recipe import scores
from platform_ctl.recipe.datasets import (
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
from platform_ctl.recipe.recipe import DataAccess, Loss
from recipes.common import iceberg
from recipes.common.golden import GoldenFile, GoldenSets, of_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GOLDEN_SHARE, VALIDATION_SHARE = 0.2, 0.15
MIN_ROWS = {"train": 30, "validation": 10, "golden": 20}
GOLDEN_KEY = b"golden"
LAGS = tuple(range(1, 9))
"""Of a forecast: so many earlier values are features, and their means."""
FORECAST_FEATURES = (*(f"lag_{n}" for n in LAGS), "mean_4", "mean_8")
_ROW, _INGESTED = "row", "ingested_at"


@dataclass(frozen=True)
class Table:
    """Which columns of the file mean what. ``positive``: the label that counts as 1."""

    recipe: str
    name: str
    """Of the Iceberg table: ``namespace.table``."""
    label: str
    features: tuple[str, ...]
    positive: str = ""
    time: str = ""
    entity: str = ""
    forecast: bool = False
    """Features are made of earlier values of ``label``, of the same entity."""

    @property
    def columns(self) -> tuple[str, ...]:
        given = () if self.forecast else self.features
        return tuple(c for c in (self.entity, self.time, *given, self.label) if c)

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
        read = [(path, *self._read(path)) for path in paths]
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

    def _append(self, table: Any, fresh: list[pd.DataFrame], now: datetime) -> str | None:
        import pandas as pd
        import pyarrow as pa

        rows = pd.concat(fresh)
        if not len(rows):
            return None
        rows[_INGESTED] = now
        with iceberg.disk_errors():
            arrow = pa.Table.from_pandas(
                rows, schema=self._schema().as_arrow(), preserve_index=False
            )
            table.append(arrow)
        return str(table.current_snapshot().snapshot_id)

    def _read(self, path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The file's rows in the table's columns, and what was left out."""
        frame = self._file(path)
        missing = [c for c in self.columns if c not in frame.columns]
        if missing:
            raise self._bad(path, f"has no column {missing[0]!r}; it has: {', '.join(frame)}")
        frame = frame[list(self.columns)].copy()
        for column in self.columns:
            frame[column] = self._typed(path, column, frame[column])
        kept = frame.dropna(subset=[c for c in (self.label, self.time) if c])
        notes = []
        if len(kept) < len(frame):
            notes.append(f"{len(frame) - len(kept)} rows without a label or time left out")
        named = kept.assign(**{_ROW: self._names(kept)})
        once = named.drop_duplicates(_ROW)
        if len(once) < len(named):
            notes.append(
                f"{len(named) - len(once)} rows of a time that the file has twice left out"
            )
        return once, tuple(notes)

    def _file(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        try:
            if path.suffix in (".parquet", ".pq"):
                return pd.read_parquet(path)
            return pd.read_csv(path)
        except FileNotFoundError as exc:
            raise self._bad(path, "does not exist") from exc
        except (OSError, ValueError) as exc:  # pandas' parsers and Arrow raise kinds of ValueError
            raise self._bad(path, f"cannot be read: {exc}") from exc

    def _typed(self, path: Path, column: str, values: pd.Series) -> pd.Series:
        import pandas as pd

        try:
            if column == self.time:
                times = pd.to_datetime(values, utc=True)
                return times.dt.as_unit("us")
            if column == self.entity or (column == self.label and self.positive):
                return values.astype("string")
            return pd.to_numeric(values).astype("float64")
        except (ValueError, TypeError) as exc:
            kind = "times" if column == self.time else "numbers"
            raise self._bad(path, f"column {column!r} does not hold {kind}: {exc}") from exc

    def _names(self, frame: pd.DataFrame) -> list[str]:
        if self.time:
            times = frame[self.time].dt.strftime("%Y-%m-%dT%H:%M:%S")
            return [
                f"{e}@{t}"
                for e, t in zip(frame[self.entity] if self.entity else times, times, strict=True)
            ]
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

    def _bad(self, path: Path, what: str) -> BadParameter:
        return BadParameter(
            f"{path} {what}",
            where=str(path),
            fix=f"platform-ctl data ingest --recipe {self.recipe} --csv FILE",
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

    def show(self, access: DataAccess) -> DataSummary:
        """Entities with their ranges, and the table's snapshots. Raises MissingTable."""
        table = iceberg.load(access, self.name, self.recipe)
        frame = table.scan().to_arrow().to_pandas()
        groups = frame.groupby(self.entity) if self.entity else [("all", frame)]
        entities = []
        for name, part in groups:
            span = (part[self.time].min(), part[self.time].max()) if self.time else (None, None)
            entities.append(EntitySummary(str(name), len(part), "", *span))
        snapshots = tuple(self._snapshot(s) for s in table.snapshots())
        as_of = frame[self.time].max().isoformat() if self.time and len(frame) else None
        return DataSummary(as_of, tuple(entities), snapshots)

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
        table = iceberg.load(access, self.name, self.recipe)
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
        table = iceberg.load(access, self.name, self.recipe)
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
    made = frame.assign(**lags)
    for length in (4, 8):
        made[f"mean_{length}"] = made[[f"lag_{n}" for n in range(1, length + 1)]].mean(axis=1)
    return made


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256("\x1f".join(map(repr, values)).encode()).hexdigest()[:16]


# ---- rows as arrays --------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Some splits of an extracted file: columns (n,), ``x`` (n, f) in the order of the features."""

    table: pa.Table
    x: np.ndarray
    label: np.ndarray

    @classmethod
    def read(cls, path: str | Path, features: Sequence[str], *splits: str) -> Rows:
        import pyarrow.parquet as pq

        table = pq.read_table(path, filters=[("split", "in", splits)])
        x = np.column_stack([table[name].to_numpy().astype(np.float64) for name in features])
        return cls(table, x, table["label"].to_numpy().astype(np.float64))

    def column(self, name: str) -> np.ndarray:
        values = self.table[name].to_numpy(zero_copy_only=False)
        return values.astype(str) if values.dtype == object else values


# ---- evaluate --------------------------------------------------------------------------

Losses = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Baselines = Callable[[Rows, Rows], Mapping[str, np.ndarray]]
"""(training and validation rows, golden rows) -> baseline -> its predictions of the golden rows."""
Figures = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]
"""(predictions, labels) -> by name."""


def _nothing(prediction: np.ndarray, label: np.ndarray) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Judge:
    """How the models of a recipe are scored on its golden rows."""

    load: Callable[[str], Any]
    loss: Loss
    losses: Losses
    baselines: Baselines
    figures: Figures
    """Further metrics of each forecaster."""
    slices: Callable[[Rows], np.ndarray] | None = None
    more: Figures = _nothing
    """Whatever else evaluation.json is to say of the candidate."""

    def evaluate(
        self, model_dir: str, rows_path: str, out_dir: str, champion_dir: str | None = None
    ) -> dict[str, Any]:
        """Write evaluation.json, errors.parquet and rows.parquet to ``out_dir``; return the first.

        The candidate is scored beside the baselines and the champion (``scores.write``).
        """
        import pyarrow.parquet as pq

        candidate = self.load(model_dir)
        champion = self.load(champion_dir) if champion_dir else None
        golden = Rows.read(rows_path, candidate.features, "golden")
        seen = Rows.read(rows_path, candidate.features, "train", "validation")
        predictions = {"candidate": candidate.predict(golden.x), **self.baselines(seen, golden)}
        if champion is not None:
            theirs = Rows.read(rows_path, champion.features, "golden")
            predictions["champion"] = champion.predict(theirs.x)
        found = scores.write(
            out_dir,
            self._scores(golden, predictions),
            golden_digest=(pq.read_schema(rows_path).metadata or {}).get(GOLDEN_KEY, b"").decode(),
            model_digest=candidate.digest,
            champion_digest=champion.digest if champion else "",
            leak_check=leak_check(seen, golden),
            metrics={name: self.figures(p, golden.label) for name, p in predictions.items()},
            more={**_times(seen, golden), **self.more(predictions["candidate"], golden.label)},
        )
        pq.write_table(golden.table, Path(out_dir) / scores.ROWS_FILE)
        return found

    def _scores(self, golden: Rows, predictions: Mapping[str, np.ndarray]) -> scores.Scores:
        ones = np.ones(len(golden.label))
        by_row = {n: self.losses(p, golden.label, ones) for n, p in predictions.items()}
        return scores.Scores(
            loss=self.loss,
            rows=golden.column("row"),
            candidate=by_row.pop("candidate"),
            champion=by_row.pop("champion", None),
            baselines=by_row,
            clusters=dict(_clusters(golden)),
            slices=self.slices(golden) if self.slices else None,
            label=golden.label,
            prediction=predictions["candidate"],
            champion_prediction=predictions.get("champion"),
        )


def leak_check(seen: Rows, golden: Rows) -> dict[str, Any]:
    """No golden row, nor one with the same features or of a later time, was learnt from."""
    findings = []
    if both := sorted(set(seen.column("row")) & set(golden.column("row"))):
        findings.append(f"{len(both)} rows are golden and training at once: {both[0]}")
    if "time" in golden.table.column_names:
        if seen.column("time").max() >= golden.column("time").min():
            findings.append("training rows are as new as golden ones")
    else:
        known = {row.tobytes() for row in seen.x}
        same = sum(row.tobytes() in known for row in golden.x)
        if same:
            findings.append(f"the features of {same} golden rows stand in the training rows")
    counts = {"golden_rows": len(golden.label), "training_rows": len(seen.label)}
    return {"ok": not findings, "findings": findings, **counts}


def _clusters(golden: Rows) -> Iterator[tuple[str, np.ndarray]]:
    if "time" in golden.table.column_names and "entity" in golden.table.column_names:
        yield "time", golden.column("time").astype("datetime64[s]").astype(str)
        yield "entity", golden.column("entity")


def _times(seen: Rows, golden: Rows) -> dict[str, Any]:
    """How old what was learnt is; nothing for rows without times."""
    if "time" not in golden.table.column_names:
        return {}
    import pyarrow.compute as pc

    trained = seen.table.filter(pc.equal(seen.table["split"], "train"))
    newest, ends = pc.max(trained["time"]).as_py(), pc.max(golden.table["time"]).as_py()
    starts = pc.min(golden.table["time"]).as_py()
    return {
        "training": {"rows": len(trained), "newest_row_at": newest.isoformat()},
        "golden": {
            "policy": "rolling",
            "starts_at": starts.isoformat(),
            "ends_at": ends.isoformat(),
        },
    }
