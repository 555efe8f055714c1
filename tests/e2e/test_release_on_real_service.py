"""Releases on real processes: a good canary is promoted, every kind of bad one is rolled back."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.home.state import connect
from platform_ctl.recipe.recipe import CanaryPlan, DataAccess
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.analyse import run_analysis, standing
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.release import Evidence, ReleaseState, Target
from platform_ctl.releases.steps import (
    ReleasePorts,
    promote_release,
    revision_of,
    rollback_release,
    settled,
    start_release,
    undo_release,
)
from platform_ctl.releases.true_error import true_errors
from platform_ctl.serving.service import ServiceState
from tests.support import serving
from tests.support.releases import FakeRegistry, Fuse
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PLAN = CanaryPlan(weights_percent=(20, 100), min_requests=100)
MODELS = {
    "1": {},
    "2": {"factor": 1.02},
    "3": {"factor": 3.0},  # answers 200, and wrong
    "4": {"sleep_s": 0.03},
    "5": {"crash": True},
    "6": {"sleep_s": 30.0},
    "7": {},  # the same model again
    # These answer the golden rows, and begin to fail under traffic.
    "8": {"crash": True, "healthy_calls": 40},
    "9": {"sleep_s": 30.0, "healthy_calls": 40},
    "10": {"eat_bytes": 30 * 2**20, "healthy_calls": 5},
    "11": {"features": ("a", "b", "c")},
}


def write_rows(path, rng):
    """Rows as ``extract`` writes them: features a and b, of which the label is a noisy sum."""
    splits = ["golden"] * 120 + ["recent"] * 150
    n = len(splits)
    a, b = rng.lognormal(1, 1, n), rng.lognormal(1, 1, n)
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    columns = {
        "row": [f"repo-{i % 30}@{monday + timedelta(weeks=i // 30):%Y-%m-%d}" for i in range(n)],
        "split": splits,
        "label": (a + 2 * b) * np.exp(rng.normal(0, 0.3, n)),
        "scale": np.ones(n),
        "a": a.astype(np.float32),
        "b": b.astype(np.float32),
        "c": b.astype(np.float32),
    }
    pq.write_table(pa.table(columns), path)
    return columns


def write_evaluation(folder, columns, factor):
    folder.mkdir(parents=True)
    golden = [i for i, s in enumerate(columns["split"]) if s == "golden"]
    total = (columns["a"] + 2 * columns["b"])[golden].astype(float)
    errors = {
        "row": [columns["row"][i] for i in golden],
        "prediction": total * factor,
        "champion_prediction": total,
    }
    pq.write_table(pa.table(errors), folder / "errors.parquet")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("release")


@pytest.fixture(scope="module")
def columns(home):
    return write_rows(home / "rows.parquet", np.random.default_rng(7))


@pytest.fixture(scope="module")
def models(home):
    return {v: serving.save_model(home / "models" / v, **c) for v, c in MODELS.items()}


@pytest.fixture(scope="module")
def ports(home, models):
    local = serving.local_serving(home, memory_bytes=600 * 2**20)
    registry = FakeRegistry("stub", models, {}, Fuse(), digests=False)
    database = home / "platform.db"
    data = DataAccess({}, home / "feast", home / "golden", home / "key", home / "locks")
    approvals = SqliteApprovals(database)
    yield ReleasePorts(SqliteReleases(connect(database)), local, registry, approvals, data)
    for service in local.list():
        local.stop(service.name)


def begin(ports, home, columns, version, rows=None):
    evaluation = home / "evaluations" / version
    if not evaluation.exists():
        write_evaluation(evaluation, columns, MODELS[version].get("factor", 1.0))
    found = ports.registry.models()[0].version(version)
    target = Target(
        "stub",
        "stub",
        revision_of(ports.registry, found),
        MODELS[version].get("features", ("a", "b")),
        entity="repo",
        online_features="tests.support.serving:online_features",
        labels="tests.support.serving:labels",
        evidence=Evidence(str(home / "rows.parquet") if rows is None else rows, str(evaluation)),
    )
    return start_release(ports, target, PLAN, approval_id="approval", actor="test")


@pytest.fixture
def production(ports, home, columns):
    """Version 1 in production, promoted as a first release."""
    release = ports.releases.latest("stub")
    if release is None:
        release = begin(ports, home, columns, "1")
        assert run_analysis(ports, release.id).verdict is Verdict.SUCCESSFUL
        promote_release(ports, release.id, actor="test")
    elif ports.registry.alias["production"] != "1":
        undo_release(ports, "stub", actor="test", reason="next test")
    assert ports.serving.get("stub").spec.production.model_version == "1"


def test_a_first_release_that_answers_differently_than_approved_fails(ports, home, columns):
    release = begin(ports, home, columns, "1")
    write_evaluation(home / "evaluations" / "wrong", columns, 1.5)
    evidence = Evidence(str(home / "rows.parquet"), str(home / "evaluations" / "wrong"))
    target = dataclasses.replace(release.target, evidence=evidence)
    release = ports.releases.update(dataclasses.replace(release, target=target), "weight")
    analysed = run_analysis(ports, release.id)
    assert analysed.verdict is Verdict.FAILED
    assert "120 of 120 golden rows" in analysed.reasons[0]
    rollback_release(ports, release.id, actor="test", reason=analysed.reasons[0])
    assert ports.registry.alias == {}
    # The next tests start from nothing.
    release = begin(ports, home, columns, "1")
    assert run_analysis(ports, release.id).verdict is Verdict.SUCCESSFUL
    promote_release(ports, release.id, actor="test")


@pytest.mark.parametrize("version", ["2", "7"])
def test_a_good_model_is_promoted_under_load(ports, home, columns, production, version):
    with serving.steady_load(ports.serving.get("stub").url, seconds=200, rate=80) as report:
        release = begin(ports, home, columns, version)
        lines = []
        analysed = run_analysis(ports, release.id, on_progress=lines.append)
        assert analysed.verdict is Verdict.SUCCESSFUL, analysed.reasons
        promoted = promote_release(ports, release.id, actor="test")
    assert report["failures"] == []
    assert promoted.state is ReleaseState.PROMOTED and len(lines) == 2
    assert ports.registry.alias == {"production": version, "previous": "1"}
    looks = [e for e in analysed.log if e["kind"] == "analysed"]
    # Each request of the callers takes the place of a replayed row, which has a label.
    labelled, callers = looks[-1]["figures"]["labelled_rows"], looks[-1]["requests"]["traffic"]
    assert labelled > 0 and labelled + callers >= PLAN.min_requests
    assert "true error" in analysed.reasons[0]
    assert looks[-1]["requests"]["replay"] > 0 and looks[-1]["requests"]["traffic"] > 0


def test_a_feature_that_comes_or_goes_is_no_fault_of_either_side(ports, home, columns, production):
    for version in ("11", "2"):
        release = begin(ports, home, columns, version)
        analysed = run_analysis(ports, release.id)
        assert analysed.verdict is Verdict.SUCCESSFUL, analysed.reasons
        looks = [e for e in analysed.log if e["kind"] == "analysed"]
        assert looks[-1]["figures"]["labelled_rows"] >= 100  # both have answered each of them
        promote_release(ports, release.id, actor="test")
    undo_release(ports, "stub", actor="test", reason="back to 11")
    release = begin(ports, home, columns, "1")
    assert run_analysis(ports, release.id).verdict is Verdict.SUCCESSFUL
    promote_release(ports, release.id, actor="test")


@pytest.mark.parametrize("how", ["kill -9", "restart"])
def test_a_restart_in_the_middle_changes_neither_verdict_nor_answers(
    ports, home, columns, production, how
):
    stub = ports.serving.get("stub")
    restarted = []

    def after_the_first_look(line):
        if not restarted:
            restarted.append(line)
            if how == "restart":
                ports.serving.start("stub", anew=True)
            else:
                os.kill(stub.pid, signal.SIGKILL)

    with serving.steady_load(stub.url, seconds=200, rate=80) as report:
        release = begin(ports, home, columns, "2")
        analysed = run_analysis(ports, release.id, on_progress=after_the_first_look)
        assert analysed.verdict is Verdict.SUCCESSFUL, analysed.reasons
        promote_release(ports, release.id, actor="test")
    assert restarted and ports.serving.get("stub").pid != stub.pid
    assert report["failures"] == []


def test_held_then_everything_is_killed_and_a_human_continues_or_aborts(
    ports, home, columns, production
):
    """An inconclusive step keeps its weight and its record, whatever happens to the processes."""
    for end in ("abort", "continue"):
        release = begin(ports, home, columns, "7", rows="")  # no traffic, nothing to replay
        held = run_analysis(ports, release.id)
        assert (held.verdict, held.release.state) == (Verdict.INCONCLUSIVE, ReleaseState.HELD)
        assert "0 of the 100 requests" in held.reasons[0]
        status = kill_everything(ports)
        again = ports.serving.start("stub")
        assert again.spec == status.spec and again.spec.weight_percent == 20
        afresh = dataclasses.replace(ports, releases=SqliteReleases(connect(home / "platform.db")))
        release = settled(afresh, "stub")
        assert release.state is ReleaseState.HELD
        if end == "abort":
            rollback_release(afresh, release.id, actor="test", reason="by hand")
            assert ports.registry.alias["production"] == "1"
        else:
            evidence = dataclasses.replace(release.target.evidence, rows=str(home / "rows.parquet"))
            target = dataclasses.replace(release.target, evidence=evidence)
            afresh.releases.update(dataclasses.replace(release, target=target), "rows are back")
            done = run_analysis(afresh, release.id)
            assert done.verdict is Verdict.SUCCESSFUL, done.reasons
            promoted = promote_release(afresh, release.id, actor="test")
            assert promoted.state is ReleaseState.PROMOTED
            assert ports.registry.alias == {"production": "7", "previous": "1"}


def test_real_traffic_is_judged_on_the_labels_that_arrived_since(ports, home, columns, production):
    """From a caller's question over the request log and its label to the verdict."""
    release = begin(ports, home, columns, "3")
    url = ports.serving.get("stub").url

    def ask_until_enough():
        for n in range(200):
            body = {"instances": [{"repo": f"repo-{n % 30}"}]}
            headers = {"x-request-key": f"{time.monotonic_ns()}"}
            assert serving.post(url, "/v1/models/stub:predict", body, headers=headers)[0] == 200
        now = standing(ports, release)
        return min(now.canary_requests, now.production_requests) >= PLAN.min_requests

    eventually(ask_until_enough, seconds=60)
    analysed = run_analysis(ports, release.id)
    (look,) = (e for e in analysed.log if e["kind"] == "analysed")
    assert analysed.verdict is Verdict.FAILED
    assert re.match(r"true error \+\d+\.\d% against production on ", analysed.reasons[0])
    assert look["figures"]["labelled_rows"] >= PLAN.min_requests  # of callers, and replayed
    assert look["requests"]["traffic"] >= 2 * PLAN.min_requests
    ours, theirs = sorted(true_errors(ports, release), key=lambda e: -e.loss)
    assert ours.revision == release.target.candidate.name
    assert 20 <= ours.forecasts <= 30 and theirs.forecasts == 30
    assert ours.loss == pytest.approx(9 * theirs.loss, rel=0.1)
    rollback_release(ports, release.id, actor="test", reason=analysed.reasons[0])


def kill_everything(ports):
    """kill -9 of a service's processes, so that none can react; its last status."""
    status = ports.serving.get("stub")
    pids = (status.pid, *(r.pid for r in status.revisions if r.pid))
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    eventually(lambda: ports.serving.get("stub").state is ServiceState.STOPPED)
    return status


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("3", "true error"),
        ("4", "latency"),
        ("5", "golden rows"),
        ("6", "golden rows"),
        ("8", "process ended 2 times: process ended with code 9"),
        ("9", "most often: timeout: no answer in 0.5 s"),
        ("10", "times: used "),
    ],
    ids=[
        "wrong",
        "slow",
        "crashing at once",
        "hanging at once",
        "crashing later",
        "hanging later",
        "eating memory",
    ],
)
def test_a_bad_model_is_rolled_back_and_no_caller_notices(
    ports, home, columns, production, version, reason
):
    with serving.steady_load(ports.serving.get("stub").url, seconds=200, rate=40) as report:
        release = begin(ports, home, columns, version)
        analysed = run_analysis(ports, release.id)
        assert analysed.verdict is Verdict.FAILED
        assert reason in analysed.reasons[0]
        rollback_release(ports, release.id, actor="test", reason=analysed.reasons[0])
    assert report["failures"] == []
    assert ports.registry.alias["production"] == "1"
    spec = ports.serving.get("stub").spec
    assert (spec.production.model_version, spec.canary) == ("1", None)
