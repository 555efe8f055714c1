"""A second recipe from the command line: it lints, tests, trains and serves beside the first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NEW = (
    "pipelines/compiled/energy-load.yaml",
    "pipelines/energy_load_components.py",
    "pipelines/energy_load_pipeline.py",
    "recipes/energy_load",
    "tests/recipes/energy_load",
)

MAIN = "from platform_ctl.cli.app import main; main()"
SMALL = ("-p", "max_trials=2", "-p", "epochs=1")


class Checkout:
    """A copy of this project, as git would have it, and a home."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "project", folder / "home"
        words = ["git", "ls-files", "-co", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in listed.splitlines():
            if (ROOT / name).is_file():
                target = self.root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())

    def python(self, *words: str, code: int = 0) -> str:
        env = {**os.environ, "PLATFORM_HOME": str(self.home), "PYTHONPATH": str(self.root)}
        done = subprocess.run(
            [sys.executable, *words], cwd=self.root, env=env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout or done.stderr

    def ctl(self, *words: str, code: int = 0) -> str:
        return self.python("-c", MAIN, *words, code=code)

    def json(self, *words: str):
        return json.loads(self.ctl(*words, "-o", "json"))

    def completions(self, *words: str) -> list[str]:
        """What the Tab key offers for the last word."""
        asked = f"os.environ.update(COMP_WORDS='platform-ctl {' '.join(words)}'"
        asked += f", COMP_CWORD='{len(words)}', _PLATFORM_CTL_COMPLETE='bash_complete')"
        told = self.python("-c", f"import os; {asked}; {MAIN}")
        return [line.partition(",")[2] for line in told.splitlines()]

    def files(self) -> dict[str, bytes]:
        names = [p for p in self.root.rglob("*") if p.is_file() and "cache" not in str(p)]
        return {str(p.relative_to(self.root)): p.read_bytes() for p in names}

    def repeated_after_editing(self, file: str) -> set[str]:
        """Steps of the new recipe that an edit takes out of the cache, by the forecast."""
        path = self.root / file
        original = path.read_text()
        before = self._hits()
        path.write_text(original + "\nADDED = 1\nassert ADDED\n")
        try:
            return before - self._hits()
        finally:
            path.write_text(original)

    def _hits(self) -> set[str]:
        steps = self.json("pipeline", "impact", "energy-load", *SMALL)["steps"]
        return {step["task"] for step in steps if step["fate"] == "hit"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    made = Checkout(tmp_path_factory.mktemp("recipe-new"))
    before = made.files()
    told = made.json("recipe", "new", "energy-load")
    after = made.files()
    assert {name: after[name] for name in before} == before
    assert sorted(told["created"]) == sorted(NEW)
    assert {n for n in after.keys() - before.keys() if not n.startswith(NEW)} == set()
    yield made
    for service in made.json("service", "list"):
        made.ctl("service", "stop", service["name"])


@pytest.fixture(scope="module")
def trained(checkout):
    """Both recipes have data in one home; the new one has a run that passed its gate."""
    checkout.ctl("data", "ingest", "--sample")
    checkout.ctl("data", "ingest", "--sample", "--recipe", "energy-load")
    checkout.ctl("pipeline", "run", "energy-load", *SMALL)
    return checkout


def test_it_lints_and_its_pipeline_is_current(checkout):
    checkout.python("-m", "ruff", "check", "--no-cache", "recipes", "pipelines", "tests")
    checkout.python(
        "-m", "ruff", "format", "--no-cache", "--check", "recipes", "pipelines", "tests"
    )
    checkout.python("-c", "from importlinter.cli import lint_imports_command as c; c()")
    checkout.ctl("pipeline", "compile", "--check")


def test_its_tests_pass(checkout):
    """Those of its model and labels; all of them take half a minute and are the first recipe's."""
    tests = [f"tests/recipes/energy_load/test_{what}.py" for what in ("model", "labels")]
    told = checkout.python("-m", "pytest", *tests, "tests/contract/test_recipes.py")
    assert "100%" in told


def test_it_registers_and_serves_under_its_own_name(trained):
    assert [m["name"] for m in trained.json("model", "list")] == ["energy-load"]
    trained.ctl("approval", "approve", "latest", "--reason", "it works", "--wait")
    assert [s["name"] for s in trained.json("service", "list")] == ["energy-load"]
    forecasts = trained.json("model", "predict", "energy-load@production")
    assert len(forecasts["predictions"]) == 24
    assert trained.completions("model", "predict", "energy-load@p") == ["energy-load@production"]
    assert trained.completions("service", "stop", "") == ["energy-load"]


def test_the_two_share_no_data(trained):
    tables = {r: set() for r in ("train_deploy", "energy_load")}
    for recipe, found in tables.items():
        snapshots = trained.json("data", "show", "--recipe", recipe)["snapshots"]
        found.update(s["table"] for s in snapshots)
    assert tables["train_deploy"] == {"abukix.commits"}
    assert {name.partition(".")[0] for name in tables["energy_load"]} == {"energy_load"}
    assert trained.json("data", "golden", "show") is None
    assert trained.json("data", "golden", "show", "--recipe", "energy_load")["rows"] > 0
    assert [p.name for p in (trained.home / "feast").iterdir()] == ["energy_load"]
    trained.ctl("data", "remove", "sample/atlas")
    left = trained.json("data", "show", "--recipe", "energy_load")["entities"]
    assert "sample/atlas" in {one["name"] for one in left}


def test_an_edit_of_one_repeats_nothing_of_the_other(trained):
    assert trained.repeated_after_editing("recipes/train_deploy/train.py") == set()
    assert trained.repeated_after_editing("recipes/train_deploy/names.py") == set()
    assert trained.repeated_after_editing("recipes/energy_load/train.py") == {"tune", "train"}


def test_a_name_that_is_taken_or_no_name_leaves_everything_as_it_is(checkout):
    before = checkout.files()
    for name in ("energy-load", "weekly-commits", "promote", "../outside", "Class"):
        told = checkout.ctl("recipe", "new", name, code=2)
        assert told.startswith("error: ") and "fix:   platform-ctl recipe new " in told
    assert "did you mean 'energy_load'" in checkout.ctl(
        "data", "show", "--recipe", "energyload", code=2
    )
    assert checkout.files() == before


def test_a_copy_that_does_not_work_leaves_nothing(checkout):
    file = checkout.root / "recipes" / "train_deploy" / "recipe.py"
    original = file.read_text()
    file.write_text(original + 'assert "train_" + "deploy" in __name__, "one of a kind"\n')
    try:
        before = checkout.files()
        told = checkout.ctl("recipe", "new", "third", code=2)
        assert "one of a kind" in told
        assert checkout.files() == before
    finally:
        file.write_text(original)
