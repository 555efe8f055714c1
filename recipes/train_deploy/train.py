"""Training: one optimisation loop for a trial, for the command line and for Ray Train.

``trial`` is one Katib trial (one thread, no Ray). ``fit`` is the final
training: the same loop, data-parallel through Ray Train (``common/ray_train``).
Both start from the same seed and see the same batches in the same
order, so that a worker count changes the speed and, but for rounding, not the
model. Weights learn from split ``train`` only; ``validation`` is held out and
``golden`` is never read here.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from platform_ctl.errors import BadParameter, TooLittleHistory
from recipes.common import optimise
from recipes.common.optimise import Plan, Report, Worker, check_share
from recipes.train_deploy import model, rows
from recipes.train_deploy.features import FEATURE_NAMES, LOG_FEATURES
from recipes.train_deploy.names import PIPELINE, RECIPE

MIN_TRAIN_ROWS = 64


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

    @property
    def plan(self) -> Plan:
        return Plan(self.learning_rate, self.batch_size, self.epochs, self.seed)


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
    return net, learn(net, data, hp, Worker(report=report))


def learn(
    net: model.CommitsNet, data: Split, hp: Hyperparameters, worker: Worker | None = None
) -> list[dict[str, float]]:
    """Train ``net`` in place; the figures of each epoch."""
    used = worker or Worker()

    def loss(parallel: Any, x: Any, y: Any, weight: Any) -> Any:
        return (parallel(x) - y).abs() * weight

    def scored() -> dict[str, float]:
        return score(net, data.validation, used.device)

    return optimise.optimise(net, data.tensors(), loss, scored, hp.plan, used)


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

    The options are those of ``ray_train.fit``. Returns val_mase, val_mae, train_loss,
    epochs, num_workers, model_digest, the per-epoch ``history``, and a ``summary`` in words.
    """
    chosen = params if epochs is None else {**params, "epochs": epochs}
    hp = replace(Hyperparameters.parse(chosen), seed=seed)
    check_share(hp.batch_size, num_workers, PIPELINE, __name__)
    from recipes.common import ray_train

    metrics = ray_train.fit(
        partial(_loop, hp),
        rows_path,
        out_dir,
        num_workers=num_workers,
        resources_per_worker=resources_per_worker,
        report=report,
        checkpoints=checkpoints,
    )
    figure = f"val_mase {metrics['val_mase']:.3f}"
    return metrics | {"summary": f"{figure} with {num_workers} workers, {metrics['epochs']} epochs"}


def _loop(hp: Hyperparameters, worker: Worker, rows_path: str, out_dir: str) -> dict[str, Any]:
    """What each worker does."""
    data = Split.read(rows_path)
    net = model.build(spec_of(data, hp), hp.seed)
    history = learn(net, data, hp, worker)
    digest = model.save(net, out_dir) if worker.rank == 0 else ""
    counts = {"epochs": hp.epochs, "num_workers": worker.world}
    return {**history[-1], **counts, "history": history, "model_digest": digest}


def score(
    net: model.CommitsNet, validation: rows.Rows, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """val_mase and val_mae of the averaged members."""
    x = torch.from_numpy(validation.features).to(device)
    forecast = net(x).clamp(min=0).mean(0).cpu().numpy()
    error = np.abs(forecast - validation.label)
    return {"val_mase": float((error / validation.scale).mean()), "val_mae": float(error.mean())}


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

        def tensor(column: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(column, np.float32))

        weights = weight / weight.mean()
        return tensor(self.train.features), tensor(self.train.label), tensor(weights)


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
    arguments = vars(parser.parse_args(argv))
    path = arguments.pop("rows")

    def write(figures: Mapping[str, float]) -> None:
        line = " ".join(f"{name}={value:.6g}" for name, value in figures.items())
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    trial({k: v for k, v in arguments.items() if v is not None}, path, write)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main())
