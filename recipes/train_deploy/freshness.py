"""How new the data is, told from snapshot summaries alone: no table is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recipes.train_deploy.tables import RepoObservation, observations


def newest(summaries: Sequence[Mapping[str, str]]) -> float | None:
    """Time of the newest commit that is known of any repository, in seconds since the epoch."""
    latest: dict[str, RepoObservation] = {}
    for summary in summaries:
        latest.update(observations(summary))
    return max((float(o.last) for o in latest.values() if not o.removed), default=None)
