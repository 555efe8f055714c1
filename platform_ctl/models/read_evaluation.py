"""The evaluation of a model, as a step or the registry keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_ctl.errors import EvidenceMismatch, NoSuchModel
from platform_ctl.models.evaluation import Evaluation, parse
from platform_ctl.models.model import find_version
from platform_ctl.models.port import Registry
from platform_ctl.recipe.scores import EVALUATION_FILE

Columns = Callable[[Path], Mapping[str, Sequence[Any]]]
"""Folder -> columns of the table of single errors in it; empty without one."""
_MOST_BYTES = 16 << 20
"""A larger JSON file is no decision and no evaluation."""


def read_evaluation(folder: Path, columns: Columns) -> Evaluation:
    """What a step left in ``folder``. Raises OSError and ValueError."""
    return parse(read_json(folder / EVALUATION_FILE), columns(folder))


def evaluation_of(
    registry: Registry, reference: str, columns: Columns
) -> tuple[Evaluation | None, str]:
    """The evaluation of a requested version, None when it is gone, and the run that made it."""
    try:
        version = find_version(registry.models(), reference)
    except NoSuchModel:
        return None, ""
    run_id = version.tags.get("run_id", "")
    try:
        return read_evaluation(registry.local_dir(version, "evaluation"), columns), run_id
    except (EvidenceMismatch, OSError, ValueError):
        return None, run_id


def read_json(path: Path) -> Any:
    """A JSON file. Raises OSError and ValueError."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too large")
    return json.loads(path.read_text(encoding="utf-8"))
