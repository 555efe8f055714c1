"""Lineage of real runs: what is spooled, what it validates against, what is made good."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.lineage import git_source
from platform_ctl.lineage.backfill import Backfill
from platform_ctl.lineage.events import task_run_id
from platform_ctl.lineage.graph import Graph
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.recipe.recipe import Budget
from platform_ctl.runs.local.records import RunRecords
from platform_ctl.runs.observed import ObservedRuns
from platform_ctl.runs.port import RunObserver
from platform_ctl.runs.record import Run, RunEvent, RunRequest, RunState
from platform_ctl.settings import Settings
from platform_ctl.tuning.experiment import Trial, TrialState
from platform_ctl.tuning.local.folder import FolderTuner
from platform_ctl.tuning.local.journal import Journal, TrialLine
from tests.support import experiments, openlineage_check, six_steps, trials


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Run]]:
    """Three runs of one pipeline: executed, from the cache, and failed."""
    root = tmp_path_factory.mktemp("lineage")
    pipeline = six_steps.write_project(root)
    settings = _settings(root)
    runs = [_run(settings, pipeline), _run(settings, pipeline)]
    (root / "recipes" / "shop" / "fitting.py").unlink()
    runs.append(_run(settings, pipeline))
    return settings, runs


def _run(settings: Settings, pipeline: Path) -> Run:
    return targets.orchestrator(settings).run(RunRequest(pipeline), lambda event: None)


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["job"]["name"].removeprefix("six-steps"), e["eventType"]) for e in events]


# ---- what is written ------------------------------------------------------------


def test_every_task_starts_and_ends_inside_its_run(project: tuple[Settings, list[Run]]) -> None:
    settings, (run, *_) = project
    events = targets.lineage_outbox(settings).of_run(run.id)
    told = kinds(events)
    assert told[0] == ("", "START") and told[-1] == ("", "COMPLETE")
    for task in ("begin", "clean", "features", "fit", "score", "publish"):
        assert told.index((f".{task}", "START")) < told.index((f".{task}", "COMPLETE"))
    assert len(events) == 14
    parents = {e["run"]["facets"]["parent"]["run"]["runId"] for e in events[1:-1]}
    assert parents == {run.id}


def test_cached_tasks_point_at_the_run_that_did_the_work(
    project: tuple[Settings, list[Run]],
) -> None:
    settings, (first, second, _) = project
    events = targets.lineage_outbox(settings).of_run(second.id)
    ends = {e["job"]["name"]: e for e in events if e["eventType"] == "COMPLETE"}
    cache = ends["six-steps.fit"]["run"]["facets"]["platform_cache"]
    assert cache["decision"] == "HIT"
    assert cache["producedBy"]["taskRunId"] == task_run_id(first.id, "fit")
    assert ends["six-steps.publish"]["run"]["facets"]["platform_cache"]["decision"] == "BYPASS"
    assert (".fit", "START") in kinds(events)


def test_failure_is_an_event_with_its_message(project: tuple[Settings, list[Run]]) -> None:
    settings, (*_, failed) = project
    assert failed.state is RunState.FAILED
    events = targets.lineage_outbox(settings).of_run(failed.id)
    assert kinds(events)[-1] == ("", "FAIL")
    broken = next(e for e in events if e["eventType"] == "FAIL")
    assert "fitting" in broken["run"]["facets"]["errorMessage"]["message"]
    assert broken["outputs"] == []


def test_events_validate(project: tuple[Settings, list[Run]]) -> None:
    """Spec facets against upstream's classes, ours against the published schemas."""
    settings, _ = project
    events = targets.lineage_outbox(settings).events()
    assert sum(map(openlineage_check.check, events)) > 100


def test_repair_adds_what_a_killed_run_left_out(project: tuple[Settings, list[Run]]) -> None:
    settings, (run, *_) = project
    observer, outbox = targets.lineage_observer(settings), targets.lineage_outbox(settings)
    assert observer.repair(run) == 0
    path = outbox.files()[0]
    whole = path.read_text()
    lines = [json.dumps(e) for e in outbox.of_run(run.id)]
    path.write_text("\n".join(lines[:5]) + "\n")
    recorded = targets.recorded_lineage(settings, run)
    assert recorded.started and not recorded.ended
    assert observer.repair(run) == len(lines) - 5
    assert sorted(kinds(outbox.of_run(run.id))) == sorted(kinds(list(map(json.loads, lines))))
    assert targets.recorded_lineage(settings, run).ended
    path.write_text(whole)


def test_a_look_at_a_killed_run_shows_its_last_events_and_writes_none(tmp_path: Path) -> None:
    settings, run_id = _killed_run(tmp_path)
    outbox = targets.lineage_outbox(settings)
    before = kinds(outbox.of_run(run_id))
    assert ("", "START") in before and ("", "FAIL") not in before
    noted = noted_runs(settings)
    assert noted == [run_id]
    assert targets.orchestrator(settings).list(1)[0].died
    shown = targets.events_of(settings, targets.orchestrator(settings).get(run_id))
    assert kinds(shown)[-1] == ("", "FAIL") and (".fit", "FAIL") in kinds(shown)
    last = shown[-1]["run"]["facets"]
    assert "the process of the run died" in last["errorMessage"]["message"]
    assert kinds(outbox.of_run(run_id)) == before
    assert noted_runs(settings) == noted


def test_a_repair_writes_the_last_events_of_a_killed_run_once(tmp_path: Path) -> None:
    settings, run_id = _killed_run(tmp_path)
    outbox = targets.lineage_outbox(settings)
    shown = targets.events_of(settings, targets.orchestrator(settings).get(run_id))
    assert targets.record_deaths(settings) == (run_id,)
    told = outbox.of_run(run_id)
    assert kinds(told)[-1] == ("", "FAIL")
    assert sorted(kinds(told)) == sorted(kinds(shown))
    assert [e["eventTime"] for e in told] == [e["eventTime"] for e in shown]
    assert targets.record_deaths(settings) == ()
    assert kinds(outbox.of_run(run_id)) == kinds(told)
    assert noted_runs(settings) == []


def test_a_repair_that_is_killed_itself_loses_nothing(tmp_path: Path) -> None:
    """The record says FAILED, the events were not written: the next repair writes them."""
    settings, run_id = _killed_run(tmp_path)
    outbox = targets.lineage_outbox(settings)
    killed = RunRecords(targets.database(settings), targets.lineage_observer(settings).owe)
    assert killed.record_deaths() == (run_id,)
    assert ("", "FAIL") not in kinds(outbox.of_run(run_id))
    assert targets.record_deaths(settings) == ()
    assert kinds(outbox.of_run(run_id))[-1] == ("", "FAIL")


def test_two_repairs_at_once_write_once(tmp_path: Path) -> None:
    settings, run_id = _killed_run(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: targets.record_deaths(settings), range(4)))
    told = kinds(targets.lineage_outbox(settings).of_run(run_id))
    assert len(told) == len(set(told)) and ("", "FAIL") in told


def test_a_killed_run_that_is_resumed_ends_again(tmp_path: Path) -> None:
    """After its death was recorded: the last event is of its real end."""
    settings, run_id = _killed_run(tmp_path)
    orchestrator, outbox = targets.orchestrator(settings), targets.lineage_outbox(settings)
    assert targets.record_deaths(settings) == (run_id,)
    assert kinds(outbox.of_run(run_id))[-1] == ("", "FAIL")
    (tmp_path / "recipes" / "shop" / "fitting.py").write_text(six_steps.MODULES["fitting.py"])
    assert orchestrator.resume(run_id, lambda event: None).state is RunState.SUCCEEDED
    told = kinds(outbox.of_run(run_id))
    assert told[-1] == ("", "COMPLETE") and (".fit", "COMPLETE") in told
    assert {t.state for t in Graph(outbox.of_run(run_id)).of_run(run_id)} == {"COMPLETE"}


def test_trials_of_a_search_that_was_killed_with_its_run(tmp_path: Path) -> None:
    """From the search's journal; the one that was running then is aborted."""
    settings, run_id = _killed_run(tmp_path)
    workdir = Path(settings.home) / "runs" / run_id / "tuning"
    _search(tmp_path, workdir, task="fit")
    with Journal(workdir) as journal:
        running = Trial("late", 9, (), state=TrialState.RUNNING, start_time=datetime.now(UTC))
        journal.write(TrialLine(running))
    targets.record_deaths(settings)
    events = targets.lineage_outbox(settings).of_run(run_id)
    ends = [e for e in events if e["job"]["name"] == "six-steps.fit.trial"]
    assert sorted(e["eventType"] for e in ends) == ["ABORT", *["COMPLETE"] * 3, *["START"] * 4]
    assert {e["run"]["facets"]["parent"]["run"]["runId"] for e in ends} == {
        task_run_id(run_id, "fit")
    }
    (fit,) = [t for t in Graph(events).of_run(run_id) if t.job == "six-steps.fit"]
    assert [t.state for t in Graph(events).trials(fit)] == ["COMPLETE"] * 3 + ["ABORT"]
    assert kinds(events)[-1] == ("", "FAIL")


def test_a_search_belongs_to_the_task_that_ran_it(tmp_path: Path) -> None:
    settings, run_id = _killed_run(tmp_path)
    _search(tmp_path, Path(settings.home) / "runs" / run_id / "tuning", task="another")
    targets.record_deaths(settings)
    told = targets.lineage_outbox(settings).of_run(run_id)
    assert not [e for e in told if "trial" in e["job"]["name"]]


@pytest.mark.parametrize(
    "recipe", ["raise RuntimeError", "import nothing_like_it", "RECIPE = None", "nonsense ("]
)
def test_a_broken_recipe_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    pipeline = six_steps.write_project(tmp_path)
    package = f"broken_{abs(hash(recipe))}"
    (tmp_path / package / "shop").mkdir(parents=True)
    (tmp_path / package / "shop" / "recipe.py").write_text(recipe)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = msgspec.structs.replace(_settings(tmp_path), recipes_package=package)
    assert _run(settings, pipeline).state is RunState.SUCCEEDED
    assert len(targets.lineage_outbox(settings).events()) == 14


def _search(root: Path, workdir: Path, task: str) -> None:
    """Three trials, by the tuner of a step of that name."""
    tuner = FolderTuner(root, environment={"PLATFORM_TASK_NAME": task})
    search = experiments.experiment(experiments.double("x", 0, 1), trials=3)
    tuner.run(search, trial=trials.bowl, workdir=workdir, budget=Budget())


def test_a_full_disk_costs_no_event_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = six_steps.write_project(tmp_path)
    settings = _settings(tmp_path)
    append, calls = Outbox.append, []

    def full(self: Outbox, events: Any) -> None:
        calls.append(1)
        if len(calls) in (3, 4, 5):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, events)

    monkeypatch.setattr(Outbox, "append", full)
    run = _run(settings, pipeline)
    assert run.state is RunState.SUCCEEDED and len(calls) > 5
    told = kinds(targets.lineage_outbox(settings).of_run(run.id))
    assert len(told) == 14 and len(set(told)) == 14


def test_a_kill_between_the_end_of_a_run_and_its_last_event_loses_nothing(tmp_path: Path) -> None:
    """Whoever follows the next run writes it, once."""
    pipeline, settings = six_steps.write_project(tmp_path), _settings(tmp_path)
    observed = targets.orchestrator(settings)
    assert isinstance(observed, ObservedRuns)
    unended = replace(observed, observers=lambda: [BeforeTheEnd(o) for o in observed.observers()])
    run = unended.run(RunRequest(pipeline), lambda event: None)
    outbox = targets.lineage_outbox(settings)
    assert ("", "COMPLETE") not in kinds(outbox.of_run(run.id))
    assert noted_runs(settings) == [run.id]
    _run(settings, pipeline)
    told = kinds(outbox.of_run(run.id))
    assert told[-1] == ("", "COMPLETE") and len(told) == len(set(told)) == 14
    assert noted_runs(settings) == []


def test_an_end_that_another_process_wrote_is_not_written_twice(tmp_path: Path) -> None:
    pipeline, settings = six_steps.write_project(tmp_path), _settings(tmp_path)
    observed = targets.orchestrator(settings)
    assert isinstance(observed, ObservedRuns)
    early = [Backfilling(settings), *observed.observers()]
    run = replace(observed, observers=lambda: early).run(RunRequest(pipeline), lambda event: None)
    told = kinds(targets.lineage_outbox(settings).of_run(run.id))
    assert told[-1] == ("", "COMPLETE") and len(told) == len(set(told)) == 14


def test_a_note_about_a_run_of_another_target_stays(tmp_path: Path) -> None:
    pipeline, settings = six_steps.write_project(tmp_path), _settings(tmp_path)
    Backfill(settings.layout.lineage, "kubernetes").add("a-run-of-kfp")
    _run(settings, pipeline)
    assert os.listdir(settings.layout.lineage / "owed") == ["a-run-of-kfp"]
    assert noted_runs(settings) == []


def noted_runs(settings: Settings) -> list[str]:
    return targets.lineage_observer(settings).backfill.run_ids()


@dataclass(frozen=True)
class BeforeTheEnd:
    """An observer whose process is killed when the run has ended."""

    observer: RunObserver

    def observe(self, run: Run, event: RunEvent) -> None:
        self.observer.observe(run, event)

    def ended(self, run: Run) -> None:
        pass


@dataclass(frozen=True)
class Backfilling:
    """Another process that writes what is noted, between the end of a run and its last event."""

    settings: Settings

    def observe(self, run: Run, event: RunEvent) -> None:
        pass

    def ended(self, run: Run) -> None:
        runs = targets.run_reader(self.settings)
        assert targets.lineage_observer(self.settings).write_backfill(runs)


def _settings(root: Path) -> Settings:
    return msgspec.structs.replace(
        Settings(), home=str(root / "home"), project_root=str(root), recipes_package="recipes"
    )


def _killed_run(root: Path) -> tuple[Settings, str]:
    """A run whose own process was killed by its fourth step."""
    pipeline = six_steps.write_project(root)
    (root / "recipes" / "shop" / "fitting.py").write_text(
        "import os, signal, time\n\n\ndef fit(rows, rate, model):\n"
        "    os.kill(int(os.environ['PLATFORM_RUN_PID']), signal.SIGKILL)\n    time.sleep(60)\n"
    )
    settings = _settings(root)
    program = "from platform_ctl.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "pipeline", "run", str(pipeline)],
        cwd=root,
        env={**os.environ, "PLATFORM_HOME": settings.home},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (folder,) = (Path(settings.home) / "runs").iterdir()
    return settings, folder.name


def test_graph(project: tuple[Settings, list[Run]]) -> None:
    settings, (run, *_) = project
    graph = Graph(targets.lineage_outbox(settings).events())
    (model,) = graph.find("six-steps.fit.model")
    up = json.dumps(msgspec.to_builtins(graph.upstream(model)))
    assert "six-steps.begin" in up and "six-steps.score" not in up
    rows = graph.find("six-steps.clean.out")[-1]
    down = json.dumps(msgspec.to_builtins(graph.downstream(rows)))
    assert "six-steps.score" in down and "six-steps.begin" not in down
    assert [t.job for t in graph.of_run(run.id)][-1] == "six-steps.publish"
    assert graph.find("nothing of the kind") == []


# ---- the outbox ------------------------------------------------------------------


def event(number: int) -> dict[str, Any]:
    return {"eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "number": number}


def test_a_torn_line_costs_one_event(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append([event(1)])
    with outbox.files()[0].open("ab") as file:
        file.write(b'{"eventType": "ST')
    outbox.append([event(2)])
    assert [e["number"] for e in outbox.events()] == [1, 2]


def test_ends_are_what_is_left_without_starts(tmp_path: Path) -> None:
    """Whoever wrote the line: the outbox, or a hand with other spaces and order."""
    outbox = Outbox(tmp_path)
    outbox.append([event(1), {**event(2), "eventType": "COMPLETE"}])
    with outbox.files()[0].open("ab") as file:
        file.write(b'{"number": 3, "eventType": "START"}\n{"number": 4, "eventType": "FAIL"}\n')
        file.write(b'{"eventType": "COMPL')
    assert [e["number"] for e in outbox.ends()] == [2, 4]


def test_source_has_no_password(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text("c0ffee\n")
    (git / "config").write_text('[remote "origin"]\n\turl = https://me:secret@git.lan/a/b.git\n')
    (tmp_path / "x.py").touch()
    source = git_source.source_of(tmp_path, "x.py")
    assert source.url == "https://git.lan/a/b/blob/c0ffee/x.py"
    assert git_source.source_of(tmp_path, "gone.py").url == "/blob//"
