"""Functions of training jobs that behave and misbehave on purpose; importable by any worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from platform_ctl.training.ray_cluster.remote import Reports

Report = Callable[[Mapping[str, float]], None]


def copy(rows: str, out_dir: str, *, factor: float, num_workers: int) -> dict[str, Any]:
    """Writes the input times ``factor`` as the model."""
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    value = float(Path(rows).read_text()) * factor
    (Path(out_dir) / "model.txt").write_text(repr(value))
    return {"loss": value, "num_workers": num_workers}


def here(rows: str, out_dir: str, *, report: Report | None = None) -> dict[str, Any]:
    """Needs no workers; reports three epochs."""
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    (Path(out_dir) / "model.txt").write_text(Path(rows).read_text())
    for epoch in (1, 2, 3):
        if report is not None:
            report({"epoch": epoch, "loss": 1 / epoch})
    return {"loss": 1 / 3}


class SlowReports(Reports):
    """Takes a while for each report, and answers meanwhile, as an actor that is far away does."""

    async def add(self, figures: dict[str, float]) -> None:  # type: ignore[override]
        await asyncio.sleep(0.5)
        super().add(figures)


def broken(rows: str, out_dir: str) -> dict[str, Any]:
    raise ValueError("the rows make no sense")


def share(rows: str, out_dir: str, *, num_workers: int, resources_per_worker: dict) -> dict:
    """Starts as many Ray actors as workers, all at once, each with its resources."""
    import ray

    @ray.remote
    class Worker:
        def value(self) -> int:
            return 1

    wanted = {k: v for k, v in resources_per_worker.items() if k == "CPU"}
    workers = [Worker.options(num_cpus=wanted["CPU"]).remote() for _ in range(num_workers)]
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    return {"answered": sum(ray.get([w.value.remote() for w in workers], timeout=120))}


def interrupted(rows: str, out_dir: str, *, checkpoints: str | None = None) -> dict[str, Any]:
    """Keeps an epoch and dies; called again, goes on with what it kept."""
    import fsspec

    system, folder = fsspec.core.url_to_fs(checkpoints)
    if not system.exists(f"{folder}/epoch-1"):
        system.makedirs(folder, exist_ok=True)
        system.pipe_file(f"{folder}/epoch-1", b"1")
        raise RuntimeError("killed in epoch 2")
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    return {"went_on_with": int(system.cat_file(f"{folder}/epoch-1"))}
