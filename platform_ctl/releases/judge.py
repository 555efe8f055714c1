"""Is the canary worse than production? A group-sequential judgement of one release.

Four measures are tested at each look: errors, latency, true error and
agreement. The canary fails when one of them is worse by more than the plan
allows *and* that is no accident at the level this look may spend.

Error rate. ``false_rollback_rate`` (alpha) is spent over the looks as
alpha / (k (k + 1)), which sums to alpha over any number of looks, so that a
human may continue as often as needed (alpha spending: Lan & DeMets, Discrete
sequential boundaries for clinical trials, Biometrika 70, 1983), and is divided
by the number of measures. By the union bound the chance that a canary no
different from production is ever rolled back is at most alpha, however the
looks and measures depend on each other. Each test is exact or conservative:

* errors: Fisher's exact test, one-sided. Requests without an answer count by episode
  (episodes.py): those of one stall are no independent failures, and a stall that
  production shared counts against both.
* latency and agreement: distribution-free bounds for a quantile from order
  statistics, with Hoeffding's inequality (1963) for their ranks.
* true error: sign-flip test of paired differences, with the bound
  P(S >= t) <= 3.18 P(Z >= t) for weighted Rademacher sums (Bentkus &
  Dzindzalieta, A tight Gaussian bound, Bernoulli 21, 2015).

A process that ends by itself is a fact, not a sample: the second time fails the canary,
whatever share of its requests that has cost.

What is worse than allowed but could be an accident, or rests on too few
requests, is inconclusive: the weight holds and a human is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.recipe.verdict import Verdict

MEASURES = ("errors", "latency", "true error", "agreement")
LATENCY_SLACK_MS = 2.0
"""A difference no caller notices, whatever the ratio."""
DISAGREEMENT_SLACK = 0.05
"""Forecasts within 5 % of each other agree."""
AGREEMENT_QUANTILE = 0.75
_ENDS_TO_FAIL = 2
"""Once may be the machine's fault; what it cost then counts as errors."""
FIDELITY = 1e-3
"""Relative difference at which a served answer is not the approved one (float32 and threads)."""
_RADEMACHER = 1.0 / (4.0 * 0.5 * math.erfc(1.0))
"""Bentkus & Dzindzalieta's constant 1 / (4 P(Z >= sqrt 2)), about 3.178."""
_EMPTY = np.empty(0)


@dataclass(frozen=True)
class Arm:
    """What one revision did."""

    requests: int = 0
    errors: int = 0
    """Answers of 500 and above, and no answer at all."""
    latencies_ms: np.ndarray = field(default_factory=lambda: _EMPTY)
    failure: str = ""
    """The commonest reason for no answer."""
    unanswered: int = 0
    """Of the errors, those without any answer; they came in ``episodes``."""
    episodes: int = 0
    """Stretches of time without an answer (episodes.py); of production, those that it shared
    with the canary, whose requests it may have answered late."""
    ends: int = 0
    """How often its process ended, or had to be ended, since it was started."""
    end_reason: str = ""

    @property
    def failures(self) -> int:
        """Independent ones: an episode counts once."""
        return self.errors - self.unanswered + self.episodes

    @property
    def trials(self) -> int:
        return self.requests - self.unanswered + self.episodes

    @property
    def error_rate(self) -> float:
        return self.failures / self.trials if self.trials else 0.0


@dataclass(frozen=True)
class Pairs:
    """Predictions of both revisions for the same rows, one entry a row, and their losses: NaN
    while the label is unknown."""

    canary: np.ndarray = field(default_factory=lambda: _EMPTY)
    production: np.ndarray = field(default_factory=lambda: _EMPTY)
    canary_loss: np.ndarray = field(default_factory=lambda: _EMPTY)
    production_loss: np.ndarray = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True)
class ErrorSample:
    """Everything seen since the release started."""

    canary: Arm
    production: Arm | None
    """None for the first release of a name."""
    pairs: Pairs = field(default_factory=Pairs)
    approved_disagreement: np.ndarray = field(default_factory=lambda: _EMPTY)
    """Disagreement of candidate and champion in the approved evaluation."""


@dataclass(frozen=True)
class Analysis:
    """The answer of one look."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, float]
    look: int
    level: float
    """What each measure's test may spend at this look."""


@dataclass(frozen=True)
class _Finding:
    text: str
    failed: bool


def level(plan: CanaryPlan, look: int) -> float:
    """Significance level of one measure at the ``look``-th look (from 1)."""
    return plan.false_rollback_rate / (look * (look + 1)) / len(MEASURES)


def judge(sample: ErrorSample, plan: CanaryPlan, look: int) -> Analysis:
    """Judge everything seen so far at the ``look``-th look (from 1)."""
    alpha = level(plan, look)
    figures: dict[str, float] = {
        "canary_requests": sample.canary.requests,
        "canary_error_rate": sample.canary.error_rate,
    }
    rules = [
        _ended(sample.canary, figures),
        _errors(sample, plan, alpha),
        _latency(sample, plan, alpha, figures),
        _true_error(sample.pairs, plan, alpha, figures),
        _agreement(sample, plan, alpha, figures),
    ]
    findings = [f for f in rules if f is not None]
    short = _too_few(sample, plan)
    if any(f.failed for f in findings):
        verdict, reasons = Verdict.FAILED, [f.text for f in findings if f.failed]
    elif findings or short:
        verdict, reasons = Verdict.INCONCLUSIVE, [*short, *(f.text for f in findings)]
    else:
        verdict, reasons = Verdict.SUCCESSFUL, [_in_words(figures)]
    return Analysis(verdict, tuple(reasons), figures, look, alpha)


def disagreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Per row: |asinh(a) - asinh(b)|, about the relative difference of large values of either
    sign, and the difference of small ones."""
    return np.abs(np.arcsinh(one) - np.arcsinh(other))


def fidelity(served: np.ndarray, approved: np.ndarray, names: Sequence[str]) -> str:
    """Why the served answers are not those of the approved evaluation; empty when they are."""
    gap = np.nan_to_num(np.abs(served - approved), nan=np.inf)
    off = gap > FIDELITY * (1 + np.abs(approved))
    if not off.any():
        return ""
    worst = int(np.argmax(gap))
    return (
        f"{int(off.sum())} of {len(off)} golden rows are answered differently than in the "
        f"evaluation that was approved; worst {names[worst]}: "
        f"{served[worst]:.4g} instead of {approved[worst]:.4g}"
    )


def _too_few(sample: ErrorSample, plan: CanaryPlan) -> list[str]:
    arms = {"canary": sample.canary, "production": sample.production}
    return [
        f"the {name} answered {arm.requests} of the {plan.min_requests} requests a judgement needs"
        for name, arm in arms.items()
        if arm is not None and arm.requests < plan.min_requests
    ]


def _in_words(figures: dict[str, float]) -> str:
    words = [f"{figures['canary_requests']:.0f} requests"]
    words.append(f"errors {figures['canary_error_rate']:.2%}")
    if "canary_process_ends" in figures:
        words.append("its process ended once")
    if "latency_ratio" in figures:
        words.append(f"median latency x{figures['latency_ratio']:.2f}")
    if "error_increase" in figures:
        words.append(f"true error {figures['error_increase']:+.1%}")
    if "disagreement" in figures:
        words.append(f"disagreement {figures['disagreement']:.3f}")
    return ", ".join(words)


# ---- measures: None when within the plan, else a finding ---------------------


def _ended(canary: Arm, figures: dict[str, float]) -> _Finding | None:
    if not canary.ends:
        return None
    figures["canary_process_ends"] = canary.ends
    if canary.ends < _ENDS_TO_FAIL:
        return None
    text = f"the canary's process ended {canary.ends} times: {canary.end_reason}"
    return _Finding(text, failed=True)


def _errors(sample: ErrorSample, plan: CanaryPlan, alpha: float) -> _Finding | None:
    canary, production = sample.canary, sample.production
    if canary.error_rate <= plan.max_error_rate:
        return None
    if production is None or production.requests == 0:
        p = _binomial_tail(canary.failures, canary.trials, plan.max_error_rate)
        than = f"{plan.max_error_rate:.2%} allowed"
    else:
        p = _fisher_tail(canary.failures, canary.trials, production.failures, production.trials)
        than = f"{production.error_rate:.2%} of production, {plan.max_error_rate:.2%} allowed"
    text = f"{canary.errors} of {canary.requests} canary requests failed ({than}; p = {p:.2g})"
    if canary.unanswered:
        text += f", {canary.unanswered} of them unanswered in {canary.episodes} episodes"
    if canary.failure:
        text += f", most often: {canary.failure}"
    return _Finding(text, p < alpha)


def _latency(
    sample: ErrorSample, plan: CanaryPlan, alpha: float, figures: dict[str, float]
) -> _Finding | None:
    if sample.production is None:
        return None
    canary, production = sample.canary.latencies_ms, sample.production.latencies_ms
    if not len(canary) or not len(production):
        return None
    ours, theirs = float(np.median(canary)), float(np.median(production))
    figures["canary_p50_ms"], figures["production_p50_ms"] = ours, theirs
    figures["latency_ratio"] = ours / theirs if theirs else 1.0
    if ours <= theirs * plan.max_latency_ratio + LATENCY_SLACK_MS:
        return None
    low = _quantile_bounds(canary, 0.5, alpha / 2)[0]
    high = _quantile_bounds(production, 0.5, alpha / 2)[1]
    text = (
        f"canary median latency {ours:.3g} ms, production {theirs:.3g} ms "
        f"(x{plan.max_latency_ratio:g} allowed)"
    )
    return _Finding(text, low > high * plan.max_latency_ratio + LATENCY_SLACK_MS)


def _true_error(
    pairs: Pairs, plan: CanaryPlan, alpha: float, figures: dict[str, float]
) -> _Finding | None:
    known = np.isfinite(pairs.production_loss)
    if not known.any():
        return None
    canary, production = pairs.canary_loss[known], pairs.production_loss[known]
    increase = float(canary.mean() / max(production.mean(), 1e-12) - 1)
    figures["labelled_rows"] = int(known.sum())
    figures["error_increase"] = increase
    if increase <= plan.max_error_increase:
        return None
    p = _sign_flip_tail(canary - production)
    text = (
        f"true error {increase:+.1%} against production on {known.sum()} labelled rows "
        f"({plan.max_error_increase:+.0%} allowed; p <= {p:.2g})"
    )
    return _Finding(text, p < alpha)


def _agreement(
    sample: ErrorSample, plan: CanaryPlan, alpha: float, figures: dict[str, float]
) -> _Finding | None:
    pairs, approved = sample.pairs, sample.approved_disagreement
    if not len(pairs.canary):
        return None
    seen = disagreement(pairs.canary, pairs.production)
    ours = float(np.quantile(seen, AGREEMENT_QUANTILE))
    figures["disagreement"] = ours
    if not len(approved):
        return None
    theirs = float(np.quantile(approved, AGREEMENT_QUANTILE))
    figures["approved_disagreement"] = theirs
    ratio = 1 + plan.max_error_increase
    if ours <= theirs * ratio + DISAGREEMENT_SLACK:
        return None
    if np.isfinite(pairs.production_loss).sum() >= len(approved) // 2:
        return None  # the true error says which of the two is wrong
    low = _quantile_bounds(seen, AGREEMENT_QUANTILE, alpha / 2)[0]
    high = _quantile_bounds(approved, AGREEMENT_QUANTILE, alpha / 2)[1]
    text = (
        f"canary and production disagree by {ours:.1%} (upper quartile of {len(seen)} rows), "
        f"{theirs:.1%} in the approved evaluation"
    )
    return _Finding(text, low > high * ratio + DISAGREEMENT_SLACK)


# ---- tests ------------------------------------------------------------------


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _binomial_tail(successes: int, trials: int, rate: float) -> float:
    """P(X >= successes), X ~ Binomial(trials, rate), 0 < rate < 1."""
    terms = (
        _log_choose(trials, k) + k * math.log(rate) + (trials - k) * math.log1p(-rate)
        for k in range(successes, trials + 1)
    )
    return min(1.0, math.fsum(math.exp(t) for t in terms))


def _fisher_tail(a: int, n: int, b: int, m: int) -> float:
    """P(at least ``a`` of the ``a + b`` errors fall on these ``n`` of ``n + m`` requests)."""
    total = _log_choose(n + m, a + b)
    terms = (
        _log_choose(n, k) + _log_choose(m, a + b - k) - total
        for k in range(a, min(n, a + b) + 1)
        if a + b - k <= m
    )
    return min(1.0, math.fsum(math.exp(t) for t in terms))


def _sign_flip_tail(differences: np.ndarray) -> float:
    """Bound on P(a sum of these magnitudes with random signs is at least as large)."""
    norm = float(np.sqrt(np.square(differences).sum()))
    if norm == 0:
        return 1.0
    z = float(differences.sum()) / norm
    return min(1.0, _RADEMACHER * 0.5 * math.erfc(z / math.sqrt(2)))


def _quantile_bounds(values: np.ndarray, q: float, alpha: float) -> tuple[float, float]:
    """Order statistics below and above the q-quantile, each wrong with chance <= alpha."""
    ordered = np.sort(values)
    n = len(ordered)
    margin = math.sqrt(n * math.log(1 / alpha) / 2)
    low, high = math.floor(n * q - margin) - 1, math.ceil(n * q + margin)
    return (
        float(ordered[low]) if low >= 0 else -math.inf,
        float(ordered[high]) if high < n else math.inf,
    )
