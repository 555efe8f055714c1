"""``run diff`` with one seeded change."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.domain.run_diff import Difference, Kind, Side, compare
from platform_ctl.domain.runs import Artifact, Outputs, Run, RunRequest, RunState, Task, TaskState
from platform_ctl.domain.runs import Usage as TaskUsage
from platform_ctl.settings import Settings
from tests.support import six_steps


@dataclasses.dataclass
class Project:
    root: Path

    @property
    def settings(self) -> Settings:
        return msgspec.structs.replace(
            Settings(), home=str(self.root / "home"), project_root=str(self.root)
        )

    @property
    def pipeline(self) -> Path:
        return self.root / "six_steps.yaml"

    def run(self, **parameters: object) -> Run:
        request = RunRequest(self.pipeline, parameters)
        return targets.orchestrator(self.settings).run(request, lambda event: None)

    def edit(self, module: str, old: str, new: str) -> None:
        path = self.root / "recipes" / "shop" / f"{module}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def diff(self, a: Run, b: Run) -> tuple[Difference, ...]:
        return compare(*(targets.compared_run(self.settings, run) for run in (a, b)))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run once."""
    project = Project(tmp_path_factory.mktemp("impact") / "project")
    project.root.mkdir()
    six_steps.write_project(project.root)
    assert project.run().state is RunState.SUCCEEDED
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    copy = Project(tmp_path / "project")
    shutil.copytree(template.root, copy.root)
    return copy


def comment(project: Project) -> None:
    project.edit("cleaning", "# twice each", "# two times each")


def step_function(project: Project) -> None:
    project.edit("fitting", "str(total * rate)", "str(total * rate + 1)")


# ---- run diff -------------------------------------------------------------------


def test_a_parameter_is_named_first(project: Project) -> None:
    found = project.diff(project.run(), project.run(rate=0.9))
    assert (found[0].kind, found[0].what, found[0].old, found[0].new) == (
        Kind.PARAMETER, "rate", "0.5", "0.9",
    )  # fmt: skip
    assert found[0].tasks == ("fit",)
    assert [d for d in found if d.kind.is_cause] == [found[0]]


def test_an_edit_is_named_first(project: Project) -> None:
    before = project.run()
    step_function(project)
    comment(project)
    found = project.diff(before, project.run())
    assert found[0].kind is Kind.CODE and "fitting" in found[0].what
    assert [d for d in found if d.kind.is_cause] == [found[0]]
    assert any(d.kind is Kind.ARTIFACT and d.what == "fit.model" for d in found)


def test_nothing_changed(project: Project) -> None:
    found = project.diff(project.run(), project.run())
    assert [d for d in found if d.kind < Kind.COST] == []


def run(snapshot: str = "1", mase: float = 1.0, wall_s: float = 1.0, **parameters: object) -> Run:
    """A run with a first task that finds data, and metrics."""
    usage = TaskUsage(wall_s, wall_s)
    metrics = Artifact("m", "/m", "system.Metrics", metadata={"mase": mase}, digest=str(mase))
    return Run(
        "r", "r", "p", RunState.SUCCEEDED, "2026-01-01T00:00:00Z", "/r", parameters,
        tasks=(
            Task("resolve", "resolve", "c", TaskState.SUCCEEDED, usage=usage,
                 outputs=Outputs({"snapshot_id": snapshot})),
            Task("evaluate", "evaluate", "c", TaskState.SUCCEEDED, usage=usage,
                 inputs=Outputs({"snapshot_id": snapshot}),
                 outputs=Outputs({"verdict": "successful" if mase < 2 else "failed"},
                                 {"m": (metrics,)})),
        ),
    )  # fmt: skip


BOUND = {"resolve": {}, "evaluate": {"snapshot_id": "resolve"}}


def test_new_data_comes_before_its_effects() -> None:
    old, new = (Side(r, bound=BOUND) for r in (run(), run("2", mase=2.5, wall_s=9.0)))
    found = compare(old, new)
    assert (found[0].kind, found[0].what, found[0].tasks) == (
        Kind.DATA, "resolve.snapshot_id", ("evaluate",),
    )  # fmt: skip
    kinds = [d.kind for d in found[1:]]
    assert kinds == sorted(kinds) and Kind.VERDICT in kinds and Kind.METRIC in kinds
    metric = next(d for d in found if d.kind is Kind.METRIC)
    assert metric.new == "2.5 (+150.0 %)"
    assert json.dumps([d.kind.name for d in found])


def test_noise_is_no_cause() -> None:
    found = compare(Side(run(), bound=BOUND), Side(run(wall_s=30.0), bound=BOUND))
    assert {d.kind for d in found} == {Kind.COST, Kind.DURATION}
