"""Calls the function of a training job, in whatever process the target runs it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform_ctl.errors import BadParameter
from platform_ctl.progress import Progress
from platform_ctl.training.port import Metrics, TrainingJob

Report = Callable[[Mapping[str, float]], None]


def reference(function: Callable[..., Any]) -> str:
    """``module:function`` of a function at the top level of a module."""
    return f"{function.__module__}:{function.__qualname__}"


def resolve(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names. Raises BadParameter."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise BadParameter(
            f"{name!r} names no function: {exc}",
            where="a reference is module:function",
            fix=f"python -c 'import {module}'",
        ) from exc
    return function


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """What the function of that reference takes, by name. Raises BadParameter."""
    return inspect.signature(resolve(name)).parameters


def call(
    job: TrainingJob,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    report: Report,
    resources_per_worker: Mapping[str, float],
    checkpoints: str | None = None,
) -> Metrics:
    """Call the function of ``job``. What it raises passes through."""
    function = resolve(job.function)
    extra = {
        "report": report,
        "resources_per_worker": dict(resources_per_worker),
        "checkpoints": checkpoints,
        "num_workers": job.workers,
    }
    known = inspect.signature(function).parameters
    return dict(
        function(
            **{name: str(path) for name, path in inputs.items()},
            **job.arguments,
            out_dir=str(out_dir),
            **{name: value for name, value in extra.items() if name in known},
        )
    )


def epoch(job: TrainingJob, figures: Mapping[str, float], started_at: datetime) -> Progress:
    """One report of a fit; ``epoch`` in it counts, every other figure is shown."""
    done = int(figures.get("epoch", 0))
    shown = {k: float(v) for k, v in figures.items() if k != "epoch"}
    return Progress(done, job.epochs, "epochs", started_at, datetime.now(UTC), shown)
