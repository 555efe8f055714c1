"""Drift of features, and the change of a score, between two runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.explain.drift import drift
from platform_ctl.explain.score_change import change
from tests.support.scores import errors

Sample = dict[str, np.ndarray]


def sample(seed: int, rows: int = 1500, features: int = 8) -> Sample:
    """Counts with many ties, shares, and smooth columns, as the recipe has them."""
    rng = np.random.default_rng(seed)
    kinds = (
        lambda: rng.poisson(2, rows).astype(float),
        lambda: rng.gamma(0.6, 30, rows).round(),
        lambda: rng.normal(0, 1, rows),
        lambda: (rng.random(rows) < 0.05).astype(float),
    )
    return {f"f{i}": kinds[i % len(kinds)]() for i in range(features)}


@given(st.integers(0, 2**31), st.integers(30, 2000))
def test_samples_of_one_population_are_rarely_called_drifted(seed: int, rows: int) -> None:
    found = drift(sample(seed, rows), sample(seed + 1, rows))
    assert sum(d.notable for d in found) <= 1
    assert all(d.psi >= 0 and 0 <= d.ks <= 1 for d in found)


def test_how_often_noise_is_called_drift() -> None:
    called = sum(any(d.notable for d in drift(sample(2 * s, 40), sample(2 * s + 1, 40)))
                 for s in range(200))  # fmt: skip
    assert called <= 8  # 1 % is promised; small samples make the index's law approximate


@given(st.integers(0, 2**31), st.integers(0, 7))
def test_the_feature_that_moved_comes_first(seed: int, moved: int) -> None:
    then, now = sample(seed), sample(seed + 1)
    name = f"f{moved}"
    now[name] = now[name] * 2 + 3
    found = drift(then, now)
    assert found[0].feature == name and found[0].notable
    assert found[0].psi > 0.25


def test_a_rare_flag_that_becomes_common_is_seen() -> None:
    rng = np.random.default_rng(1)
    then, now = (({"f": (rng.random(1000) < p).astype(float)}) for p in (0.03, 0.4))
    assert drift(then, now)[0].notable


def test_the_same_rows_do_not_drift_and_odd_ones_do_not_stop_it() -> None:
    rows = sample(3)
    assert {d.psi for d in drift(rows, rows)} == {0.0}
    holes = {"f0": np.array([1.0, np.nan]), "f1": np.array([np.nan]), "f2": np.array([])}
    assert [d.feature for d in drift(rows, holes)] == ["f0"]
    assert drift(rows, {}) == ()
    constant = {"f": np.full(50, 7.0)}
    assert not drift(constant, constant)[0].notable


# ---- scores ---------------------------------------------------------------------


def test_a_worse_model_is_clearly_worse_and_another_seed_is_noise() -> None:
    found = change(errors(), errors(shift=12))
    assert found and found.low > 1
    again = change(errors(noise=0.5, seed=1), errors(noise=0.5, seed=2))
    assert again and again.low < 1 < again.high
    assert again.point == pytest.approx(1, abs=0.05)


def test_scores_on_other_rows_are_not_compared() -> None:
    other = errors()
    other["label"] = other["label"] + 1
    assert change(errors(), other) is None
    fewer = {name: column[:-1] for name, column in errors().items()}
    assert change(errors(), fewer) is None


def test_rows_that_are_not_judged_do_not_count() -> None:
    then, now = errors(), errors()
    asleep = then["label"] > np.median(then["label"])
    for side in (then, now):
        side["judged"] = ~asleep
    now["loss"] = np.where(asleep, 1e6, now["loss"])
    found = change(then, now)
    assert found and found.point == pytest.approx(1)
