"""Both sides of a served feature: the online store, and the feature table recomputed offline."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.skew import LiveRow
from recipes.train_deploy import names, tables
from recipes.train_deploy.features import build
from recipes.train_deploy.features.definitions import FEATURE_NAMES

if TYPE_CHECKING:
    import pyarrow as pa


def rows(data: DataAccess, limit: int) -> list[LiveRow]:
    """The first ``limit`` repositories, each for the event time that is served.

    The feature table is brought up to the newest snapshot and the current
    definitions first. Raises MissingTable, HomeBusy.
    """
    from recipes.train_deploy.features import store as feast_store

    table = _feature_table(data)
    newest: dict[str, datetime] = {}
    for repo, at in zip(
        table["repo"].to_pylist(), table["event_timestamp"].to_pylist(), strict=True
    ):
        newest[repo] = max(at, newest.get(repo, at))
    repos = sorted(newest)[:limit]
    store = feast_store.open_store(data)
    feast_store.apply(store, data)
    served = feast_store.online_at(store, repos)
    offline = _at(table, {repo: at for repo, (at, _) in served.items()})
    rows = []
    for repo in repos:
        online_at, online = served.get(repo, (None, {}))
        rows.append(LiveRow(repo, newest[repo], online_at, online, offline.get(repo, {})))
    return rows


def refresh(data: DataAccess) -> None:
    """Bring the online store up to the newest snapshot. Raises MissingTable, HomeBusy."""
    import pyarrow.compute as pc

    from recipes.train_deploy.features import store as feast_store

    span = pc.min_max(_feature_table(data)["event_timestamp"]).as_py()
    second = timedelta(seconds=1)
    store = feast_store.open_store(data)
    feast_store.apply(store, data)
    feast_store.materialize(store, span["min"] - second, span["max"] + second)


def _feature_table(data: DataAccess) -> pa.Table:
    commits = tables.commits_at(data)
    with tables.exclusive(data, "features"):
        build.ensure(data, commits)
        return tables.load(data, names.FEATURES).scan().to_arrow()


def _at(table: pa.Table, times: dict[str, datetime]) -> dict[str, dict[str, Any]]:
    """repo -> its features at the asked time, for those that have a row of that time."""
    import pyarrow as pa

    schema = pa.schema([table.schema.field("repo"), table.schema.field("event_timestamp")])
    wanted = pa.table([list(times), list(times.values())], schema=schema)
    joined = table.join(wanted, keys=["repo", "event_timestamp"], join_type="inner").to_pylist()
    return {row["repo"]: {name: row[name] for name in FEATURE_NAMES} for row in joined}
