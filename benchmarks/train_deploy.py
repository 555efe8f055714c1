"""``pipeline run train-deploy`` beside one plain script that calls the same functions.

``python -m benchmarks.train_deploy``. Both are cold: a new home with the sample
data, whole processes, one after the other; byte code is warm, as after any
first use. Then the run again with nothing changed. Goals: at most 1.3 times
the script, and under 3 s again. On a busy machine believe the CPU seconds
rather than the wall times.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
CLI = (sys.executable, "-c", "from platform_ctl.cli.app import main; main()")
PLAIN = (sys.executable, "-m", "benchmarks.plain_train_deploy")
MAX_RATIO, MAX_AGAIN_S = 1.3, 3.0


class Home:
    """A new home with the sample data, and the processes that work in it."""

    def __init__(self, folder: Path) -> None:
        self._env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._env["PLATFORM_HOME"] = str(folder)
        self.call(*CLI, "data", "ingest", "--sample")

    def call(self, *command: str) -> tuple[float, str]:
        """Seconds and standard output; leaves with what went wrong."""
        begun = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command[3:])}: {done.stderr[-2000:]}")
        return time.perf_counter() - begun, done.stdout

    def watch(self, *command: str) -> tuple[float, float, str]:
        """Seconds, CPU seconds of every process it started, and standard output."""
        seen: dict[psutil.Process, float] = {}
        begun = time.perf_counter()
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=out)
            root = psutil.Process(process.pid)
            while process.poll() is None:
                with contextlib.suppress(psutil.Error):
                    for one in (root, *root.children(recursive=True)):
                        times = one.cpu_times()
                        seen[one] = times.user + times.system
                time.sleep(0.1)
            if process.returncode:
                raise SystemExit(f"{' '.join(command[1:])} left with {process.returncode}")
            out.seek(0)
            return time.perf_counter() - begun, sum(seen.values()), out.read()

    def run(self) -> tuple[float, dict]:
        """Seconds of a run, and its record."""
        wall_s, _ = self.call(*CLI, "pipeline", "run", "train-deploy")
        return wall_s, json.loads(self.call(*CLI, "run", "show", "-o", "json")[1])


def main() -> str:
    """Print the table; returns the summary."""
    with tempfile.TemporaryDirectory() as temporary:
        ours, plain = Home(Path(temporary) / "ours"), Home(Path(temporary) / "plain")
        load = os.getloadavg()[0]
        cold_s, run = ours.run()
        plain_s, plain_cpu_s, said = plain.watch(*PLAIN)
        again_s, again = ours.run()
    parts = json.loads(said.splitlines()[-1])
    table(run, parts, cold_s, plain_s)
    cached = sum(t["state"] == "CACHED" for t in again["tasks"])
    cpu_s = run["cost"]["cpu_s"]
    kinds = ", ".join(f"{kind} {s:.1f}" for kind, s in run["cost"]["cpu_s_by_kind"].items())
    print(f"{'all, cpu':<20}{cpu_s:>8.2f}{plain_cpu_s:>8.2f}   ours: {kinds}")
    print(f"{'again':<20}{again_s:>8.2f}{'':>8}   {cached} of {len(again['tasks'])} tasks cached")
    for task in again["tasks"]:
        if task["state"] == "SUCCEEDED" and not task["cache"].startswith("caching is off"):
            print(f"  {task['name']} ran again: {task['cache']}")
    return (
        f"{cold_s / plain_s:.2f} of the script's wall time ({cold_s:.1f} s, {plain_s:.1f} s; goal"
        f" {MAX_RATIO}), {cpu_s / plain_cpu_s:.2f} of its CPU; again {again_s:.1f} s (goal"
        f" {MAX_AGAIN_S:g}); load {load:.1f}"
    )


def table(run: dict, parts: dict[str, float], cold_s: float, plain_s: float) -> None:
    print(f"{'seconds of wall':<20}{'ours':>8}{'plain':>8}")
    steps = 0.0
    for task in run["tasks"]:
        name, wall_s = task["name"], task["usage"]["wall_s"]
        steps += wall_s
        print(f"{name:<20}{wall_s:>8.2f}{parts.get(name, 0.0):>8.2f}")
    print(f"{'start of Ray':<20}{'in tune':>8}{parts['ray']:>8.2f}")
    rest = plain_s - sum(parts.values())
    print(f"{'start and end':<20}{cold_s - steps:>8.2f}{rest:>8.2f}")
    print(f"{'all':<20}{cold_s:>8.2f}{plain_s:>8.2f}")


if __name__ == "__main__":
    print(main())
