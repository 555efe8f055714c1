"""Local orchestrator beside kfp.local: whole processes, one run, CPU seconds and ratios.

``python benchmarks/orchestrator.py``. kfp.local runs with
``install_kfp_package=False``, without virtual environments and with its cache
on. CPU is user + system of the process and all its children; each figure is
the best of three. Bytecode caches are warm, as after any first use.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN = "from platform_ctl.cli.app import main; main()"
TAB = {
    "COMP_WORDS": "platform-ctl run show ",
    "COMP_CWORD": "3",
    "_PLATFORM_CTL_COMPLETE": "bash_complete",
}
SOURCE = """
import functools
from typing import List
from kfp import dsl, compiler
component = functools.partial(dsl.component, install_kfp_package=False)

@component
def first(out: dsl.Output[dsl.Dataset]):
    open(out.path, 'wb').write(bytes(1_000_000))

@component
def step(data: dsl.Input[dsl.Dataset], n: int, out: dsl.Output[dsl.Dataset]):
    content = open(data.path, 'rb').read()
    open(out.path, 'wb').write(content[:-1] + bytes([n]))

@component
def nap(n: int):
    import time
    time.sleep(1)

@component
def trivial(n: int) -> int:
    return n

@component
def slow(n: int) -> int:
    import time
    time.sleep(0.1)
    return n

@component
def add(numbers: List[int]) -> int:
    return int(sum(numbers))

@dsl.pipeline
def six():
    data = first().outputs['out']
    for n in range(5):
        data = step(data=data, n=n).outputs['out']

@dsl.pipeline
def naps():
    for n in range(4):
        nap(n=n)

@dsl.pipeline
def loop():
    with dsl.ParallelFor(list(range(200))) as item:
        trivial(n=item)

@dsl.pipeline
def long_loop():
    with dsl.ParallelFor(list(range(2000))) as item:
        trivial(n=item)

@dsl.pipeline
def killed() -> int:
    with dsl.ParallelFor(list(range(8)), parallelism=3) as item:
        each = slow(n=item)
    return add(numbers=dsl.Collected(each.output)).output

for p in (six, naps, loop, long_loop, killed):
    compiler.Compiler().compile(p, f'{p.name}.yaml')
"""
ORACLE = """
import sys
from kfp import local, components
runner = local.SubprocessRunner(use_venv=False)
local.init(runner=runner, pipeline_root=sys.argv[2], enable_caching=True)
components.load_component_from_file(sys.argv[1])()
"""


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float


def measure(command: list[str], env: dict[str, str], cwd: Path = ROOT) -> Cost:
    """One process to its end; raises when it fails."""
    before, begun = os.times(), time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    after = os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Cost(time.monotonic() - begun, cpu)


def best(prepare: Callable[[], list[str]], env: dict[str, str], times: int = 3) -> Cost:
    costs = [measure(prepare(), env) for _ in range(times)]
    return Cost(min(c.wall_s for c in costs), min(c.cpu_s for c in costs))


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        bench(Path(temporary))


def bench(work: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PLATFORM_HOME"] = str(work / "home")
    (work / "source.py").write_text(SOURCE)
    measure([sys.executable, "-W", "ignore", "source.py"], env, work)

    def ours(name: str, *, cold: bool) -> Callable[[], list[str]]:
        def prepare() -> list[str]:
            if cold:
                shutil.rmtree(work / "home", ignore_errors=True)
            return [sys.executable, "-c", RUN, "pipeline", "run", str(work / f"{name}.yaml")]

        return prepare

    def theirs(name: str, *, cold: bool) -> Callable[[], list[str]]:
        def prepare() -> list[str]:
            if cold:
                shutil.rmtree(work / "oracle", ignore_errors=True)
            return [
                sys.executable, "-W", "ignore", "-c", ORACLE,
                str(work / f"{name}.yaml"), str(work / "oracle"),
            ]  # fmt: skip

        return prepare

    print(
        f"{'case':<28}{'ours wall':>10}{'cpu':>8}{'kfp.local wall':>16}{'cpu':>8}{'cpu ratio':>11}"
    )
    report("--help", best(lambda: [sys.executable, "-c", RUN, "--help"], env))
    report("the Tab key", best(lambda: [sys.executable, "-c", RUN], {**env, **TAB}))
    measure(ours("six", cold=True)(), env)
    for title, name, cold in (
        ("six steps, cold", "six", True),
        ("six steps, unchanged", "six", False),
    ):
        report(title, best(ours(name, cold=cold), env), best(theirs(name, cold=cold), env))
    report(
        "four naps of 1 s",
        best(ours("naps", cold=True), env, 1),
        best(theirs("naps", cold=True), env, 1),
    )
    loop = best(ours("loop", cold=True), env, 1)
    report("ParallelFor over 200", loop, best(theirs("loop", cold=True), env, 1))
    print(f"  ours: {loop.cpu_s / 200 * 1000:.1f} ms CPU a task")
    memory(work, env)
    many_runs(work, env)
    kills(work, env)


def memory(work: Path, env: dict[str, str]) -> None:
    """Peak memory of the orchestrator's own process for one step, 200 and 2,000 items of a loop."""
    told = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    code = f"import atexit; atexit.register(lambda: exec({told!r})); {RUN}"
    for name, items in (("six", 6), ("loop", 200), ("long-loop", 2000)):
        words = ["pipeline", "run", str(work / f"{name}.yaml"), "--no-cache"]
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=ROOT, env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peak_mb = int(done.stdout.split()[-1]) / 1024
        print(f"peak memory, {items:>5,} tasks      {peak_mb:>8.0f} MB", flush=True)


def report(title: str, ours: Cost, theirs: Cost | None = None) -> None:
    line = f"{title:<28}{ours.wall_s:>10.2f}{ours.cpu_s:>8.2f}"
    if theirs:
        ratio = ours.cpu_s / theirs.cpu_s
        line += f"{theirs.wall_s:>16.2f}{theirs.cpu_s:>8.2f}{ratio:>11.2f}"
    print(line, flush=True)


def many_runs(work: Path, env: dict[str, str]) -> None:
    import sqlite3

    measure([sys.executable, "-c", RUN, "pipeline", "run", str(work / "six.yaml")], env)
    with sqlite3.connect(work / "home" / "platform.db") as db:
        columns = (
            "name, pipeline, state, created_at, started_at, ended_at, directory, parameters,"
            " use_cache"
        )
        db.execute(
            f"INSERT INTO runs (id, {columns}) WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
            f" SELECT printf('%08x-copy', i), {columns} FROM n, (SELECT * FROM runs LIMIT 1)"
        )
    report("run list, 10,000 runs", best(lambda: [sys.executable, "-c", RUN, "run", "list"], env))


def kills(work: Path, env: dict[str, str], rounds: int = 50) -> None:
    """kill -9 of the orchestrator or of a step at random instants, then resume."""
    chance, done = random.Random(0), 0
    run = [sys.executable, "-c", RUN, "pipeline", "run", str(work / "killed.yaml"), "--no-cache"]
    for number in range(rounds):
        process = subprocess.Popen(
            run, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.1, 0.5))
        if number % 2:
            kill_a_step(process.pid)
            process.wait()
        else:
            process.send_signal(signal.SIGKILL)
            process.wait()
        shown = show(env)
        if shown["state"] != "SUCCEEDED":
            done += 1
            subprocess.run(
                [sys.executable, "-c", RUN, "run", "resume", shown["id"]],
                cwd=ROOT, env=env, capture_output=True, check=True,
            )  # fmt: skip
            shown = show(env)
        if shown["outputs"]["parameters"] != {"Output": 28} or len(shown["tasks"]) != 9:
            raise SystemExit(f"round {number}: {shown}")
    print(f"kill -9, then resume: {rounds} rounds, {done} interrupted, same outputs in all")


def kill_a_step(pid: int) -> None:
    import psutil

    try:
        servers = psutil.Process(pid).children()
        steps = [step for server in servers for step in server.children()]
        if steps:
            steps[0].kill()
    except psutil.NoSuchProcess:
        return


def show(env: dict[str, str]) -> dict:
    command = [sys.executable, "-c", RUN, "run", "show", "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
