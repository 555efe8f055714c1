"""Serving: InferenceServices and the traffic split between their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from platform_ctl.serving.service import InferenceService, RequestObservation, ServiceSpec


class Serving(Protocol):
    """Where InferenceServices run. Every method may be called again with the same effect."""

    def list(self) -> Sequence[InferenceService]:
        """Every InferenceService of this home, running or not."""
        ...

    def get(self, name: str) -> InferenceService:
        """One InferenceService. Raises UnknownName."""
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
        """Answer what was accepted, then end every process. Raises UnknownName."""
        ...

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        """Requests seen since ``since`` (seconds since the epoch), oldest first."""
        ...

    def log(self, name: str, *, lines: int, revision: str | None = None) -> Sequence[str]:
        """The last lines of what its processes printed, of one revision where one is named."""
        ...
