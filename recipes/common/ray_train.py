"""A data-parallel fit through Ray Train: the same on a laptop, on a RayJob and on a cluster.

A recipe gives one loop, which each worker calls; rows go to the workers through Ray's object store
and the model's files come back as the first worker's answer, so that no folder has to be shared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from recipes.common.optimise import Report, State, Worker

UNUSED = (
    DatasetsCallback,  # manages Ray Data shards; the workers read one parquet file
    PlacementGroupCleanerCallback,  # outlives a dead controller; here Ray itself ends with the run
)
MAX_FAILURES = 3
"""How often lost workers are replaced within one call; the epochs before are kept."""
STATE_FILE = "state.pt"
"""In the checkpoint of an epoch: weights, optimiser, schedule, shuffle and history."""

Loop = Callable[[Worker, str, str], dict[str, Any]]
"""(worker, path of the rows, folder for the model) -> metrics. Only what the first worker returns,
and leaves in its folder, counts."""


class LeanTorchTrainer(TorchTrainer):
    """A TorchTrainer that starts three actors (controller, coordinator, barrier) and its workers.

    Each actor is a process that imports ray.train: about two CPU seconds. Measured in
    docs/decisions/0030-ray-start-up.md: a ten-epoch fit takes half the time. Overrides one private
    method of the pinned Ray. Where a later Ray calls it no more, this is a plain TorchTrainer
    again, only slower; the benchmark shows it.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if not isinstance(callback, UNUSED)]


def fit(
    loop: Loop,
    rows_path: str,
    out_dir: str,
    *,
    num_workers: int,
    resources_per_worker: Mapping[str, float] | None = None,
    report: Report | None = None,
    checkpoints: str | None = None,
) -> dict[str, Any]:
    """Call ``loop`` in ``num_workers`` processes and put the model into ``out_dir``; its metrics.

    Needs a connected Ray. ``loop`` can be pickled: a function of a module, or a partial of one.
    ``report`` gets the figures of each epoch from the first worker. With ``checkpoints`` (URI of a
    folder) each epoch is kept there: workers that died are replaced, and the same call later goes
    on where this one ended. Workers with a GPU speak NCCL, others gloo.
    """
    import ray

    resources = dict(resources_per_worker or {"CPU": 1})
    worker: Any = _run_worker
    use_gpu = resources.get("GPU", 0) > 0
    with tempfile.TemporaryDirectory(prefix="ray-train-") as storage:
        result: Any = LeanTorchTrainer(
            worker,
            train_loop_config={
                "loop": loop,
                "rows": ray.put(Path(rows_path).read_bytes()),
                "report": report,
                "keep_epochs": checkpoints is not None,
            },
            scaling_config=ScalingConfig(
                num_workers=num_workers, use_gpu=use_gpu, resources_per_worker=resources
            ),
            torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
            run_config=run_config(checkpoints, storage),
        ).fit()
    metrics, files = result.return_value
    _write_files(Path(out_dir), files)
    return dict(metrics)


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def run_config(checkpoints: str | None, storage: str) -> RunConfig:
    """Where Ray Train keeps a fit: in the folder of that URI, else in ``storage`` until it ends.

    The same name and folder again make Ray Train go on with the last checkpoint.
    """
    if checkpoints is None:
        return RunConfig(name="fit", storage_path=storage)
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    system, path = fsspec.core.url_to_fs(checkpoints)
    return RunConfig(
        name="fit",
        storage_path=path,
        storage_filesystem=PyFileSystem(FSSpecHandler(system)),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
        failure_config=FailureConfig(max_failures=MAX_FAILURES),
    )


def _run_worker(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """One worker: metrics, and the files of the model from the first one."""
    import ray
    import ray.train
    import ray.train.torch

    torch.set_num_threads(1)
    context = ray.train.get_context()
    rank = context.get_world_rank()
    keeps = config["keep_epochs"]
    worker = Worker(
        rank=rank,
        world=context.get_world_size(),
        device=ray.train.torch.get_device(),
        wrap=ray.train.torch.prepare_model,
        report=config["report"] if rank == 0 else None,
        begin=_kept_epoch() if keeps else None,
        keep=_keep_first if keeps and rank == 0 else _keep_nothing if keeps else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        rows, out = Path(folder) / "rows.parquet", Path(folder) / "model"
        rows.write_bytes(ray.get(config["rows"]))
        out.mkdir()
        metrics = config["loop"](worker, str(rows), str(out))
        return metrics, {p.name: p.read_bytes() for p in out.iterdir()} if rank == 0 else {}


def _keep_first(state: State) -> None:
    """Keep an epoch: the state of the optimisation with the weights. A barrier of all workers."""
    import ray.train

    with tempfile.TemporaryDirectory() as folder:
        torch.save(dict(state), Path(folder) / STATE_FILE)
        figures = dict(state["history"][-1])
        ray.train.report(figures, checkpoint=Checkpoint.from_directory(folder))


def _keep_nothing(state: State) -> None:
    """What the other workers say of an epoch that the first one keeps."""
    import ray.train

    ray.train.report(dict(state["history"][-1]))


def _kept_epoch() -> State | None:
    """The last epoch that was kept; None at the beginning."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        path = Path(folder) / STATE_FILE
        return torch.load(path, weights_only=True) if path.is_file() else None
