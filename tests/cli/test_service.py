"""platform-ctl service, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from platform_ctl.serving.service import ServiceSpec
from tests.support import serving
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


def platform_ctl(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from platform_ctl.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--home", str(home), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("service")
    model = serving.save_model(home / "models" / "v1")
    local = serving.local_serving(home)
    local.apply("stub", ServiceSpec(serving.revision(model)))
    yield home
    local.stop("stub")


def test_list_stop_start_and_logs(home):
    listed = json.loads(platform_ctl(home, "service", "list", "-o", "json").stdout)
    assert [(s["name"], s["state"]) for s in listed] == [("stub", "running")]
    stopped = platform_ctl(home, "service", "stop", "stub")
    assert "stopped" in stopped.stdout and stopped.stderr == ""
    assert platform_ctl(home, "service", "stop", "stub").returncode == 0
    started = json.loads(platform_ctl(home, "service", "start", "stub", "-o", "json").stdout)
    assert started[0]["url"] == listed[0]["url"]
    logs = platform_ctl(home, "service", "logs", "stub", "-n", "1")
    assert logs.stdout.count("\n") == 1 and "ready" in logs.stdout
    nobody = platform_ctl(home, "service", "logs", "stub", "--revision", "nobody")
    assert (nobody.returncode, nobody.stdout) == (0, "")


def test_restart_replaces_the_processes_and_keeps_the_address(home):
    before = json.loads(platform_ctl(home, "service", "list", "-o", "json").stdout)[0]
    after = json.loads(platform_ctl(home, "service", "restart", "stub", "-o", "json").stdout)[0]
    assert after["url"] == before["url"] and after["state"] == "running"
    assert after["pid"] != before["pid"]
    assert after["revisions"][0]["pid"] != before["revisions"][0]["pid"]


def test_list_tells_of_a_revision_that_was_not_well(home):
    before = json.loads(platform_ctl(home, "service", "list", "-o", "json").stdout)[0]
    os.kill(before["revisions"][0]["pid"], signal.SIGKILL)
    told = "stub: production v1 was restarted once, last: process ended with code -9"
    assert eventually(lambda: told in platform_ctl(home, "service", "list").stdout)


def test_unknown_name_in_four_lines(home):
    answer = platform_ctl(home, "service", "start", "nope")
    assert answer.returncode == 2
    assert "err-unknown-name" in answer.stderr and answer.stderr.count("\n") == 4


def test_an_empty_home_says_what_to_do(tmp_path):
    answer = platform_ctl(tmp_path, "service", "list")
    assert answer.returncode == 0 and "mlship deploy" in answer.stdout
