"""The explicit answer of a gate, an analysis or a registration."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Argo Rollouts' three values: inconclusive stops and asks a human."""

    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
