"""One real Ray for a run: found by the next step, gone with the orchestrator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from platform_ctl.training.local.training import LocalTraining, read_holder
from recipes.train_deploy import predict, train
from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.rows import write_rows

pytestmark = pytest.mark.e2e

PARAMS = {"learning_rate": "0.003", "batch_size": "64"}
EPOCHS = 3
STEP = """
import sys
from pathlib import Path
from platform_ctl import targets
from platform_ctl.targets.tuning import local_training
from recipes.train_deploy import train
rows, out = sys.argv[1:]
with local_training(targets.current_settings()).connect():
    if out:
        metrics = train.fit(rows, {params}, out, num_workers=2, epochs={epochs}, seed=0)
        sys.stdout.write(str(metrics["val_mase"]))
"""


class Run:
    """A run without its orchestrator: a process that sleeps, and steps with its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"
        self.folder.mkdir()
        self.orchestrator = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "PLATFORM_HOME": str(folder / "home"),
            "PLATFORM_RUN_DIR": str(self.folder),
            "PLATFORM_RUN_PID": str(self.orchestrator.pid),
        }

    def step(self, rows: Path | str = "", out: Path | str = "") -> subprocess.CompletedProcess[str]:
        code = STEP.format(params=PARAMS, epochs=EPOCHS)
        return subprocess.run(
            [sys.executable, "-c", code, str(rows), str(out)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=180,
        )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.orchestrator.kill()
    run.orchestrator.wait()
    LocalTraining().stop(run.folder)


def gone(pids: set[int]) -> bool:
    """Whether none of these processes runs any more."""

    def still(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    waiting = Retrying(
        retry=retry_if_result(bool),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(15),
        retry_error_callback=lambda state: state.outcome.result(),
    )
    return not waiting(lambda: any(still(pid) for pid in pids))


def family(run: Run) -> set[int]:
    holder = read_holder(run.folder / "ray").process()
    return {holder.pid, *(p.pid for p in holder.children(recursive=True))}


def test_fit_and_the_end_of_its_ray(run: Run, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", FEATURE_NAMES)
    fitted = run.step(rows, tmp_path / "model")
    holder = read_holder(run.folder / "ray")

    # two workers give what one thread gives
    trial = train.trial({**PARAMS, "epochs": EPOCHS, "seed": 0}, str(rows))
    assert float(fitted.stdout) == pytest.approx(trial["val_mase"], rel=1e-3)
    assert fitted.stderr == ""
    assert predict.load(tmp_path / "model").features == FEATURE_NAMES

    # a later step finds the same Ray, whose secrets nobody else can read
    run.step()
    assert read_holder(run.folder / "ray") == holder
    assert ((run.folder / "ray" / "token").stat().st_mode & 0o777) == 0o600
    assert not (tmp_path / ".ray").exists()

    # kill -9 of the orchestrator, and nothing of Ray is left
    processes = family(run)
    assert len(processes) > 3
    os.kill(run.orchestrator.pid, signal.SIGKILL)
    run.orchestrator.wait()
    assert gone(processes)
    assert not Path(holder.temp_dir).exists()


def test_stop_ends_it_at_once_and_a_killed_holder_is_replaced(run: Run) -> None:
    run.step()
    first = family(run)
    os.kill(read_holder(run.folder / "ray").pid, signal.SIGKILL)
    run.step()
    assert gone(first)
    second = family(run)
    assert not first & second
    started = time.monotonic()
    LocalTraining().stop(run.folder)
    assert time.monotonic() - started < 5
    assert gone(second)
    assert not (run.folder / "ray" / "token").exists()
    LocalTraining().stop(run.folder)
