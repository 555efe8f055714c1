"""Who may do what, from the Roles and RoleBindings of ``infra/tier6``.

The same rows make a page of the documentation and the questions of a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.installation.components import FOLDER

SOURCES = FOLDER / "platform"


@dataclass(frozen=True, order=True)
class Right:
    """``who`` is ``ServiceAccount NAME`` or ``Group NAME``; ``group`` is empty for the core API."""

    who: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    role: str
    names: tuple[str, ...] = ()
    """The objects it is about; empty: all of the namespace."""


def granted(project_root: Path) -> list[Right]:
    """Every right that the platform's manifests give, ordered by who has it."""
    documents = list(_documents(project_root / SOURCES))
    rules = {d["metadata"]["name"]: d["rules"] for d in documents if d["kind"] == "Role"}
    return sorted(
        Right(
            f"{subject['kind']} {subject['name']}",
            group,
            resource,
            tuple(rule["verbs"]),
            role,
            tuple(rule.get("resourceNames", ())),
        )
        for document in documents
        if document["kind"] == "RoleBinding"
        for subject in document["subjects"]
        for role in [document["roleRef"]["name"]]
        for rule in rules[role]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def _documents(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and "kind" in document and "metadata" in document:
                yield document
