"""Training-serving skew: what the online store answers against what training would compute.

Both sides are asked for the same event time, so that an online store which is
merely behind is told apart from one that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from platform_ctl.recipe.verdict import Verdict

TOLERANCE = 1e-5
"""Relative difference that float32 on one side explains."""


@dataclass(frozen=True)
class LiveRow:
    """One entity's features, as they are served and as training computes them."""

    entity: str
    newest_at: datetime
    """Event time of the newest row that training knows."""
    online_at: datetime | None = None
    """Event time of what is served; None when the online store does not know the entity."""
    online: Mapping[str, float] = field(default_factory=dict)
    offline: Mapping[str, float] = field(default_factory=dict)
    """Recomputed for ``online_at``; empty when training has no row of that time."""

    @property
    def is_behind(self) -> bool:
        return self.online_at is None or self.online_at < self.newest_at


@dataclass(frozen=True)
class Skew:
    """``failed`` names a feature; ``inconclusive``: the store is behind, which is no fault of
    the model."""

    verdict: Verdict
    reason: str
    entities: int = 0


def judge_skew(rows: Sequence[LiveRow], features: Sequence[str]) -> Skew:
    """Compare every feature of every entity for which both sides have the same event time."""
    if not rows:
        return Skew(Verdict.INCONCLUSIVE, "there are no live features to compare")
    differing = {r.entity: [f for f in features if _differs(r, f)] for r in rows if r.offline}
    wrong = [r for r in rows if differing.get(r.entity)]
    if wrong:
        return Skew(Verdict.FAILED, _named(wrong[0], differing, len(rows)), len(rows))
    behind = [r for r in rows if r.is_behind]
    if behind:
        return Skew(Verdict.INCONCLUSIVE, _behind(behind, len(rows)), len(rows))
    uncompared = [r for r in rows if not r.offline]
    if uncompared:
        row = uncompared[0]
        when = f"{row.entity} at {row.online_at:%Y-%m-%d %H:%M}"
        reason = f"the online store has {when}, a time that training does not know"
        return Skew(Verdict.INCONCLUSIVE, reason, len(rows))
    reason = f"{len(features)} features of {len(rows)} entities are the same online and offline"
    return Skew(Verdict.SUCCESSFUL, reason, len(rows))


def _differs(row: LiveRow, feature: str) -> bool:
    online, offline = row.online.get(feature, math.nan), row.offline.get(feature, math.nan)
    return not abs(online - offline) <= TOLERANCE * (1 + abs(offline))


def _named(row: LiveRow, differing: Mapping[str, list[str]], total: int) -> str:
    names = differing[row.entity]
    feature = names[0]
    others = f" and {len(names) - 1} more features" if len(names) > 1 else ""
    entities = sum(map(bool, differing.values()))
    return (
        f"training-serving skew: feature {feature} of {row.entity} is "
        f"{row.online.get(feature, math.nan):.6g} online and "
        f"{row.offline.get(feature, math.nan):.6g} offline for {row.online_at:%Y-%m-%d %H:%M}"
        f"{others} ({entities} of {total} entities)"
    )


def _behind(behind: Sequence[LiveRow], total: int) -> str:
    row = behind[0]
    served = f"from {row.online_at:%Y-%m-%d %H:%M}" if row.online_at else "not there"
    return (
        f"the online store is behind for {len(behind)} of {total} entities: {row.entity} is "
        f"{served}, training has {row.newest_at:%Y-%m-%d %H:%M}"
    )
