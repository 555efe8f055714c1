"""The functions of a recipe, by module: a fixed layout of files instead of a list of names.

Each class describes one file of ``recipes/<name>/``. What a class declares is what the module of
that name must define at its top level; ``recipe check`` compares them, parameters included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from platform_ctl.recipe.datasets import AuditReport, DataSummary, GoldenSet, Resolved
from platform_ctl.recipe.recipe import DataAccess, DatasetColumns
from platform_ctl.recipe.skew import LiveRow
from platform_ctl.recipe.truth import Truth

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Report = Callable[[dict[str, float]], None]
"""Takes the figures of one epoch (or iteration) of a trial, and may raise to stop it."""


class Data(Protocol):
    """``data.py``. Also one ``ingest_NAME(access, *, now, progress[, paths], **options)`` ->
    IngestReport for each source that recipe.py declares."""

    @staticmethod
    def resolve(access: DataAccess) -> Resolved:
        """Pins what a run is about: snapshot, time, golden set."""
        ...

    @staticmethod
    def foresee(access: DataAccess) -> Resolved:
        """Returns what ``resolve`` would return now. Writes nothing."""
        ...

    @staticmethod
    def show(access: DataAccess) -> DataSummary:
        """Says what there is. Changes nothing. Raises MissingTable."""
        ...

    @staticmethod
    def golden_show(access: DataAccess) -> GoldenSet | None:
        """Returns the golden set in force; None before the first run."""
        ...


class Extract(Protocol):
    """``extract.py``."""

    @staticmethod
    def extract(
        access: DataAccess, snapshot_id: str, as_of: str, golden_digest: str, out_path: str
    ) -> dict[str, Any]:
        """Writes the rows of a snapshot as one Parquet file and says what is in it.

        Columns that the platform reads: ``row`` (the row's name), ``split`` (train | validation |
        golden | recent), ``label``, optionally ``entity`` and ``scale``, and the features.
        Returned keys: ``rows``, ``splits`` (split -> rows), ``summary`` (one line), and whatever
        is to stand in the artifact's metadata; nothing of it may tell the time.
        """
        ...


class Train(Protocol):
    """``train.py``."""

    @staticmethod
    def trial(
        params: Mapping[str, Any], rows_path: str, report: Report | None = None
    ) -> dict[str, float]:
        """Runs one Katib trial: fits on the training rows, scores on the validation rows."""
        ...

    @staticmethod
    def fit(rows_path: str, params: Mapping[str, Any], out_dir: str) -> dict[str, Any]:
        """Fits the model that will be evaluated, and writes it to ``out_dir``."""
        ...


class Predict(Protocol):
    """``predict.py``: travels with the model, and imports nothing of this repository."""

    @staticmethod
    def load(model_dir: Path) -> Predictor:
        """Loads what ``fit`` wrote."""
        ...


class Predictor(Protocol):
    """What ``load`` returns."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that it takes, in the order in which it takes them."""
        ...

    @property
    def digest(self) -> str:
        """``sha256:…`` over the files of the model."""
        ...

    def predict(self, inputs: Any) -> np.ndarray:
        """Returns one number for each row (n,)."""
        ...


class Evaluate(Protocol):
    """``evaluate.py``."""

    @staticmethod
    def evaluate(
        model_dir: str, rows_path: str, out_dir: str, champion_dir: str | None = None
    ) -> dict[str, Any]:
        """Scores the golden rows and leaves the evaluation (``scores.write``) in ``out_dir``."""
        ...


class Losses(Protocol):
    """``losses.py``: how wrong a served answer was, once its label is known."""

    @staticmethod
    def losses(prediction: np.ndarray, label: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Returns the loss of each row (n,), >= 0. Without this file: absolute error / scale."""
        ...


class Labels(Protocol):
    """``labels.py``: labels that arrive after the answer was given."""

    @staticmethod
    def labels(access: DataAccess, asked: Sequence[tuple[str, datetime]]) -> list[Truth | None]:
        """Returns what came true of each (entity, moment); None while it is not known."""
        ...


class Online(Protocol):
    """``online.py``: features by entity, for serving."""

    @staticmethod
    def online_features(access: DataAccess, entities: list[str]) -> dict[str, dict[str, float]]:
        """Returns entity -> feature -> value; entities that are not known are absent."""
        ...


class Live(Protocol):
    """``live.py``: the served features beside the same ones recomputed offline."""

    @staticmethod
    def rows(access: DataAccess, limit: int) -> list[LiveRow]:
        """Of at most ``limit`` entities; fewer, or none, where the online store has fewer."""
        ...

    @staticmethod
    def refresh(access: DataAccess) -> None:
        """Brings the online store up to date."""
        ...


class Freshness(Protocol):
    """``freshness.py``: how new the data is."""

    @staticmethod
    def newest(summaries: Sequence[Mapping[str, str]]) -> float | None:
        """Returns the time (s since the epoch) of the newest record, from the summaries of the
        table's snapshots, oldest first. Reads nothing: a monitor asks again and again."""
        ...


class Columns(Protocol):
    """``columns.py``: where columns come from, for lineage."""

    @staticmethod
    def columns() -> dict[str, DatasetColumns]:
        """Returns dataset -> its columns. A dataset is the recipe's table, a feature view, its
        feature service, or the name of an artifact of the pipeline."""
        ...


ROW_COLUMNS = ("row", "split", "label", "entity", "scale")
"""Columns of the rows of ``extract`` that the platform reads: no feature can be called so."""
REQUIRED: Mapping[str, type] = {
    "data": Data,
    "extract": Extract,
    "train": Train,
    "predict": Predict,
    "evaluate": Evaluate,
}
OPTIONAL: Mapping[str, type] = {
    "losses": Losses,
    "labels": Labels,
    "online": Online,
    "live": Live,
    "freshness": Freshness,
    "columns": Columns,
}


class MoreData(Protocol):
    """What ``data.py`` may define as well; the command that needs it says so where it is absent."""

    @staticmethod
    def golden_refresh(access: DataAccess, reason: str) -> GoldenSet | None:
        """Pins the newest rows as the golden set."""
        ...

    @staticmethod
    def audit(access: DataAccess, rows_path: Path | None, n: int) -> AuditReport:
        """Recomputes ``n`` rows by brute force: did any see the future?"""
        ...

    @staticmethod
    def remove(access: DataAccess, entity: str) -> int:
        """Deletes an entity's records; how many there were."""
        ...

    @staticmethod
    def latest_rows(access: DataAccess) -> pa.Table:
        """Returns each entity's newest row: what ``model predict`` answers for."""
        ...
