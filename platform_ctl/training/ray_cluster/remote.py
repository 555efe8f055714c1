"""The program that an existing Ray cluster runs: one call of a job's function, files as bytes.

It needs no path that both sides know. Imports Ray only in a fit: this module is loaded there by
name.
"""

from __future__ import annotations

import math
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.errors import PlatformError, TrainingFailed
from platform_ctl.training import call
from platform_ctl.training.port import Metrics, TrainingJob

Files = dict[str, bytes]
"""Path below a folder -> content; the one key "" is the content of a file."""


class Reports:
    """An actor that keeps the figures of epochs until somebody takes them."""

    def __init__(self) -> None:
        self._kept: list[dict[str, float]] = []

    def add(self, figures: dict[str, float]) -> None:
        self._kept.append(figures)

    def take(self) -> list[dict[str, float]]:
        """Returns what has come since the last call, in order."""
        taken, self._kept = self._kept, []
        return taken


class Report:
    """Gives the figures of an epoch to a Reports actor; can be pickled to any worker.

    Returns when the actor has them: Ray orders the calls of one caller only, so that a report that
    is still under way when the fit ends would be read by nobody.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, figures: Mapping[str, float]) -> None:
        import ray

        ray.get(self._actor.add.remote({name: float(value) for name, value in figures.items()}))


class Answer(msgspec.Struct):
    """What a fit came to: metrics with the model's files, or an error (PlatformError.as_dict)."""

    metrics: Metrics | None = None
    files: Files = {}
    error: dict[str, Any] | None = None


def fit(
    job: TrainingJob, inputs: Mapping[str, Files], actor: Any, checkpoints: str | None = None
) -> Answer:
    """Calls the function of ``job`` on this node; its workers are wherever Ray puts them.

    ``checkpoints``: URI of a folder that every node can write; None: no epoch is kept.
    """
    with tempfile.TemporaryDirectory(prefix="fit-") as folder:
        for name, content in inputs.items():
            write(Path(folder) / "inputs" / name, content)
        out = Path(folder) / "out"
        try:
            metrics = call.call(
                job,
                {name: Path(folder) / "inputs" / name for name in inputs},
                out,
                report=Report(actor),
                resources_per_worker=resources(job),
                checkpoints=checkpoints,
            )
        except PlatformError as exc:
            traceback.print_exc()
            return Answer(error=exc.as_dict())
        except Exception as exc:  # noqa: BLE001 - whatever a function raises is its result
            traceback.print_exc()
            raised = f"{job.function} raised {type(exc).__name__}: {exc}"
            failed = TrainingFailed(raised, where=job.name, fix="platform-ctl run logs latest")
            return Answer(error=failed.as_dict())
        return Answer(metrics=metrics, files=read(out))


def resources(job: TrainingJob) -> dict[str, float]:
    """Ray's resources for one worker."""
    worker = job.resources
    cpus = worker.cpus if worker.cpus < 1 else math.ceil(worker.cpus)
    return {"CPU": cpus, "GPU": worker.gpus}


def read(path: Path) -> Files:
    """The content of a file, or of every file below a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    paths = (p for p in sorted(path.rglob("*")) if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in paths}


def write(path: Path, files: Files) -> None:
    """The opposite of ``read``."""
    for name, content in files.items():
        target = path / name if name else path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
