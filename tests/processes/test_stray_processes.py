"""What `platform-ctl doctor` says of processes that a home's runs left behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from platform_ctl.doctor import doctor
from platform_ctl.doctor.doctor import Health
from platform_ctl.runs.record import Run, RunState
from platform_ctl.serving.service import InferenceService, ServiceSpec, ServiceState
from platform_ctl.settings import HomeLayout

NO_PID = 2**22 + 1
"""Above the largest pid a Linux kernel gives out."""


@pytest.fixture
def stray(tmp_path: Path) -> Iterator[int]:
    """Pid of a step of this home that its orchestrator left behind."""
    env = {
        **os.environ,
        "PLATFORM_HOME": str(tmp_path),
        "PLATFORM_RUN_ID": "5e0c",
        "PLATFORM_RUN_PID": str(NO_PID),
    }
    pid = orphan(env)
    yield pid
    os.kill(pid, signal.SIGKILL)


def orphan(env: Mapping[str, str], *words: str) -> int:
    """Pid of a process that sleeps; through a shell that exits: it must have no family here."""
    command = shlex.join([sys.executable, "-c", "import time; time.sleep(60)", *words])
    script = ["sh", "-c", f"{command} >/dev/null & echo $!"]
    return int(subprocess.run(script, env=env, stdout=subprocess.PIPE, check=True).stdout)


def test_a_stray_process_of_this_home_is_named(tmp_path: Path, stray: int) -> None:
    (found,) = doctor.check_processes(tmp_path, (), ())
    assert found.health == Health.WARN
    assert found.fix == f"kill {stray}"


def test_a_process_of_a_live_run_or_another_home_is_not(tmp_path: Path, stray: int) -> None:
    (of_run,) = doctor.check_processes(tmp_path, [_run(stray)], ())
    (of_service,) = doctor.check_processes(tmp_path, (), [_service(stray)])
    (elsewhere,) = doctor.check_processes(tmp_path / "other", (), ())
    assert {of_run.health, of_service.health, elsewhere.health} == {Health.OK}


def test_a_process_of_a_home_below_is_none_of_this_one(tmp_path: Path) -> None:
    """The demo's home is in the default one, which said to kill the demo's service."""
    below = tmp_path / "demo"
    below.mkdir()
    module = "platform_ctl.serving.local.supervisor"
    pid = orphan(os.environ, module, f"{below}/services/commits")
    try:
        (found,) = doctor.check_processes(tmp_path, (), ())
        assert found.fix == f"kill {pid}", "a folder that is no home"
        HomeLayout(below).database.touch()
        (of_above,) = doctor.check_processes(tmp_path, (), ())
        (own,) = doctor.check_processes(below, (), ())
        assert (of_above.health, own.fix) == (Health.OK, f"kill {pid}")
    finally:
        os.kill(pid, signal.SIGKILL)


def _run(pid: int) -> Run:
    return Run("5e0c", "weekly", "train-deploy", RunState.RUNNING, "", "", pid=pid)


def _service(pid: int) -> InferenceService:
    running = ServiceState.RUNNING
    return InferenceService("commits", running, url="", spec=ServiceSpec(production=None), pid=pid)
