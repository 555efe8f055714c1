"""What a Gateway says against the route of a service."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.serving.kubernetes.service import route_refusals


def route(**conditions: str) -> dict[str, Any]:
    listed = [
        {"type": kind, "status": status, "reason": "Because", "message": "of this"}
        for kind, status in conditions.items()
    ]
    return {"status": {"parents": [{"conditions": listed}]}}


@pytest.mark.parametrize(
    ("found", "refusals"),
    [
        (route(Accepted="True", ResolvedRefs="True"), ()),
        (route(Accepted="False", ResolvedRefs="True"), ("Accepted: Because: of this",)),
        (route(Accepted="True", ResolvedRefs="False"), ("ResolvedRefs: Because: of this",)),
        ({}, ("Accepted: Pending: no Gateway has processed the route",)),
    ],
)
def test_conditions_that_do_not_hold_are_named(
    found: dict[str, Any], refusals: tuple[str, ...]
) -> None:
    assert route_refusals(found) == refusals
