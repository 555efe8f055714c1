"""Reading metrics as Katib's collector does, and the medianstop rule."""

from __future__ import annotations

import math

import pytest

from platform_ctl.tuning.experiment import (
    Algorithm,
    AlgorithmSetting,
    EarlyStoppingRule,
    Metric,
    MetricStrategy,
    Objective,
    Observation,
    Trial,
    TrialState,
)
from platform_ctl.tuning.metrics import (
    MetricReport,
    UnreadableMetrics,
    medianstop_rule,
    objective_value,
    observe,
    read_json,
    read_text,
    should_stop,
)

LOSS = Objective("minimize", "loss", additional_metric_names=("accuracy",))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("loss=0.3", "0.3"),
        ("loss = .98", ".98"),
        ("loss=-7.53e-05", "-7.53e-05"),
        ("loss=1E0", "1E0"),
        ("epoch 3: loss=0.5 accuracy=0.9", "0.5"),
        ("2026-01-02T03:04:05Z loss=2", "2"),
        ("loss=nan", ""),
    ],
)
def test_the_default_filter_reads_what_katib_reads(line: str, value: str) -> None:
    assert [r.value for r in read_text([line], ["loss"])] == [value]


def test_lines_and_names_that_are_not_asked_for_are_skipped() -> None:
    assert read_text(["nothing here", "val_loss=1", "accuracy=1"], ["loss"]) == []


def test_custom_filters_replace_the_default() -> None:
    filters = [r"\{metricName: ([\w|-]+), metricValue: (([-+]?\d*\.?\d+)|nan)\}"]
    lines = ["{metricName: loss, metricValue: 0.4}", "loss=9"]
    assert [r.value for r in read_text(lines, ["loss"], filters)] == ["0.4"]


def test_json_lines_carry_strings() -> None:
    lines = ['{"loss": "0.5", "timestamp": 1700000000}', "", '{"loss": 0.1}']
    readings = read_json(lines, ["loss"])
    assert [(r.value, r.at.year) for r in readings] == [("0.5", 2023)]


@pytest.mark.parametrize("line", ["loss=1", "[1]", '"x"'])
def test_json_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(UnreadableMetrics):
        read_json([line], ["loss"])


def test_the_observation_has_extremes_and_the_latest_by_timestamp() -> None:
    lines = [
        "2026-01-02T00:00:02Z loss=3",
        "2026-01-02T00:00:09Z loss=1",
        "2026-01-02T00:00:05Z loss=2",
    ]
    loss, accuracy = observe(read_text(lines, ["loss"]), LOSS).metrics
    assert (loss.min, loss.max, loss.latest) == ("1", "3", "1")
    assert accuracy == Metric("accuracy", "unavailable", "unavailable", "unavailable")


def test_without_timestamps_the_last_line_is_the_latest() -> None:
    assert (
        observe(read_text(["loss=3", "loss=1", "loss=2"], ["loss"]), LOSS).metrics[0].latest == "2"
    )


@pytest.mark.parametrize(
    ("strategy", "expected"), [(None, 1.0), ("max", 3.0), ("latest", 2.0), ("min", 1.0)]
)
def test_the_strategy_decides_the_score(strategy: str | None, expected: float) -> None:
    strategies = (MetricStrategy("loss", strategy),) if strategy else ()
    objective = Objective("minimize", "loss", metric_strategies=strategies)
    readings = [MetricReport("loss", v) for v in ("3", "1", "2")]
    assert objective_value(objective, observe(readings, objective)) == expected


@pytest.mark.parametrize("text", ["nan", "inf", "", "broken"])
def test_a_score_that_is_no_finite_number_is_no_score(text: str) -> None:
    assert objective_value(LOSS, observe([MetricReport("loss", text)], LOSS)) is None


# ---- medianstop ----------------------------------------------------------


def stopping(**settings: int) -> Algorithm:
    pairs = tuple(AlgorithmSetting(k, str(v)) for k, v in settings.items())
    return Algorithm("medianstop", pairs)


def trial(number: int, head: tuple[float, ...], state: TrialState = TrialState.SUCCEEDED) -> Trial:
    return Trial(f"t{number}", number, (), state=state, head=head)


def test_the_rule_is_the_mean_of_the_means_of_succeeded_trials() -> None:
    trials = [
        trial(0, (1.0, 3.0)),
        trial(1, (4.0, 4.0)),
        trial(2, (100.0,), TrialState.EARLY_STOPPED),
        trial(3, (100.0,), TrialState.FAILED),
    ]
    rule = medianstop_rule(stopping(min_trials_required=2, start_step=2), LOSS, trials)
    assert rule == EarlyStoppingRule("loss", "3.0", "greater", 2)


def test_there_is_no_rule_before_enough_trials_succeeded() -> None:
    assert medianstop_rule(stopping(), LOSS, [trial(0, (1.0,)), trial(1, (1.0,))]) is None
    assert medianstop_rule(None, LOSS, [trial(i, (1.0,)) for i in range(9)]) is None


@pytest.mark.parametrize(
    ("kind", "comparison", "reports", "stops"),
    [
        ("minimize", "greater", [5, 5], False),  # too early
        ("minimize", "greater", [5, 5, 5], True),
        ("minimize", "greater", [5, 1, 5], False),  # its best is good enough
        ("minimize", "greater", [3, 3, 3], False),  # equal is not worse
        ("minimize", "greater", [1, 1, 1, 9, 9], False),  # judged once, at start_step
        ("maximize", "less", [1, 1, 1], True),
        ("maximize", "less", [1, 4, 1], False),
    ],
)
def test_a_trial_is_judged_once_on_its_best(
    kind: str, comparison: str, reports: list[float], stops: bool
) -> None:
    rule = EarlyStoppingRule("loss", "3.0", comparison, 3)
    assert should_stop([rule], Objective(kind, "loss"), reports) is stops


def test_no_rule_never_stops() -> None:
    assert not should_stop([], LOSS, [math.inf] * 10)


def test_scores_are_read_under_the_objectives_name_only() -> None:
    observation = Observation((Metric("accuracy", "1", "1", "1"),))
    assert objective_value(LOSS, observation) is None
