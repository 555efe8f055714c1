"""Joins forecasts with the labels that arrived, and logged requests with their entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Truth:
    """The label of one entity's forecast."""

    period: str
    """What the forecast was about, for example a day. An entity has one label in it."""
    label: float


def entities_of(request: dict[str, Any] | None, entity: str) -> list[str]:
    """The entities a V1 or V2 request names, in order; empty when it gives features instead."""
    if not request or not entity:
        return []
    if "instances" in request:
        named = [i.get(entity) if isinstance(i, dict) else None for i in request["instances"]]
    else:
        tensors = request.get("inputs") or []
        named = list(tensors[0].get("data", [])) if len(tensors) == 1 else []
        if tensors and tensors[0].get("name") != entity:
            return []
    strings = [name for name in named if isinstance(name, str)]
    return strings if len(strings) == len(named) else []
