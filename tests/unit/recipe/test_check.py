"""``recipe check`` names file and line of what is missing, wrong, or not importable."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from platform_ctl.recipe.check import check

RECIPE = '''"""A recipe."""
from platform_ctl.recipe.recipe import Budget, CanaryPlan, DataSource, GateThresholds, Loss, Recipe

RECIPE = Recipe(
    package=__package__,
    title="T",
    model_name="m",
    loss=Loss("error"),
    features=("a",),
    budget=Budget(),
    gate=GateThresholds(1.0, 0.0, 0.02),
    canary=CanaryPlan(),
    sources={"csv": DataSource("CSV.", takes_paths=True)},
    pipeline="p",
)
'''
MODULES = {
    "__init__": "",
    "data": "def resolve(access): ...\ndef show(access): ...\ndef golden_show(access): ...\n"
    "def foresee(access): ...\ndef ingest_csv(access, *, paths, now, progress): ...\n",
    "extract": "def extract(access, snapshot_id, as_of, golden_digest, out_path): ...\n",
    "train": "def trial(params, rows_path, report=None): ...\n"
    "def fit(rows_path, params, out_dir, *, seed=0): ...\n",
    "predict": "def load(model_dir): ...\n",
    "evaluate": "def evaluate(model_dir, rows_path, out_dir, champion_dir=None): ...\n",
}


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """-> what ``check`` says of the recipe with some files changed (None: left out)."""

    def run(**changed: str | None) -> list[str]:
        folder = tmp_path / "checked" / "one"
        folder.mkdir(parents=True)
        (tmp_path / "checked" / "__init__.py").touch()
        files = {**MODULES, "recipe": RECIPE, **changed}
        for name, text in files.items():
            if text is not None:
                (folder / f"{name}.py").write_text(text)
        (folder / "experiment.yaml").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        recipe = importlib.import_module("checked.one.recipe").RECIPE
        return [f"{p.file}:{p.line}: {p.what}" for p in check(recipe, tmp_path)]

    yield run
    for name in [n for n in sys.modules if n.split(".")[0] == "checked"]:
        del sys.modules[name]


def test_a_whole_recipe_has_no_problem(problems):
    assert problems() == []


def test_a_missing_file_says_what_it_defines(problems):
    assert problems(train=None) == [
        "checked/one/train.py:0: there is no such file; it defines trial, fit"
    ]


def test_a_missing_function_is_shown_with_its_parameters(problems):
    (found,) = problems(predict="")
    assert found.startswith("checked/one/predict.py:0: it does not define load(model_dir")


def test_a_function_with_other_parameters(problems):
    (found,) = problems(evaluate="\n\ndef evaluate(model_dir): ...\n")
    assert found.startswith("checked/one/evaluate.py:3: evaluate(model_dir) does not take (")


def test_a_module_that_cannot_be_imported_or_compiled(problems):
    found = problems(train="x = 1\nimport nosuchpackage\n", predict="def load(:\n")
    assert found == [
        "checked/one/train.py:2: it cannot be imported: ModuleNotFoundError: "
        "No module named 'nosuchpackage'",
        "checked/one/predict.py:1: it cannot be compiled: invalid syntax",
    ]


def test_a_source_without_its_function(problems):
    recipe = RECIPE.replace('sources={"csv"', 'sources={"tape"')
    (found,) = problems(recipe=recipe)
    assert "it does not define ingest_tape(access, *, now, progress, paths)" in found


def test_values_that_cannot_be(problems):
    recipe = RECIPE.replace("CanaryPlan()", "CanaryPlan(weights_percent=(50, 10))")
    recipe = recipe.replace("GateThresholds(1.0,", "GateThresholds(0.0,")
    gate, canary = problems(recipe=recipe)
    assert gate.startswith("checked/one/recipe.py:11: the gate's max_loss is 0")
    assert canary.startswith("checked/one/recipe.py:12: the canary's weights (50, 10)")


def test_an_optional_file_is_checked_where_it_is(problems):
    assert len(problems(labels="def labels(): ...\n")) == 1
