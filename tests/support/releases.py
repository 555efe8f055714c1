"""In-memory registry and serving for release tests; each can be killed before its nth action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from platform_ctl.errors import UnknownName
from platform_ctl.models.model import AliasMove, ModelCandidate, ModelVersion, RegisteredModel
from platform_ctl.serving.service import (
    InferenceService,
    RequestObservation,
    ServiceSpec,
    ServiceState,
)


class Killed(BaseException):
    """Stands for kill -9: nothing handles it."""


class Fuse:
    """Counts actions of all the ports together and kills before the ``kill_before``-th."""

    def __init__(self, kill_before: int = 0) -> None:
        self.kill_before = kill_before
        self.count = 0

    def action(self) -> None:
        self.count += 1
        if self.count == self.kill_before:
            raise Killed


class FakeRegistry:
    def __init__(
        self,
        name: str,
        versions: Mapping[str, Path],
        aliases: dict[str, str],
        fuse: Fuse,
        *,
        digests: bool = True,
    ) -> None:
        """``digests``: whether versions have one; the stubs' models are not laid out for it."""
        self.digests = digests
        self.name, self.dirs, self.alias, self.fuse = name, versions, aliases, fuse

    def models(self) -> Sequence[RegisteredModel]:
        def version(number: str) -> ModelVersion:
            aliases = tuple(a for a, v in self.alias.items() if v == number)
            tags = {"model_digest": f"sha256:{number * 8}"} if self.digests else {}
            return ModelVersion(self.name, number, "2024-01-01T00:00:00Z", aliases, tags)

        newest_first = sorted(self.dirs, key=int, reverse=True)
        return [RegisteredModel(self.name, tuple(map(version, newest_first)))]

    def aliases(self, name: str) -> dict[str, str]:
        return dict(self.alias)

    def register(self, candidate: ModelCandidate) -> ModelVersion:
        raise NotImplementedError

    def move_aliases(
        self, name: str, targets: Mapping[str, str], *, actor: str, reason: str
    ) -> None:
        for alias, version in targets.items():
            self.fuse.action()
            if version:
                self.alias[alias] = version
            else:
                self.alias.pop(alias, None)

    def history(self) -> Sequence[AliasMove]:
        return []

    def local_dir(self, version: ModelVersion, part: str = "model") -> Path:
        return self.dirs[version.version]


class FakeServing:
    def __init__(self, fuse: Fuse) -> None:
        self.specs: dict[str, ServiceSpec] = {}
        self.stopped: set[str] = set()
        self.seen: list[RequestObservation] = []
        self.fuse = fuse

    def list(self) -> Sequence[InferenceService]:
        return [self.get(name) for name in self.specs]

    def get(self, name: str) -> InferenceService:
        if name not in self.specs:
            raise UnknownName(name)
        state = ServiceState.STOPPED if name in self.stopped else ServiceState.RUNNING
        return InferenceService(name, state, "http://127.0.0.1:1", self.specs[name])

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        if self.specs.get(name) != spec or name in self.stopped:
            self.fuse.action()
        self.specs[name] = spec
        self.stopped.discard(name)
        return self.get(name)

    def start(self, name: str, *, anew: bool = False) -> InferenceService:
        self.stopped.discard(name)
        return self.get(name)

    def stop(self, name: str) -> InferenceService:
        self.get(name)
        self.fuse.action()
        self.stopped.add(name)
        return self.get(name)

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        return [o for o in self.seen if o.at >= since]
