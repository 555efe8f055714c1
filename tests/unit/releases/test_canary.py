"""The canary's judge: what fails, what holds, and how often it is wrong."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.judge import (
    Arm,
    ErrorSample,
    Pairs,
    _binomial_tail,
    _fisher_tail,
    _quantile_bounds,
    _sign_flip_tail,
    disagreement,
    fidelity,
    judge,
    level,
)

PLAN = CanaryPlan()
DECISIONS = 400


def arm(rng, requests, *, errors=0.002, slower=1.0):
    return Arm(
        requests, int(rng.binomial(requests, errors)), slower * rng.lognormal(1.0, 0.6, requests)
    )


def pairs(rng, rows, *, noise=1.0):
    """Counts with a heavy tail, and forecasts that miss them by independent relative noise."""
    label = np.floor(rng.lognormal(2.0, 1.2, rows))
    canary = label * np.exp(rng.normal(0, 0.5 * noise, rows))
    production = label * np.exp(rng.normal(0, 0.5, rows))
    canary_loss, production_loss = (np.abs(p - label) / (1 + label) for p in (canary, production))
    return Pairs(canary, production, canary_loss, production_loss)


def joined(a, b):
    return Pairs(*(np.concatenate([getattr(a, f), getattr(b, f)]) for f in a.__dataclass_fields__))


def release(rng, **worse):
    """Simulate one release through the plan; the verdict that ended it and the looks taken."""
    noise = worse.pop("noise", 1.0)
    production, canary, seen = Arm(), Arm(), Pairs()
    held = disagreement(*(rng.lognormal(2.0, 0.5, 300) for _ in range(2)))
    verdict = Verdict.SUCCESSFUL
    for look, _ in enumerate(PLAN.weights_percent, start=1):
        production = more(production, arm(rng, 300))
        canary = more(canary, arm(rng, 300, **worse))
        seen = joined(seen, pairs(rng, 60, noise=noise))
        analysis = judge(ErrorSample(canary, production, seen, held), PLAN, look)
        if analysis.verdict is Verdict.FAILED:
            return Verdict.FAILED
        verdict = analysis.verdict
    return verdict


def more(a, b):
    latencies = np.concatenate([a.latencies_ms, b.latencies_ms])
    return Arm(a.requests + b.requests, a.errors + b.errors, latencies)


def upper_95(failures, trials):
    """Clopper and Pearson's upper bound, by bisection."""
    low, high = failures / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = 1.0 - _binomial_tail(failures + 1, trials, middle)
        low, high = (middle, high) if below > 0.05 else (low, middle)
    return high


def test_an_equal_model_is_rarely_rolled_back_and_a_worse_one_usually(capsys):
    rng = np.random.default_rng(20240101)
    equal = [release(rng) for _ in range(DECISIONS)]
    false = equal.count(Verdict.FAILED)
    power = {
        "true error +30 %": [release(rng, noise=1.3) for _ in range(100)],
        "true error +50 %": [release(rng, noise=1.5) for _ in range(100)],
        "errors 3 % for 0.2 %": [release(rng, errors=0.03) for _ in range(100)],
        "latency x3": [release(rng, slower=3.0) for _ in range(100)],
    }
    bound = upper_95(false, DECISIONS)
    with capsys.disabled():
        print(
            f"\nfalse rollbacks {false} of {DECISIONS} (upper 95 % bound {bound:.1%}); "
            f"inconclusive {equal.count(Verdict.INCONCLUSIVE)}; power: "
            + ", ".join(f"{k} {v.count(Verdict.FAILED)} %" for k, v in power.items())
        )
    assert bound <= 0.05
    assert equal.count(Verdict.SUCCESSFUL) >= 0.8 * DECISIONS
    assert power["true error +50 %"].count(Verdict.FAILED) >= 80
    assert power["errors 3 % for 0.2 %"].count(Verdict.FAILED) >= 90
    assert power["latency x3"].count(Verdict.FAILED) >= 95


def test_levels_add_up_to_the_stated_rate():
    spent = sum(4 * level(PLAN, look) for look in range(1, 10_000))
    assert spent == pytest.approx(PLAN.false_rollback_rate, rel=1e-3)
    assert spent <= PLAN.false_rollback_rate


def test_the_same_predictions_never_fail():
    rng = np.random.default_rng(1)
    both = pairs(rng, 100)
    same = Pairs(both.production, both.production, *[both.production_loss] * 2)
    analysis = judge(ErrorSample(arm(rng, 500), arm(rng, 500), same), PLAN, 1)
    assert analysis.verdict is Verdict.SUCCESSFUL
    assert analysis.figures["error_increase"] == 0


def test_too_few_requests_are_inconclusive():
    rng = np.random.default_rng(1)
    analysis = judge(ErrorSample(arm(rng, 20), arm(rng, 500)), PLAN, 1)
    assert analysis.verdict is Verdict.INCONCLUSIVE
    assert "20 of the 200" in analysis.reasons[0]


def test_a_dead_canary_fails_before_the_minimum_is_reached():
    analysis = judge(ErrorSample(Arm(15, 15), Arm(200, 0, np.ones(200))), PLAN, 1)
    assert analysis.verdict is Verdict.FAILED
    assert "15 of 15 canary requests failed" in analysis.reasons[0]


def test_an_outage_of_both_is_not_the_canarys_fault():
    analysis = judge(ErrorSample(Arm(300, 60, np.ones(240)), Arm(300, 55, np.ones(245))), PLAN, 1)
    assert analysis.verdict is Verdict.INCONCLUSIVE


def test_a_first_release_is_held_to_the_plan():
    assert judge(ErrorSample(Arm(300, 0), None), PLAN, 1).verdict is Verdict.SUCCESSFUL
    assert judge(ErrorSample(Arm(300, 30), None), PLAN, 1).verdict is Verdict.FAILED


def test_without_labels_disagreement_beyond_the_approved_one_fails():
    rng = np.random.default_rng(3)
    production = rng.lognormal(2, 1, 200)
    unknown = np.full(200, math.nan)
    approved = disagreement(production, production * 1.1)
    wrong = Pairs(production * 3, production, unknown, unknown)
    sample = ErrorSample(arm(rng, 400), arm(rng, 400), wrong, approved)
    assert judge(sample, PLAN, 1).verdict is Verdict.FAILED
    close = Pairs(production * 1.1, production, unknown, unknown)
    sample = ErrorSample(arm(rng, 400), arm(rng, 400), close, approved)
    assert judge(sample, PLAN, 1).verdict is Verdict.SUCCESSFUL


def test_a_process_that_ends_again_fails_and_once_is_told():
    rng = np.random.default_rng(11)
    ended = {"end_reason": "used 700 of 600 MiB", "ends": 2}
    healthy, eating = arm(rng, 300), dataclasses.replace(arm(rng, 300), **ended)
    found = judge(ErrorSample(eating, healthy), PLAN, 1)
    assert found.verdict is Verdict.FAILED
    assert found.reasons[0] == "the canary's process ended 2 times: used 700 of 600 MiB"
    once = judge(ErrorSample(dataclasses.replace(eating, ends=1), healthy), PLAN, 1)
    assert once.verdict is Verdict.SUCCESSFUL
    assert "ended once" in once.reasons[0]


def test_errors_say_what_the_canary_did_most_often():
    rng = np.random.default_rng(12)
    silent = Arm(300, 40, failure="timeout: no answer in 2 s")
    found = judge(ErrorSample(silent, arm(rng, 300)), PLAN, 1)
    assert found.verdict is Verdict.FAILED
    assert found.reasons[0].endswith(", most often: timeout: no answer in 2 s")


def test_fidelity_names_the_worst_row():
    approved = np.array([1.0, 2.0, 3.0])
    assert fidelity(approved + 1e-6, approved, ["a", "b", "c"]) == ""
    said = fidelity(np.array([1.0, 9.0, 3.0]), approved, ["a", "b", "c"])
    assert "1 of 3" in said and "worst b: 9 instead of 2" in said
    assert fidelity(np.array([math.nan]), np.array([1.0]), ["a"])


def test_tails_against_enumeration():
    assert _binomial_tail(0, 5, 0.5) == pytest.approx(1)
    assert _binomial_tail(5, 5, 0.5) == pytest.approx(1 / 32)
    assert _fisher_tail(3, 3, 0, 3) == pytest.approx(1 / 20)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1)
    magnitudes = np.arange(1, 11)
    for flips in range(4):
        differences = magnitudes * np.where(np.arange(10) < flips, -1, 1)
        exact = (signs.T @ magnitudes >= differences.sum()).mean()
        assert exact <= _sign_flip_tail(differences)


def test_quantile_bounds_hold_as_often_as_they_say():
    rng = np.random.default_rng(5)
    drawn = [_quantile_bounds(rng.exponential(size=100), 0.5, 0.05) for _ in range(500)]
    assert sum(low > math.log(2) for low, _ in drawn) <= 25
    assert sum(high < math.log(2) for _, high in drawn) <= 25
