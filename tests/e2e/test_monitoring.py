"""A real Prometheus watches a home: every query of the dashboard has data, every alert works."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.metrics.catalogue import CATALOGUE
from platform_ctl.settings import Settings
from tests.support import monitored
from tests.support.commands import platform_ctl
from tests.support.programs import needs
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "infra" / "monitoring"
HOLD = {
    "ApprovalAboutToExpire",
    "CanaryHeld",
    "CanaryRolledBack",
    "DataStale",
    "GateKeepsRefusing",
    "InferenceServiceDown",
    "KatibTrialsStuck",
    "LineageUndelivered",
    "PipelineCachePoisoned",
    "PipelineRunFailed",
    "PromotionBlocked",
    "RunProcessDied",
}
"""Alerts whose condition holds in the home of this test."""
DO_NOT = {
    "PipelineRunOverdue",
    "PlatformMetricsDown",
    "PlatformMetricsSourceUnreadable",
    "ScheduleDrift",
    "ScheduleEngineDown",
    "ScheduleSlotOverdue",
    "ScheduleTriggerStopped",
    "TrainingStale",
}
NOWHERE = "http://127.0.0.1:9"
"""An address that takes no lineage event."""


@dataclass
class Watched:
    settings: Settings
    pipelines: dict[str, Path]
    prometheus: str

    def ask(self, path: str, **arguments: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[float]:
        """The values of an instant query."""
        return [float(s["value"][1]) for s in self.ask("query", query=expression)["result"]]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    settings = monitored.settings_of(folder / "home")
    pipelines = {
        name: monitored.gate_pipeline(folder, name) for name in ("train-deploy", "promote")
    }
    _happen_before(settings, pipelines, folder)
    with _metrics(folder / "home") as target, _prometheus(folder, target) as address:
        found = Watched(settings, pipelines, address)
        eventually(lambda: found.query("platform_cache_quarantines_total") == [0.0], seconds=20)
        _happen_meanwhile(found)
        yield found


def _happen_before(settings: Settings, pipelines: dict[str, Path], folder: Path) -> None:
    monitored.old_lineage(settings)
    for x in (1, 1, 2):
        monitored.run(settings, pipelines["train-deploy"], x)
    monitored.run(settings, pipelines["promote"], -1)
    monitored.waiting_approval(settings)
    monitored.blocked_promotion(settings)
    monitored.releases(settings)
    monitored.dead_service(settings)
    clone = monitored.old_commits(folder / "clone")
    done = platform_ctl(folder / "home", "data", "ingest", "--git", str(clone))
    assert done.returncode == 0, done.stderr


def _happen_meanwhile(found: Watched) -> None:
    """What is only seen by who has seen it grow."""
    for _ in range(2):
        monitored.run(found.settings, found.pipelines["train-deploy"], 0, use_cache=False)
    monitored.quarantined(found.settings)
    monitored.stuck_search(found.settings)


@contextmanager
def _metrics(home: Path) -> Iterator[str]:
    """``metrics serve`` as a process of its own; its address."""
    program = "from platform_ctl.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "metrics", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_HOME": str(home), "OPENLINEAGE_URL": NOWHERE},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield urllib.parse.urlparse(process.stdout.readline().strip()).netloc
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _prometheus(folder: Path, target: str) -> Iterator[str]:
    """The committed configuration, only quicker and with this test's address."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: _answers(f"http://{address}/-/ready"), seconds=20)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def dashboard_queries() -> list[tuple[str, str]]:
    """(panel, expression) with Grafana's variables filled in for a Prometheus of a few seconds."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    found = []
    for panel in panels:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$pipeline", ".*").replace("$__rate_interval", "1m")
            assert "$" not in text, f"{panel['title']}: a variable nobody fills in"
            found.append((panel["title"], text))
    return found


@needs("prometheus")
def test_every_query_of_the_dashboard_has_data(watched: Watched) -> None:
    queries = dashboard_queries()
    assert len(queries) >= 25

    def empty() -> list[tuple[str, str]]:
        answers = [(title, text, watched.query(text)) for title, text in queries]
        return [(t, e) for t, e, values in answers if not values or any(v != v for v in values)]

    try:
        eventually(lambda: not empty(), seconds=20)
    except AssertionError:
        pytest.fail(f"no data: {empty()}")


@needs("prometheus")
def test_every_alert_is_evaluated_and_those_that_hold_are_raised(watched: Watched) -> None:
    def raised() -> set[str]:
        return {rule["name"] for rule in watched.rules() if rule["state"] != "inactive"}

    try:
        eventually(lambda: raised() == HOLD, seconds=20)
    except AssertionError:
        pytest.fail(f"missing: {HOLD - raised()}; too many: {raised() - HOLD}")
    rules = watched.rules()
    assert {rule["name"] for rule in rules} == HOLD | DO_NOT
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}


@needs("prometheus")
def test_the_queries_of_alerts_name_metrics_that_exist(watched: Watched) -> None:
    """A misspelt metric would be an alert that never fires."""
    known = set(watched.ask("label/__name__/values"))
    # This home has no run with an evaluation, so what that brings is known from the catalogue.
    known |= {metric.name for metric in CATALOGUE}
    for rule in watched.rules():
        named = set(re.findall(r"\bplatform_\w+", rule["query"]))
        assert named <= known, f"{rule['name']}: {named - known}"


@needs("prometheus")
def test_labels_hold_no_ids(watched: Watched) -> None:
    """Whatever is in a label stays in Prometheus as a series of its own."""
    series = watched.ask("series", **{"match[]": '{__name__=~"platform_.+"}'})
    runs = {path.name for path in watched.settings.layout.runs.iterdir()}
    values = {value for labels in series for value in labels.values()}
    assert runs
    assert not [v for v in values if any(run[:8] in v for run in runs)]


@needs("promtool")
@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("test", "rules", "alerts_weeks_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_what_is_committed(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    names = {rule["alert"] for group in rules for rule in group["rules"]}
    tests = [
        test
        for path in MONITORING.glob("*_test.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
    ]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {c["alertname"] for c in checks if c["exp_alerts"]} == names
    silent = {c["alertname"] for c in checks if not c["exp_alerts"]}
    beside = {  # silent for another series of the same test
        "GateKeepsRefusing",
        "InferenceServiceDown",
        "PipelineRunFailed",
        "PlatformMetricsSourceUnreadable",
        "RunProcessDied",
    }
    assert silent | beside == names


def test_the_panels_of_the_dashboard_do_not_lie_on_each_other() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[(x, y)]}"
                taken[(x, y)] = panel["title"]
        sources = {target["datasource"]["uid"] for target in panel.get("targets", ())}
        assert sources <= {"${datasource}"}
