"""InferenceServices without processes: specs, states and observations in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platform_ctl.errors import EvidenceMismatch, NothingYet, ServiceUnavailable, UnknownName
from platform_ctl.serving.service import (
    InferenceService,
    RequestObservation,
    RevisionStatus,
    ServiceSpec,
    ServiceState,
    check_spec,
)


class FakeServing:
    """Implements serving.port.Serving.

    ``never_ready``: names of revisions that do not become ready; ``altered``: of
    those whose bytes are not the approved ones; ``seen``: what each service observed.
    """

    def __init__(
        self,
        *,
        never_ready: Sequence[str] = (),
        altered: Sequence[str] = (),
        seen: Mapping[str, Sequence[RequestObservation]] | None = None,
    ) -> None:
        self._never_ready = set(never_ready)
        self._altered = set(altered)
        self._seen = dict(seen or {})
        self._specs: dict[str, ServiceSpec] = {}
        self._stopped: set[str] = set()

    def list(self) -> Sequence[InferenceService]:
        return [self.get(name) for name in sorted(self._specs)]

    def get(self, name: str) -> InferenceService:
        spec = self._spec(name)
        stopped = name in self._stopped
        roles = (("production", spec.production), ("canary", spec.canary))
        revisions = tuple(
            RevisionStatus(r.name, role, None, not stopped) for role, r in roles if r is not None
        )
        state = ServiceState.STOPPED if stopped else ServiceState.RUNNING
        return InferenceService(name, state, f"http://{name}.invalid", spec, revisions)

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        check_spec(name, spec)
        for revision in spec.revisions():
            if revision.name in self._altered:
                raise EvidenceMismatch("altered", where=revision.model_dir, fix="register it")
            if revision.name in self._never_ready:
                raise ServiceUnavailable("never ready", where=revision.name, fix="look at it")
        self._specs[name] = spec
        self._stopped.discard(name)
        return self.get(name)

    def start(self, name: str, *, anew: bool = False) -> InferenceService:
        return self.apply(name, self._spec(name))

    def stop(self, name: str) -> InferenceService:
        self._spec(name)
        self._stopped.add(name)
        return self.get(name)

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        self._spec(name)
        return [o for o in self._seen.get(name, ()) if o.at >= since]

    def log(self, name: str, *, lines: int, revision: str | None = None) -> Sequence[str]:
        self._spec(name)
        return []

    def _spec(self, name: str) -> ServiceSpec:
        if not self._specs:
            raise NothingYet(f"no {name}", where="fake", fix="apply it")
        if name not in self._specs:
            raise UnknownName(f"no {name}", where="fake", fix="apply it")
        return self._specs[name]
