"""Plots of a report: forecast over time, by cluster, calibration, learning curves."""

from __future__ import annotations

from typing import Any

from platform_ctl.models.evaluation import Evaluation, parse
from platform_ctl.report import charts, parts
from platform_ctl.report.forest import MOST_GROUPS, group_forest
from platform_ctl.report.rows import curves
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState

DOCUMENT: dict[str, Any] = {"metrics": {"loss": 1.0}, "rows": 6}


def evaluation(**columns: list[Any]) -> Evaluation:
    return parse(DOCUMENT, columns)


def weekly(labels: list[str]) -> Evaluation:
    return evaluation(
        label=[float(n) for n in range(len(labels))],
        prediction=[2.0 * n for n in range(len(labels))],
        **{"cluster:week": labels, "cluster:shop": ["a", "b"] * (len(labels) // 2)},
    )


def test_means_are_taken_over_each_cluster() -> None:
    found = weekly(["2026-01-05"] * 2 + ["2026-01-12"] * 2 + ["2026-01-19"] * 2)
    assert [(g.label, g.rows, g.actual, g.predicted) for g in found.groups["week"]] == [
        ("2026-01-05", 2, 0.5, 1.0),
        ("2026-01-12", 2, 2.5, 5.0),
        ("2026-01-19", 2, 4.5, 9.0),
    ]
    assert [g.actual for g in found.groups["shop"]] == [2.0, 3.0]


def test_the_cluster_that_is_a_time_is_drawn_as_two_lines() -> None:
    drawn = charts.over_time(weekly(["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]))
    assert drawn is not None
    assert {s.kind for s in drawn.segments} == {"actual", "predicted"}
    assert len(drawn.segments) == 6 and len(drawn.points) == 8
    assert drawn.x_ticks[0].label == "2026-01-05"


def test_without_a_time_there_is_no_line() -> None:
    assert charts.over_time(weekly(["mon", "tue", "wed", "thu"])) is None
    assert charts.over_time(weekly(["2026-01-05", "2026-01-12"])) is None
    assert charts.over_time(evaluation()) is None


def test_other_clusters_are_compared_furthest_apart_first() -> None:
    found = weekly(["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"])
    ((title, drawn),) = parts.quality(found)["groups"]
    assert title == "Mean by shop: forecast (filled) and actual (ring)"
    assert [row.name for row in drawn.rows] == ["b, 2 rows", "a, 2 rows"]
    many = evaluation(
        label=[1.0] * 40,
        prediction=[float(n) for n in range(40)],
        **{"cluster:shop": [f"s{n:02}" for n in range(40)]},
    )
    most = group_forest(many.groups["shop"])
    assert most is not None and len(most.rows) == MOST_GROUPS
    assert most.rows[0].name == "s39, 1 rows"


def test_a_classifier_is_drawn_by_its_calibration() -> None:
    labels = [0.0, 0.0, 0.0, 1.0] * 10 + [1.0, 1.0, 1.0, 0.0] * 10
    found = evaluation(label=labels, prediction=[0.25] * 40 + [0.75] * 40)
    assert [(b.rows, b.predicted, b.observed) for b in found.calibration] == [
        (20, 0.25, 0.25),
        (20, 0.25, 0.25),
        (20, 0.75, 0.75),
        (20, 0.75, 0.75),
    ]
    drawn = parts.quality(found)["chart"]
    assert drawn.title == "Calibration"


def test_what_is_no_probability_has_no_calibration() -> None:
    labels = [0.0, 1.0] * 20
    assert evaluation(label=labels, prediction=[1.5] * 40).calibration == ()
    assert evaluation(label=[2.0, 1.0] * 20, prediction=[0.5] * 40).calibration == ()
    assert evaluation(label=[1.0] * 40, prediction=[0.5] * 40).calibration == ()


def trained(history: Any) -> Run:
    model = Artifact("model", "file:///m", "system.Model", metadata={"history": history})
    outputs = Outputs({}, {"model": (model,)})
    task = Task("train", "train", "c", TaskState.SUCCEEDED, outputs=outputs)
    return Run("1", "n", "p", RunState.SUCCEEDED, "2026-01-05T00:00:00.000Z", "", tasks=(task,))


def test_the_fit_is_drawn_epoch_by_epoch() -> None:
    found = curves(trained({"loss": [3.0, 2.0, 1.5], "once": [1.0]}))
    assert found == {"loss": (3.0, 2.0, 1.5), "once": (1.0,)}
    shown = parts.fit(found)
    assert shown is not None
    (drawn,) = shown["charts"]
    assert (drawn.title, len(drawn.points)) == ("loss", 3)
    assert parts.fit({}) is None


def test_a_history_that_is_not_numbers_is_left_out() -> None:
    for wrong in ("no", {"loss": "no"}, {"loss": [1.0, None]}, {"loss": [1.0, float("nan")]}):
        assert curves(trained(wrong)) == {}
