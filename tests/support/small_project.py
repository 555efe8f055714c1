"""A checkout of the small train-deploy with its home, and edits of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from platform_ctl import settings as settings_module
from platform_ctl import targets
from platform_ctl.explain.impact import Impact
from platform_ctl.runs.record import Run, RunRequest, RunState
from platform_ctl.settings import Settings
from tests.support import small_train


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

    def run(self, *, may_fail: bool = False, use_cache: bool = True, **parameters: object) -> Run:
        request = RunRequest(self.pipeline, parameters, use_cache=use_cache)
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


def statement_at_the_top(project: Project) -> None:
    project.edit("fitting.py", "import shopmath", "import shopmath\n\nassert shopmath.scale")


def called_by_the_step(project: Project) -> None:
    project.edit("features.py", "return len(lines)", "return len(lines) + 0 * len(describe())")


def newest(project: Project) -> Run:
    orchestrator = targets.orchestrator(project.settings)
    return orchestrator.get(orchestrator.list(1)[0].id)


def lost_entry(project: Project, component: str) -> None:
    """One step's result is dropped; what its key was made of is still known."""
    db = targets.state(project.settings)
    db.execute("DELETE FROM cache_entries WHERE component = ?", (component,))
