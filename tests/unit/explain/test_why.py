"""``run why`` and ``model why``: each injected cause is named; healthy chains are not blamed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.approvals.request import Answer, Vote
from platform_ctl.errors import (
    ClusterUnavailable,
    NoSuchModel,
    PlatformError,
    PreconditionMissing,
    StoreUnavailable,
)
from platform_ctl.explain.diagnosis import Diagnosis, LinkState, RecordedLineage
from platform_ctl.explain.why import diagnose
from platform_ctl.explain.why_facts import facts_of, why_model
from platform_ctl.models.model import AliasMove, RegisteredModel
from platform_ctl.releases.release import ReleaseState
from platform_ctl.runs.record import Blocker, Run, RunState, Task, TaskState
from platform_ctl.serving.service import InferenceService, ServiceState
from platform_ctl.settings import Settings
from platform_ctl.targets.lineage import lineage_producer
from recipes.train_deploy.recipe import RECIPE
from tests.support import chain as support
from tests.support.chain import FIRST, GROUP, NAME, PROMOTED, SECOND, Chain, ago, skipped, task


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return support.build(tmp_path_factory.mktemp("chain") / "home")


@pytest.fixture
def chain(template: Chain, tmp_path: Path) -> Chain:
    """A copy of the home; runs keep their folders in the template, which nothing writes to."""
    home = tmp_path / "home"
    shutil.copytree(template.home, home)
    return Chain(home, template.snapshot)


def assert_broken(found: Diagnosis, link: str, *words: str) -> None:
    broken = found.broken
    assert broken is not None, found
    assert broken.name == link, broken
    told = " ".join((broken.says, *broken.evidence))
    for word in words:
        assert word in told
    assert broken.fix and (support.ROOT / broken.runbook).is_file()
    after = found.links[[x.name for x in found.links].index(link) + 1 :]
    assert {x.state for x in after} <= {LinkState.NOT_REACHED}


def pending(chain: Chain) -> str:
    found = targets.approvals(chain.settings).list()
    return next(r.id for r in found if r.version == "2")


def approve(chain: Chain) -> str:
    request = pending(chain)
    vote = Vote("bob", Answer.APPROVE, "looks right", ago(0))
    targets.approvals(chain.settings).vote(request, vote)
    return request


def promotion(chain: Chain, state: RunState) -> Run:
    run_id = "d" + PROMOTED[1:]
    return chain.run(run_id, "promote", state=state, approval_id=approve(chain))


# ---- causes ---------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["failed", "inconclusive"])
def test_gate_said_no(chain: Chain, verdict: str) -> None:
    def no(tasks: list[Task]) -> list[Task]:
        gate = task("gate", verdict=verdict, reasons=["The model is 9 % worse than mean_4w."])
        return [*tasks[:5], gate, skipped(GROUP)]

    chain.retrain(no)
    assert_broken(chain.why(), "gate", verdict, "9 % worse")


def test_condition_false_although_the_gate_agreed(chain: Chain) -> None:
    chain.retrain(lambda tasks: [*tasks[:6], skipped(GROUP)])
    assert_broken(chain.why(), "registration", "condition is false", "== 'successful'")


def test_register_cached_against_a_deleted_registry(chain: Chain) -> None:
    def cached(tasks: list[Task]) -> list[Task]:
        return [dataclasses.replace(t, state=TaskState.CACHED, cache="result of run aaaa")
                for t in tasks]  # fmt: skip

    chain.retrain(cached)
    (chain.home / "mlflow" / "mlflow.db").unlink()
    assert_broken(chain.why(serving=targets.serving(chain.settings)), "cache", "register", "gone")


def test_version_deleted_from_the_registry(chain: Chain) -> None:
    chain.sql("DELETE FROM model_version_tags WHERE version = 2", database="mlflow/mlflow.db")
    chain.sql("DELETE FROM registered_model_aliases WHERE version = 2", database="mlflow/mlflow.db")
    chain.sql("DELETE FROM model_versions WHERE version = 2", database="mlflow/mlflow.db")
    assert_broken(chain.why(), "registration", f"{NAME}/2", "deleted")


def test_wrong_registry_uri(chain: Chain, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(
        chain.settings, mlflow_tracking_uri=f"sqlite:///{tmp_path}/other.db"
    )
    found = chain.why(**_fields(targets.looking(wrong)))
    assert_broken(found, "registration", "wrong registry", "other.db", f"{NAME}/2")
    assert str(chain.home) in found.broken.fix


def test_a_registry_with_a_password_is_the_one_that_the_run_recorded(chain: Chain) -> None:
    guarded = msgspec.structs.replace(
        chain.settings, mlflow_tracking_uri="http://me:pass-word@mlflow.lan:5000"
    )
    recorded = lineage_producer(guarded).registry_uri
    assert targets.looking(guarded).registry_uri == recorded == "http://mlflow.lan:5000"


def _fields(looking: object) -> dict[str, object]:
    return {f.name: getattr(looking, f.name) for f in dataclasses.fields(looking)}  # type: ignore[arg-type]


def test_wrong_registry_uri_as_the_run_recorded_it(chain: Chain) -> None:
    (chain.home / "mlflow" / "mlflow.db").unlink()
    recorded = RecordedLineage(
        ago(900), True, True, frozenset(), registry_uri="http://mlflow.lan:5000"
    )
    found = chain.why(lineage=lambda run: recorded)
    assert_broken(found, "registration", "wrong registry", "http://mlflow.lan:5000")


def test_alias_moved_by_hand(chain: Chain) -> None:
    chain.sql("UPDATE registered_model_aliases SET version = 2 WHERE alias = 'production'",
              database="mlflow/mlflow.db")  # fmt: skip
    assert_broken(chain.why(), "alias", "production", "outside the platform")
    assert_broken(why_model(chain.looking, NAME), "alias")


def test_alias_history_altered(chain: Chain) -> None:
    chain.sql("DROP TRIGGER alias_history_holds")
    chain.sql("UPDATE alias_history SET actor = 'somebody else' WHERE seq = 1")
    assert_broken(chain.why(), "alias", "altered", "line 1")


def test_approval_expired(chain: Chain) -> None:
    chain.sql("UPDATE approvals SET expires_at = ? WHERE version = '2'", ago(10))
    assert_broken(chain.why(), "approval", "expired", "means no")


def test_approval_rejected(chain: Chain) -> None:
    vote = Vote("bob", Answer.REJECT, "not before the holidays", ago(0))
    targets.approvals(chain.settings).vote(pending(chain), vote)
    assert_broken(chain.why(), "approval", "rejected", "bob", "not before the holidays")


def test_approval_void(chain: Chain) -> None:
    targets.approvals(chain.settings).void(pending(chain), "the canary plan changed")
    assert_broken(chain.why(), "approval", "void", "the canary plan changed")


def test_approval_of_something_that_has_changed(chain: Chain) -> None:
    from platform_ctl.recipe.recipe import CanaryPlan

    other = dataclasses.replace(RECIPE, canary=CanaryPlan((100,)))
    assert_broken(chain.why(recipes={RECIPE.name: other}), "approval", "void", "canary plan")


def test_nobody_was_asked(chain: Chain) -> None:
    chain.sql("DELETE FROM approvals WHERE version = '2'")
    assert_broken(chain.why(), "approval", "no approval of")


def test_step_failed(chain: Chain) -> None:
    def fails(tasks: list[Task]) -> list[Task]:
        return [*tasks[:3], task("train", TaskState.FAILED, "RuntimeError: out of memory"),
                task("evaluate", TaskState.SKIPPED, "train failed")]  # fmt: skip

    chain.retrain(fails, state=RunState.FAILED, error="RuntimeError: out of memory")
    assert_broken(chain.why(), "step", "train failed", "out of memory")
    assert_broken(why_model(chain.looking, NAME), "step", "train failed")


def test_step_skipped_upstream(chain: Chain) -> None:
    def skips(tasks: list[Task]) -> list[Task]:
        rest = [("train", "tune"), ("evaluate", "train"), ("gate", "evaluate"), (GROUP, "gate")]
        return [*tasks[:2], skipped("tune"),
                *(skipped(a, b) for a, b in rest)]  # fmt: skip

    chain.retrain(skips)
    assert_broken(chain.why(), "step", "gate was skipped", "tune: the condition is false")


def test_run_killed(chain: Chain) -> None:
    chain.retrain(lambda tasks: tasks[:3], state=RunState.FAILED, error="orphaned: it died")
    assert_broken(chain.why(), "step", "orphaned")


def test_rows_of_another_snapshot(chain: Chain) -> None:
    def mixed(tasks: list[Task]) -> list[Task]:
        return [tasks[0], support.training("999", "2")[1], *tasks[2:]]

    chain.retrain(mixed)
    assert_broken(chain.why(), "features", "999")


def test_snapshot_expired(chain: Chain) -> None:
    chain.retrain(lambda tasks: support.training("123", "2"))
    assert_broken(chain.why(), "snapshot", "123", RECIPE.table)


def test_resolve_failed(chain: Chain) -> None:
    failed = task("resolve", TaskState.FAILED, "TooLittleHistory: 3 weeks")
    chain.retrain(lambda tasks: [failed], state=RunState.FAILED)
    assert_broken(chain.why(), "snapshot", "TooLittleHistory")


def test_nothing_was_ingested(chain: Chain) -> None:
    (chain.home / "iceberg" / "catalog.db").unlink()
    assert_broken(chain.why(), "data", RECIPE.table)


def test_stale_data(chain: Chain, tmp_path: Path) -> None:
    _age_snapshots(chain, tmp_path, days=30)
    assert_broken(chain.why(), "data", "stale", "30 days")
    assert_broken(why_model(chain.looking, NAME), "data", "stale")


def _age_snapshots(chain: Chain, folder: Path, days: float) -> None:
    """The table, had it last been written ``days`` ago."""
    with sqlite3.connect(chain.home / "iceberg" / "catalog.db") as db:
        (location,) = db.execute("SELECT metadata_location FROM iceberg_tables").fetchone()
        metadata = json.loads(Path(urlparse(location).path).read_text())
        for snapshot in metadata["snapshots"]:
            snapshot["timestamp-ms"] -= int(days * 86_400_000)
        changed = folder / "metadata.json"
        changed.write_text(json.dumps(metadata))
        db.execute("UPDATE iceberg_tables SET metadata_location = ?", (changed.as_uri(),))
    db.close()


def test_approved_and_never_started(chain: Chain) -> None:
    approve(chain)
    assert_broken(chain.why(), "release", "never started")


def test_promotion_failed(chain: Chain) -> None:
    run = chain.run(
        "d" + PROMOTED[1:], "promote", state=RunState.FAILED, approval_id=approve(chain)
    )
    failed = task("deploy-canary", TaskState.FAILED, "PortInUse: 8080")
    chain.record(run, [failed], "PortInUse: 8080")
    assert_broken(chain.why(), "release", "deploy-canary", "PortInUse")
    assert_broken(chain.why("d1111111"), "release", "deploy-canary")


def test_canary_rolled_back(chain: Chain) -> None:
    approve(chain)
    chain.release("2", ReleaseState.ROLLED_BACK, reason="errors of 12 % against 1 %")
    assert_broken(chain.why(), "release", "rolled back", "12 %")
    used = "used by release 4711, rolled back: 12 %"
    (request,) = (r for r in targets.approvals(chain.settings).list() if r.version == "2")
    targets.approvals(chain.settings).void(request.id, used, release_id="4711")
    assert_broken(chain.why(), "release", "rolled back", "12 %")


def test_canary_left_alone(chain: Chain) -> None:
    run = chain.run(
        "d" + PROMOTED[1:], "promote", state=RunState.FAILED, approval_id=approve(chain)
    )
    chain.record(run, [], "orphaned")
    chain.release("2", ReleaseState.RUNNING)
    assert_broken(chain.why(), "release", "left at 10 %", "d1111111")


def test_taken_back_after_its_promotion(chain: Chain) -> None:
    approve(chain)
    chain.release("2", ReleaseState.PROMOTED)
    registry = targets.registry(chain.settings)
    registry.move_aliases(NAME, {"production": "2", "previous": "1", "staging": ""}, actor="x",
                          reason="")  # fmt: skip
    chain.release("1", ReleaseState.PROMOTED, returns=True, reason="wrong on Mondays")
    registry.move_aliases(NAME, {"production": "1", "previous": ""}, actor="x", reason="")
    assert_broken(chain.why(), "release", "wrong on Mondays")


def test_service_stopped(chain: Chain) -> None:
    looking = chain.looking
    looking.serving.stop(RECIPE.inference_service)
    assert_broken(chain.why(FIRST, serving=looking.serving), "service", "stopped")
    assert_broken(why_model(looking, NAME), "service", "stopped")


def test_service_that_never_was(chain: Chain) -> None:
    assert_broken(chain.why(FIRST, serving=targets.serving(chain.settings)), "service")


def test_service_of_another_version(chain: Chain) -> None:
    looking = chain.looking
    other = chain.release("2", ReleaseState.ROLLED_BACK).promoted()
    looking.serving.apply(RECIPE.inference_service, other)
    assert_broken(chain.why(FIRST, serving=looking.serving), "service", "serves version 2, not 1")


def test_lineage_gap(chain: Chain) -> None:
    some = RecordedLineage(ago(900), True, True, frozenset({"resolve", "extract"}))
    assert_broken(chain.why(FIRST, lineage=lambda run: some), "lineage", "train", "gate")
    none = RecordedLineage(ago(900))
    assert_broken(chain.why(FIRST, lineage=lambda run: none), "lineage", "no event")


# ---- no blame -------------------------------------------------------------------


def assert_healthy(found: Diagnosis, waits_for: str = "") -> None:
    assert found.broken is None, found.broken
    assert (found.waiting.name if found.waiting else "") == waits_for


def test_in_production(chain: Chain) -> None:
    assert_healthy(chain.why(FIRST))
    assert_healthy(chain.why(PROMOTED))
    assert_healthy(why_model(chain.looking, f"{NAME}@production"))
    assert {x.state for x in chain.why(FIRST).links} == {LinkState.OK}


def test_waiting_for_a_human(chain: Chain) -> None:
    assert_healthy(chain.why(), "approval")
    assert_healthy(why_model(chain.looking, NAME), "approval")
    assert chain.why().links[-2].state is LinkState.OK  # version 1 serves meanwhile


def test_first_release_with_nothing_in_production(chain: Chain) -> None:
    targets.registry(chain.settings).move_aliases(NAME, {"production": ""}, actor="x", reason="")
    found = chain.why(serving=targets.serving(chain.settings))
    assert found.links[-3].state is LinkState.NOT_REACHED
    assert found.broken is None or found.broken.name == "approval"  # the champion it was shown


def test_champion_unchanged(chain: Chain) -> None:
    """The same data gives the same model: registering it again changes nothing."""
    again = "e" + SECOND[1:]
    tasks = support.training(chain.snapshot, "1")
    chain.record(chain.run(again, age_s=10), tasks)
    assert_healthy(chain.why(again))
    assert_healthy(why_model(chain.looking, NAME))


def test_superseded(chain: Chain) -> None:
    approve(chain)
    chain.release("2", ReleaseState.PROMOTED)
    moves = {"production": "2", "previous": "1", "staging": ""}
    targets.registry(chain.settings).move_aliases(NAME, moves, actor="x", reason="canary")
    looking = chain.looking
    served = chain.release("2", ReleaseState.PROMOTED)
    looking.serving.apply(RECIPE.inference_service, served.promoted())
    assert_healthy(chain.why(FIRST, serving=looking.serving))
    assert_healthy(chain.why(SECOND, serving=looking.serving))


def test_under_way(chain: Chain) -> None:
    import os

    chain.retrain(lambda tasks: tasks[:3], state=RunState.RUNNING)
    running = dataclasses.replace(chain.run(SECOND, state=RunState.RUNNING), pid=os.getpid())
    chain.record(running, support.training(chain.snapshot, "2")[:3])
    assert_healthy(chain.why(), "step")


def test_canary_under_way_and_held(chain: Chain) -> None:
    import os

    run = chain.run(
        "d" + PROMOTED[1:], "promote", state=RunState.RUNNING, approval_id=approve(chain)
    )
    chain.record(dataclasses.replace(run, pid=os.getpid()), [])
    assert_healthy(chain.why(), "release")
    chain.release("2", ReleaseState.HELD, reason="too few requests")
    assert_healthy(chain.why(), "release")


def test_steps_from_the_cache(chain: Chain) -> None:
    def cached(tasks: list[Task]) -> list[Task]:
        return [dataclasses.replace(t, state=TaskState.CACHED) for t in tasks[:6]] + tasks[6:]

    chain.retrain(cached)
    assert_healthy(chain.why(), "approval")


def test_degraded_is_said(chain: Chain) -> None:
    looking = chain.looking
    name = RECIPE.inference_service
    ill = dataclasses.replace(looking.serving.get(name), state=ServiceState.DEGRADED)

    class Ill:
        def list(self):
            return [ill]

    assert_broken(chain.why(FIRST, serving=Ill()), "service", "degraded")


def test_a_route_that_the_gateway_refuses_is_the_broken_link(chain: Chain) -> None:
    looking = chain.looking
    refused = "Accepted: NotAllowedByListeners: namespace"
    ill = dataclasses.replace(
        looking.serving.get(RECIPE.inference_service), route_refusals=(refused,)
    )

    class Refused:
        def list(self) -> list[InferenceService]:
            return [ill]

    found = chain.why(FIRST, serving=Refused())
    assert_broken(found, "service", "HTTPRoute")
    assert found.broken and found.broken.evidence == (refused,)
    assert found.broken.fix == f"kubectl describe httproute {RECIPE.inference_service}"


# ---- asking ---------------------------------------------------------------------


def test_unknown_names(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NoSuchModel):
        why_model(chain.looking, "weekly-comits")
    empty = Settings(home=str(tmp_path / "empty"), project_root=str(support.ROOT))
    with pytest.raises(PreconditionMissing):
        why_model(targets.looking(empty), NAME)


def test_it_loads_nothing_that_takes_its_time(chain: Chain) -> None:
    """MLflow takes two seconds to import, Arrow half of one."""
    heavy = {"feast", "kfp", "mlflow", "optuna", "pandas", "pyarrow", "pyiceberg", "ray", "rich"}
    code = (
        "import sys; from platform_ctl.cli.app import main\n"
        f"try: main(['model', 'why', {NAME!r}])\n"
        f"finally: print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    env = {**os.environ, "PLATFORM_HOME": str(chain.home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=support.ROOT, env=env, capture_output=True, text=True
    )
    assert "data" in done.stdout and done.stderr.strip() == "[]"


def test_a_stuck_run_names_what_holds_it(chain: Chain) -> None:
    held = Blocker("Unschedulable", "0/1 nodes: cpu", lasting=True, fix="kubectl describe pod p")

    chain.retrain(lambda tasks: tasks[:3])
    run = targets.orchestrator(chain.settings).get(SECOND)
    waits = dataclasses.replace(task("train", TaskState.RUNNING), blocker=held)
    run = dataclasses.replace(run, state=RunState.RUNNING, tasks=(*run.tasks, waits))
    link = diagnose(facts_of(chain.looking, run), "run").broken
    assert link and "stuck" in link.says and "train" in link.says and "Unschedulable" in link.says
    assert link.fix == "kubectl describe pod p" and any("0/1 nodes" in e for e in link.evidence)


def test_a_step_that_was_killed_from_outside_says_so(chain: Chain) -> None:
    held = Blocker("OOMKilled", exit_code=137, fix="kubectl describe pod p")
    chain.retrain(lambda tasks: tasks[:3])
    run = targets.orchestrator(chain.settings).get(SECOND)
    killed = dataclasses.replace(task("train", TaskState.FAILED), blocker=held)
    run = dataclasses.replace(run, state=RunState.FAILED, tasks=(*run.tasks, killed))
    link = diagnose(facts_of(chain.looking, run), "run").broken
    assert link and link.says == "train failed: OOMKilled" and link.fix == held.fix


@dataclasses.dataclass(frozen=True)
class Away:
    """A registry, records or a cluster that does not answer."""

    error: PlatformError

    def models(self) -> list[RegisteredModel]:
        raise self.error

    def list(self) -> list[InferenceService]:
        raise self.error

    def history(self) -> list[AliasMove]:
        raise self.error


def test_a_registry_that_is_away_is_the_broken_link(chain: Chain) -> None:
    gone = StoreUnavailable("MLflow does not answer", where="http://mlflow", fix="look at it")
    found = chain.why(registry=Away(gone))
    assert_broken(found, "registration", "not known: MLflow does not answer")
    broken = found.broken
    assert broken and (broken.fix, broken.runbook) == ("look at it", gone.runbook)


def test_a_failed_step_is_named_although_everything_else_is_away(chain: Chain) -> None:
    gone = ClusterUnavailable("no answer", where="https://api", fix="kubectl cluster-info")
    away = Away(gone)
    failed = task("train", TaskState.FAILED)
    chain.retrain(lambda tasks: [*tasks[:3], failed], state=RunState.FAILED)
    assert_broken(chain.why(registry=away, approvals=away, serving=away), "step", "train")


def test_a_job_of_a_step_has_its_own_runbook(chain: Chain) -> None:
    held = Blocker("SuggestionNotReady", "OOMKilled", lasting=True, fix="kubectl …", of_job=True)
    chain.retrain(lambda tasks: tasks[:3])
    run = targets.orchestrator(chain.settings).get(SECOND)
    waits = dataclasses.replace(task("tune", TaskState.RUNNING), blocker=held)
    run = dataclasses.replace(run, state=RunState.RUNNING, tasks=(waits,))
    link = diagnose(facts_of(chain.looking, run), "run").broken
    assert link and link.runbook.endswith("katib-trials-stuck.md")
