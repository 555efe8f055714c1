"""Suggestions have the distribution that was asked for, inside the bounds.

Each goodness-of-fit test has a false alarm rate of 1e-6 for a fresh seed; seeds
are fixed, so a test that passes goes on passing until the sampling changes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest
from scipy import stats

from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.local.space import axis
from platform_ctl.tuning.local.suggest import Suggestions
from tests.support.experiments import choice, double, experiment, whole

DRAWS = 500
ALPHA = 1e-6


def draws(search: Experiment) -> list[str]:
    suggestions = Suggestions(search, seed=7)
    found = []
    for number in range(DRAWS):
        (value,) = suggestions.ask(number).values()
        suggestions.tell(number, None)
        found.append(value)
    return found


def truncated_normal(low: float, high: float) -> Callable[[float], float]:
    return stats.truncnorm(-3, 3, loc=(low + high) / 2, scale=(high - low) / 6).cdf


@pytest.mark.parametrize(
    ("algorithm", "distribution", "cdf"),
    [
        ("random", "uniform", stats.uniform(2, 6).cdf),
        ("random", "logUniform", stats.loguniform(2, 8).cdf),
        ("random", "normal", truncated_normal(2, 8)),
        (
            "random",
            "logNormal",
            lambda x: truncated_normal(math.log(2), math.log(8))([math.log(v) for v in x]),
        ),
        ("tpe", "logUniform", stats.loguniform(2, 8).cdf),
        ("multivariate-tpe", "uniform", stats.uniform(2, 6).cdf),
        ("bayesianoptimization", "uniform", stats.loguniform(2, 8).cdf),  # as Katib's skopt does
        ("bayesianoptimization", "normal", stats.loguniform(2, 8).cdf),
        ("sobol", "logUniform", stats.uniform(2, 6).cdf),  # as Katib's goptuna does
    ],
)
def test_doubles(algorithm: str, distribution: str, cdf: Callable[[float], float]) -> None:
    space = double("x", 2, 8, distribution=distribution)
    found = [float(v) for v in draws(experiment(space, trials=DRAWS, algorithm=algorithm))]
    assert min(found) >= 2
    assert max(found) <= 8
    assert stats.kstest(found, cdf).pvalue > ALPHA


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (choice("x", "a", "b", "c"), ["a", "b", "c"]),
        (whole("x", 3, 6), ["3", "4", "5", "6"]),
        (whole("x", 1, 10, step="3"), ["1", "4", "7", "10"]),
        (whole("x", 1, 9, step="3"), ["1", "4", "7"]),
        (double("x", 0.1, 0.7, step="0.2"), ["0.1", "0.3", "0.5", "0.7"]),
    ],
)
@pytest.mark.parametrize("algorithm", ["random", "sobol"])
def test_every_discrete_value_equally_often(space: dict, values: list[str], algorithm: str) -> None:
    seen = Counter(draws(experiment(space, trials=DRAWS, algorithm=algorithm)))
    assert sorted(seen, key=values.index) == values
    assert stats.chisquare(list(seen.values())).pvalue > ALPHA


@pytest.mark.parametrize(
    "space",
    [
        double("x", 0.001, 1),
        double("x", 0.001, 1, distribution="logUniform"),
        double("x", 0.001, 1, distribution="logUniform", step="0.001"),
        double("x", -3, 3, distribution="normal"),
        double("x", 0.1, 3, distribution="logNormal"),
        double("x", 0, 1, step="0.1"),
        whole("x", 1, 100),
        whole("x", 1, 100, distribution="logUniform"),
        whole("x", 2, 100, distribution="logUniform", step="7"),
        whole("x", 1, 100, distribution="normal"),
        choice("x", "a", "1"),
    ],
)
def test_what_was_drawn_can_be_told_from_its_text(space: dict) -> None:
    """Resume and warm start need the way back; stepped logs come back to the same text."""
    (parameter,) = experiment(space).spec.parameters
    line = axis(parameter, "random")
    for text in draws(experiment(space, trials=DRAWS))[:50]:
        assert line.contains(text)
        again = line.decode(line.encode(text))
        assert again == text or float(again) == pytest.approx(float(text), rel=1e-9)
