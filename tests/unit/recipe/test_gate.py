"""The gate under known truths. Error rates: benchmarks/gate_error_rates.py has the full table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from platform_ctl.recipe import gate
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.recipe import GateThresholds
from platform_ctl.recipe.verdict import Verdict
from tests.support.golden import GoldenSet, evaluation

THRESHOLDS = GateThresholds(
    max_loss=1.5,
    min_gain_over_baseline=0.02,
    champion_margin=0.02,
    slice_ceiling={"small": 1.10, "bursty": 1.10, "steady": 1.10},
)


def judge(
    golden: GoldenSet, prediction: np.ndarray, champion: np.ndarray | None = None
) -> GateDecision:
    errors = golden.errors(prediction, champion)
    return gate.decide(evaluation(errors), errors, THRESHOLDS)


@pytest.fixture(scope="module")
def golden() -> GoldenSet:
    """One on which the good model is 12 % better than the better baseline."""
    return GoldenSet(3, repos=12)


@pytest.fixture(scope="module")
def good(golden: GoldenSet) -> np.ndarray:
    return golden.improved(golden.forecast(1.0), by=0.1, seed=0)


def test_a_good_model_passes_and_says_by_how_much(golden, good):
    decision = judge(golden, good)
    assert decision.verdict is Verdict.SUCCESSFUL
    assert any("% better than" in reason for reason in decision.reasons)
    assert decision.figures["baseline"]["point"] < 0.98


def test_without_a_champion_the_baselines_decide(golden, good):
    assert "champion" not in judge(golden, good).figures
    assert judge(golden, good, good).figures["champion"]["point"] == 1.0


def test_a_recipe_may_allow_a_loss_above_the_baseline(golden):
    worse = golden.forecast(1.0) * 1.3
    errors = golden.errors(worse)
    lenient = replace(THRESHOLDS, min_gain_over_baseline=-9.0, max_loss=99.0, slice_ceiling={})
    strict = replace(lenient, min_gain_over_baseline=-0.001)
    assert gate.decide(evaluation(errors), errors, lenient).verdict is Verdict.SUCCESSFUL
    refused = gate.decide(evaluation(errors), errors, strict)
    assert refused.verdict is not Verdict.SUCCESSFUL
    assert any("at most 0.1 % worse" in reason for reason in refused.reasons)


def test_a_slice_that_no_golden_row_is_in_is_named(golden, good):
    """A ceiling under a mistyped name would protect nobody, and nobody would notice."""
    errors = golden.errors(good)
    thresholds = replace(THRESHOLDS, slice_ceiling={"smalll": 1.1})
    decision = gate.decide(evaluation(errors), errors, thresholds)
    assert decision.verdict is Verdict.SUCCESSFUL
    (said,) = [reason for reason in decision.reasons if "smalll" in reason]
    assert said.startswith("Slice smalll has no golden row and is not judged (there is: ")


def test_the_same_input_gives_the_same_decision(golden, good):
    assert judge(golden, good).as_dict() == judge(golden, good).as_dict()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_fails(golden, good, bad):
    broken = good.copy()
    broken[0, 0] = bad
    decision = judge(golden, broken)
    assert decision.verdict is Verdict.FAILED
    assert "1 of 144 predictions" in decision.reasons[0]


def test_a_non_finite_row_that_is_not_judged_fails_too(golden, good):
    errors = golden.errors(good)
    errors["judged"] = np.arange(144) >= 12
    errors["loss"][0] = np.nan
    assert gate.decide(evaluation(errors), errors, THRESHOLDS).verdict is Verdict.FAILED


def test_a_leaked_golden_row_fails(golden, good):
    errors = golden.errors(good)
    told = evaluation(errors)
    told["leak_check"] = {"ok": False, "findings": ["org/r1 at 2026-01-05 is golden and training"]}
    decision = gate.decide(told, errors, THRESHOLDS)
    assert decision.verdict is Verdict.FAILED
    assert "org/r1" in decision.reasons[0]


def test_an_evaluation_without_a_leak_check_fails(golden, good):
    errors = golden.errors(good)
    told = {k: v for k, v in evaluation(errors).items() if k != "leak_check"}
    assert gate.decide(told, errors, THRESHOLDS).verdict is Verdict.FAILED


def test_a_tiny_golden_set_is_inconclusive_and_says_what_is_missing():
    small = GoldenSet(0, repos=3)
    decision = judge(small, small.label)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "36 judged rows and the gate needs 60" in decision.reasons[0]


def test_few_clusters_of_many_rows_are_inconclusive():
    short = GoldenSet(0, repos=40, weeks=3)
    assert judge(short, short.label).verdict is Verdict.INCONCLUSIVE


def test_an_empty_golden_set_is_inconclusive(golden, good):
    errors = {name: column[:0] for name, column in golden.errors(good).items()}
    told = evaluation(golden.errors(good))
    assert gate.decide(told, errors, THRESHOLDS).verdict is Verdict.INCONCLUSIVE


def test_rows_that_are_not_judged_do_not_count(golden, good):
    errors = golden.errors(good)
    errors["judged"] = np.arange(144) < 48
    decision = gate.decide(evaluation(errors), errors, THRESHOLDS)
    assert "48 judged rows" in decision.reasons[0]


def test_figures_that_contradict_the_errors_fail(golden, good):
    errors = golden.errors(good)
    told = evaluation(errors)
    told["metrics"]["mase"] *= 0.9
    assert gate.decide(told, errors, THRESHOLDS).verdict is Verdict.FAILED


def test_a_champion_that_was_left_out_of_the_errors_fails(golden, good):
    errors = golden.errors(good)
    told = evaluation(errors) | {"champion": {"mase": 0.5}}
    assert gate.decide(told, errors, THRESHOLDS).verdict is Verdict.FAILED


def test_a_mase_above_the_ceiling_does_not_pass(golden, good):
    errors = golden.errors(good)
    strict = replace(THRESHOLDS, max_loss=0.1)
    assert gate.decide(evaluation(errors), errors, strict).verdict is Verdict.FAILED


def test_one_ruined_slice_fails_though_the_whole_is_better(golden, good):
    ruined = golden.label + 0.1 * (good - golden.label)
    bursty = golden.errors(good)["slice"].reshape(ruined.shape) == "bursty"
    ruined[bursty] = golden.label[bursty] + 1.9 * np.abs(good - golden.label)[bursty]
    decision = judge(golden, ruined)
    assert decision.figures["baseline"]["verdict"] == "successful"
    assert decision.verdict is Verdict.FAILED
    assert "slice bursty" in decision.reasons[0]


def test_a_much_better_champion_keeps_its_place(golden, good):
    champion = golden.label + 0.6 * (good - golden.label)
    decision = judge(golden, good, champion)
    assert decision.verdict is Verdict.FAILED
    assert "than the champion" in decision.reasons[0]


def test_an_inconclusive_answer_says_what_would_settle_it():
    for seed in range(40):
        golden = GoldenSet(seed, repos=8)
        decision = judge(golden, golden.forecast(0.8))
        if decision.verdict is Verdict.INCONCLUSIVE:
            assert any("would settle it" in reason for reason in decision.reasons)
            return
    pytest.fail("no inconclusive answer among 40 golden sets")


def test_the_confidence_of_an_interval_is_printed(golden, good):
    reasons = judge(golden, good, good).reasons
    assert any("each bound at 80 % confidence" in r for r in reasons)
    assert any("each bound at 95 % confidence" in r for r in reasons)


def classified(by: float, rows: int = 300) -> tuple[dict, dict[str, np.ndarray]]:
    """A classifier on independent rows, whose log loss is ``by`` below that of the base rate."""
    rng = np.random.default_rng(1)
    base = rng.gamma(2.0, 0.3, rows)
    nothing = np.full(rows, np.nan)
    errors = {
        "row": np.arange(rows).astype(str),
        "slice": np.full(rows, "all"),
        "judged": np.ones(rows, bool),
        "label": (rng.random(rows) < 0.1).astype(float),
        "prediction": rng.random(rows),
        "champion_prediction": nothing,
        "champion_loss": nothing,
        "loss": base * (1 - by) * rng.uniform(0.9, 1.1, rows),
        "loss:base_rate": base,
    }
    told = {
        "loss": {"name": "log_loss", "title": "log loss", "unit": "nats"},
        "metrics": {"log_loss": float(errors["loss"].mean())},
        "baselines": {"base_rate": {"log_loss": float(base.mean())}},
        "champion": None,
        "leak_check": {"ok": True, "findings": []},
    }
    return told, errors


def test_another_loss_without_clusters_is_judged_in_its_own_words():
    decision = gate.decide(*classified(by=0.2), THRESHOLDS)
    assert decision.verdict is Verdict.SUCCESSFUL
    assert any("than base_rate (log loss" in r and "nats" in r for r in decision.reasons)
    assert gate.decide(*classified(by=-0.2), THRESHOLDS).verdict is Verdict.FAILED


def test_without_a_baseline_the_ceiling_decides():
    told, errors = classified(by=0.2)
    del errors["loss:base_rate"]
    told["baselines"] = {}
    assert gate.decide(told, errors, THRESHOLDS).verdict is Verdict.SUCCESSFUL
    strict = replace(THRESHOLDS, max_loss=0.01)
    assert gate.decide(told, errors, strict).verdict is Verdict.FAILED


# ---- rates -------------------------------------------------------------------

SETS = 60


def verdicts(forecasts, repos: int = 12) -> Counter:
    """``forecasts(golden, seed) -> (candidate, champion)`` over fresh golden sets."""
    found: Counter = Counter()
    for seed in range(SETS):
        golden = GoldenSet(seed, repos=repos)
        found[judge(golden, *forecasts(golden, seed)).verdict] += 1
    return found


def better(golden: GoldenSet, seed: int, by: float) -> np.ndarray:
    return golden.improved(golden.forecast(1.0, seed=seed), by=by, seed=seed)


def test_a_clearly_better_model_passes_nine_times_in_ten():
    found = verdicts(lambda g, s: (better(g, s, 0.1), g.forecast(1.0, seed=s + 1000)))
    assert found[Verdict.SUCCESSFUL] >= 0.9 * SETS


def test_a_retrained_champion_passes_and_is_rarely_inconclusive():
    def retrained(golden: GoldenSet, seed: int) -> np.ndarray:
        return golden.improved(golden.forecast(1.0, seed=seed), by=0.1, seed=0)

    found = verdicts(lambda g, s: (retrained(g, s), retrained(g, s + 1000)))
    assert found[Verdict.INCONCLUSIVE] <= 0.1 * SETS
    assert found[Verdict.FAILED] == 0


@pytest.mark.parametrize("spoil", ["shuffled", "constant", "last_week", "double"])
def test_a_bad_model_never_passes(spoil):
    def forecasts(golden: GoldenSet, seed: int):
        prediction = golden.forecast(1.0, seed=seed)
        rng = np.random.default_rng(seed)
        spoiled = {
            "shuffled": rng.permutation(prediction.ravel()).reshape(prediction.shape),
            "constant": np.full(prediction.shape, prediction.mean()),
            "last_week": golden.forecast(0.0),
            "double": 2 * prediction,
        }
        return spoiled[spoil], None

    assert verdicts(forecasts)[Verdict.SUCCESSFUL] == 0


@pytest.mark.parametrize("skill", [1.0, 0.8, 0.6, 0.4])
def test_retraining_noise_never_flips_between_successful_and_failed(skill):
    for seed in range(8):
        golden = GoldenSet(seed, repos=10)
        champion = golden.forecast(1.0, seed=999)
        found = {judge(golden, golden.forecast(skill, seed=s), champion).verdict for s in range(20)}
        assert found != {Verdict.SUCCESSFUL, Verdict.FAILED}
        assert len(found) < 3
