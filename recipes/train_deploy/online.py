"""Features for serving: each repository's newest row in Feast's online store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_ctl.recipe.recipe import DataAccess

if TYPE_CHECKING:
    from feast import FeatureStore

_STORES: dict[str, FeatureStore] = {}
"""Opened once a process and home: Feast reads its registry when it opens."""


def online_features(data: DataAccess, repos: list[str]) -> dict[str, dict[str, float]]:
    """repo -> feature -> value, as last materialised; repositories it does not know are absent.

    The first call of a process imports Feast (about 1 s of CPU), later ones
    take a millisecond or so.
    """
    from recipes.train_deploy.features import store as feast_store

    key = str(data.feast_dir)
    if key not in _STORES:
        _STORES[key] = feast_store.open_store(data)
    return feast_store.online(_STORES[key], repos)
