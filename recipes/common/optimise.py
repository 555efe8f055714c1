"""One training loop of PyTorch for every recipe: in this process, or as one of N workers.

Each step takes the next rows of a seeded shuffle, and each worker its share of them: a worker count
changes the speed and, but for rounding, not the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from platform_ctl.errors import BadParameter

MAX_GRADIENT_NORM = 1.0
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; it then falls to zero as a cosine."""

Report = Callable[[dict[str, float]], None]
State = Mapping[str, Any]
"""After an epoch: weights (``net``), optimiser, schedule, shuffle and history."""
Loss = Callable[..., torch.Tensor]
"""(network, one batch of each tensor) -> the loss of each row, weights included."""


@dataclass(frozen=True)
class Plan:
    """What one optimisation may do."""

    learning_rate: float
    batch_size: int
    epochs: int
    seed: int = 0
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Worker:
    """Which of how many processes this is, and what it is connected with."""

    rank: int = 0
    world: int = 1
    device: torch.device | str = "cpu"
    wrap: Callable[[Any], Any] = lambda net: net
    """Makes a network data-parallel, on the worker's device."""
    report: Report | None = None
    """Takes the figures of an epoch, and may raise to stop."""
    begin: State | None = None
    """Where to go on."""
    keep: Callable[[State], None] | None = None


def optimise(
    net: torch.nn.Module,
    tensors: tuple[torch.Tensor, ...],
    loss: Loss,
    score: Callable[[], dict[str, float]],
    plan: Plan,
    worker: Worker,
) -> list[dict[str, float]]:
    """Train ``net`` in place by AdamW on rows of ``tensors`` (n, …); the figures of each epoch.

    ``score`` is called after each epoch, without gradients. With ``worker.begin`` the loop goes on
    after that state as if it had never ended.
    """
    parallel = worker.wrap(net)
    data = tuple(t.to(worker.device) for t in tensors)
    size = len(data[0])
    batch = min(plan.batch_size, size - size % worker.world)
    steps = max(1, size // batch)
    run = _Run.start(net, parallel, plan, steps)
    history = run.restore(worker.begin) if worker.begin is not None else []
    for epoch in range(len(history) + 1, plan.epochs + 1):
        order = torch.randperm(size, generator=run.shuffle)
        total = 0.0
        for start in range(0, steps * batch, batch):
            mine = order[start : start + batch][worker.rank :: worker.world]
            total += run.step(loss(parallel, *(t[mine] for t in data)).mean())
        with torch.no_grad():
            history.append({"epoch": epoch, "train_loss": total / steps, **score()})
        if worker.report is not None:
            worker.report(history[-1])
        if worker.keep is not None:
            worker.keep(run.state(history))
    return history


@dataclass(frozen=True)
class _Run:
    """What changes while a network is trained."""

    net: torch.nn.Module
    parallel: torch.nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    shuffle: torch.Generator

    @classmethod
    def start(cls, net: torch.nn.Module, parallel: torch.nn.Module, plan: Plan, steps: int) -> _Run:
        optimiser = torch.optim.AdamW(
            parallel.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, one_cycle(steps * plan.epochs))
        shuffle = torch.Generator().manual_seed(plan.seed)
        return cls(net, parallel, optimiser, schedule, shuffle)

    def step(self, loss: torch.Tensor) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parallel.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def state(self, history: list[dict[str, float]]) -> State:
        return {
            "net": self.net.state_dict(),
            "history": history,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "shuffle": self.shuffle.get_state(),
        }

    def restore(self, state: State) -> list[dict[str, float]]:
        """Put everything as it was after the epoch that was kept; the figures until then."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.shuffle.set_state(state["shuffle"])
        return [dict(figures) for figures in state["history"]]


def one_cycle(total_steps: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: linear warm-up, then a cosine to zero (Smith and Topin,
    2018)."""
    warm = max(1, int(total_steps * WARM_UP))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm)))

    return factor


def check_share(batch_size: int, num_workers: int, pipeline: str, where: str) -> None:
    """Raises BadParameter where the workers cannot share a batch evenly."""
    if num_workers < 1 or batch_size % num_workers:
        raise BadParameter(
            f"batch_size {batch_size} cannot be shared by {num_workers} workers",
            where=where,
            fix=f"platform-ctl pipeline run {pipeline} -p num_workers=1",
        )
