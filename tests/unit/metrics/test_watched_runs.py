"""Metrics of KFP's runs: what has ended since the exporter started, each run once."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.errors import KfpUnavailable
from platform_ctl.metrics.catalogue import Histogram, Sample
from platform_ctl.metrics.watched_runs import WatchedRunMetrics
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.ledger import KfpLedger
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.record import RunRequest
from platform_ctl.runs.spent import Spent
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import UNAVAILABLE, FakeKfp, Fault, serve
from tests.support import run_pipelines

IMAGE = "example/python-recipe:1"
SPENT = {"judge": Spent("step", 2.0, 1.5)}


def exporter(fake: FakeKfp) -> WatchedRunMetrics:
    api = RunsApi(Kfp(fake.url))
    return WatchedRunMetrics(KfpRuns(api), KfpLedger(api, money_per_cpu_hour=36.0))


def submit(folder: Path, fake: FakeKfp, *, x: int = 1, failing: bool = False) -> None:
    document = run_pipelines.chain(IMAGE, "boom") if failing else run_pipelines.judged(IMAGE)
    file = run_pipelines.write(folder, "p", document)
    KfpRuns(RunsApi(Kfp(fake.url))).submit(RunRequest(file, {"x": x}))


def told(source: WatchedRunMetrics) -> dict[tuple[str, ...], Sample]:
    return {(s.metric.name, *s.labels): s for s in source.samples(0.0)}


def test_what_had_ended_before_the_exporter_started_is_not_counted(tmp_path: Path) -> None:
    with serve(Runs(spent=SPENT)) as fake:
        submit(tmp_path, fake)
        source = exporter(fake)
        first = told(source)
        assert first["platform_runs_total", "judged", "SUCCEEDED"].value == 0
        assert first["platform_run_last_end_timestamp_seconds", "judged", "SUCCEEDED"].value
        submit(tmp_path, fake, x=-1)
        submit(tmp_path, fake, failing=True)
        for _ in range(2):  # once each, however often it is asked
            found = told(source)
    assert found["platform_runs_total", "judged", "SUCCEEDED"].value == 1
    assert found["platform_runs_total", "chain", "FAILED"].value == 1
    assert found["platform_tasks_total", "judged", "refused.double", "SUCCEEDED"].value == 1
    assert found["platform_verdicts_total", "judged", "judge", "failed"].value == 1
    assert found["platform_cost_cpu_seconds_total", "judged", "step"].value == 1.5
    assert found["platform_cost_money_total", "judged", "step"].value == pytest.approx(0.015)
    duration = found["platform_task_duration_seconds", "judged", "judge"].value
    assert isinstance(duration, Histogram)
    assert dict(duration.counts)[5] == dict(duration.counts)[float("inf")] == 1
    assert dict(duration.counts)[1] == 0 and duration.total == 2.0


def test_a_run_that_goes_on_is_open_and_counts_when_it_ends(tmp_path: Path) -> None:
    clock = [1e9]
    with serve(Runs(step_s=5.0, clock=lambda: clock[0])) as fake:
        source = exporter(fake)
        submit(tmp_path, fake)
        assert told(source)["platform_runs_open", "judged", "RUNNING"].value == 1
        clock[0] += 60.0
        found = told(source)
    assert found["platform_runs_open", "judged", "RUNNING"].value == 0
    assert found["platform_runs_total", "judged", "SUCCEEDED"].value == 1


def test_a_server_that_is_away_costs_a_scrape_and_no_count(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        source = exporter(fake)
        told(source)
        submit(tmp_path, fake)
        fake.faults.append(Fault("GET", "/runs/", code=UNAVAILABLE, times=1))
        with pytest.raises(KfpUnavailable):
            told(source)
        assert told(source)["platform_runs_total", "judged", "SUCCEEDED"].value == 1
