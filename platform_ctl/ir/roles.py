"""Finds the role of each task of a pipeline by the outputs that it declares.

No name of a recipe or a step is needed: whoever writes an output ``verdict``
beside ``version`` registers, whoever writes ``approval_id`` asks a human.
"""

from __future__ import annotations

from enum import StrEnum

from platform_ctl.ir.pipeline import Component, Pipeline


class Role(StrEnum):
    RESOLVE = "resolve"
    """Pins the data: writes ``snapshot_id``."""
    FEATURES = "features"
    """Extracts rows: writes ``feature_service``."""
    GATE = "gate"
    REGISTRATION = "registration"
    REQUEST = "request"
    VERIFY = "verify"
    DEPLOY = "deploy"
    ANALYSIS = "analysis"


def role_of(component: Component) -> Role | None:
    """The part that a component plays, if it is one of the platform's flow."""
    written = set(component.output_definitions.parameters)
    read = set(component.input_definitions.parameters)
    if component.dag:
        return None
    if "verdict" in written:
        if "version" in written:
            return Role.REGISTRATION
        return Role.ANALYSIS if "release_id" in read else Role.GATE
    if {"model", "version"} <= written and "approval_id" in read:
        return Role.VERIFY
    roles = {
        "approval_id": Role.REQUEST,
        "release_id": Role.DEPLOY,
        "snapshot_id": Role.RESOLVE,
        "feature_service": Role.FEATURES,
    }
    return next((role for name, role in roles.items() if name in written), None)


def roles(pipeline: Pipeline) -> dict[Role, str]:
    """Role -> path of the first task that plays it, outside loops."""
    by_role: dict[Role, str] = {}

    for place in pipeline.walk():
        role = None if place.repeated else role_of(place.component)
        if role:
            by_role.setdefault(role, place.path)
    return by_role
