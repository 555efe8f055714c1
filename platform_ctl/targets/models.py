"""Registered models in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.settings import Settings
from platform_ctl.text import without_user

if TYPE_CHECKING:
    from platform_ctl.models.history import AliasHistory
    from platform_ctl.models.port import Registry


def registry(settings: Settings) -> Registry:
    """MLflow, on SQLite in the home or at the configured URI; the history is in the home."""
    from platform_ctl.models.mlflow_registry import MlflowRegistry

    layout = settings.layout
    return MlflowRegistry(
        mlflow_uri(settings),
        layout.mlflow / "artifacts",
        _history(settings),
        layout.locks / "registry.lock",
    )


def _history(settings: Settings) -> AliasHistory:
    from platform_ctl.models.history import AliasHistory

    return AliasHistory(settings.layout.database, without_user(settings.mlflow_tracking_uri))


def registry_changed(settings: Settings) -> str:
    """That the home's stages and history are of another registry than the settings name; "" when
    they are not."""
    recorded = _history(settings).other_registry()
    if recorded is None:
        return ""
    now = without_user(settings.mlflow_tracking_uri)
    return (
        f"models are read from {now or 'the MLflow of this home'}, but stages and history of this "
        f"home are of {recorded or 'its own MLflow'}"
    )


def mlflow_uri(settings: Settings) -> str:
    """Where MLflow's tracking and registry are: as set, else SQLite in the home."""
    return settings.mlflow_tracking_uri or f"sqlite:///{settings.layout.mlflow}/mlflow.db"


def prepared_mlflow_uri(settings: Settings) -> str:
    """The same, for who writes: a database in the home is there, and whole."""
    from platform_ctl.models import mlflow_sqlite, mlflow_store

    uri = mlflow_uri(settings)
    if database := mlflow_sqlite.database_of(uri):
        mlflow_store.prepare(database, settings.layout.mlflow / "artifacts")
    return uri


def load_model(mlflow_dir: Path) -> Any:
    """The predictor of a registered model, with the code it was registered with."""
    from platform_ctl.models import mlflow_model

    return mlflow_model.load(mlflow_dir)
