"""The page on your own recipe, typed in a copy of the project; and a recipe of every kind."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.pages import command_lines
from tests.support.whole_checkout import Checkout

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "your-own-recipe.md"
MOST_LINES = 400
SMALLER = {"max_trials=4": "max_trials=2"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Somebody has typed the whole page."""
    made = Checkout(tmp_path_factory.mktemp("recipe-new"))
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    made.python("-c", script)
    made.typed = {}
    for call in command_lines(PAGE):
        line = call.text
        for large, small in SMALLER.items():
            line = line.replace(large, small)
        _, *words = shlex.split(line)
        made.typed[line] = made.ctl(*words)
    yield made
    for service in made.json("service", "list"):
        made.ctl("service", "stop", service["name"])


def test_the_page_leads_to_production(checkout):
    (model,) = checkout.json("model", "list")
    assert model["name"] == "tumours"
    assert [v["aliases"] for v in model["versions"]] == [["production"]]
    assert any("log loss" in told for told in checkout.typed.values())
    verified = checkout.ctl("model", "verify", "tumours@production")
    assert "as it was registered" in verified


def test_it_is_small_lints_and_passes_its_tests(checkout):
    assert checkout.lines_of("tumours") <= MOST_LINES
    checkout.python("-m", "ruff", "check", "--no-cache", "recipes", "pipelines", "tests/recipes")
    words = ("recipes/tumours", "pipelines", "tests/recipes/tumours")
    checkout.python("-m", "ruff", "format", "--no-cache", "--check", *words)
    checkout.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/recipes/tumours")
    assert checkout.json("recipe", "check", "tumours") == []
    checkout.ctl("pipeline", "compile", "--check")


def test_the_same_run_again_comes_from_the_cache(checkout):
    """But for evaluation and gate, which now have a champion to compare with."""
    told = checkout.ctl("pipeline", "run", "tumours", "-p", "max_trials=2")
    assert "3 cached" in told and "is what is in production" in told


def test_an_edit_of_one_recipe_repeats_nothing_of_another(checkout):
    checkout.ctl("data", "ingest", "--sample")
    file = checkout.root / "recipes/train_deploy/train.py"
    before = file.read_text()
    file.write_text(before + "\nADDED = 1\n")
    try:
        steps = checkout.json("pipeline", "impact", "tumours", "-p", "max_trials=2")["steps"]
    finally:
        file.write_text(before)
    assert sum(step["fate"] == "hit" for step in steps) == 5


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """Four meters with a weekly rhythm, which no mean of the last days follows."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=160, freq="D").strftime("%Y-%m-%d")
    rhythm = 20 * np.sin(np.arange(160) * 2 * np.pi / 7)
    frames = [
        pd.DataFrame({"meter": f"m{i}", "day": days, "kwh": rhythm + rng.normal(50, 3, 160)})
        for i in range(4)
    ]
    file = tmp_path_factory.mktemp("series") / "load.parquet"
    pd.concat(frames).to_parquet(file)
    return file


def test_a_forecast_is_judged_by_time_in_the_same_home(checkout, series):
    words = ("--kind", "forecast", "--csv", str(series), "--entity", "meter")
    checkout.ctl("recipe", "new", "ac-load", *words)
    checkout.ctl("data", "ingest", "--recipe", "ac-load", "--csv", str(series))
    told = checkout.ctl("pipeline", "run", "ac-load", "-p", "max_trials=2")
    assert re.search(r"MAE [\d.]+ \(beside lag_1 [\d.]+, mean_4 [\d.]+, mean_8 [\d.]+\)", told)
    # Its name comes before that of the library among the imports.
    checkout.python("-m", "ruff", "check", "--no-cache", "recipes", "pipelines", "tests/recipes")
    run = checkout.json("run", "show", "latest")
    (evaluated,) = (t for t in run["tasks"] if t["name"] == "evaluate")
    made = [a for some in evaluated["outputs"]["artifacts"].values() for a in some]
    (metrics,) = (a["metadata"] for a in made if a["schema_title"] == "system.Metrics")
    assert 0 < metrics["training_age_days"] < 160
    shown = checkout.json("data", "show", "--recipe", "ac-load")["entities"]
    assert [(e["name"], e["rows"]) for e in shown] == [(f"m{i}", 160) for i in range(4)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "classification", "--csv", "nosuch.csv"), "nosuch.csv does not exist"),
        (("--kind", "classification", "--csv", "tumours.csv", "--label", "radius"), "no column"),
        (("--kind", "forecast", "--csv", "tumours.csv"), "no column of times"),
        (
            ("--kind", "classification", "--csv", "tumours.csv", "--label", "mean radius"),
            "a classification has two classes",
        ),
        (("--kind", "regression", "--csv", "tumours.csv"), "does not hold numbers"),
    ],
)
def test_what_cannot_be_a_recipe_is_refused_and_leaves_nothing(checkout, words, said):
    told = checkout.ctl("recipe", "new", "unmade", *words, code=2)
    assert said in told and "fix:   platform-ctl recipe new unmade" in told
    assert list(checkout.root.rglob("*unmade*")) == []
