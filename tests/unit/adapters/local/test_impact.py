"""``pipeline impact`` against what then happens: a corpus of edits on a small train-deploy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from platform_ctl import settings as settings_module
from platform_ctl import targets
from platform_ctl.domain.impact import Fate, Impact
from platform_ctl.domain.runs import Run, RunRequest, RunState
from platform_ctl.settings import Settings
from tests.support import small_train
from tests.support.predictions import assert_came_true

HIT, RUN, DEPENDS = Fate.HIT, Fate.RUN, Fate.DEPENDS
STEPS = ("look", "extract", "search", "fit", "judge", "condition-1.publish", "condition-1.announce")
ALWAYS = {"look": RUN, "condition-1.publish": RUN, "condition-1.announce": DEPENDS}


class Project:
    """A checkout with its home; ``site`` is where its one dependency is installed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.site = root / "site-packages"
        self.home = root / "home"

    @property
    def settings(self) -> Settings:
        flags = {"home": str(self.home)}
        return settings_module.load(cwd=self.root, env={}, flags=flags).settings

    @property
    def pipeline(self) -> Path:
        return self.root / small_train.COMPILED

    def run(self, *, may_fail: bool = False, **parameters: object) -> Run:
        request = RunRequest(self.pipeline, parameters)
        run = targets.orchestrator(self.settings).run(request, lambda event: None)
        assert may_fail or run.state is RunState.SUCCEEDED, run
        return run

    def impact(self, **parameters: object) -> Impact:
        return targets.impact(self.settings, self.pipeline, parameters)

    def compile(self) -> None:
        targets.pipelines(self.settings).compile()

    def edit(self, module: str, old: str, new: str) -> None:
        folder = self.root / small_train.PACKAGE / "shop"
        path = self.root / module if "/" in module else folder / module
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def artifact(self, component: str) -> Path:
        """The cached bytes of a component's artifact."""
        query = (
            "SELECT o.object FROM cache_entry_objects o JOIN cache_entries e ON e.key = o.key"
            " WHERE e.component = ?"
        )
        (digest,) = targets.state(self.settings).execute(query, (component,)).fetchone()
        return self.settings.layout.cache / "objects" / digest[:2] / digest / "data"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A compiled project that has not run yet."""
    project = Project(tmp_path_factory.mktemp("impact") / "project")
    project.root.mkdir()
    small_train.write_project(project.root)
    small_train.install_shopmath(project.site, "1.0")
    project.compile()
    return project


@pytest.fixture
def fresh(template: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project(tmp_path / "project")
    shutil.copytree(template.root, project.root)
    path = [str(project.root), str(project.site)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]))
    for entry in reversed(path):
        monkeypatch.syspath_prepend(entry)
    yield project
    for name in [m for m in sys.modules if m.partition(".")[0] == small_train.PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def project(fresh: Project) -> Project:
    fresh.run()
    return fresh


# ---- edits ----------------------------------------------------------------------


def nothing(project: Project) -> None:
    pass


def comment(project: Project) -> None:
    project.edit("definitions.py", "# the week before", "# the week before that")


def docstring(project: Project) -> None:
    project.edit("features.py", "One line a feature.", "A line for each feature.")


def unrelated_function(project: Project) -> None:
    project.edit("features.py", '"never called"', '"never called, and different"')


def unrelated_constant(project: Project) -> None:
    project.edit("limits.py", "BUDGET = 10", "BUDGET = 20")


def step_function(project: Project) -> None:
    project.edit("features.py", "size * int(snapshot_id)", "size * int(snapshot_id) + 1")


def step_function_with_the_same_result(project: Project) -> None:
    project.edit("features.py", '"\\n".join(lines)', '"\\n".join(list(lines))')


def feature_added(project: Project) -> None:
    project.edit("definitions.py", '("sales", 1),', '("sales", 1), ("returns", 3),')


def threshold(project: Project) -> None:
    project.edit("limits.py", "1000.0", "900.0")


def threshold_that_fails(project: Project) -> None:
    project.edit("limits.py", "1000.0", "1.0")


def back_from_a_failed_gate(project: Project) -> None:
    threshold_that_fails(project)
    project.run()
    project.edit("limits.py", "1.0", "2000.0")


def search_space(project: Project) -> None:
    project.edit("space.json", "0.25", "0.0625")


def search_space_with_the_same_best(project: Project) -> None:
    project.edit("space.json", "0.125", "0.0625")


def new_commits(project: Project) -> None:
    small_train.look_at(project.home, snapshot_id="8")


def dependency(project: Project) -> None:
    small_train.install_shopmath(project.site, "1.1")


def dependency_with_another_result(project: Project) -> None:
    small_train.install_shopmath(project.site, "2.0", "return total * rate * 2")


def evicted(project: Project) -> None:
    targets.step_cache(project.settings).prune(older_than=timedelta(0), max_size_bytes=None)


def tampered(project: Project) -> None:
    rows = project.artifact("extract")
    rows.chmod(0o644)
    rows.write_text("sales 8\nvisits 14")


def quarantined(project: Project) -> None:
    tampered(project)
    assert targets.step_cache(project.settings).verify().quarantined


def lost(project: Project) -> None:
    project.artifact("fit").unlink()


def image(project: Project) -> None:
    project.edit(small_train.SOURCE, 'base_image="small:1"', 'base_image="small:2"')
    project.compile()


def step_added(project: Project) -> None:
    last = "        announce(said=published.output)"
    project.edit(small_train.SOURCE, last, f"{last}\n    announce(said='judged').after(judged)")
    project.compile()


def embedded_source(project: Project) -> None:
    project.edit(small_train.SOURCE, '    return "published"', '    return "published again"')
    project.compile()


def back_and_forth(project: Project) -> None:
    step_function(project)
    project.run()
    project.edit("features.py", "size * int(snapshot_id) + 1", "size * int(snapshot_id)")


def last_run_failed(project: Project) -> None:
    project.edit("fitting.py", "import shopmath", "import shopmath, there_is_no_such_module")
    project.run(may_fail=True, trials=3)
    project.edit("fitting.py", "import shopmath, there_is_no_such_module", "import shopmath")


ALL_OF_IT: dict[str, Fate] = {"extract": RUN, "search": DEPENDS, "fit": DEPENDS, "judge": DEPENDS}
CORPUS: list[tuple[Callable[[Project], None], dict[str, object], dict[str, Fate]]] = [
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
    told: dict[str, Fate],
) -> None:
    edit(project)
    before = targets.orchestrator(project.settings).list(1)[0]
    rows = _rows(project)
    expected = project.impact(**parameters)
    assert _rows(project) == rows
    assert expected.against == before.id
    known = targets.orchestrator(project.settings).get(before.id)
    assert_came_true(expected, known, project.run(**parameters))
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
    by_fate = {f: [s for s in expected.steps if s.fate is f] for f in Fate}
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
