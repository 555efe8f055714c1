"""platform-ctl metrics serve, as typed by a user and as read by Prometheus."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from platform_ctl.metrics.catalogue import CATALOGUE
from tests.support import monitored
from tests.support.commands import platform_ctl
from tests.support.programs import needs

PROGRAM = "from platform_ctl.cli.app import main; main()"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    settings = monitored.settings_of(folder / "home")
    pipeline = monitored.gate_pipeline(folder, "train-deploy")
    for x in (1, 1, 0):
        monitored.run(settings, pipeline, x)
    monitored.waiting_approval(settings)
    monitored.blocked_promotion(settings)
    monitored.releases(settings)
    monitored.dead_service(settings)
    return folder / "home"


def lint(text: str) -> tuple[int, str, str]:
    """What promtool says about an exposition: its exit code and its words."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@needs("promtool")
def test_prometheus_own_linter_has_nothing_to_say(home: Path) -> None:
    printed = platform_ctl(home, "metrics", "serve", "--once")
    assert printed.returncode == 0, printed.stderr
    assert printed.stderr == ""
    assert lint(printed.stdout) == (0, "", "")


@needs("promtool")
def test_names_that_this_home_has_nothing_for_are_good_too() -> None:
    """Every metric of the catalogue, whether a home tells it or not."""
    from platform_ctl.metrics.catalogue import Histogram, MetricType
    from platform_ctl.metrics.collect_metrics import Scrape
    from platform_ctl.metrics.exposition import text

    samples = tuple(
        metric.of(
            *("x" for _ in metric.labels),
            value=Histogram(((float("inf"), 1),), 1.0)
            if metric.kind is MetricType.HISTOGRAM
            else 1.0,
        )
        for metric in CATALOGUE
    )
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(Scrape(samples)),
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_same_as_data(home: Path) -> None:
    printed = platform_ctl(home, "metrics", "serve", "--once", "-o", "json")
    samples = json.loads(printed.stdout)
    waiting = {"name": "platform_approvals", "value": 1.0}
    labels = {"model": monitored.MODEL, "state": "pending"}
    assert {**waiting, "labels": labels} in samples


def test_a_home_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    printed = platform_ctl(tmp_path / "home", "metrics", "serve", "--once")
    assert printed.returncode == 0
    assert 'platform_metrics_source_up{source="records"} 1.0' in printed.stdout
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "platform.db").write_bytes(b"no database" * 1000)
    printed = platform_ctl(tmp_path, "metrics", "serve", "--once")
    assert printed.returncode == 0
    assert 'platform_metrics_source_up{source="records"} 0.0' in printed.stdout
    assert "records: DatabaseError: file is not a database" in printed.stderr


def test_it_answers_on_loopback_and_sees_what_is_new(home: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "metrics", "serve", "--port", "0"],
        env={**os.environ, "PLATFORM_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        before = scraped(url)
        assert 'platform_runs_total{pipeline="other",state="SUCCEEDED"}' not in before
        assert "process_cpu_seconds_total" in before  # what scraping itself costs
        other = monitored.gate_pipeline(tmp_path, "other")
        monitored.run(monitored.settings_of(home), other, 1)
        assert 'platform_runs_total{pipeline="other",state="SUCCEEDED"} 1.0' in scraped(url)
    finally:
        process.terminate()
        process.communicate()


def scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = platform_ctl(home, "metrics", "serve", "--port", port)
    assert done.returncode == 4
    assert "err-port-in-use" in done.stderr
    assert "metrics serve --port 0" in done.stderr
