"""What a recipe declares about itself, so that the platform need know none by name.

``recipes/<name>/recipe.py`` holds one module-level ``RECIPE``. Its code lies beside it, in modules
whose names and functions are fixed (``contract.py``), and is imported only when it is called.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from platform_ctl.errors import ConfigError
from platform_ctl.ir.parameters import Allowed


@dataclass(frozen=True)
class Budget:
    """Caps on one run; None means no cap. Enforced while the search runs."""

    trials: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    money: float | None = None


@dataclass(frozen=True)
class Loss:
    """What makes one prediction worse than another: a number for each row, 0 at best."""

    name: str
    """Key of its mean in evaluation.json, MLflow and metrics, for example ``log_loss``."""
    title: str = ""
    """As people read it; ``name`` when empty."""
    unit: str = ""
    """Empty for a loss without one."""

    @property
    def label(self) -> str:
        return self.title or self.name

    def as_dict(self) -> dict[str, str]:
        """As evaluation.json holds it."""
        return {"name": self.name, "title": self.label, "unit": self.unit}


@dataclass(frozen=True)
class NamedLoss:
    """The mean loss of a model on its golden set."""

    loss: Loss
    value: float

    def __str__(self) -> str:
        return f"{self.loss.label} {self.value:.4g}{f' {self.loss.unit}' if self.loss.unit else ''}"

    def as_dict(self) -> dict[str, Any]:
        return {**self.loss.as_dict(), "value": self.value}


@dataclass(frozen=True)
class GateThresholds:
    """What a candidate must reach, in the recipe's loss."""

    max_loss: float
    """Absolute ceiling."""
    min_gain_over_baseline: float
    """Relative: 0.02 means at least 2 % below the best of the named baselines."""
    champion_margin: float
    """Non-inferiority margin against the champion, relative."""
    slice_ceiling: Mapping[str, float] = field(default_factory=dict)
    """Slice name -> loss relative to the best baseline that it may not exceed."""
    min_rows: int = 60
    min_clusters: int = 6
    """Of the first kind of cluster; fewer say nothing about the next one. Does not apply to a
    recipe whose rows are independent."""
    confidence: float = 0.95


@dataclass(frozen=True)
class Option:
    """One option of a source: ``--name VALUE`` of ``data ingest``."""

    help: str
    type: type = str


@dataclass(frozen=True)
class DataSource:
    """Where data comes from: ``data ingest --NAME [PATH]...``, by the function ``ingest_NAME``."""

    help: str
    takes_paths: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class CanaryPlan:
    """How a release steps up. Part of what an approver signs."""

    weights_percent: tuple[int, ...] = (10, 25, 50, 100)
    min_requests: int = 200
    """Requests each revision must have answered before a step is judged."""
    max_error_rate: float = 0.01
    max_latency_ratio: float = 1.5
    """Canary p50 over production p50."""
    max_error_increase: float = 0.10
    """Relative increase of the true error (or of disagreement) that fails a step."""
    false_rollback_rate: float = 0.05
    """Stated error rate of the whole sequential test."""


@dataclass(frozen=True)
class Column:
    """One column of a dataset of the recipe, and what it is made from."""

    name: str
    sources: tuple[tuple[str, str], ...] = ()
    """(dataset, column) that its values are computed from."""
    how: Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"] = "TRANSFORMATION"
    type: str = ""
    doc: str = ""


@dataclass(frozen=True)
class DatasetColumns:
    """What a recipe says of the columns of one of its datasets."""

    columns: tuple[Column, ...]
    decided_by: tuple[tuple[str, str, str], ...] = ()
    """(dataset, column, JOIN | GROUP_BY | FILTER | SORT): decides which rows there are, or which
    go together, for every column alike."""


@dataclass(frozen=True)
class Recipe:
    """One use case. Read the recipe's own ``recipe.py`` for what the values mean."""

    package: str
    """The recipe's folder as a package: ``__package__`` of its recipe.py."""
    title: str
    model_name: str
    """Registered model, and its InferenceService."""
    loss: Loss
    features: tuple[str, ...]
    budget: Budget
    gate: GateThresholds
    canary: CanaryPlan
    sources: Mapping[str, DataSource] = field(default_factory=dict)
    golden: Literal["rolling", "frozen"] = "rolling"
    """``rolling``: a run is judged on the newest rows it may use. ``frozen``: on the same rows
    until somebody renews them by ``data golden refresh``."""
    max_training_age_days: int = 0
    """How old the newest training row may be before an alert fires; 0: never."""
    entity: str = ""
    """Field by which a served request names an entity instead of giving its features."""
    entity_title: str = "entity"
    """What an entity is, in messages and headings: meter, patient, shop."""
    records_title: str = "rows"
    """What the source table holds, in the plural."""
    pipeline: str = ""
    """Name of the pipeline that trains the model."""
    parameters: Mapping[str, Allowed] = field(default_factory=dict)
    """What parameters of ``pipeline`` may be, beyond their types; checked before a run starts."""
    table: str = ""
    """Iceberg table (``namespace.table``) that the pipeline's ``snapshot_id`` is a snapshot of."""
    feature_service: str = ""
    feature_project: str = ""
    """Feast project of ``feature_service``."""
    feature_views: tuple[str, ...] = ()
    """Feast views behind ``feature_service``."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.package.rpartition(".")[2]

    @property
    def inference_service(self) -> str:
        return self.model_name

    # References to the recipe's code, by the layout of contract.py; "" for what it does not have.

    @property
    def data(self) -> str:
        return f"{self.package}.data"

    @property
    def predictor(self) -> str:
        return f"{self.package}.predict"

    @property
    def losses(self) -> str:
        return self._optional("losses", "losses")

    @property
    def labels(self) -> str:
        return self._optional("labels", "labels")

    @property
    def online_features(self) -> str:
        return self._optional("online", "online_features")

    @property
    def live_features(self) -> str:
        return self._optional("live")

    @property
    def newest(self) -> str:
        return self._optional("freshness", "newest")

    @property
    def columns(self) -> str:
        return self._optional("columns", "columns")

    def _optional(self, module: str, function: str = "") -> str:
        name = f"{self.package}.{module}"
        if importlib.util.find_spec(name) is None:
            return ""
        return f"{name}:{function}" if function else name


PSEUDONYM_KEY = "PLATFORM_PSEUDONYM_KEY"
"""Environment variable with the key of pseudonyms; on a cluster, of the Secret of pods."""


@dataclass(frozen=True)
class DataAccess:
    """Where a recipe finds its data on this target: configuration, not an adapter."""

    catalog: Mapping[str, str]
    """pyiceberg catalog properties (``load_catalog(catalog["name"], **rest)``)."""
    feast_dir: Path
    """Folder for Feast's registry and online store."""
    golden_dir: Path
    """Folder of golden sets, where ``golden_uri`` is empty."""
    pseudonym_key_file: Path | None
    """HMAC key for author names; created on first use, mode 0600. None where no file outlives the
    process that reads data: a key that each pod makes anew would name an author anew."""
    lock_dir: Path
    golden_uri: str = ""
    """Address of golden sets that machines share; empty: ``golden_dir``."""
    feast_registry: str = ""
    """SQL URL of Feast's registry; empty: a file in ``feast_dir``."""
    feast_online_store: str = ""
    """``redis://…`` or ``postgresql://…``; empty: SQLite in ``feast_dir``."""
    pseudonym_key: str = field(default="", repr=False)
    """The key itself, of the environment; it goes before ``pseudonym_key_file``."""


def resolve(reference: str) -> Any:
    """Import ``"module:function"``. Raises ConfigError when there is no such thing."""
    module_name, _, attribute = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
        return getattr(module, attribute) if attribute else module
    except (ImportError, AttributeError) as exc:
        raise ConfigError(
            f"the recipe names {reference!r}, which cannot be imported: {exc}",
            where=reference,
            fix=f'python -c "import {module_name}"',
        ) from exc
