"""Serving: InferenceServices and the traffic split between their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from platform_ctl.serving.service import InferenceService, RequestObservation, ServiceSpec


class Serving(Protocol):
    """Where InferenceServices run. Every method may be called again with the same effect."""

    def list(self) -> Sequence[InferenceService]:
        """Every InferenceService of this home or namespace, running or not, by name."""
        ...

    def get(self, name: str) -> InferenceService:
        """One InferenceService. Raises UnknownName, and NothingYet where there is none at all."""
        ...

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        """Serve ``spec``, creating or starting the service as needed.

        Returns when the new split holds; no request is dropped on the way.
        Raises UsageError for a bad spec, PortInUse, and ServiceUnavailable when
        a revision does not become ready: then the old split still holds.
        """
        ...

    def start(self, name: str, *, anew: bool = False) -> InferenceService:
        """Serve what was served last, at the same address. Raises UnknownName, PortInUse,
        ServiceUnavailable.

        ``anew``: replace every process of one that runs; no request is dropped on the way.
        """
        ...

    def stop(self, name: str) -> InferenceService:
        """Answer what was accepted, then end every process. Raises UnknownName, and
        ServiceUnavailable where one of them does not end."""
        ...

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        """Requests seen since ``since`` (seconds since the epoch), oldest first.

        Raises UnknownName. What a replaced process had not written down yet is not among them.
        """
        ...

    def log(self, name: str, *, lines: int, revision: str | None = None) -> Sequence[str]:
        """The last ``lines`` of what its processes printed, oldest first; of one revision where
        one is named. Empty before the first. Raises UnknownName."""
        ...
