"""What every Schedules port does: a fake, this machine, KFP over HTTP, and the real KFP.

The real one is named by ``PLATFORM_TEST_KFP_URL``; the suite removes what it makes there.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster import api as cluster_api
from platform_ctl.cluster.kfp import Kfp
from platform_ctl.errors import HomeBusy, KfpUnavailable, NotUploaded
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.schedules.apply import (
    Applied,
    Apply,
    ApplyOptions,
    ApplyOutcome,
    Clock,
    ScheduleSource,
    make_plan,
    read_state,
)
from platform_ctl.schedules.apply import pause as pause_schedule
from platform_ctl.schedules.apply import resume as resume_schedule
from platform_ctl.schedules.document import Documents, KfpExperiment, Spec, VersionPolicy
from platform_ctl.schedules.due import CatchUp, Timing
from platform_ctl.schedules.kubernetes.notes import LOCK
from platform_ctl.schedules.kubernetes.recurring_runs import KfpSchedules
from platform_ctl.schedules.local.store import LocalSchedules
from platform_ctl.schedules.plan import ScheduleAction, SchedulePlan
from platform_ctl.schedules.port import (
    DESCRIPTION_CHARS,
    NewRecurringRun,
    Pause,
    RecurringRun,
    Schedules,
    display_name,
    mark,
    ours,
    source_id,
)
from tests.fakes import kfp_server
from tests.fakes.kfp_pipelines import Pipelines, Store
from tests.fakes.kfp_recurring_runs import RecurringRuns, unexpected
from tests.fakes.schedules import FakeSchedules, Time
from tests.support import cluster
from tests.support import schedule_files as files

IMAGE = os.environ.get("PLATFORM_TEST_IMAGE", "python:3.12")
KEY = "blue/nightly"


@dataclass
class Target:
    """A port, and what a test needs beside it."""

    name: str
    port: Schedules
    source: ScheduleSource
    pipeline: str
    upload: Callable[[bytes, str], None]
    """Makes a version of the pipeline whose IR has that digest."""
    kfp: Kfp | None = None
    fake: kfp_server.FakeKfp | None = None
    records: RecurringRuns | None = None

    @property
    def real(self) -> bool:
        return self.name == "real"

    def mine(self) -> list[RecurringRun]:
        return [r for runs in ours(self.port.list(), self.source.repository).values() for r in runs]


def _upload(kfp: Kfp, pipeline: str) -> Callable[[bytes, str], None]:
    import kfp_server_api as kfp_api

    made = kfp.call(
        kfp.pipelines.pipeline_service_create_pipeline, kfp_api.V2beta1Pipeline(name=pipeline)
    )

    def upload(data: bytes, digest: str) -> None:
        with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
            file.write(data)
            file.flush()
            kfp.call(
                kfp.uploads.upload_pipeline_version,
                file.name,
                name=f"v-{uuid.uuid4().hex[:8]}",
                pipelineid=made.pipeline_id,
                description=f"managed-by: platform-ctl\nir: {digest}",
            )

    return upload


def _clean(target: Target, pipeline: str) -> None:
    """Remove everything that the suite made on a real server."""
    kfp = target.kfp
    assert kfp is not None
    for run in target.mine():
        target.port.delete(run.id)
    for key in list(target.port.pauses()):
        if key.startswith("blue/"):
            target.port.resume(key)
    found = next(
        p
        for p in kfp.call(kfp.pipelines.pipeline_service_list_pipelines, page_size=100).pipelines
        if p.name == pipeline
    )
    kfp.call(kfp.pipelines.pipeline_service_delete_pipeline, found.pipeline_id, cascade=True)


def _real(pipeline: str, source: ScheduleSource) -> Target:
    kfp = Kfp(os.environ[cluster.KFP_URL])
    config = os.environ.get(cluster.KUBECONFIG)
    connected = cluster_api.connect(kubeconfig=config, namespace="kubeflow") if config else None
    return Target(
        "real", KfpSchedules(kfp, connected), source, pipeline, _upload(kfp, pipeline), kfp
    )


@pytest.fixture(params=["fake", "local", "kfp", pytest.param("real", marks=cluster.needs_kfp)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    unique = uuid.uuid4().hex[:8]
    source, pipeline = (
        ScheduleSource(f"https://git.example.org/{unique}", "c0ffee"),
        f"hello-{unique}",
    )
    if request.param == "fake":
        port: Schedules = FakeSchedules(Time(int(time.time())))
        yield Target("fake", port, source, pipeline, lambda data, digest: None)
    elif request.param == "local":
        port = LocalSchedules(tmp_path / "platform.db", tmp_path / "locks")
        yield Target("local", port, source, pipeline, lambda data, digest: None)
    elif request.param == "kfp":
        records = RecurringRuns()
        with kfp_server.serve(Pipelines(Store()), records) as fake:
            kfp = Kfp(fake.url)
            upload = _upload(kfp, pipeline)
            yield Target("kfp", KfpSchedules(kfp), source, pipeline, upload, kfp, fake, records)
            assert unexpected(list(records.records.values())) == []
    else:
        target = _real(pipeline, source)
        yield target
        _clean(target, pipeline)


# ---- the port -----------------------------------------------------------------


def new(target: Target, **changes: Any) -> NewRecurringRun:
    spec = Spec(
        team="blue",
        name="nightly",
        pipeline=target.pipeline,
        version=VersionPolicy.PINNED,
        ir="a" * 64,
        parameters={"trials": 5, "rate": 0.5, "text": "grüße; a: b", "names": ["a", {"b": 1}]},
        timing=Timing("0 0 6 * * MON", start_at=1_900_000_000, end_at=1_950_000_000),
        max_concurrency=3,
    )
    spec = replace(spec, **changes)
    made = mark(
        source=target.source.repository,
        spec=spec,
        ir=spec.ir,
        commit="c0ffee" * 7,
        kfp="2.17.0",
        start=1_900_000_000,
    )
    return NewRecurringRun(display_name(spec), spec, made, _ir(target))


def _ir(target: Target) -> bytes:
    return files.PIPELINE.replace("NAME", target.pipeline).replace("python:3.12", IMAGE).encode()


SHAPES = {
    "cron": {},
    "interval": {"timing": Timing(interval_s=3600, catch_up=CatchUp.ALL)},
    "all": {"timing": Timing("30 15 */6 1,15 JAN-JUN ?", catch_up=CatchUp.ALL)},
    "latest": {"version": VersionPolicy.LATEST, "ir": ""},
    "account": {"service_account": "somebody-else"},
    "no parameters": {"parameters": {}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_created_is_disabled_and_comes_back_as_it_was_sent(target, shape):
    target.upload(_ir(target), "a" * 64)
    sent = new(target, **SHAPES[shape])
    made = target.port.create(sent)
    (found,) = [r for r in target.port.list() if r.id == made.id]
    assert found.spec == made.spec
    assert (found.enabled, found.key) == (False, KEY)
    assert found.mark == sent.mark and found.display_name == sent.display_name
    assert found.spec is not None and found.spec.digest == sent.spec.digest
    assert abs(found.created_at - time.time()) < 120
    assert found.backed in (True, None)


def test_the_longest_names_fit(target):
    long = replace(
        target, source=ScheduleSource(source_id("https://git.example.org/" + "x" * 300), "")
    )
    target.upload(_ir(target), "a" * 64)
    sent = new(long, team="t" * 50, name="n" * 50)
    assert len(sent.description) <= DESCRIPTION_CHARS
    other = replace(
        long, source=ScheduleSource(source_id("https://git.example.org/" + "x" * 48), "")
    )
    assert len(new(other).description) <= DESCRIPTION_CHARS
    made = target.port.create(sent)
    try:
        assert made.mark == sent.mark and made.owned_by(long.source.repository)
    finally:
        target.port.delete(made.id)


def test_enable_disable_delete(target):
    target.upload(_ir(target), "a" * 64)
    made = target.port.create(new(target))
    for change, enabled in ((target.port.enable, True), (target.port.disable, False)):
        change(made.id)
        change(made.id)
        assert [r.enabled for r in target.mine()] == [enabled]
    target.port.delete(made.id)
    assert target.mine() == []
    if target.name != "fake":
        target.port.delete(made.id)


def test_experiments_are_as_declared(target):
    name = f"weekly-{uuid.uuid4().hex[:6]}"
    for archived in (False, False, True, True, False):
        target.port.put_experiment(KfpExperiment("blue", name, "Each week", archived))
        assert target.port.experiments()[name] is archived
    if target.kfp is not None:
        found = target.port._find_experiment(name)
        target.kfp.call(
            target.kfp.experiments.experiment_service_delete_experiment, found.experiment_id
        )


def test_a_pause_says_who_why_and_until(target):
    key = f"blue/n{uuid.uuid4().hex[:6]}"
    for pause in (Pause("ann", "on holiday: \n é", 1_795_000_000), Pause("bob", "x", 1, 2)):
        target.port.pause(key, pause)
        assert target.port.pauses()[key] == pause
    assert key not in target.port.experiments()
    target.port.resume(key)
    target.port.resume(key)
    assert key not in target.port.pauses()


def test_one_apply_at_a_time(target):
    with target.port.lock("ann") as lock:
        lock.check()
        with pytest.raises(HomeBusy), target.port.lock("bob"):
            pass
        lock.check()
    with target.port.lock("bob"):
        pass


def test_nothing_is_in_flight_before_it_fires(target):
    target.upload(_ir(target), "a" * 64)
    made = target.port.create(new(target))
    found = target.port.activity([made.id])
    assert (found.in_flight, found.last_slot, found.last_run) == ((), None, "")


# ---- an apply over it ---------------------------------------------------------


class Project:
    """Schedule files beside a target."""

    def __init__(self, root: Path, target: Target) -> None:
        self.root, self.target = root, target
        files.project(root)
        compiled = root / "pipelines/compiled" / f"{target.pipeline}.yaml"
        compiled.write_bytes(_ir(target))
        self.documents = Documents()

    def write(self, *entries: str) -> None:
        self.documents = files.load(self.root, *entries)
        for schedule in self.documents.schedules:
            self.target.upload(schedule.compiled_bytes, schedule.ir)

    def entry(self, **changes: str) -> str:
        return files.entry(pipeline=self.target.pipeline, **changes)

    def plan(self) -> SchedulePlan:
        state = read_state(self.target.port, self.documents, self.target.source)
        return make_plan(self.target.port, state, int(time.time()))

    def apply(self, **options: Any) -> list[Applied]:
        clock = Clock(lambda: int(time.time()), time.sleep)
        target = self.target
        done = Apply(target.port, self.documents, target.source, clock, ApplyOptions(**options))
        return done.run("test")


@pytest.fixture
def project(target: Target, tmp_path: Path) -> Project:
    return Project(tmp_path / "project", target)


def test_create_change_pause_delete(project):
    target = project.target
    project.write(project.entry(parameters="{trials: 4, rate: 1}"))
    assert [a.outcome for a in project.apply()] == [ApplyOutcome.DONE]
    assert project.plan().in_sync and project.apply() == []
    project.write(project.entry(parameters="{trials: 5}", keep_history="1"))
    (change,) = project.plan().changes
    assert change.action is ScheduleAction.REPLACE and "parameters.trials: 4 -> 5" in change.why
    (applied,) = project.apply()
    assert (applied.outcome, applied.error) == (ApplyOutcome.DONE, None)
    assert sorted(r.enabled for r in target.mine()) == [False, True] and project.plan().in_sync
    pause = Pause("ann", "holiday", int(time.time()))
    pause_schedule(target.port, target.source.repository, KEY, pause, "test")
    assert not any(r.enabled for r in target.mine()) and project.plan().in_sync
    resume_schedule(target.port, target.source.repository, KEY, "test")
    assert sorted(r.enabled for r in target.mine()) == [False, True]
    project.write(files.entry(state="absent"))
    project.apply()
    assert target.mine() == [] and project.plan().in_sync


def test_somebody_elses_schedule_is_untouched(project):
    target = project.target
    target.upload(_ir(target), "a" * 64)
    theirs = replace(target, source=ScheduleSource("https://git.example.org/somebody-else", ""))
    made = target.port.create(new(theirs))
    try:
        project.write(project.entry())
        project.apply(prune=True)
        project.write()
        project.apply(prune=True)
        assert made.display_name in project.plan().unmanaged
        assert made in target.port.list() or made.id in {r.id for r in target.port.list()}
    finally:
        target.port.delete(made.id)


# ---- KFP over HTTP, with faults -----------------------------------------------


@pytest.fixture
def kfp_target(tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """Makes targets over a fake KFP that has these faults once the pipeline is there."""
    stack: list[Any] = []

    def make(records: RecurringRuns | None = None, **words: Any) -> Target:
        found = records or RecurringRuns()
        context = kfp_server.serve(Pipelines(Store()), found, **words)
        fake = context.__enter__()
        stack.append(context)
        kfp = Kfp(fake.url, timeout_s=2)
        source = ScheduleSource("https://git.example.org/x", "c0ffee")
        upload = _upload(kfp, "hello-x")
        return Target("kfp", KfpSchedules(kfp), source, "hello-x", upload, kfp, fake, found)

    yield make
    for context in stack:
        context.__exit__(None, None, None)


WRITES = [
    ("POST", "recurringruns$"),
    ("POST", ":disable$"),
    ("POST", ":enable$"),
    ("DELETE", "recurringruns/"),
    ("POST", "experiments$"),
    ("DELETE", "experiments/"),
]
FAULTS = {
    "500": {"code": kfp_server.INTERNAL},
    "500 after commit": {"code": kfp_server.INTERNAL, "after_commit": True},
    "409": {"code": kfp_server.EXISTS},
    "dropped": {"drop": True},
    "dropped after commit": {"drop": True, "after_commit": True},
    "timeout": {"delay_s": 3.0},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_after_a_fault_at_any_call_the_next_apply_finishes(
    kfp_target, tmp_path, method, path, fault
):
    target = kfp_target()
    project = Project(tmp_path / "project", target)
    project.write(project.entry(keep_history="0"))
    project.apply()
    project.write(project.entry(keep_history="0", parameters="{trials: 5}"))
    words = FAULTS[fault]
    target.fake.faults.append(kfp_server.Fault(method, path, times=1, **words))
    try:
        project.apply()
    except (KfpUnavailable, HomeBusy):
        pass
    target.fake.faults.clear()
    for experiment in list(target.records.experiments.values()):
        if experiment["display_name"] == LOCK:  # its holder is gone: ten minutes later
            experiment["description"] = '{"until": 1}'
    project.apply()
    assert project.plan().in_sync
    (run,) = target.mine()
    assert run.enabled and run.spec.parameters == {"trials": 5}


def test_a_lock_whose_holder_is_gone_is_taken_over_when_its_lease_ends(kfp_target):
    target = kfp_target()
    lock = target.port.lock("ann")
    lock.__enter__()
    with pytest.raises(HomeBusy, match="ann"), target.port.lock("bob"):
        pass
    (held,) = [e for e in target.records.experiments.values() if e["display_name"] == LOCK]
    held["description"] = held["description"].replace('"until": ', '"until": -')
    with target.port.lock("bob") as second:
        second.check()


def test_a_pipeline_that_was_not_uploaded_is_named(kfp_target):
    target = kfp_target()
    with pytest.raises(NotUploaded, match="no version with the IR") as raised:
        target.port.create(new(target))
    assert raised.value.fix == "platform-ctl --target kubernetes pipeline upload hello-x"


def test_old_servers_end_runs_with_their_record_so_it_waits(kfp_target, tmp_path):
    target = kfp_target(RecurringRuns(knows_orphan=False), version="2.15.0")
    project = Project(tmp_path / "project", target)
    project.write(project.entry())
    project.apply()
    (run,) = target.mine()
    target.records.fire(run.id)
    project.write(files.entry(state="absent"))
    (applied,) = project.apply()
    assert applied.outcome is ApplyOutcome.WAITING and len(target.mine()) == 1
    for one in target.records.runs.values():
        assert one["state"] == "RUNNING"
        one["state"] = "SUCCEEDED"
    project.apply()
    assert target.mine() == []


def test_a_run_of_a_recurring_run_has_its_version_s_ir(kfp_target):
    target = kfp_target()
    target.upload(_ir(target), "a" * 64)
    made = target.port.create(new(target))
    run_id = target.records.fire(made.id)
    runs = RunsApi(target.kfp)
    said = runs.get(run_id)
    assert "pipeline_spec" not in said
    spec = runs.with_spec(said)["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "hello-x"
    gone = {**said, "pipeline_version_reference": {**said["pipeline_version_reference"]}}
    gone["pipeline_version_reference"]["pipeline_version_id"] = "gone"
    assert runs.with_spec(gone) == gone


def test_open_runs_are_found_by_the_beginning_of_their_name(kfp_target):
    target = kfp_target()
    target.upload(_ir(target), "a" * 64)
    made = target.port.create(new(target))
    for name, state in (
        ("blue/nightly 1", "RUNNING"),
        ("x blue/nightly 1", "RUNNING"),
        ("blue/nightly 2", "FAILED"),
    ):
        run_id = target.records.fire(made.id, state=state)
        target.records.runs[run_id].update(display_name=name, name=name)
    assert target.port.open_runs_named("blue/nightly ") == 1


def test_all_pages_of_a_list_are_read(kfp_target):
    target = kfp_target()
    target.upload(_ir(target), "a" * 64)
    for n in range(120):
        target.port.create(new(target, name=f"n{n}"))
    assert len(target.mine()) == 120


# ---- the real KFP -------------------------------------------------------------


@pytest.mark.parametrize("target", [pytest.param("real", marks=cluster.needs_kfp)], indirect=True)
def test_a_run_in_flight_survives_change_and_deletion(project):
    target = project.target
    assert target.kfp is not None
    trigger = '{cron: "0 * * * * *"}'
    project.write(project.entry(trigger=trigger))
    project.apply()
    (run,) = target.mine()
    deadline = time.time() + 150
    flying: tuple[str, ...] = ()
    while not flying and time.time() < deadline:
        time.sleep(3)
        flying = target.port.activity([run.id]).in_flight
    assert flying, "the controller started nothing"
    found = target.port.activity([run.id])
    assert found.last_slot is not None and found.last_slot % 60 == 0
    runs = RunsApi(target.kfp)
    assert runs.with_spec(runs.get(flying[0]) or {})["pipeline_spec"]
    project.write(project.entry(trigger=trigger, parameters="{trials: 5}", keep_history="0"))
    (waiting,) = project.apply()
    assert waiting.outcome is ApplyOutcome.WAITING
    (done,) = project.apply(now=True)
    assert (done.outcome, done.error) == (ApplyOutcome.DONE, None)
    assert run.id not in {r.id for r in target.mine()}
    project.write(files.entry(state="absent"))
    project.apply()
    state = target.kfp.call(target.kfp.runs.run_service_get_run, flying[0]).state
    assert str(state) in ("RUNNING", "PENDING", "SUCCEEDED")
    target.kfp.call(target.kfp.runs.run_service_terminate_run, flying[0])
    time.sleep(5)
    target.kfp.call(target.kfp.runs.run_service_delete_run, flying[0])
