"""What Ray costs around a ten-epoch fit with two workers, by how it is started.

``python -m benchmarks.ray_startup [--repeat N]``: each way in a fresh process
with a Ray of its own, the ways taking turns; medians in seconds. On a busy
machine believe ``cpu``, of all processes together, rather than the wall times.
``as found`` is Ray's defaults, ``switches`` adds ``ray_switches.ENVIRONMENT``,
``lean`` is what the platform does (switches and LeanTorchTrainer), ``no Ray``
trains the same model in one thread. docs/decisions/0030-ray-start-up.md quotes it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.rows import write_rows

RAY_DEFAULTS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "2.0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "1",
    "RAY_TRAIN_METRICS_ENABLED": "1",
    "RAY_prestart_worker_first_driver": "1",
}
WAYS = {"as found": RAY_DEFAULTS, "switches": {}, "lean": {}, "no Ray": {}}
PARAMS = {"learning_rate": "0.003", "batch_size": "128", "epochs": "10"}
STAGES = ("import", "connect", "fit", "disconnect")
COLUMNS = (*STAGES, "total", "cpu")
SAMPLE_S = 0.05


def one(way: str, rows_path: str) -> dict[str, float]:
    """Seconds of each stage, in this process."""
    seconds = {}

    def timed(stage: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - started
        return result

    def load() -> object:
        from recipes.train_deploy import train

        return train

    train = timed("import", load)
    if way == "no Ray":
        timed("fit", lambda: train.trial(PARAMS, rows_path))
        return seconds
    from platform_ctl.training.local.training import LocalTraining

    connection = LocalTraining().connect()
    timed("connect", connection.__enter__)
    if way != "lean":
        import ray.train.torch

        from recipes.common import ray_train

        ray_train.LeanTorchTrainer = ray.train.torch.TorchTrainer
    with tempfile.TemporaryDirectory() as out:
        timed("fit", lambda: train.fit(rows_path, PARAMS, out, num_workers=2))
    timed("disconnect", lambda: connection.__exit__(None, None, None))
    return seconds


def measure(way: str, rows_path: str) -> dict[str, float]:
    """``one`` in a fresh process; ``total`` includes the interpreter, ``cpu`` all its processes."""
    started = time.perf_counter()
    child = psutil.Popen(
        [sys.executable, "-m", "benchmarks.ray_startup", "--one", way, "--rows", rows_path],
        env={**os.environ, **WAYS[way]},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    cpu: dict[int, float] = {}
    while child.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (child, *child.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    cpu[process.pid] = times.user + times.system
        time.sleep(SAMPLE_S)
    seconds = json.loads(child.stdout.read().splitlines()[-1])
    return {**seconds, "total": time.perf_counter() - started, "cpu": sum(cpu.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        rows_path = write_rows(Path(folder) / "rows.parquet", FEATURE_NAMES, repos=10, weeks=300)
        for _ in range(arguments.repeat):
            for way in WAYS:
                found[way].append(measure(way, str(rows_path)))
    print(f"{'':10s}" + "".join(f"{stage:>12s}" for stage in COLUMNS))
    for way, runs in found.items():
        medians = [statistics.median(r.get(s, 0.0) for r in runs) for s in COLUMNS]
        print(f"{way:10s}" + "".join(f"{m:12.2f}" for m in medians))


if __name__ == "__main__":
    main()
