"""What a release has seen, for whoever looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_ctl.errors import ClusterForbidden
from platform_ctl.releases.analyse import AnalysisProgress, standing
from platform_ctl.releases.release import Release
from platform_ctl.releases.steps import ReleasePorts
from platform_ctl.releases.true_error import RevisionError, true_errors


@dataclass(frozen=True)
class Observed:
    """What the requests of real callers say."""

    standing: AnalysisProgress | None
    """Of an open release."""
    true_errors: Sequence[RevisionError] | None
    """None: unknown."""
    unreadable: str = ""
    """Why the requests are unknown to whoever looks; empty when they are not."""


def observed(ports: ReleasePorts, release: Release) -> Observed:
    """The release is shown also to those who may not read what its predictors observed."""
    try:
        return Observed(
            standing(ports, release) if release.state.is_open else None,
            true_errors(ports, release),
        )
    except ClusterForbidden as exc:
        return Observed(None, None, exc.what)
