"""A tuner that is killed at any instant goes on where it was, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil

from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.local.folder import FolderTuner
from tests.support.experiments import double, experiment

TRIALS = 12
SCRIPT = """
import sys
from pathlib import Path
import msgspec
from platform_ctl.tuning.local.folder import FolderTuner
from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.experiment import parse
root = Path(sys.argv[1])
search = parse(msgspec.json.decode((root / "experiment.json").read_bytes()))
FolderTuner(root).run(search, trial=None, workdir=root / "work", budget=Budget())
"""


def test_killed_twice_no_finished_trial_is_repeated(tmp_path: Path) -> None:
    """Each trial appends its x to a file: finished ones are there once, those in
    flight at a kill at most once more. The trials are those of a search in peace."""
    counted = tmp_path / "ran.txt"
    command = [
        "sh",
        "-c",
        f"echo ${{trialParameters.x}} >> {counted}; sleep 0.15; echo loss=${{trialParameters.x}}",
    ]
    search = experiment(double("x", 1, 2), trials=TRIALS, algorithm="tpe", command=command)
    (tmp_path / "experiment.json").write_bytes(msgspec.json.encode(search))
    finished = 0
    for wanted in (3, 7):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)])
        deadline = time.monotonic() + 60
        while finished < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
            finished = _finished(tmp_path / "work/journal.jsonl")
        process.send_signal(signal.SIGKILL)
        process.wait()
        _until_nothing_runs(str(counted))
    tuner = FolderTuner(tmp_path)
    status = tuner.run(search, trial=None, workdir=tmp_path / "work", budget=Budget())
    assert status.trials_succeeded == TRIALS
    ran = counted.read_text().split()
    xs = [t.parameters["x"] for t in tuner.read(tmp_path / "work").trials]
    assert set(ran) == set(xs)
    assert TRIALS <= len(ran) <= TRIALS + 2
    peace = tmp_path / "peace"
    tuner.run(search, trial=None, workdir=peace, budget=Budget())
    assert [t.parameters["x"] for t in tuner.read(peace).trials] == xs


def test_a_lock_that_a_dying_child_inherited_is_waited_for(tmp_path: Path) -> None:
    """Killed between the fork and the exec of a trial: the child holds the lock a moment longer."""
    work = tmp_path / "work"
    work.mkdir()
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; print(flush=True); time.sleep(0.3)", str(work / "lock")],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdout.readline()  # it holds it now
    search = experiment(
        double("x", 1, 2), trials=1, command=["sh", "-c", "echo loss=${trialParameters.x}"]
    )
    status = FolderTuner(tmp_path).run(search, trial=None, workdir=work, budget=Budget())
    child.communicate()
    assert status.trials_succeeded == 1


def _finished(journal: Path) -> int:
    return journal.read_bytes().count(b'"Succeeded"') if journal.exists() else 0


def _until_nothing_runs(mark: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = (p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]))
        if not any(mark in word for words in lines for word in words):
            return
        time.sleep(0.02)
    raise AssertionError(f"processes of {mark} outlived the tuner {os.getpid()}")
