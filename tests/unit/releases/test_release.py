"""Traffic and aliases move together, whatever interrupts them."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Subject,
    Vote,
)
from platform_ctl.errors import (
    HomeBusy,
    NothingYet,
    PreconditionMissing,
    ServiceUnavailable,
    UsageError,
)
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
    settle,
    start_release,
    undo_release,
)
from platform_ctl.serving.service import RequestObservation, ServiceState
from tests.support import live_features
from tests.support.releases import FakeRegistry, FakeServing, Fuse, Killed

PLAN = CanaryPlan(weights_percent=(10, 50, 100), min_requests=20)
NAME = "weekly"


class World:
    """A home with three versions, of which ``production`` is served."""

    def __init__(self, folder: Path, production: str = "") -> None:
        self.fuse = Fuse()
        aliases = {"staging": "2"} | ({"production": production} if production else {})
        dirs = {v: Path(f"/models/{v}") for v in ("1", "2", "3")}
        self.registry = FakeRegistry(NAME, dirs, aliases, self.fuse)
        self.serving = FakeServing(self.fuse)
        self.releases = SqliteReleases(connect(folder / "platform.db"))
        self.approvals = SqliteApprovals(folder / "platform.db")
        data = DataAccess({}, folder, folder, folder / "key", folder)
        self.ports = ReleasePorts(self.releases, self.serving, self.registry, self.approvals, data)

    def target(self, version: str) -> Target:
        found = self.registry.models()[0].version(version)
        return Target(NAME, NAME, revision_of(self.registry, found), ("a", "b"))

    def approve(self, version: str) -> str:
        """A standing approval of the version."""
        request = ApprovalRequest(
            id=f"approval{version}",
            model=NAME,
            version=version,
            recipe="stub",
            subject=Subject("m", "e", "s", "c", ""),
            state=ApprovalState.PENDING,
            requested_by="ann",
            requested_at="2024-01-01T00:00:00.000+00:00",
            expires_at="9999-01-01T00:00:00.000+00:00",
        )
        self.approvals.open(request)
        self.approvals.vote(request.id, Vote("bob", Answer.APPROVE, "good", "2024-01-02"))
        return request.id

    def start(self, version: str = "2"):
        return start_release(
            self.ports, self.target(version), PLAN, approval_id="approval", actor="me"
        )

    @property
    def served(self) -> str:
        spec = self.serving.specs[NAME]
        return spec.production.model_version if spec.production else ""

    @property
    def sides(self) -> tuple[str, str]:
        """(what traffic gets, what the registry calls production)."""
        return self.served, self.registry.alias.get("production", "")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, production="1")


def test_start_serves_the_first_weight_and_may_be_repeated(world):
    release = world.start()
    spec = world.serving.specs[NAME]
    assert (spec.production.model_version, spec.canary.model_version) == ("1", "2")
    assert spec.weight_percent == 10
    assert world.start() == release
    with pytest.raises(PreconditionMissing, match="version 2 is being released"):
        world.start("3")


@pytest.mark.parametrize("production", ["", "1"])
@pytest.mark.parametrize("late", [False, True])
def test_aborted_while_it_starts_nothing_of_it_is_served(tmp_path, monkeypatch, production, late):
    """By somebody else: before the service has heard of it, or just after."""
    world = World(tmp_path, production)
    set_traffic = world.serving.apply

    def abort() -> None:
        open_one = world.releases.latest(NAME)
        rollback_release(world.ports, open_one.id, actor="ann", reason="not today")

    def apply(name, spec):
        monkeypatch.setattr(world.serving, "apply", set_traffic)
        if not late:
            abort()
        done = set_traffic(name, spec)
        if late:
            abort()
        return done

    monkeypatch.setattr(world.serving, "apply", apply)
    assert world.start().state is ReleaseState.ROLLED_BACK
    assert world.registry.alias.get("production", "") == production
    if production:
        spec = world.serving.specs[NAME]
        assert spec.production.model_version == production and spec.canary is None
    else:
        assert NAME in world.serving.stopped


def test_promote_moves_both_and_keeps_the_way_back(world):
    release = promote_release(world.ports, world.start().id, actor="me")
    assert release.state is ReleaseState.PROMOTED
    assert world.sides == ("2", "2")
    assert world.registry.alias == {"production": "2", "previous": "1"}
    assert promote_release(world.ports, release.id, actor="me") == release
    with pytest.raises(PreconditionMissing):
        rollback_release(world.ports, release.id, actor="me", reason="late")
    assert world.start() == release  # deployed already: nothing new


def test_one_command_back_from_production(world):
    promote_release(world.ports, world.start().id, actor="me")
    undone = undo_release(world.ports, NAME, actor="me", reason="wrong on Mondays")
    assert undone.returns and undone.state is ReleaseState.PROMOTED
    assert world.sides == ("1", "1")
    assert "previous" not in world.registry.alias
    with pytest.raises(PreconditionMissing, match="previous"):
        undo_release(world.ports, NAME, actor="me", reason="again")


def test_undo_of_an_open_release_aborts_it(world):
    world.start()
    assert (
        undo_release(world.ports, NAME, actor="me", reason="no").state is ReleaseState.ROLLED_BACK
    )
    assert world.sides == ("1", "1")
    assert world.serving.specs[NAME].canary is None


def test_a_first_release_that_fails_leaves_nothing_served(tmp_path):
    world = World(tmp_path)
    release = world.start()
    assert world.serving.specs[NAME].production is None
    rollback_release(world.ports, release.id, actor="me", reason="bad")
    assert world.serving.get(NAME).state is ServiceState.STOPPED
    assert "production" not in world.registry.alias


@pytest.mark.parametrize("undone", ["aborted", "after promotion"])
def test_a_rollback_uses_the_approval_up_and_leaves_others_alone(world, undone):
    used, other = world.approve("2"), world.approve("1")
    release = world.start()
    if undone == "after promotion":
        promote_release(world.ports, release.id, actor="me")
        assert world.approvals.get(used).state is ApprovalState.APPROVED
    back = undo_release(world.ports, NAME, actor="me", reason="wrong on Mondays")
    spent = world.approvals.get(used)
    assert spent.state is ApprovalState.VOID and spent.spent
    assert spent.release_id == back.id
    assert spent.reason == f"used by release {back.id[:8]}, rolled back: wrong on Mondays"
    assert world.approvals.get(other).state is ApprovalState.APPROVED


@pytest.mark.parametrize("verb", ["promote", "roll back", "undo"])
@pytest.mark.parametrize("kill_before", range(1, 5))
def test_killed_between_any_two_actions_the_next_look_repairs(world, tmp_path, verb, kill_before):
    approval = world.approve("2")
    release = world.start()
    if verb == "undo":
        promote_release(world.ports, release.id, actor="me")
    world.fuse.count, world.fuse.kill_before = 0, kill_before
    try:
        if verb == "promote":
            promote_release(world.ports, release.id, actor="me")
        elif verb == "roll back":
            rollback_release(world.ports, release.id, actor="me", reason="bad")
        else:
            undo_release(world.ports, NAME, actor="me", reason="bad")
    except Killed:
        pass
    world.fuse.kill_before = 0
    after = dataclasses.replace(
        world.ports, releases=SqliteReleases(connect(tmp_path / "platform.db"))
    )
    settled = settle(after, NAME)
    assert not settled.intent and not settled.state.is_open
    expected = "2" if verb == "promote" else "1"
    assert world.sides == (expected, expected)
    assert world.approvals.get(approval).spent == (verb != "promote")


def test_concurrent_changes_are_noticed(world):
    release = world.start()
    world.releases.update(dataclasses.replace(release, step=1), "weight")
    with pytest.raises(HomeBusy):
        world.releases.update(dataclasses.replace(release, step=2), "weight")


def test_somebody_who_looks_in_between_finishes_it_and_it_is_decided_once(world):
    release = world.start()
    apply = world.serving.apply

    def apply_while_somebody_looks(name, spec):
        served = apply(name, spec)
        world.serving.apply = apply
        settle(world.ports, NAME)
        return served

    world.serving.apply = apply_while_somebody_looks
    assert promote_release(world.ports, release.id, actor="me").state is ReleaseState.PROMOTED
    kinds = [e.kind for e in world.releases.events(release.id)]
    assert kinds == ["started", "will promote", "promoted"]


def test_events_tell_the_story(world):
    release = world.start()
    promote_release(world.ports, release.id, actor="me")
    assert [e.kind for e in world.releases.events(release.id)] == [
        "started",
        "will promote",
        "promoted",
    ]


def test_bad_plans_and_unknown_names(world):
    with pytest.raises(UsageError, match="go up"):
        plan = CanaryPlan(weights_percent=(50, 10))
        start_release(world.ports, world.target("2"), plan, approval_id="a", actor="me")
    with pytest.raises(NothingYet):
        undo_release(world.ports, "nothing", actor="me", reason="")


# ---- analysis on real traffic, no replay ----------------------------------------


def traffic(world, revision, count, *, every_s=0.0, **fields):
    spec = world.serving.specs[NAME]
    name = (spec.canary if revision == "canary" else spec.production).name
    at = time.time() + 1
    given = {"status": 200, "latency_ms": 1.0, "predictions": [5.0], **fields}
    world.serving.seen += [
        RequestObservation(
            at=at + i * every_s, id=str(i), revision=name, request={"instances": [[i]]}, **given
        )
        for i in range(count)
    ]


def test_without_traffic_and_rows_a_release_is_held_and_can_be_continued(world):
    release = world.start()
    held = run_analysis(world.ports, release.id)
    assert held.verdict is Verdict.INCONCLUSIVE
    assert held.release.state is ReleaseState.HELD
    assert "0 of the 20" in held.reasons[0]
    assert world.serving.specs[NAME].weight_percent == 10
    traffic(world, "canary", 100)
    traffic(world, "production", 100)
    now = standing(world.ports, held.release)
    assert (now.step, now.steps, now.weight_percent) == (1, 3, 10)
    assert (now.canary_requests, now.wanted, now.production_requests) == (100, 20, 100)
    assert (now.canary_failures, now.replayed) == (0, 0)
    done = run_analysis(world.ports, release.id)
    assert done.verdict is Verdict.SUCCESSFUL
    assert world.serving.specs[NAME].weight_percent == 100
    weights = [e["weight_percent"] for e in done.log if e["kind"] == "analysed"]
    assert weights == [10, 10, 50, 100]
    assert done.log[-1]["requests"] == {"traffic": 200, "replay": 0}


def test_a_service_whose_every_process_was_killed_is_started_before_it_is_asked(world, tmp_path):
    """The run that is resumed finds golden rows to ask, and nobody who answers."""
    rows = {"row": ["x"], "split": ["golden"], "label": [1.0], "a": [1.0], "b": [1.0]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    errors = {"row": ["x"], "prediction": [1.0], "champion_prediction": [1.0]}
    pq.write_table(pa.table(errors), tmp_path / "errors.parquet")
    evidence = Evidence(str(tmp_path / "rows.parquet"), str(tmp_path))
    target = dataclasses.replace(world.target("2"), evidence=evidence, features=("a", "b"))
    release = start_release(world.ports, target, PLAN, approval_id="a", actor="me")
    world.serving.stop(NAME)
    with pytest.raises(ServiceUnavailable):  # this fake has no address at which it answers
        run_analysis(world.ports, release.id)
    assert world.serving.get(NAME).state is ServiceState.RUNNING
    assert world.serving.specs[NAME] == release.split()


@pytest.mark.parametrize(
    ("latency_ms", "cpu_wait_ms", "verdict"),
    [(6.2, 4.5, Verdict.SUCCESSFUL), (6.2, 0.5, Verdict.FAILED)],
    ids=["waits for a CPU", "slower"],
)
def test_waits_for_a_cpu_are_not_held_against_a_canary(world, latency_ms, cpu_wait_ms, verdict):
    """Medians measured with one model on both sides and a load of 13 on two cores."""
    release = world.start()
    traffic(world, "canary", 200, latency_ms=latency_ms, cpu_wait_ms=cpu_wait_ms)
    traffic(world, "production", 200, latency_ms=2.9, cpu_wait_ms=1.2)
    done = run_analysis(world.ports, release.id)
    assert done.verdict is verdict, done.reasons


@pytest.mark.parametrize(
    ("store", "verdict", "said"),
    [
        ("skewed", Verdict.FAILED, "feature b of x is 2.5 online and 2 offline for 2024-01-08"),
        ("behind", Verdict.SUCCESSFUL, "after a refresh (the online store is behind for 1 of 1"),
        ("broken", Verdict.INCONCLUSIVE, "the online store is behind for 1 of 1 entities: x is"),
        ("busy", Verdict.INCONCLUSIVE, "another process has been working on the features"),
        ("no data", Verdict.SUCCESSFUL, "not compared: there is no table"),
    ],
)
def test_live_features_are_compared_before_the_first_look(world, store, verdict, said):
    live_features.STORE = store
    target = dataclasses.replace(world.target("2"), live_features=live_features.__name__)
    release = start_release(world.ports, target, PLAN, approval_id="a", actor="me")
    traffic(world, "canary", 100)
    traffic(world, "production", 100)
    done = run_analysis(world.ports, release.id)
    (told,) = (e for e in done.log if e["kind"] == "live features")
    assert (done.verdict, told["verdict"]) == (verdict, verdict)
    assert said in told["reason"]
    if verdict is not Verdict.SUCCESSFUL:
        assert done.reasons == (told["reason"],)
        assert not [e for e in done.log if e["kind"] == "analysed"]


def test_a_canary_that_answers_errors_fails_at_the_first_weight(world):
    release = world.start()
    traffic(
        world,
        "canary",
        30,
        every_s=2.0,
        status=0,
        latency_ms=2000.0,
        failure="timeout: 2 s",
        predictions=[],
    )
    traffic(world, "production", 100)
    done = run_analysis(world.ports, release.id)
    assert done.verdict is Verdict.FAILED
    assert "30 of 30 canary requests failed" in done.reasons[0]
    assert world.serving.specs[NAME].weight_percent == 10
