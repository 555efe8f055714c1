"""The ledger against the kernel: what a run's processes used, counted from outside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from platform_ctl.home.state import connect
from platform_ctl.runs.budget import cost
from platform_ctl.runs.ledger import Ledger

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper"),
]
ROOT = Path(__file__).parents[2]
SOURCE = """
from kfp import compiler, dsl

@dsl.component(base_image="local", install_kfp_package=False)
def busy(seconds: float):
    import subprocess, sys
    burn = f"import time\\nwhile time.process_time() < {seconds}: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)

@dsl.component(base_image="local", install_kfp_package=False)
def search(seconds: float):
    import os
    from platform_ctl import targets
    from platform_ctl.recipe.recipe import Budget
    from tests.support.experiments import double, experiment
    settings = targets.current_settings()
    targets.tuner(settings).run(
        experiment(double("x", 0.9, 1.1), trials=40, parallel=2),
        search=os.environ["PLATFORM_RUN_ID"],
        trial="tests.support.trials:burner",
        budget=Budget(cpu_s=seconds),
    )

@dsl.pipeline
def costly():
    busy(seconds=3.0)
    search(seconds=10.0)

compiler.Compiler().compile(costly, "costly.yaml")
"""
WATCH = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans become children of this process
sys.exit(subprocess.call(sys.argv[1:]))
"""


def watched(command: list[str], env: dict[str, str]) -> float:
    """CPU seconds of a command and of all that ever descended from it, by the kernel.

    Each process is read every 20 ms until it is gone: waiting for them would
    miss those whose parent ignores their end.
    """
    seen: dict[psutil.Process, float] = {}
    root = subprocess.Popen([sys.executable, "-c", WATCH, *command], cwd=ROOT, env=env)
    watcher = psutil.Process(root.pid)
    while root.poll() is None:
        for process in watcher.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seen[process] = times.user + times.system
        time.sleep(0.02)
    assert root.returncode == 0
    return sum(seen.values())


def test_the_ledger_agrees_with_the_kernel_and_names_the_cap_that_was_hit(tmp_path: Path) -> None:
    env = {**os.environ, "PLATFORM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    (tmp_path / "costly.py").write_text(SOURCE)
    subprocess.run([sys.executable, "costly.py"], cwd=tmp_path, env=env, check=True)
    program = "from platform_ctl.cli.app import main; main()"
    cli = [sys.executable, "-c", program]
    kernel = watched([*cli, "pipeline", "run", str(tmp_path / "costly.yaml")], env)

    shown = json.loads(subprocess.check_output([*cli, "run", "show", "-o", "json"], env=env))
    spent = shown["cost"]
    assert spent["cpu_s"] == pytest.approx(kernel, rel=0.05)
    assert spent["cpu_s"] == pytest.approx(sum(spent["cpu_s_by_kind"].values()))
    assert spent["cpu_s_by_kind"]["step"] >= 3
    assert 10 <= spent["cpu_s_by_kind"]["tune"] < 15
    assert spent["trials"] < 40
    assert "of 10 cpu-seconds used" in spent["notes"][0]

    # again, and what the first half had cost is what the cache saved
    subprocess.run([*cli, "pipeline", "run", str(tmp_path / "costly.yaml")], env=env, check=True)
    again = json.loads(subprocess.check_output([*cli, "run", "show", "-o", "json"], env=env))
    first = cost(Ledger(connect(tmp_path / "home" / "platform.db"), 0).entries(shown["id"]))
    saved = first.cpu_s - first.cpu_s_by_kind["orchestrator"]
    assert again["cost"]["saved_cpu_s"] == pytest.approx(saved, rel=0.05)
    assert again["cost"]["cpu_s"] < 2
