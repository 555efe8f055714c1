"""Rows of an extracted file as arrays, and the judge that scores models on the golden ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platform_ctl.recipe import scores
from platform_ctl.recipe.recipe import Loss
from recipes.common import metrics

if TYPE_CHECKING:
    import pyarrow as pa

GOLDEN_KEY = b"golden"
"""Metadata key of the file: digest of the golden set."""


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


Losses = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Baselines = Callable[[Rows, Rows], Mapping[str, np.ndarray]]
"""(training and validation rows, golden rows) -> baseline -> its predictions of the golden rows."""
Metric = Callable[[np.ndarray, np.ndarray], float]
"""(predictions, labels) -> a figure of them all."""


@dataclass(frozen=True)
class Judge:
    """How the models of a recipe are scored on its golden rows."""

    load: Callable[[str], Any]
    loss: Loss
    losses: Losses
    baselines: Baselines
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """Further metrics of each forecaster, by name."""
    intervals: Sequence[str] = ()
    """Names of those that get an interval for the candidate, beside that of the loss."""
    slices: Callable[[Rows], np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name in self.intervals:
            if name not in self.metrics:
                known = ", ".join(self.metrics) or "none"
                raise ValueError(f"intervals names {name!r}; metrics are: {known}")

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
        figures = scores.write(
            out_dir,
            self._scores(golden, predictions),
            golden_digest=(pq.read_schema(rows_path).metadata or {}).get(GOLDEN_KEY, b"").decode(),
            model_digest=candidate.digest,
            champion_digest=champion.digest if champion else "",
            leak_check=leak_check(seen, golden),
            metrics={
                name: {metric: of(p, golden.label) for metric, of in self.metrics.items()}
                for name, p in predictions.items()
            },
            more={
                **_times(seen, golden),
                **self._intervals(predictions["candidate"], golden.label),
            },
        )
        pq.write_table(golden.table, Path(out_dir) / scores.ROWS_FILE)
        return figures

    def _intervals(self, prediction: np.ndarray, label: np.ndarray) -> dict[str, Any]:
        intervals = {
            name: metrics.interval(self.metrics[name], prediction, label) for name in self.intervals
        }
        return {"intervals": intervals} if intervals else {}

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


def halves(values: np.ndarray, low: str, high: str) -> np.ndarray:
    """Two slices of the golden rows: ``high`` above the median of ``values``, else ``low``."""
    return np.where(values > np.median(values), high, low)


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
