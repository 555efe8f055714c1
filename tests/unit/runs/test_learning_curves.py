"""The history of a fit, in each form in which it arrives."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.runs.learning_curves import learning_curves

EPOCHS = [{"epoch": 1, "loss": 2.0, "mae": 4}, {"epoch": 2, "loss": 1.0, "mae": 3}]
CURVES = {"loss": (2.0, 1.0), "mae": (4.0, 3.0)}


@pytest.mark.parametrize(
    "history",
    [
        EPOCHS,
        {"list": EPOCHS},
        {"loss": [2.0, 1.0], "mae": [4, 3]},
        {"loss": {"list": [2.0, 1.0]}, "mae": {"list": [4, 3]}},
        {"loss": [2.0, 1.0], "mae": [4, 3], "note": ["a"], "nan": [float("nan")]},
    ],
    ids=["epochs", "epochs of KFP", "lists", "lists of KFP", "and what is no number"],
)
def test_curves_of_a_history(history: Any) -> None:
    assert learning_curves(history) == CURVES


@pytest.mark.parametrize("history", [None, "", 3, [], {}, [1, 2], {"list": "x"}])
def test_what_is_no_history_has_no_curves(history: Any) -> None:
    assert learning_curves(history) == {}
