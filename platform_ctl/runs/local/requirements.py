"""Pip requirements of thin components: which need no installing, and why."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def satisfied(requirement: str) -> str:
    """Why ``pip install requirement`` can be left out, or "" when it cannot."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement:
        return ""
    if wanted.marker and not wanted.marker.evaluate():
        return "not for this Python"
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    if wanted.name == "kfp":
        return f"kfp {version} of this environment runs the step"
    return f"{version} is installed" if wanted.specifier.contains(version, True) else ""
