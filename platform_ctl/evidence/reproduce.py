"""Re-run what made a model version from its evidence pack, and say how close it came."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.errors import EvidenceMismatch, PreconditionMissing
from platform_ctl.evidence import pack as evidence
from platform_ctl.evidence.reproduction import reproduction
from platform_ctl.evidence.write import EVALUATION, PIPELINE_FILE, RUN_FILE, read_checksum
from platform_ctl.models.model import ModelVersion
from platform_ctl.recipe.scores import EVALUATION_FILE
from platform_ctl.runs.port import Artifacts
from platform_ctl.runs.record import Run, RunRequest

FOLLOWED = ("code", "environment")
"""Provenance tags that explain a difference."""


@dataclass(frozen=True)
class Comparison:
    """Then and now. Metrics are those of the golden set."""

    model: str
    run_id: str
    same_model: bool
    """The weights are the same, byte for byte."""
    largest_difference: float
    """Of any metric, relative to what it was."""
    metrics: Mapping[str, tuple[float, float]]
    """Name -> (then, now)."""
    changed: tuple[str, ...]
    """Sentences about what is not as it was: code, environment."""


def read_pack(path: Path) -> dict[str, bytes]:
    """The files of an evidence pack, checked. Raises EvidenceMismatch."""
    content = path.read_bytes()
    problems = evidence.check(content, read_checksum(path))
    if problems:
        raise EvidenceMismatch(
            "; ".join(problems), where=str(path), fix=f"platform-ctl model verify {path}"
        )
    return evidence.unpack(content)


def repeat(
    files: Mapping[str, bytes],
    version: ModelVersion,
    execute: Callable[[RunRequest], Run],
    folder: Path,
    *,
    repeat_search: bool,
) -> Run:
    """Run the pack's pipeline up to the evaluation; registers nothing and asks nobody.

    ``folder`` is for the IR that is run. Raises PreconditionMissing for a pack
    of a version that was not made by a recorded run.
    """
    missing = {RUN_FILE, PIPELINE_FILE} - set(files)
    if missing:
        raise PreconditionMissing(
            f"the evidence of {version} does not say which run made it"
            f" ({', '.join(sorted(missing))} is not in the pack)",
            where=str(version),
            fix=f"platform-ctl model show {version}",
        )
    record = json.loads(files[RUN_FILE])
    ir = yaml.safe_load(files[PIPELINE_FILE])
    repeated = reproduction(ir, record["outputs"], repeat_search=repeat_search)
    path = folder / PIPELINE_FILE
    path.write_text(yaml.safe_dump(repeated), encoding="utf-8")
    name = f"reproduce {version}"
    return execute(RunRequest(path, record["parameters"], name=name, use_cache=False))


def compare(
    files: Mapping[str, bytes],
    version: ModelVersion,
    run: Run,
    today: Mapping[str, str],
    artifacts: Artifacts,
) -> Comparison:
    """``today``: provenance of this project as it is. Raises EvidenceMismatch when the run has
    no evaluation."""
    then = json.loads(files[f"{EVALUATION}{EVALUATION_FILE}"])
    now = _evaluation(run, artifacts)
    metrics = {
        name: (float(value), float(now["metrics"][name]))
        for name, value in then["metrics"].items()
        if isinstance(value, int | float) and isinstance(now["metrics"].get(name), int | float)
    }
    differences = [abs(b - a) / abs(a) if a else math.inf for a, b in metrics.values() if a != b]
    return Comparison(
        model=str(version),
        run_id=run.id,
        same_model=then["model_digest"] == now["model_digest"],
        largest_difference=max(differences, default=0.0),
        metrics=metrics,
        changed=tuple(
            f"{name} was {version.tags[name]}, is {today.get(name, 'unknown')}"
            for name in FOLLOWED
            if name in version.tags and version.tags[name] != today.get(name)
        ),
    )


def _evaluation(run: Run, artifacts: Artifacts) -> dict[str, Any]:
    for task in run.tasks:
        for artifact in task.outputs.artifacts.get("evaluation", ()):
            if path := artifacts.fetch(artifact.uri, EVALUATION_FILE):
                return json.loads(path.read_bytes())
    raise EvidenceMismatch(
        "the run has no evaluation to compare",
        where=f"run {run.id}",
        fix=f"platform-ctl run show {run.id[:8]}",
    )
