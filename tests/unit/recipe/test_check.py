"""``recipe check`` names file and line of what is missing, wrong, or not importable."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from platform_ctl.recipe.check import check_folder
from platform_ctl.recipe.source import reported_metrics
from tests.support.small_recipe import MODULES, RECIPE


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """-> what ``check`` says of the recipe with some files changed (None: left out)."""

    def run(*, package: str = "checked.one", **changed: str | None) -> list[str]:
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
        return [f"{p.file}:{p.line}: {p.what}" for p in check_folder(recipe, package, tmp_path)]

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


@pytest.mark.parametrize(
    ("wrong", "line", "what"),
    [
        (('"m"', '"My Model"'), 7, "model_name 'My Model' is no DNS label"),
        (('Loss("error")', 'Loss("")'), 8, "the loss is called ''"),
        (('features=("a",)', 'features=("a", "a")'), 9, "named twice in features: a"),
        (('features=("a",)', 'features=("a", "label")'), 9, "a feature cannot be called label"),
        (('features=("a",)', 'features="a"'), 9, "features is 'a', not tuple[str, ...]"),
        (("Budget()", "Budget(trials=0)"), 10, "the budget's trials is 0, not above 0"),
        (("GateThresholds(1.0,", 'GateThresholds("1",'), 11, "gate.max_loss is '1', not float"),
        (("0.02)", '0.02, {"small": 0})'), 11, "the ceiling of slice small is 0"),
        (("0.02)", '0.02, {"small": 1.1})'), 11, "slice_ceiling names 'small', and evaluate.py"),
        (("CanaryPlan()", "CanaryPlan(min_requests=0)"), 12, "the canary's min_requests is 0"),
        (('{"csv"', '{"my csv"'), 13, "source 'my csv' is no name of Python"),
        (("__package__", '"checked.two"'), 5, "package is 'checked.two'"),
    ],
)
def test_a_value_that_cannot_be_has_its_line(problems, wrong, line, what):
    recipe = RECIPE.replace(*wrong)
    assert recipe != RECIPE
    found = problems(recipe=recipe, package="checked.one")
    assert any(p.startswith(f"checked/one/recipe.py:{line}: {what}") for p in found), found


def test_a_value_under_a_name_has_the_line_of_the_name(problems):
    recipe = RECIPE.replace("GateThresholds(1.0, 0.0, 0.02)", "GATE")
    recipe = recipe.replace("RECIPE = ", "GATE = GateThresholds(0.0, 0.0, 0.02)\n\nRECIPE = ")
    (found,) = problems(recipe=recipe)
    assert found.startswith("checked/one/recipe.py:4: the gate's max_loss is 0")


def test_a_slice_that_is_nearly_one(problems):
    recipe = RECIPE.replace("0.02)", '0.02, {"smalll": 1.1})')
    evaluate = MODULES["evaluate"] + "slices = ('small', 'large')\n"
    (found,) = problems(recipe=recipe, evaluate=evaluate + "f = dict(slices=slices)\n")
    assert found.endswith("evaluate.py makes no slice 'smalll'; did you mean 'small'?")


def test_a_mistake_is_said_once_and_at_its_own_line(problems):
    """Several modules import the one that is wrong."""
    found = problems(
        losses="def losses(prediction, label, scale): ...\n\nx = 1 / 0\n",
        train=f"from checked.one import losses\n{MODULES['train']}",
        evaluate=f"from checked.one import losses\n{MODULES['evaluate']}",
    )
    assert found == [
        "checked/one/losses.py:3: it cannot be imported: ZeroDivisionError: division by zero"
    ]


def test_a_module_that_exits_or_prints(problems, capsys):
    (found,) = problems(train="print('hello')\nraise SystemExit(3)\n")
    assert found == "checked/one/train.py:2: it cannot be imported: SystemExit: 3"
    assert capsys.readouterr().out == ""


def test_what_travels_with_the_model_imports_no_repository(problems):
    predict = "import recipes_of_another\nfrom . import losses\n"
    predict = predict.replace("recipes_of_another", "json") + MODULES["predict"]
    (found,) = problems(predict=predict, losses="def losses(prediction, label, scale): ...\n")
    assert found.startswith("checked/one/predict.py:2: it imports ., and travels with the model")


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ('return {"a": 1.0, "b": 2.0}', {"a", "b"}),
        ('return {name: 1.0 for name in ("a", "b")}', {"a", "b"}),
        ('if x:\n        return {"a": 1.0}\n    return {"a": 1.0, "b": 2.0}', {"a"}),
        ("return known(x)", None),
        ('return {"a": 1.0, **more}', None),
        ('def inner():\n        return {"z": 1}\n    return {"a": 1.0}', {"a"}),
        ("pass", None),
    ],
)
def test_the_metrics_of_a_trial_are_read_off_where_they_are_written_out(tmp_path, body, reported):
    file = tmp_path / "train.py"
    file.write_text(f"def trial(x):\n    {body}\n")
    assert reported_metrics(file) == reported


def test_an_optional_file_is_checked_where_it_is(problems):
    assert len(problems(labels="def labels(): ...\n")) == 1
