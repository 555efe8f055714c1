"""The same search through plain Optuna, Ray Tune and the local tuner, in one run.

``python -m benchmarks.tuning [--repeat N]`` prints the figures that
docs/comparisons/katib-vs-optuna-ray-tune.md quotes. Trials are the recipe's own
training on synthetic rows, one torch thread each; Ray is warm (start-up is
printed apart) and every way evaluates the same twelve points.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from platform_ctl.recipe.recipe import Budget
from platform_ctl.training.local.training import LocalTraining
from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.local.folder import FolderTuner
from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.experiments import choice, double, experiment
from tests.support.rows import write_rows
from tests.support.trials import bowl

RATES = ("0.0005", "0.001", "0.003", "0.01")
BATCHES = ("64", "128", "256")
POINTS = [{"learning_rate": r, "batch_size": b} for r in RATES for b in BATCHES]


def fixed_list(parallel: int) -> Experiment:
    """The twelve points, as a grid."""
    axes = (choice("learning_rate", *RATES), choice("batch_size", *BATCHES))
    objective = {"objectiveMetricName": "val_mase"}
    return experiment(
        *axes, trials=len(POINTS), parallel=parallel, algorithm="grid", objective=objective
    )


def one_after_another(trial: Callable[..., dict[str, float]]) -> None:
    """A loop in this process: what two at a time is measured against."""
    for point in POINTS:
        trial(point)


def plain_optuna(trial: Callable[..., dict[str, float]]) -> None:
    """study.optimize over the same grid, in this process."""
    grid = {"learning_rate": list(RATES), "batch_size": list(BATCHES)}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid, seed=0))

    def objective(suggested: optuna.Trial) -> float:
        point = {name: suggested.suggest_categorical(name, grid[name]) for name in grid}
        return trial(point)["val_mase"]

    study.optimize(objective, n_trials=len(POINTS))


def ray_tune(trial: Callable[..., dict[str, float]], folder: Path) -> None:
    """tune.Tuner over the same grid, two at a time, on the warm Ray."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its tables would be in the way of the figures
    from ray import tune

    def trainable(config: dict[str, str]) -> None:
        tune.report(trial(config))

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={
            "learning_rate": tune.grid_search(list(RATES)),
            "batch_size": tune.grid_search(list(BATCHES)),
        },
        tune_config=tune.TuneConfig(metric="val_mase", mode="min", max_concurrent_trials=2),
        run_config=tune.RunConfig(name=folder.name, storage_path=str(folder.parent), verbose=0),
    )
    assert len(tuner.fit()) == len(POINTS)


def ours(trial: Callable[..., dict[str, float]], folder: Path, *, parallel: int) -> None:
    status = FolderTuner(folder).run(
        fixed_list(parallel), trial=trial, workdir=folder, budget=Budget()
    )
    assert status.trials_succeeded == len(POINTS)


def overhead_ms(folder: Path) -> dict[str, float]:
    """Milliseconds of CPU a trial, with a trial that costs nothing: TPE, twenty trials."""
    space = (double("x", 0, 6), choice("k", "a", "b", "c"))
    search = experiment(*space, trials=20, algorithm="tpe")

    def optuna_alone() -> None:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))

        def objective(suggested: optuna.Trial) -> float:
            suggested.suggest_categorical("k", ["a", "b", "c"])
            return (suggested.suggest_float("x", 0, 6) - 3) ** 2

        study.optimize(objective, n_trials=20)

    def tuner(attempt: int) -> None:
        FolderTuner(folder).run(search, trial=bowl, workdir=folder / f"o{attempt}", budget=Budget())

    costs: dict[str, list[float]] = {"plain Optuna": [], "ours": []}
    for attempt in range(9):
        for name, call in (("plain Optuna", optuna_alone), ("ours", lambda: tuner(attempt))):  # noqa: B023
            begin = time.process_time()
            call()
            costs[name].append((time.process_time() - begin) / 20 * 1000)
    return {name: statistics.median(values) for name, values in costs.items()}


def measure(repeat: int, *, with_ray_tune: bool) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_rows(folder / "rows.parquet", FEATURE_NAMES, repos=12, weeks=200)
        begin = time.perf_counter()
        from recipes.train_deploy import train

        trial = functools.partial(train.trial, rows_path=str(rows))
        trial(POINTS[0])
        print(f"start-up: torch and the first trial in this process {_since(begin)}")
        begin = time.perf_counter()
        with LocalTraining().connect():
            print(f"start-up: Ray {_since(begin)}")
            begin = time.perf_counter()
            ours(trial, folder / "warm", parallel=2)
            print(f"start-up: first search (two workers import torch) {_since(begin)}")
            _compare(trial, folder, repeat, with_ray_tune=with_ray_tune)
        for name, cost in overhead_ms(folder).items():
            print(f"overhead {name:14} {cost:6.2f} ms of CPU a trial")


def _compare(
    trial: Callable[..., dict[str, float]], folder: Path, repeat: int, *, with_ray_tune: bool
) -> None:
    walls: dict[str, list[float]] = {}
    for attempt in range(repeat):
        ways: dict[str, Callable[[], None]] = {
            "one after another": lambda: one_after_another(trial),
            "plain Optuna": lambda: plain_optuna(trial),
            "ours, two at a time": lambda: ours(trial, folder / f"two{attempt}", parallel=2),  # noqa: B023
            "Ray Tune, two at a time": lambda: ray_tune(trial, folder / f"tune{attempt}"),  # noqa: B023
        }
        if not with_ray_tune:
            del ways["Ray Tune, two at a time"]
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            walls.setdefault(name, []).append(time.perf_counter() - begin)
    base = statistics.median(walls["one after another"])
    load = os.getloadavg()[0]
    print(f"{len(POINTS)} trials, {os.cpu_count()} cores, load {load:.1f}, {repeat} repeats")
    for name, seen in walls.items():
        middle = statistics.median(seen)
        spread = f"{min(seen):.2f} to {max(seen):.2f}"
        print(f"{name:24} {middle:6.2f} s  ({spread})  {middle / base:5.2f} of one after another")


def _since(begin: float) -> str:
    return f"{time.perf_counter() - begin:.2f} s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--without-ray-tune", action="store_true", help="it takes minutes")
    logging.getLogger("ray").setLevel(logging.ERROR)
    given = parser.parse_args()
    measure(given.repeat, with_ray_tune=not given.without_ray_tune)
