"""Which installed distribution an import belongs to, and its version."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from importlib import metadata


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Top-level import names -> {distribution: version}, and Python's minor version.

    The standard library counts as Python; a name that is not installed as ``absent``.
    """
    installed = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for module in sorted(set(modules) - sys.stdlib_module_names):
        for distribution in _distributions(module):
            installed[distribution] = _version(distribution)
    return installed


def folders() -> list[str]:
    """Where distributions are installed; such a folder changes when one of them does."""
    return [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]


def _distributions(module: str) -> list[str]:
    if _version(module) != "absent":
        return [module]
    # Names differ (yaml, PyYAML). Most say so in a small file; else every list of files is read.
    declared = [
        d.name
        for d in metadata.distributions()
        if module in (d.read_text("top_level.txt") or "").split()
    ]
    return sorted(set(declared or _by_module().get(module, [module])))


@functools.cache
def _by_module() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
