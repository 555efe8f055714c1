"""Training: what one trial tries, and the fit of the model that is evaluated, on N workers.

Both are the same loop from the same seed. Weights learn from split ``train``; ``validation`` is
held out and ``golden`` is never read here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from recipes.common import metrics, trial_main
from recipes.common.judge import Rows
from recipes.common.optimise import Plan, Report, Worker, check_share, optimise
from recipes.digits import model
from recipes.digits.recipe import FEATURES, RECIPE

TRIAL_EPOCHS = 10


def plan_of(params: Mapping[str, Any], epochs: int, seed: int = 0) -> Plan:
    """Katib passes every value as text."""
    rate, batch = params.get("learning_rate", 0.01), params.get("batch_size", 64)
    return Plan(float(rate), int(float(batch)), int(params.get("epochs", epochs)), seed)


def learn(
    plan: Plan, rows_path: str, worker: Worker
) -> tuple[model.DigitNet, list[dict[str, float]]]:
    """The network and the figures of each epoch."""
    train = Rows.read(rows_path, FEATURES, "train")
    held_out = Rows.read(rows_path, FEATURES, "validation")
    net = model.build(plan.seed)
    entropy = torch.nn.BCEWithLogitsLoss(reduction="none")
    unseen = torch.from_numpy(held_out.x).float().to(worker.device)

    def loss(parallel: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return entropy(parallel(x), y)

    def score() -> dict[str, float]:
        probability = torch.sigmoid(net(unseen)).cpu().double().numpy()
        return {"val_loss": float(metrics.log_loss(probability, held_out.label).mean())}

    tensors = tuple(torch.from_numpy(a).float() for a in (train.x, train.label))
    return net, optimise(net, tensors, loss, score, plan, worker)


def trial(
    params: Mapping[str, Any], rows_path: str, report: Report | None = None
) -> dict[str, float]:
    """One Katib trial, in this process and one thread; ``report`` may stop it."""
    torch.set_num_threads(1)
    _, history = learn(plan_of(params, TRIAL_EPOCHS), rows_path, Worker(report=report))
    return {name: history[-1][name] for name in ("val_loss", "train_loss")}


def fit(
    rows_path: str,
    params: Mapping[str, Any],
    out_dir: str,
    *,
    num_workers: int = 2,
    epochs: int = 20,
    seed: int = 0,
    report: Report | None = None,
    resources_per_worker: Mapping[str, float] | None = None,
    checkpoints: str | None = None,
) -> dict[str, Any]:
    """Fit the model that will be evaluated; the options are those of ``ray_train.fit``."""
    from recipes.common import ray_train

    plan = plan_of({**params, "epochs": epochs}, epochs, seed)
    check_share(plan.batch_size, num_workers, RECIPE.pipeline, __name__)
    reported = ray_train.fit(
        partial(_loop, plan),
        rows_path,
        out_dir,
        num_workers=num_workers,
        resources_per_worker=resources_per_worker,
        report=report,
        checkpoints=checkpoints,
    )
    figure = f"validation log loss {reported['val_loss']:.3f}"
    return reported | {"summary": f"{figure} with {num_workers} workers, {plan.epochs} epochs"}


def _loop(plan: Plan, worker: Worker, rows_path: str, out_dir: str) -> dict[str, Any]:
    """What each worker does."""
    net, history = learn(plan, rows_path, worker)
    digest = model.save(net, FEATURES, out_dir) if worker.rank == 0 else ""
    return {**history[-1], "num_workers": worker.world, "model_digest": digest}


if __name__ == "__main__":
    sys.exit(trial_main.main(trial))
