"""What a recipe declares about itself, so that the platform need know none by name.

``recipes/<name>/recipe.py`` holds one module-level ``RECIPE``. Code is named as
``"module:function"`` and imported only when it is called.
"""

from __future__ import annotations

import importlib
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
class GateThresholds:
    """What a candidate must reach. Errors are MASE (1.0 = as good as last week, in training)."""

    max_mase: float
    """Absolute ceiling."""
    min_gain_over_baseline: float
    """Relative: 0.02 means at least 2 % below the better naive baseline."""
    champion_margin: float
    """Non-inferiority margin against the champion, relative."""
    slice_ceiling: Mapping[str, float] = field(default_factory=dict)
    """Slice name -> MASE relative to the better baseline that it may not exceed."""
    min_rows: int = 60
    confidence: float = 0.95


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

    name: str
    title: str
    model_name: str
    inference_service: str
    sources: Mapping[str, str]
    """CLI source (``git``, ``sample``) -> function(DataAccess, ...) -> IngestReport."""
    data: str
    """Module with show(), audit(), golden_show(), golden_refresh(), remove()."""
    trial: str
    """Function(params, rows_path, report) -> dict of metrics: one Katib trial."""
    experiment_file: str
    """Katib Experiment, relative to the recipe's folder."""
    predictor: str
    """Module of the one transformation that evaluation and serving share."""
    features: tuple[str, ...]
    feature_service: str
    budget: Budget
    gate: GateThresholds
    canary: CanaryPlan
    entity: str = ""
    """Field by which a served request names an entity instead of giving its features."""
    online_features: str = ""
    """Function(DataAccess, entities) -> {entity: {feature: value}}, for serving."""
    live_features: str = ""
    """Module with rows(DataAccess, limit) -> [LiveRow], the served features beside the same
    ones recomputed offline, and refresh(DataAccess), which brings the online store up to date."""
    labels: str = ""
    """Function(DataAccess, [(entity, asked_at)]) -> [Truth | None]: what came true of a request,
    None until it is known."""
    pipeline: str = ""
    """Name of the pipeline that trains the model."""
    parameters: Mapping[str, Allowed] = field(default_factory=dict)
    """What parameters of ``pipeline`` may be, beyond their types; checked before a run starts."""
    table: str = ""
    """Iceberg table (``namespace.table``) that the pipeline's ``snapshot_id`` is a snapshot of."""
    newest: str = ""
    """Function(summaries of the table's snapshots, oldest first) -> time of its newest record in
    seconds since the epoch, or None. Reads nothing: a monitor asks it again and again."""
    feature_project: str = ""
    """Feast project of ``feature_service``."""
    feature_views: tuple[str, ...] = ()
    """Feast views behind ``feature_service``."""
    columns: str = ""
    """Function() -> {dataset: DatasetColumns}, for lineage. A dataset is ``table``, a feature
    view, ``feature_service``, or the name of an artifact output of the pipeline."""


@dataclass(frozen=True)
class DataAccess:
    """Where a recipe finds its data on this target: configuration, not an adapter."""

    catalog: Mapping[str, str]
    """pyiceberg catalog properties (``load_catalog(catalog["name"], **rest)``)."""
    feast_dir: Path
    """Folder for Feast's registry and online store."""
    golden_dir: Path
    pseudonym_key_file: Path
    """HMAC key for author names; created on first use, mode 0600."""
    lock_dir: Path
    feast_registry: str = ""
    """SQL URL of Feast's registry; empty: a file in ``feast_dir``."""
    feast_online_store: str = ""
    """``redis://…`` or ``postgresql://…``; empty: SQLite in ``feast_dir``."""


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
