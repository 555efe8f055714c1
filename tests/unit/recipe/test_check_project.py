"""``recipe check`` in a project: pipelines, names of other recipes, recipes that do not import."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.errors import UnknownName
from platform_ctl.settings import Settings
from tests.support.small_recipe import EXPERIMENT, MODULES, RECIPE

COMPILED = Path(__file__).parents[3] / "pipelines/compiled/eights.yaml"
EIGHTS = RECIPE.replace('pipeline="p"', 'pipeline="eights"')


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """-> what a check says of recipe ``one`` of a project with these recipe.py (None: none)."""
    folder = tmp_path / "checked_recipes"
    compiled = tmp_path / "wiring" / "compiled"
    compiled.mkdir(parents=True)
    (compiled / "eights.yaml").write_text(COMPILED.read_text())
    settings = Settings(
        project_root=str(tmp_path), recipes_package=folder.name, pipelines_package="wiring"
    )

    def run(*, train: str = MODULES["train"], **recipes: str | None) -> list[str]:
        for name, text in recipes.items():
            (folder / name).mkdir(parents=True)
            files = {**MODULES, "train": train, **({"recipe": text} if text else {})}
            for module, source in files.items():
                (folder / name / f"{module}.py").write_text(source)
            search = EXPERIMENT.replace("recipes.one", f"{folder.name}.{name}")
            (folder / name / "experiment.yaml").write_text(search)
        (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        name, problems = targets.check_recipe(settings, "one")
        assert name == "one"
        return [f"{p.file}:{p.line}: {p.what}" for p in problems]

    yield run
    for name in [n for n in sys.modules if n.split(".")[0] == folder.name]:
        del sys.modules[name]


def test_a_recipe_with_its_pipeline(project):
    assert project(one=EIGHTS) == []


def test_a_pipeline_that_is_not_compiled(project):
    (found,) = project(one=RECIPE.replace('"p"', '"eigths"'))
    assert found.endswith("recipe.py:14: no pipeline 'eigths' is compiled; did you mean eights?")


def test_a_parameter_that_the_pipeline_does_not_have(project):
    text = EIGHTS.replace(
        "    pipeline=", '    parameters={"max_trails": Allowed()},\n    pipeline='
    )
    (found,) = project(one=f"from platform_ctl.ir.parameters import Allowed\n{text}")
    assert "pipeline eights has no parameter 'max_trails'; did you mean max_trials?" in found


def test_a_search_for_a_metric_that_no_trial_reports(project):
    train = MODULES["train"].replace("report=None): ...", 'report=None): return {"loss": 1.0}')
    (found,) = project(one=EIGHTS, train=train)
    assert "experiment.yaml:5: trial in train.py reports no 'val_loss'; did you mean loss?" in found


def test_a_name_that_another_recipe_has(project):
    found = project(one=EIGHTS, two=EIGHTS)
    assert [text.partition(": ")[2] for text in found] == [
        "model_name 'm' is that of recipe two too",
        "pipeline 'eights' is that of recipe two too",
    ]


def test_another_recipe_that_is_broken_is_not_this_ones_problem(project):
    assert project(one=EIGHTS, two="raise RuntimeError\n") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "recipe.py:0: there is no such file; it defines RECIPE"),
        ("RECIPE = dict()\n", "recipe.py:0: RECIPE is a dict; it is Recipe(…) at its top level"),
        ("x = 1\n", "recipe.py:0: it defines no RECIPE; it is Recipe(…) at its top level"),
        ("RECIPE = (\n", "recipe.py:1: it cannot be compiled: '(' was never closed"),
        (EIGHTS.replace("gate=", "gates="), "recipe.py:4: it cannot be imported: TypeError: "),
    ],
)
def test_a_recipe_file_that_declares_nothing(project, text, problem):
    found = project(one=text)
    assert found[0].startswith(f"checked_recipes/one/{problem}")


def test_a_folder_that_is_none_is_an_unknown_name(project):
    project(one=EIGHTS)
    root = Path(sys.modules["checked_recipes"].__path__[0]).parent
    settings = Settings(project_root=str(root), recipes_package="checked_recipes")
    with pytest.raises(UnknownName, match="there is no recipe 'onne'"):
        targets.check_recipe(settings, "onne")
