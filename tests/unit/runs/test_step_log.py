"""What a log shows to people: tables of an evaluation, progress in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_ctl.progress import Progress, line
from platform_ctl.runs.step_log import evaluation_lines, readable

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
FIGURES = {
    "loss": {"name": "mase"},
    "metrics": {"mase": 1.0309407, "mae": 15.03},
    "champion": {"mase": 1.1, "mae": None},
    "baselines": {"last_week": {"mase": 1.34, "mae": 19.5}},
    "slices": {"steady": {"rows": 216, "mase": 1.057, "baseline_mase": 1.178}},
}


def test_an_evaluation_is_a_table_of_models_and_one_of_slices() -> None:
    assert list(evaluation_lines(FIGURES)) == [
        "golden set   mase    mae",
        "model       1.031  15.03",
        "champion      1.1      -",
        "last_week    1.34   19.5",
        "slice   rows   mase  best baseline",
        "steady   216  1.057          1.178",
    ]


def test_an_evaluation_without_slices_or_baselines_is_one_table() -> None:
    bare = {**FIGURES, "champion": None, "baselines": {}, "slices": {}}
    assert len(list(evaluation_lines(bare))) == 2


def test_a_trial_is_told_by_its_parameters_and_the_best_so_far() -> None:
    at = START + timedelta(seconds=9)
    trial = Progress(3, 20, "trials", START, at, {"best loss": 0.5}, "rate 0.1, loss 0.62")
    written = f"2026-03-02T08:00:09Z stdout F {line(trial)}\n".encode()
    assert readable(written) == (
        b"2026-03-02T08:00:09Z stdout F 3 of 20 trials: rate 0.1, loss 0.62; best loss 0.5\n"
    )


def test_other_lines_stay_as_they_are() -> None:
    for text in (b"no progress here\n", b"\xff\xfe\n", b"without an end"):
        assert readable(text) == text
