"""What ``recipe new`` takes from a file, and what it refuses before anything is made."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from platform_ctl.errors import BadParameter
from recipes.common.new_recipe import Asked, render


def frame(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame({"a": a, "b": b, "y": np.where(a + b > 0, "yes", "no")})


def rendered(tmp_path: Path, table: pd.DataFrame, kind: str = "classification", **asked: str):
    file = tmp_path / "f.csv"
    table.to_csv(file, index=False)
    return render(Asked("one", "one", kind, file, **asked))


def test_columns_that_teach_nothing_are_left_out_by_name(tmp_path):
    table = frame().assign(empty=np.nan, kind="n/k")[["a", "empty", "kind", "b", "y"]]
    files, notes = rendered(tmp_path, table)
    assert notes == [
        "label: y; 2 features",
        "left out: empty (it is empty)",
        "left out: kind ('n/k' is no number)",
    ]
    assert '"a", "b",' in files["recipes/one/recipe.py"]


def test_few_rows_are_said(tmp_path):
    assert rendered(tmp_path, frame(5))[1][-1].startswith("5 rows: a run needs about 100")


def test_both_classes_are_named(tmp_path):
    table = frame().assign(y=lambda t: (t["y"] == "yes").astype(float))
    text = rendered(tmp_path, table)[0]["recipes/one/recipe.py"]
    assert (
        sorted(line.strip() for line in text.splitlines() if "tive=" in line)
        == [
            'negative="0",',
            'positive="1",',
        ]
        or 'positive="0"' in text
    )


@pytest.mark.parametrize(
    ("kind", "changes", "asked", "said"),
    [
        ("classification", {"y": "yes"}, {}, "'y' has one value; a classification has two"),
        ("classification", {"y": None}, {}, "'y', the label, is empty"),
        ("regression", {"y": 3.0}, {}, "has one value: there is nothing to learn"),
        ("classification", {}, {"label": "y", "time": "y"}, "cannot be two of"),
        ("regression", {"y": 3.0}, {"time": "b"}, "'b' does not hold times"),
        ("forecast", {}, {}, "no column of times"),
    ],
)
def test_a_file_that_cannot_be_a_recipe(tmp_path, kind, changes, asked, said):
    with pytest.raises(BadParameter, match=said):
        rendered(tmp_path, frame().assign(**changes), kind, **asked)


def test_a_header_without_rows(tmp_path):
    with pytest.raises(BadParameter, match="has no rows below its header"):
        rendered(tmp_path, frame().head(0))


def test_numbers_of_the_rows_and_infinities_are_no_features(tmp_path):
    """What ``to_csv`` writes of an index has no name, and says when a row was written."""
    file = tmp_path / "f.csv"
    frame().assign(c=[np.inf] + [1.0] * 299)[["a", "c", "b", "y"]].to_csv(file)
    _, notes = render(Asked("one", "one", "classification", file))
    assert notes == [
        "label: y; 2 features",
        "left out: Unnamed: 0 (it has no name)",
        "left out: c (it has a value that is not finite)",
    ]


def test_decimals_are_numbers_and_lists_are_nothing(tmp_path):
    file = tmp_path / "f.parquet"
    table = frame().assign(a=lambda t: [Decimal(f"{v:.3f}") for v in t["a"]])
    table.assign(l=[[1, 2]] * 300)[["a", "l", "b", "y"]].to_parquet(file)
    _, notes = render(Asked("one", "one", "classification", file))
    assert notes == ["label: y; 2 features", "left out: l ('[1 2]' is no number)"]
    table.assign(y=[[1], [2, 3]] * 150).to_parquet(file)
    with pytest.raises(BadParameter, match="'y' does not hold classes"):
        render(Asked("one", "one", "classification", file))


@pytest.mark.parametrize("name", ["row", "ingested_at"])
def test_a_label_may_not_have_a_name_of_the_table(tmp_path, name):
    with pytest.raises(BadParameter, match=f"the table has a column '{name}' too; rename it"):
        rendered(tmp_path, frame().rename(columns={"y": name}))


@pytest.mark.parametrize(
    "name", ["class", "lambda", 'a"b\\', "{{label}} $(ls)", "{{features}}", "a\tb\r\n", "größe"]
)
def test_a_column_may_be_called_anything(tmp_path, name):
    table = frame().rename(columns={"a": name, "y": f"{name} too"})
    files, _ = rendered(tmp_path, table)
    text = files["recipes/one/recipe.py"]
    assigned = {
        node.targets[0].id: node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
    }
    assert ast.literal_eval(assigned["FEATURES"]) == (name, "b")
    label = next(k.value for k in assigned["TABLE"].keywords if k.arg == "label")
    assert ast.literal_eval(label) == f"{name} too"


def test_a_feature_may_not_have_a_name_of_the_extracted_file(tmp_path):
    with pytest.raises(BadParameter, match="a feature cannot be called 'time'; rename it"):
        rendered(tmp_path, frame().rename(columns={"b": "time"}))


def test_dates_that_can_be_read_in_two_ways_are_refused(tmp_path):
    days = pd.date_range("2024-01-01", periods=300).strftime("%d.%m.%Y")
    table = frame().assign(day=days, y=lambda t: t["a"])
    with pytest.raises(BadParameter, match=r"'02\.01\.2024' can be read in two ways"):
        rendered(tmp_path, table[["day", "a", "y"]], "forecast")
