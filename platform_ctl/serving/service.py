"""InferenceServices: what should be served (spec) and what is (status).

The nouns are KServe's: an InferenceService has a production revision, perhaps
a canary revision with ``weight_percent`` of the traffic, and an address that
outlives both.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from platform_ctl.errors import UsageError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""An InferenceService's name is a DNS label, as on Kubernetes."""

KEY_HEADER = "x-request-key"
"""Callers that send it always reach the same revision while the weight stands."""
REVISION_HEADER = "x-platform-revision"
"""``production`` or ``canary``: ask one revision, whatever the weight. For replays and probes."""
REPLAY_HEADER = "x-platform-replay"
"""Marks a replayed request, so that no analysis takes it for real traffic."""
SERVED_BY_HEADER = "x-served-by"

_BUCKETS = 10_000


@dataclass(frozen=True)
class Revision:
    """One model that an InferenceService can serve, in a process of its own."""

    name: str
    model_dir: str
    """MLflow model directory on this machine."""
    model_version: str = ""
    model_digest: str = ""
    """Of the approved bytes; they are checked whenever it is loaded."""
    model_uri: str = field(default="", compare=False)
    """Where a predictor on another machine finds the model: a path, ``s3://…``; empty: as here."""


@dataclass(frozen=True)
class ServiceSpec:
    """What an InferenceService should serve. Without production nobody but probes is answered."""

    production: Revision | None
    canary: Revision | None = None
    weight_percent: int = 0
    """The canary's share of the requests, 0 to 100."""
    entity: str = ""
    """Field of a request that names an entity whose features are looked up."""
    online_features: str = ""
    """``module:function(DataAccess, entities) -> {entity: {feature: value}}``."""

    def revisions(self) -> tuple[Revision, ...]:
        return tuple(r for r in (self.production, self.canary) if r is not None)


class ServiceState(StrEnum):
    RUNNING = "running"
    DEGRADED = "degraded"
    """Answers, but a revision is down or restarting."""
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    """Whoever keeps its processes does not answer; the processes themselves may."""


@dataclass(frozen=True)
class RevisionStatus:
    name: str
    role: str
    """production | canary | draining"""
    pid: int | None
    ready: bool
    restarts: int = 0
    rss_bytes: int = 0
    last_failure: str = ""


@dataclass(frozen=True)
class InferenceService:
    """Status of one InferenceService on its target."""

    name: str
    state: ServiceState
    url: str
    spec: ServiceSpec
    revisions: tuple[RevisionStatus, ...] = ()
    pid: int | None = None
    log_file: str = ""
    host: str = ""
    """The Host header that callers of ``url`` send; empty: the url's own."""
    route_refusals: tuple[str, ...] = ()
    """Why no request reaches its revisions, as the Gateway says; empty where it has no route."""

    def revision(self, name: str) -> RevisionStatus | None:
        return next((r for r in self.revisions if r.name == name), None)


@dataclass(frozen=True)
class RequestObservation:
    """One answered request, as the listener saw it."""

    at: float
    """Seconds since the epoch."""
    id: str
    revision: str
    """The revision the request was meant for, which need not be the one that answered."""
    status: int
    """HTTP status of that revision; 0 when it gave none."""
    latency_ms: float
    """Time inside the revision's own process, hop excluded."""
    source: str = "traffic"
    """traffic | replay"""
    failure: str = ""
    """Why the revision gave no answer: timeout, refused, … (production answered instead)."""
    key: str = ""
    request: dict | None = None
    """The decoded body; None when it was too large to keep."""
    predictions: list[float] = field(default_factory=list)
    cpu_wait_ms: float = 0.0
    """Of the latency, what the process only waited for a CPU; 0 where the system does not say."""

    @property
    def service_ms(self) -> float:
        """What the revision itself took, so that two compare on a busy machine."""
        return self.latency_ms - self.cpu_wait_ms


def check_spec(name: str, spec: ServiceSpec) -> None:
    """Raise UsageError (err-usage) for a spec that cannot be served."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for an InferenceService: lower case letters, digits and '-'",
            where="InferenceService name",
            fix="platform-ctl service list",
        )
    if not 0 <= spec.weight_percent <= 100:
        raise UsageError(
            f"a canary weight is 0 to 100 percent, not {spec.weight_percent}",
            where=f"InferenceService {name}",
            fix="mlship deploy NAME --canary 10",
        )
    if not spec.revisions():
        raise UsageError(
            "there is no revision to serve",
            where=f"InferenceService {name}",
            fix="mlship deploy NAME@staging",
        )
    if spec.production and spec.canary and spec.production.name == spec.canary.name:
        raise UsageError(
            f"revision {spec.canary.name} is in production already",
            where=f"InferenceService {name}",
            fix=f"platform-ctl release show {name}",
        )


def takes_canary(key: bytes, weight_percent: int) -> bool:
    """Whether the request with this key belongs to the canary's share.

    Stable: the same key gives the same answer while the weight stands, and a
    key that the canary has is never taken from it when the weight grows.
    """
    bucket = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") % _BUCKETS
    return bucket < weight_percent * _BUCKETS // 100


class ServiceLimits(msgspec.Struct, frozen=True):
    """What a request and a revision may cost."""

    body_bytes: int = 4 * 2**20
    rows: int = 10_000
    request_timeout_s: float = 30.0
    """From the first byte of a request to its last."""
    canary_timeout_s: float = 2.0
    memory_bytes: int = 4 * 2**30
    ready_timeout_s: float = 60.0
    drain_s: float = 10.0
    log_bytes: int = 20 * 2**20


class Canary(msgspec.Struct, frozen=True):
    """Where the canary listens, and its share of the traffic in percent."""

    revision: str
    socket: str
    weight_percent: int
