"""Feast over the feature table: entity ``repo``, one view, one service.

Importing Feast as it comes costs 5 s of CPU: it pulls torch (for tensors as
feature values) and lets typeguard rewrite every constructor. ``import_feast``
leaves both out, which makes it 1 s; nothing here uses either.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from platform_ctl.folders import make_private
from platform_ctl.recipe.recipe import DataAccess
from recipes.train_deploy import names
from recipes.train_deploy.features.definitions import FEATURE_NAMES, FEATURES
from recipes.train_deploy.features.online_config import online_store_config
from recipes.train_deploy.names import FEATURE_SERVICE, FEATURE_VIEW, NAMESPACE, RECIPE

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore

ENTITY = "repo"
ONLINE_STORE = "online.db"
GOOD_FOR = timedelta(days=6)
"""Historical retrieval: short of the next week's row, so that one row matches, not two; in
whole days, because Feast's reader takes no interval of mixed units."""
_SECRET = re.compile("token|secret|access-key|credential")


def import_feast() -> ModuleType:
    """``import feast`` without typeguard's rewriting, and without torch unless that is loaded."""
    if "feast" in sys.modules:
        return sys.modules["feast"]
    import typeguard

    def unchanged(target: Any = None, **_: Any) -> Any:
        return target if target is not None else unchanged

    checked, typeguard.typechecked = typeguard.typechecked, unchanged
    blocked: Any = None  # in sys.modules it makes an import fail; typeshed knows modules only
    without_torch = sys.modules.setdefault("torch", blocked) is None
    try:
        import feast
    finally:
        typeguard.typechecked = checked
        if without_torch:
            del sys.modules["torch"]
    return feast


def _folder(data: DataAccess) -> Path:
    """Registry and online store of this recipe."""
    return data.feast_dir / RECIPE


def open_store(data: DataAccess) -> FeatureStore:
    """The feature store of this home; writes its ``feature_store.yaml`` when it differs."""
    home = _folder(data)
    config = yaml.safe_dump(_config(data, NAMESPACE), sort_keys=True)
    path = home / "feature_store.yaml"
    make_private(home)
    if not path.exists() or path.read_text(encoding="utf-8") != config:
        draft = path.with_suffix(".draft")
        draft.write_text(config, encoding="utf-8")
        draft.replace(path)
    return import_feast().FeatureStore(repo_path=str(home))


def open_history(data: DataAccess) -> FeatureStore:
    """The same definitions for historical retrieval, where a row is good for six days.

    Feast joins each entity row with every earlier feature row of its key before
    it keeps the newest one, which is quadratic in the length of the history;
    an expiry bounds that. The online store must not have one: it serves a
    repository's newest row however old it is.
    """
    feast = import_feast()
    home = _folder(data)
    make_private(home)
    config = _config(data, f"{NAMESPACE}_history")
    return feast.FeatureStore(config=feast.RepoConfig(**config, repo_path=home))


def forget_online(data: DataAccess) -> None:
    """Empty the home's online store; the next materialisation fills it.

    A shared one is left alone: other homes read it, and the next
    materialisation replaces every row that is in use.
    """
    if not data.feast_online_store:
        (_folder(data) / ONLINE_STORE).unlink(missing_ok=True)


def _config(data: DataAccess, project: str) -> dict[str, Any]:
    """A RepoConfig. Only the serving project has the online store of the settings."""
    home = _folder(data)
    registry = {"registry_type": "file", "path": str(home / f"{project}.db")}
    if data.feast_registry:
        registry = {"registry_type": "sql", "path": data.feast_registry}
    shared = data.feast_online_store if project == NAMESPACE else ""
    return {
        "project": project,
        "provider": "local",
        "registry": registry,
        "offline_store": {"type": "duckdb"},
        "online_store": online_store_config(shared, os.environ)
        or {"type": "sqlite", "path": str(home / ONLINE_STORE)},
        "entity_key_serialization_version": 3,
    }


def _is_address(name: str) -> bool:
    """Whether a property of the catalog says where or how it is asked, and is no secret."""
    return name.startswith(("s3.", "rest.")) and not _SECRET.search(name)


def apply(store: FeatureStore, data: DataAccess) -> None:
    """Register entity, source, view and service; changes nothing that is registered already."""
    feast = import_feast()
    from feast.infra.data_sources.contrib.iceberg_catalog import IcebergSource
    from feast.types import Float32

    catalog = dict(data.catalog)
    namespace, table = names.FEATURES.split(".")
    source = IcebergSource(
        name=f"{FEATURE_VIEW}_source",
        # In capitals, which pyiceberg takes too: for "rest" Feast 0.67 drops the properties below,
        # and with them how a catalog wants its requests signed.
        catalog_type=catalog.get("type", "rest").upper(),
        catalog_name=catalog["name"],
        endpoint=catalog["uri"],
        # Feast keeps these in its registry: addresses, never credentials.
        catalog_properties={k: v for k, v in catalog.items() if _is_address(k)},
        warehouse=catalog["warehouse"],
        namespace=namespace,
        table=table,
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    entity = feast.Entity(
        name=ENTITY, join_keys=[ENTITY], value_type=feast.ValueType.STRING, description="repository"
    )
    serving = store.project == NAMESPACE
    view = feast.FeatureView(
        name=FEATURE_VIEW,
        entities=[entity],
        ttl=timedelta(0) if serving else GOOD_FOR,
        schema=[feast.Field(name=f.name, dtype=Float32, description=f.doc) for f in FEATURES],
        source=source,
        online=serving,
    )
    service = feast.FeatureService(name=FEATURE_SERVICE, features=[view])
    store.apply([entity, source, view, service])


def historical(store: FeatureStore, rows: pd.DataFrame) -> pa.Table:
    """Join the service's features to ``rows`` (repo, event_timestamp, …), point in time."""
    service = store.get_feature_service(FEATURE_SERVICE)
    job = store.get_historical_features(entity_df=rows, features=service)
    return job.to_arrow()


def materialize(store: FeatureStore, start: datetime, end: datetime) -> None:
    """Put each repository's newest features of [start, end] into the online store.

    Feast announces it with ``print``, for which it has no switch.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(start, end, feature_views=[FEATURE_VIEW])


def online(store: FeatureStore, repos: list[str]) -> dict[str, dict[str, float]]:
    """The newest materialised features of each repository; unknown ones are left out."""
    return {repo: values for repo, (_, values) in online_at(store, repos).items()}


def online_at(
    store: FeatureStore, repos: list[str]
) -> dict[str, tuple[datetime, dict[str, float]]]:
    """``online`` with the event time of each repository's features."""
    if not repos:  # of which Feast would raise an IndexError
        return {}
    response = store.get_online_features(
        features=store.get_feature_service(FEATURE_SERVICE),
        entity_rows=[{ENTITY: repo} for repo in repos],
    ).to_dict(include_event_timestamps=True)
    newest = {}
    for row, repo in enumerate(response[ENTITY]):
        values = {name: response[name][row] for name in FEATURE_NAMES}
        if None not in values.values():
            event_s = response[f"{FEATURE_NAMES[0]}__ts"][row]
            newest[repo] = (datetime.fromtimestamp(event_s, UTC), values)
    return newest
