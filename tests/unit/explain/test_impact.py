"""``pipeline impact`` against what then happens: a corpus of edits on a small train-deploy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.explain.impact import Impact, StepForecast
from platform_ctl.runs.record import Run, RunRequest
from platform_ctl.settings import Settings
from tests.support import looping, small_train
from tests.support.predictions import assert_came_true
from tests.support.small_project import (
    Project,
    back_and_forth,
    back_from_a_failed_gate,
    comment,
    dependency,
    dependency_with_another_result,
    docstring,
    embedded_source,
    evicted,
    feature_added,
    image,
    last_run_failed,
    lost,
    new_commits,
    newest,
    nothing,
    quarantined,
    search_space,
    search_space_with_the_same_best,
    step_added,
    step_function,
    step_function_with_the_same_result,
    tampered,
    threshold,
    threshold_that_fails,
    unrelated_constant,
    unrelated_function,
)

HIT, RUN, DEPENDS = StepForecast.HIT, StepForecast.RUN, StepForecast.DEPENDS
STEPS = ("look", "extract", "search", "fit", "judge", "condition-1.publish", "condition-1.announce")
ALWAYS = {"look": RUN, "condition-1.publish": RUN, "condition-1.announce": DEPENDS}


ALL_OF_IT: dict[str, StepForecast] = {
    "extract": RUN,
    "search": DEPENDS,
    "fit": DEPENDS,
    "judge": DEPENDS,
}
CORPUS: list[tuple[Callable[[Project], None], dict[str, object], dict[str, StepForecast]]] = [
    (nothing, {}, {}),
    (comment, {}, {}),
    (docstring, {}, {}),
    (unrelated_function, {}, {}),
    (unrelated_constant, {}, {}),
    (back_and_forth, {}, {}),
    (step_function, {}, ALL_OF_IT),
    (step_function_with_the_same_result, {}, ALL_OF_IT),
    (feature_added, {}, {**ALL_OF_IT, "search": RUN}),
    (threshold, {}, {"judge": RUN}),
    (threshold_that_fails, {}, {"judge": RUN}),
    (back_from_a_failed_gate, {}, {"judge": RUN}),
    (search_space, {}, {"search": RUN, "fit": DEPENDS, "judge": DEPENDS}),
    (search_space_with_the_same_best, {}, {"search": RUN, "fit": DEPENDS, "judge": DEPENDS}),
    (nothing, {"trials": 3}, {"search": RUN, "fit": DEPENDS, "judge": DEPENDS}),
    (new_commits, {}, ALL_OF_IT),
    (dependency, {}, {"fit": RUN, "judge": DEPENDS}),
    (dependency_with_another_result, {}, {"fit": RUN, "judge": DEPENDS}),
    (evicted, {}, dict.fromkeys(ALL_OF_IT, RUN)),
    (tampered, {}, ALL_OF_IT),
    (quarantined, {}, ALL_OF_IT),
    (lost, {}, {"fit": RUN, "judge": DEPENDS}),
    (image, {}, dict.fromkeys(ALL_OF_IT, RUN)),
    (step_added, {}, {"announce-2": RUN}),
    (embedded_source, {}, {}),
    (last_run_failed, {"trials": 3}, {"fit": RUN, "judge": DEPENDS}),
]
"""Edit, parameters of the run, and the fates beside hits: what a person would expect."""


@pytest.mark.parametrize(
    ("edit", "parameters", "told"), CORPUS, ids=lambda v: getattr(v, "__name__", None)
)
def test_predicted_is_what_happens(
    project: Project,
    edit: Callable[[Project], None],
    parameters: dict[str, object],
    told: dict[str, StepForecast],
) -> None:
    edit(project)
    before = newest(project)
    rows = _rows(project)
    expected = project.impact(**parameters)
    assert _rows(project) == rows
    assert expected.against == before.id
    assert_came_true(expected, before, project.run(**parameters))
    wanted = dict.fromkeys(STEPS, HIT) | ALWAYS | told
    if "judge" in told:  # the verdict is not known yet
        wanted |= {"condition-1.publish": DEPENDS}
    assert {s.task: s.fate for s in expected.steps} == wanted


# ---- what is not there yet ------------------------------------------------------


def _rows(project: Project) -> list[tuple]:
    """What a forecast must not touch."""
    db = targets.state(project.settings)
    tables = ("runs", "tasks", "cache_entries", "cache_decisions", "cache_objects", "ledger")
    return [tuple(r) for t in tables for r in db.execute(f"SELECT * FROM {t}")]


def test_first_run(fresh: Project) -> None:
    expected = fresh.impact()
    assert expected.against == "" and expected.at_most.wall_s == 0
    fates = {s.task: s.fate for s in expected.steps}
    inside = [s for s in expected.steps if s.task.startswith("condition-1.")]
    assert {s.depends_on for s in inside} == {("judge.verdict",)}
    assert all(s.why.endswith("reached or not with judge.verdict") for s in inside)
    assert {f for t, f in fates.items() if not t.startswith("condition-1.")} == {RUN}
    assert_came_true(expected, None, fresh.run())


def test_a_step_that_would_fail_says_so(fresh: Project) -> None:
    (fresh.home / "outside.json").unlink()
    first = fresh.impact().steps[0]
    assert (first.task, first.fate) == ("look", RUN)
    assert first.why == "it would fail now: there is no table shop.sales yet"


def test_what_changed_outside_is_told(project: Project) -> None:
    small_train.look_at(project.home, snapshot_id="8")
    look, extract, *_ = project.impact().steps
    assert look.why == "caching is off for this task; now snapshot_id 7 -> 8"
    assert extract.why == "parameters.snapshot_id: 7 -> 8"


# ---- figures --------------------------------------------------------------------


def test_figures_add_up_and_are_of_the_most_similar_execution(project: Project) -> None:
    few = project.run(trials=1)
    project.run(trials=3)
    project.edit("search.py", "+ 0 * len(names)", "+ 0.0 * len(names)")
    expected = project.impact(trials=1)
    took = next(t for t in few.tasks if t.path == "search").usage
    found = next(s for s in expected.steps if s.task == "search")
    assert (found.wall_s, found.cpu_s) == (took.wall_s, took.cpu_s)
    by_fate = {f: [s for s in expected.steps if s.fate is f] for f in StepForecast}
    assert expected.at_least.cpu_s == pytest.approx(sum(s.cpu_s for s in by_fate[RUN]))
    assert expected.at_most.cpu_s > expected.at_least.cpu_s > 0
    assert expected.saved.wall_s == pytest.approx(sum(s.wall_s for s in by_fate[HIT]))
    rate = project.settings.money_per_cpu_hour
    assert expected.at_most.money == pytest.approx(expected.at_most.cpu_s / 3600 * rate)


def test_figures_hold_what_the_ledger_charged_beyond_the_process(project: Project) -> None:
    """The training of a step happens in the run's Ray, not in the step's process."""
    (run,) = targets.orchestrator(project.settings).list(1)
    targets.ledger(project.settings).charge_ray(run.id, "fit", 12.5)
    step_function(project)
    fit = next(s for s in project.impact().steps if s.task == "fit")
    took = next(t for t in targets.orchestrator(project.settings).get(run.id).tasks
                if t.path == "fit").usage  # fmt: skip
    assert fit.cpu_s == pytest.approx(took.cpu_s + 12.5)


# ---- loops and branches ---------------------------------------------------------


def test_loops_and_branches(tmp_path: Path) -> None:
    """How often a loop turns, and which branch is taken, hang on the outputs that decide it."""
    pipeline = looping.write_project(tmp_path)
    settings = msgspec.structs.replace(
        Settings(), home=str(tmp_path / "home"), project_root=str(tmp_path)
    )

    def impact(n: int) -> Impact:
        return targets.impact(settings, pipeline, {"n": n})

    def run(n: int) -> Run:
        return targets.orchestrator(settings).run(RunRequest(pipeline, {"n": n}), lambda e: None)

    first = {s.task: s for s in impact(3).steps}
    assert first["for-loop-1.square"].depends_on == ("count.Output",)
    assert first["for-loop-1.square"].why == "as often as count.Output says"
    branches = [s for s in first.values() if s.task.startswith("condition-branches-")]
    assert {s.depends_on for s in branches} == {("size.Output",)} and len(branches) == 2
    assert {first[name].fate for name in ("count", "total", "size", "say")} == {RUN}

    before = run(3)
    again = impact(3)
    assert {s.fate for s in again.steps} == {HIT, StepForecast.SKIP}
    assert_came_true(again, before, run(3))

    more = impact(4)
    told = {s.task: s for s in more.steps}
    assert told["count"].why == "parameters.n: 3 -> 4"
    turns = [s for s in more.steps if s.task.startswith("for-loop-1.")]
    assert len(turns) == 3 and {s.depends_on for s in turns} == {("count.Output",)}
    assert all("reached or not with count.Output" in s.why for s in turns)
    assert told["total"].depends_on == (
        *("count.Output",), *(f"for-loop-1.{i}.square.Output" for i in range(3)),
    )  # fmt: skip
    assert told["size"].depends_on == ("total.Output",)
    assert "size.Output" in told["say"].depends_on  # which branch it hears from
    states = {t.path: t.state for t in run(4).tasks}
    assert len([p for p in states if p.startswith("for-loop-1.")]) == 4
