"""Training: one optimisation loop for a trial, for the command line and for Ray Train.

``trial`` is one Katib trial (one thread, no Ray). ``fit`` is the final
training: the same loop, data-parallel through Ray Train's TorchTrainer (DDP
over gloo). Both start from the same seed and see the same batches in the same
order, so that a worker count changes the speed and, but for rounding, not the
model. Weights learn from split ``train`` only; ``validation`` is held out and
``golden`` is never read here.
"""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from platform_ctl.errors import BadParameter, TooLittleHistory
from recipes.train_deploy import model, rows
from recipes.train_deploy.features import FEATURE_NAMES, LOG_FEATURES
from recipes.train_deploy.names import PIPELINE, RECIPE

MIN_TRAIN_ROWS = 64
WEIGHT_DECAY = 1e-2
MAX_GRADIENT_NORM = 1.0
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; it then falls to zero as a cosine."""

STATE_FILE = "state.pt"
"""In the checkpoint of an epoch: weights, optimiser, schedule, shuffle and history."""

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Hyperparameters:
    """What a trial may choose; Katib passes every value as text."""

    learning_rate: float = 3e-3
    batch_size: int = 128
    epochs: int = 10
    seed: int = 0

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> Hyperparameters:
        """Raises BadParameter for an unknown name, or a value out of range."""
        kinds = {"learning_rate": float, "batch_size": int, "epochs": int, "seed": int}
        values: dict[str, Any] = {}
        for name, value in params.items():
            if name not in kinds:
                raise BadParameter(
                    f"training has no parameter {name!r}",
                    where=__name__,
                    fix=f"use {', '.join(kinds)}",
                )
            try:
                values[name] = kinds[name](value)
            except (TypeError, ValueError) as exc:
                raise _bad_value(name, value) from exc
            if not (values[name] > 0 or name == "seed") or not math.isfinite(values[name]):
                raise _bad_value(name, value)
        return cls(**values)


def _bad_value(name: str, value: object) -> BadParameter:
    return BadParameter(
        f"{name}={value!r} is not a positive number",
        where=__name__,
        fix="platform-ctl pipeline run --help",
    )


def trial(
    params: Mapping[str, Any], rows_path: str, report: Report | None = None
) -> dict[str, float]:
    """Train once in this process, in one thread; score on the validation split.

    ``report`` gets {"epoch", "val_mase", "val_mae", "train_loss"} after each epoch
    and may raise to stop the trial. Returns the last epoch's figures. Raises
    BadParameter, TooLittleHistory, and ValueError for rows that cannot be used.
    """
    _, history = train_here(Hyperparameters.parse(params), rows_path, report)
    return {name: history[-1][name] for name in ("val_mase", "val_mae", "train_loss")}


def train_here(
    hp: Hyperparameters, rows_path: str | Path, report: Report | None = None
) -> tuple[model.CommitsNet, list[dict[str, float]]]:
    """Train in this process and thread: the network and the figures of each epoch."""
    torch.set_num_threads(1)
    data = Split.read(rows_path)
    net = model.build(spec_of(data, hp), hp.seed)
    return net, optimise(net, net, data, hp, report=report)


def fit(
    rows_path: str,
    params: Mapping[str, Any],
    out_dir: str,
    *,
    num_workers: int = 2,
    epochs: int | None = None,
    seed: int = 0,
    report: Report | None = None,
    resources_per_worker: Mapping[str, float] | None = None,
    checkpoints: str | None = None,
) -> dict[str, Any]:
    """Train the model that will be evaluated, with Ray Train, and write it to ``out_dir``.

    Needs a connected Ray. ``report`` gets the figures of each epoch from the first
    worker. With ``checkpoints`` (URI of a folder) each epoch is kept there: workers
    that died are replaced, and the same call later goes on where this one ended.
    Returns val_mase, val_mae, train_loss, epochs,
    num_workers, model_digest, the per-epoch ``history``, and a ``summary`` in words.
    """
    import ray.train
    from ray.train.torch import TorchConfig

    from recipes.train_deploy.ray_trainer import LeanTorchTrainer, run_config

    chosen = params if epochs is None else {**params, "epochs": epochs}
    hp = replace(Hyperparameters.parse(chosen), seed=seed)
    if num_workers < 1 or hp.batch_size % num_workers:
        raise BadParameter(
            f"batch_size {hp.batch_size} cannot be shared by {num_workers} workers",
            where=__name__,
            fix=f"platform-ctl pipeline run {PIPELINE} -p num_workers=1",
        )
    config = {
        "rows_path": str(Path(rows_path).resolve()),
        "hp": asdict(hp),
        "report": report,
        "keep_epochs": checkpoints is not None,
    }
    with tempfile.TemporaryDirectory(prefix="ray-train-") as storage:
        trainer = LeanTorchTrainer(
            _train_loop_per_worker,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(
                num_workers=num_workers,
                resources_per_worker=dict(resources_per_worker or {"CPU": 1}),
            ),
            torch_config=TorchConfig(backend="gloo"),
            run_config=run_config(checkpoints, storage),
        )
        result = trainer.fit()
        _copy_model(result.checkpoint, Path(out_dir))
    metrics = dict(result.metrics)
    figure = f"val_mase {metrics['val_mase']:.3f}"
    return metrics | {"summary": f"{figure} with {num_workers} workers, {metrics['epochs']} epochs"}


def _copy_model(kept: Any, out_dir: Path) -> None:
    """Put the files of the model in a Ray checkpoint into ``out_dir``."""
    with kept.as_directory() as checkpoint:
        out_dir.mkdir(parents=True, exist_ok=True)
        for file in Path(checkpoint).iterdir():
            if file.name in (model.predict.WEIGHTS_FILE, model.predict.SPEC_FILE):
                shutil.copyfile(file, out_dir / file.name)


def _train_loop_per_worker(config: Mapping[str, Any]) -> None:
    """One DDP worker. Reports to Ray at the end, as each report is a barrier of all workers;
    where epochs are kept, after each of them."""
    import ray.train
    import ray.train.torch

    torch.set_num_threads(1)
    hp = Hyperparameters(**config["hp"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    data = Split.read(config["rows_path"])
    net = model.build(spec_of(data, hp), hp.seed)
    parallel = ray.train.torch.prepare_model(net)

    def keep(state: Mapping[str, Any]) -> None:
        _report_epoch(net, state, rank=rank)

    history = optimise(
        parallel,
        net,
        data,
        hp,
        rank=rank,
        world=world,
        report=config["report"] if rank == 0 else None,
        begin=_kept_epoch() if config["keep_epochs"] else None,
        keep=keep if config["keep_epochs"] else None,
    )
    metrics = {**history[-1], "epochs": hp.epochs, "num_workers": world, "history": history}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if rank == 0:
            metrics["model_digest"] = model.save(net, folder)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint)


def _report_epoch(net: model.CommitsNet, state: Mapping[str, Any], *, rank: int) -> None:
    """Keep an epoch: the state of the optimisation, and the weights in it."""
    import ray.train

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if rank == 0:
            torch.save({**state, "net": net.state_dict()}, Path(folder) / STATE_FILE)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(dict(state["history"][-1]), checkpoint=checkpoint)


def _kept_epoch() -> dict[str, Any] | None:
    """The last epoch that was kept; None at the beginning."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        path = Path(folder) / STATE_FILE
        return torch.load(path, weights_only=True) if path.is_file() else None


def optimise(
    parallel: torch.nn.Module,
    net: model.CommitsNet,
    data: Split,
    hp: Hyperparameters,
    *,
    rank: int = 0,
    world: int = 1,
    report: Report | None = None,
    begin: Mapping[str, Any] | None = None,
    keep: Callable[[Mapping[str, Any]], None] | None = None,
) -> list[dict[str, float]]:
    """The training loop. ``parallel`` is ``net``, or ``net`` wrapped for DDP.

    Each step takes the next ``batch_size`` rows of a seeded shuffle; worker
    ``rank`` of ``world`` computes its share. Returns the figures of each epoch.
    ``keep`` gets the state after each epoch, ``begin`` is such a state with the
    weights (``net``): the loop goes on after it as if it had never ended.
    """
    x, y, weight = data.tensors()
    batch = min(hp.batch_size, len(x) - len(x) % world)
    steps = max(1, len(x) // batch)
    optimiser = torch.optim.AdamW(
        parallel.parameters(), lr=hp.learning_rate, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(steps * hp.epochs))
    shuffle = torch.Generator().manual_seed(hp.seed)
    history = _restore(begin, net, optimiser, schedule, shuffle) if begin is not None else []
    for epoch in range(len(history) + 1, hp.epochs + 1):
        order = torch.randperm(len(x), generator=shuffle)
        total = 0.0
        for start in range(0, steps * batch, batch):
            mine = order[start : start + batch][rank::world]
            optimiser.zero_grad(set_to_none=True)
            error = (parallel(x[mine]) - y[mine]).abs() * weight[mine]
            loss = error.mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parallel.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            schedule.step()
            total += loss.item()
        history.append({"epoch": epoch, "train_loss": total / steps, **score(net, data.validation)})
        if report is not None:
            report(history[-1])
        if keep is not None:
            keep(
                {
                    "history": history,
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "shuffle": shuffle.get_state(),
                }
            )
    return history


def _restore(
    state: Mapping[str, Any],
    net: model.CommitsNet,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    shuffle: torch.Generator,
) -> list[dict[str, float]]:
    """Put everything as it was after the epoch that was kept; returns the figures until then."""
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    shuffle.set_state(state["shuffle"])
    return [dict(figures) for figures in state["history"]]


def score(net: model.CommitsNet, validation: rows.Rows) -> dict[str, float]:
    """val_mase and val_mae of the averaged members."""
    with torch.no_grad():
        forecast = net(torch.from_numpy(validation.features)).clamp(min=0).mean(0).numpy()
    error = np.abs(forecast - validation.label)
    return {"val_mase": float((error / validation.scale).mean()), "val_mae": float(error.mean())}


def _rate(total_steps: int) -> Callable[[int], float]:
    """One-cycle: linear warm-up, then a cosine to zero (Smith and Topin, 2018)."""
    warm = max(1, int(total_steps * WARM_UP))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm)))

    return factor


@dataclass(frozen=True)
class Split:
    """Training and validation rows; the golden set stays on disk."""

    train: rows.Rows
    validation: rows.Rows

    @classmethod
    def read(cls, rows_path: str | Path) -> Split:
        data = rows.read(rows_path, FEATURE_NAMES)
        train, validation = data.of(rows.TRAIN), data.of(rows.VALIDATION)
        for name, part, least in (("train", train, MIN_TRAIN_ROWS), ("validation", validation, 1)):
            if len(part) < least:
                raise TooLittleHistory(
                    f"{len(part)} {name} rows are too few (at least {least})",
                    where=str(rows_path),
                    fix=f"platform-ctl data ingest --recipe {RECIPE} --git PATH…",
                )
        return cls(train, validation)

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (n, f), labels (n,) and weights (n,) with mean 1.

        Dividing by the repository's scale makes the mean absolute error the MASE.
        """
        weight = 1 / self.train.scale
        columns = (self.train.features, self.train.label, weight / weight.mean())
        return tuple(torch.from_numpy(np.ascontiguousarray(c, np.float32)) for c in columns)


def spec_of(data: Split, hp: Hyperparameters) -> dict[str, Any]:
    """The model's description, with the normalisation of the training rows."""
    newest = str(data.train.week_start.max())
    training = {**asdict(hp), "rows": len(data.train), "newest_week": newest}
    return model.make_spec(FEATURE_NAMES, LOG_FEATURES, data.train.features, training)


def main(argv: list[str] | None = None) -> int:
    """Train once and print ``name=value`` lines, as Katib's StdOut collector reads them."""
    parser = argparse.ArgumentParser(prog=f"python -m recipes.{RECIPE}.train")
    parser.add_argument("--rows", required=True, help="parquet file that extract wrote")
    for name in ("learning-rate", "batch-size", "epochs", "seed"):
        parser.add_argument(f"--{name}")
    given = vars(parser.parse_args(argv))
    path = given.pop("rows")

    def write(figures: Mapping[str, float]) -> None:
        line = " ".join(f"{name}={value:.6g}" for name, value in figures.items())
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    trial({k: v for k, v in given.items() if v is not None}, path, write)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main())
