"""Values that go in and out of the step cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from platform_ctl.domain.cache_diff import FieldChange
from platform_ctl.domain.cache_key import InputArtifact


@dataclass(frozen=True, kw_only=True)
class OutputArtifact:
    """An artifact that a task wrote."""

    uri: str
    """Path on this machine, or the address a component set (``s3://…``, ``mlflow:…``)."""
    name: str = ""
    type: str = "system.Artifact@0.0.1"
    """``schemaTitle@schemaVersion``."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    """Of the bytes; '' until ``store`` or ``digest_outputs`` filled it in."""
    size_bytes: int = 0

    def as_input(self) -> InputArtifact:
        """What the next task's key holds of it."""
        return InputArtifact(digest=self.digest, type=self.type, metadata=self.metadata)


@dataclass(frozen=True)
class StepOutputs:
    """What a task gave: parameters by name, one artifact by output name."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, OutputArtifact] = field(default_factory=dict)

    def with_artifacts(self, artifacts: Mapping[str, OutputArtifact]) -> StepOutputs:
        return dataclasses.replace(self, artifacts=artifacts)


@dataclass(frozen=True)
class Nearest:
    """The earlier entry that a missed key differs from least."""

    key: str
    run_id: str
    task: str
    created_at: datetime
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True)
class Hit:
    """An earlier result, verified, its artifacts linked to where the caller wanted them."""

    key: str
    outputs: StepOutputs
    run_id: str
    task: str
    created_at: datetime
    wall_s: float
    cpu_s: float
    """What the run that produced it paid, and this one did not."""


@dataclass(frozen=True)
class Miss:
    """The task must run, and why."""

    reason: str
    """``no earlier result``, ``parameters.epochs: 30 -> 40``, ``quarantined: …``."""
    nearest: Nearest | None = None
    warning: str = ""
    """Set when an entry was quarantined: names the artifact; for the user's eyes."""


@dataclass(frozen=True)
class Stored:
    """Outputs with digests, and a warning when the entry could not be kept."""

    outputs: StepOutputs
    warning: str = ""


@dataclass(frozen=True)
class Decision:
    """Why a task of a run was or was not served from the cache."""

    run_id: str
    task: str
    decision: Literal["HIT", "MISS", "BYPASS"]
    reason: str
    decided_at: datetime
    key: str
    """'' when no key was computed."""
    fingerprint: str
    """The cluster's, for comparison with a run there."""
    source_run_id: str = ""
    """Of a hit: the run that produced the result; of a miss: of the nearest entry."""
    source_task: str = ""
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Quarantined:
    """An artifact that was taken out of the cache."""

    component: str
    run_id: str
    task: str
    artifact: str
    reason: str
    path: str
    """Where the bytes are kept for inspection; '' when there were none."""


@dataclass(frozen=True)
class VerifyReport:
    entries: int
    artifacts: int
    size_bytes: int
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True)
class PruneReport:
    entries: int
    freed_bytes: int
    kept_entries: int
    kept_bytes: int
