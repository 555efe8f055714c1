"""``run diff`` on real runs: one seeded change among the noise of running, named first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from platform_ctl import targets
from platform_ctl.explain.compared import DifferenceKind, RunDifference
from platform_ctl.explain.run_diff import compare
from platform_ctl.runs.record import Run
from tests.support import small_project as edits
from tests.support.small_project import Project


def diff(project: Project, a: Run, b: Run) -> tuple[RunDifference, ...]:
    return compare(*(targets.compared_run(project.settings, run) for run in (a, b)))


def causes(found: tuple[RunDifference, ...]) -> list[tuple[DifferenceKind, str]]:
    return [(d.kind, d.what) for d in found if d.kind.is_cause]


FEATURES, FITTING = "small_recipes.shop.features", "small_recipes.shop.fitting"
SEEDED: list[tuple[Callable[[Project], None], dict[str, object], DifferenceKind, str]] = [
    (edits.nothing, {"trials": 3}, DifferenceKind.PARAMETER, "trials"),
    (edits.new_commits, {}, DifferenceKind.DATA, "look.snapshot_id"),
    (edits.step_function, {}, DifferenceKind.CODE, f"{FEATURES}:extract"),
    (edits.step_function_with_the_same_result, {}, DifferenceKind.CODE, f"{FEATURES}:extract"),
    (edits.feature_added, {}, DifferenceKind.CODE, "small_recipes.shop.definitions:FEATURES"),
    (edits.threshold, {}, DifferenceKind.CODE, "small_recipes.shop.limits:CEILING"),
    (edits.threshold_that_fails, {}, DifferenceKind.CODE, "small_recipes.shop.limits:CEILING"),
    (edits.search_space, {}, DifferenceKind.CODE, "code.data.small_recipes/shop/space.json"),
    (edits.dependency, {}, DifferenceKind.PACKAGE, "code.packages.shopmath"),
    (edits.image, {}, DifferenceKind.ENVIRONMENT, "image"),
    (edits.step_added, {}, DifferenceKind.PIPELINE, "step announce-2"),
    (edits.statement_at_the_top, {}, DifferenceKind.CODE, f"{FITTING} (module level)"),
    (edits.called_by_the_step, {}, DifferenceKind.CODE, f"{FEATURES}:extract"),
]


@pytest.mark.parametrize(
    ("edit", "parameters", "kind", "what"), SEEDED, ids=lambda v: getattr(v, "__name__", None)
)
def test_the_seeded_change_is_named_first(
    project: Project,
    edit: Callable[[Project], None],
    parameters: dict[str, object],
    kind: DifferenceKind,
    what: str,
) -> None:
    before = edits.newest(project)
    edits.comment(project)
    edit(project)
    found = diff(project, before, project.run(**parameters))
    assert causes(found)[0] == (kind, what), found
    assert {k for k, _ in causes(found)} == {kind}
    assert found[0].tasks


@pytest.mark.parametrize(
    "edit",
    [
        edits.nothing,
        edits.comment,
        edits.docstring,
        edits.unrelated_function,
        edits.unrelated_constant,
        edits.back_and_forth,
        edits.evicted,
        edits.tampered,
    ],
    ids=lambda v: v.__name__,
)
def test_noise_is_not_blamed(project: Project, edit: Callable[[Project], None]) -> None:
    before = edits.newest(project)
    edit(project)
    found = diff(project, before, project.run())
    assert causes(found) == []
    assert {d.kind for d in found} <= {DifferenceKind.COST, DifferenceKind.DURATION}


def test_a_result_that_changes_by_itself_is_chance(project: Project) -> None:
    project.edit("search.py", "return min(", "import time\n    return time.time_ns() + min(")
    before = project.run()
    edits.lost_entry(project, "search")
    found = diff(project, before, project.run())
    assert causes(found) == [(DifferenceKind.CHANCE, "search.rate")]
    assert (DifferenceKind.ARTIFACT, "fit.model") in [(d.kind, d.what) for d in found]


def test_a_function_that_is_gone_or_new_comes_after_the_one_that_was_edited(
    project: Project,
) -> None:
    before = edits.newest(project)
    edits.called_by_the_step(project)
    found = diff(project, before, project.run())
    assert causes(found) == [
        (DifferenceKind.CODE, f"{FEATURES}:extract"),
        (DifferenceKind.CODE, f"{FEATURES}:describe"),
    ]
    assert found[1].old == "" and found[1].new


def test_what_was_not_recorded_is_said(project: Project) -> None:
    """A run without the cache asks it nothing, so nothing says what its steps depended on."""
    before = edits.newest(project)
    edits.step_function(project)
    found = diff(project, before, project.run(use_cache=False))
    assert causes(found) == [(DifferenceKind.UNRECORDED, "extract.rows")]


def test_functions_that_are_no_longer_remembered_are_told_by_module(project: Project) -> None:
    before = edits.newest(project)
    edits.step_function(project)
    after = project.run()
    targets.state(project.settings).execute("DELETE FROM code_memo")
    assert causes(diff(project, before, after)) == [
        (DifferenceKind.CODE, f"code.modules.{FEATURES}")
    ]
