"""A schedule of each other second, its engine killed in the middle: no slot twice, none lost."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support import schedule_files as files

pytestmark = pytest.mark.e2e
SECONDS = 20
SLOTS = SECONDS // 2


def _compile_hello(root: Path) -> None:
    """A pipeline of one empty step in the place of the small project's own."""
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.12")
    def nothing() -> None:
        pass

    @dsl.pipeline(name="hello")
    def hello() -> None:
        nothing()

    compiler.Compiler().compile(hello, str(root / "pipelines/compiled/hello.yaml"))


def _command(*words: str) -> list[str]:
    program = "from platform_ctl.cli.app import main; main()"
    return [sys.executable, "-c", program, *words]


def _environment(root: Path) -> dict[str, str]:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PLATFORM_HOME": str(root / "home"), "PYTHONPATH": os.pathsep.join(paths)}


def _engine(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command("schedule", "run"),
        cwd=root,
        env=_environment(root),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ask(root: Path, *words: str) -> object:
    done = subprocess.run(
        _command(*words, "-o", "json"),
        cwd=root,
        env=_environment(root),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_killed_in_the_middle_each_slot_is_one_run(tmp_path: Path) -> None:
    files.project(tmp_path)
    _compile_hello(tmp_path)
    (tmp_path / "platform-ctl.toml").write_text('recipes_package = "recipes"\n')
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/__init__.py").write_text("")
    trigger = '{cron: "*/2 * * * * *", catch_up: all}'
    files.write(tmp_path, files.listed(files.entry(trigger=trigger, max_concurrency="10")))
    _ask(tmp_path, "schedule", "apply")
    begun = time.time()
    engine = _engine(tmp_path)
    time.sleep(SECONDS / 2)
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    engine = _engine(tmp_path)
    time.sleep(max(0.0, begun + SECONDS - time.time()))
    ended = time.time()
    engine.send_signal(signal.SIGINT)
    assert engine.wait(120) == 0  # runs in flight end first: ten, on a busy machine
    slots = sorted(run["scheduled_at"] for run in _ask(tmp_path, "run", "list", "--limit", "100"))
    wanted = round((ended - begun) / 2)
    assert len(slots) == len(set(slots)), "a slot was fired twice"
    moments = [int(datetime.fromisoformat(slot).timestamp()) for slot in slots]
    assert moments == list(range(moments[0], moments[-1] + 1, 2)), "a slot was lost"
    assert wanted / 2 < len(slots) <= wanted + 2
