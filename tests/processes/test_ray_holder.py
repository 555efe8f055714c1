"""The run's Ray without a Ray: records, secrets, and what happens when it does not start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from platform_ctl.errors import RayUnavailable
from platform_ctl.training.local import ray_switches
from platform_ctl.training.local.training import LocalTraining, read_holder


def test_stop_of_a_run_without_ray_does_nothing(tmp_path: Path) -> None:
    LocalTraining().stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_stop_leaves_a_stranger_with_the_same_pid_alone(tmp_path: Path) -> None:
    folder, temp_dir = tmp_path / "ray", tmp_path / "files"
    folder.mkdir()
    temp_dir.mkdir()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        record = f'{{"pid": {stranger.pid}, "create_time": 1.0, "temp_dir": "{temp_dir}"}}'
        (folder / "holder.json").write_text(record)
        assert read_holder(folder).process() is None
        LocalTraining().stop(tmp_path)
        assert psutil.Process(stranger.pid).is_running()
        assert stranger.poll() is None
        stranger.kill()
    assert not temp_dir.exists()
    assert read_holder(folder) is None


def test_a_holder_that_ends_is_said_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ray that cannot be imported, in the holder's process only."""
    # The step's own process must not see these switches after the test.
    for name in (*ray_switches.ENVIRONMENT, ray_switches.TOKEN_PATH):
        monkeypatch.setenv(name, os.environ.get(name, ray_switches.ENVIRONMENT.get(name, "")))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ray.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    training = LocalTraining(run_dir=tmp_path, run_pid=os.getpid())
    with pytest.raises(RayUnavailable, match="holder ended") as caught, training.connect():
        raise AssertionError("connected to a Ray that cannot be")
    assert str(tmp_path / "ray" / "holder.log") in caught.value.fix
    assert "RuntimeError: broken" in (tmp_path / "ray" / "holder.log").read_text()
    training.stop(tmp_path)
