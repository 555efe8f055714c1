"""The gate: may this model be registered? A pure decision with three answers.

Each criterion is a ratio of mean absolute scaled errors (MASE) on the frozen
golden rows, with an interval, and falls into one of three zones: clearly good,
clearly bad, or between. Between them lies an indifference zone, wider than what
retraining with another seed moves, so that noise cannot turn ``successful``
into ``failed`` or back. How often each verdict occurs under known truths is
measured by ``benchmarks/gate_error_rates.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from platform_ctl.recipe.bootstrap import Estimate, ratio
from platform_ctl.recipe.recipe import GateThresholds
from platform_ctl.recipe.verdict import Verdict

BASELINES = {"last_week": "naive_last_week", "mean_4w": "naive_mean_4w"}
DORMANT = "dormant"
MIN_WEEKS = 6
"""Fewer golden weeks say nothing about the next one, however many repositories there are."""
MIN_SLICE_ROWS = 12
"""A slice below this is reported, not judged."""
CHAMPION_TOLERANCE = 5.0
"""The upper bound against the champion may reach this multiple of the margin: with a margin of
2 %, an estimate within 2 % and, at the stated confidence, never worse than 10 %. At 3, every
second different model of the same quality would be sent back."""
INDIFFERENCE = 2.0
"""Worse than the champion by up to this multiple of the margin is never ``failed``."""
LIKELY = 0.8
"""Confidence of the comparisons with a baseline. Twelve weeks of ten repositories hold a
ratio to 4 %: at 0.95 half of the models that are 10 % better would be sent back, and an
error here costs a human's look and a canary, not production."""
AGREEMENT = 1e-6
"""Relative difference at which evaluation.json and the errors contradict each other."""


@dataclass(frozen=True)
class GateDecision:
    """``reasons`` are sentences with figures and without a full stop, the deciding ones first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> GateDecision:
        """The inverse of ``as_dict``."""
        return cls(Verdict(record["verdict"]), tuple(record["reasons"]), record["figures"])


@dataclass(frozen=True)
class _Finding:
    criterion: str
    verdict: Verdict
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class _Limits:
    """The zones of one criterion; a ratio is better the smaller it is."""

    good: float
    """The point estimate may reach this, and ``failed`` means that the lower bound is above."""
    reach: float = math.inf
    """The upper bound may reach this."""
    bad: float = 0.0
    """``failed`` also needs a point estimate above this."""
    harmless: float = 0.0
    """A lower bound down here is good, whatever the point estimate."""

    def judge(self, estimate: Estimate) -> Verdict:
        within = estimate.point <= self.good or estimate.low <= self.harmless
        if within and estimate.high <= self.reach:
            return Verdict.SUCCESSFUL
        if estimate.low > self.good and estimate.point > self.bad:
            return Verdict.FAILED
        return Verdict.INCONCLUSIVE


def decide(
    evaluation: Mapping[str, Any], errors: Mapping[str, np.ndarray], thresholds: GateThresholds
) -> GateDecision:
    """Judge a candidate on its golden rows.

    ``evaluation`` is evaluation.json; ``errors`` the columns of errors.parquet as
    arrays of equal length, one element for each golden row. Dormant rows do not
    count. Without a champion the baselines decide. Never raises for a bad model:
    whatever cannot be computed is ``failed`` or ``inconclusive`` with a reason.
    """
    stop = [*_broken(evaluation, errors), *_too_small(errors, thresholds)]
    if stop:
        return _conclude(stop)
    golden = _Golden.live(errors)
    contradiction = _contradiction(evaluation, golden)
    if contradiction:
        return _conclude([contradiction])
    return _conclude(
        [
            _absolute(golden, thresholds),
            _against_baseline(golden, thresholds),
            *_against_champion(golden, thresholds),
            *_slices(golden, thresholds),
        ]
    )


@dataclass(frozen=True)
class _Golden:
    """The live golden rows: scaled absolute errors by forecast, and the clusters."""

    scaled: Mapping[str, np.ndarray]
    repo: np.ndarray
    week: np.ndarray
    slice: np.ndarray

    @classmethod
    def live(cls, errors: Mapping[str, np.ndarray]) -> _Golden:
        alive = errors["slice"] != DORMANT
        label, scale = errors["label"][alive], errors["scale"][alive]
        columns = {"candidate": "prediction", **BASELINES}
        if np.isfinite(_floats(errors["champion_prediction"])).any():
            columns["champion"] = "champion_prediction"
        scaled = {n: np.abs(_floats(errors[c][alive]) - label) / scale for n, c in columns.items()}
        weeks = _weeks(errors["event_timestamp"][alive])
        return cls(scaled, errors["repo"][alive], weeks, errors["slice"][alive])

    def mase(self, name: str, rows: np.ndarray | slice = slice(None)) -> float:
        return float(self.scaled[name][rows].mean())

    def best_baseline(self, rows: np.ndarray | slice = slice(None)) -> str:
        return min(BASELINES, key=lambda name: self.mase(name, rows))

    def compare(
        self, other: str, confidence: float, rows: np.ndarray | slice = slice(None)
    ) -> Estimate:
        """MASE of the candidate over that of ``other``, paired."""
        clusters = (self.week[rows], self.repo[rows])
        mine, theirs = self.scaled["candidate"][rows], self.scaled[other][rows]
        return ratio(mine, theirs, clusters, confidence)


# ---- what cannot be judged ---------------------------------------------------


def _broken(evaluation: Mapping[str, Any], errors: Mapping[str, np.ndarray]) -> Iterator[_Finding]:
    """Faults that no figure can make up for."""
    prediction = _floats(errors["prediction"])
    bad = int((~np.isfinite(prediction)).sum())
    if bad:
        yield _failed("finite", f"{bad} of {len(prediction)} predictions are not finite numbers")
    reference = np.concatenate([_floats(errors["label"]), _floats(errors["scale"])])
    if not np.isfinite(reference).all() or not (errors["scale"] > 0).all():
        yield _failed("finite", "The golden rows hold labels or scales that are not finite")
    leaks = evaluation.get("leak_check") or {}
    if leaks.get("ok") is not True:
        found = leaks.get("findings") or ["the evaluation carries no leak check"]
        yield _failed(
            "leaks", f"The golden set is not independent of training: {'; '.join(found[:3])}"
        )
    spread = len(np.unique(errors["label"])) > 1
    if len(prediction) > 1 and not bad and spread and np.ptp(prediction) == 0:
        yield _failed("constant", f"The model predicts {prediction[0]:.3g} for every row")


def _too_small(errors: Mapping[str, np.ndarray], thresholds: GateThresholds) -> Iterator[_Finding]:
    alive = errors["slice"] != DORMANT
    rows, weeks = int(alive.sum()), len(np.unique(_weeks(errors["event_timestamp"][alive])))
    figures = {"rows": rows, "weeks": weeks}
    if rows < thresholds.min_rows:
        yield _Finding(
            "golden_rows",
            Verdict.INCONCLUSIVE,
            f"The golden set has {rows} live rows and the gate needs {thresholds.min_rows}: "
            "ingest more repositories and run again",
            figures,
        )
    elif weeks < MIN_WEEKS:
        yield _Finding(
            "golden_weeks",
            Verdict.INCONCLUSIVE,
            f"The golden set has {weeks} weeks and the gate needs {MIN_WEEKS}: "
            "run again when more weeks have been observed",
            figures,
        )


def _contradiction(evaluation: Mapping[str, Any], golden: _Golden) -> _Finding | None:
    """evaluation.json and errors.parquet must describe the same model."""
    said = {
        "candidate": evaluation.get("metrics"),
        **(evaluation.get("baselines") or {}),
        "champion": evaluation.get("champion"),
    }
    for name in sorted(set(golden.scaled) | {n for n, m in said.items() if m}):
        claimed = (said.get(name) or {}).get("mase")
        found = golden.mase(name) if name in golden.scaled else None
        if claimed is None or found is None or not math.isclose(claimed, found, rel_tol=AGREEMENT):
            return _failed(
                "consistent",
                f"The evaluation says that the {name} has a MASE of {_figure(claimed)}, "
                f"its errors say {_figure(found)}",
            )
    return None


# ---- the criteria ------------------------------------------------------------


def _absolute(golden: _Golden, thresholds: GateThresholds) -> _Finding:
    mine = golden.scaled["candidate"]
    estimate = ratio(mine, np.ones_like(mine), (golden.week, golden.repo), thresholds.confidence)
    verdict = _Limits(good=thresholds.max_mase).judge(estimate)
    return _Finding(
        "absolute",
        verdict,
        {
            Verdict.SUCCESSFUL: f"MASE {estimate.point:.3f} is within the "
            f"ceiling of {thresholds.max_mase:g}",
            Verdict.FAILED: f"MASE {estimate.point:.3f} (at least {estimate.low:.3f}) is above "
            f"the ceiling of {thresholds.max_mase:g}",
            Verdict.INCONCLUSIVE: f"MASE {estimate.point:.3f} is above the ceiling of "
            f"{thresholds.max_mase:g}, but not clearly (it may be {estimate.low:.3f}): "
            f"{_what_settles(estimate, estimate.point - thresholds.max_mase)}",
        }[verdict],
        estimate.as_dict(),
    )


def _against_baseline(golden: _Golden, thresholds: GateThresholds) -> _Finding:
    name = golden.best_baseline()
    estimate = golden.compare(name, LIKELY)
    needed = 1 - thresholds.min_gain_over_baseline
    verdict = _Limits(good=needed, reach=1.0).judge(estimate)
    gain = (
        f"{_gain(estimate.point)} than {name} (MASE {golden.mase('candidate'):.3f} against "
        f"{golden.mase(name):.3f}; {_range(estimate)})"
    )
    asked = f"{100 * thresholds.min_gain_over_baseline:g} % better"
    return _Finding(
        "baseline",
        verdict,
        {
            Verdict.SUCCESSFUL: f"The model is {gain}",
            Verdict.FAILED: f"The model is {gain}; the gate asks for {asked}",
            Verdict.INCONCLUSIVE: f"The model is {gain}, which does not show {asked}: "
            f"{_what_settles(estimate, 1.0 - estimate.point)}",
        }[verdict],
        {"baseline": name, **estimate.as_dict()},
    )


def _against_champion(golden: _Golden, thresholds: GateThresholds) -> Iterator[_Finding]:
    if "champion" not in golden.scaled:
        return
    estimate = golden.compare("champion", thresholds.confidence)
    margin = thresholds.champion_margin
    reach = 1 + CHAMPION_TOLERANCE * margin
    limits = _Limits(good=1 + margin, reach=reach, bad=1 + INDIFFERENCE * margin)
    verdict = limits.judge(estimate)
    compared = (
        f"{_gain(estimate.point)} than the champion (MASE {golden.mase('candidate'):.3f} against "
        f"{golden.mase('champion'):.3f}; {_range(estimate)})"
    )
    yield _Finding(
        "champion",
        verdict,
        {
            Verdict.SUCCESSFUL: f"The model is {compared}, so not worse by "
            f"the margin of {100 * margin:g} %",
            Verdict.FAILED: f"The model is {compared}; the margin is {100 * margin:g} %",
            Verdict.INCONCLUSIVE: f"The model is {compared}, which does not show that it is "
            f"no worse: {_what_settles(estimate, reach - estimate.point)}",
        }[verdict],
        estimate.as_dict(),
    )


def _slices(golden: _Golden, thresholds: GateThresholds) -> Iterator[_Finding]:
    """One floor for each slice; the intervals share the error rate among them."""
    names = [n for n in thresholds.slice_ceiling if (golden.slice == n).any()]
    confidence = 1 - (1 - LIKELY) / max(1, len(names))
    for name in names:
        rows = golden.slice == name
        ceiling, best = thresholds.slice_ceiling[name], golden.best_baseline(rows)
        criterion = f"slice_{name}"
        if rows.sum() < MIN_SLICE_ROWS or golden.mase(best, rows) == 0:
            reason = f"Slice {name} has too little to judge ({rows.sum()} rows)"
            yield _Finding(criterion, Verdict.SUCCESSFUL, reason, {"rows": int(rows.sum())})
            continue
        estimate = golden.compare(best, confidence, rows)
        verdict = _Limits(good=ceiling, harmless=1.0).judge(estimate)
        compared = f"In slice {name} the model is {_gain(estimate.point)} than {best}"
        yield _Finding(
            criterion,
            verdict,
            {
                Verdict.SUCCESSFUL: f"{compared} ({rows.sum()} rows)",
                Verdict.FAILED: f"{compared} ({_range(estimate)}); "
                f"the floor is {100 * (ceiling - 1):.3g} % worse",
                Verdict.INCONCLUSIVE: f"{compared} ({_range(estimate)}), below the floor of "
                f"{100 * (ceiling - 1):.3g} % worse but not clearly: "
                f"{_what_settles(estimate, estimate.point - ceiling)}",
            }[verdict],
            {"rows": int(rows.sum()), "baseline": best, **estimate.as_dict()},
        )


# ---- words -------------------------------------------------------------------

_SEVERITY = (Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE, Verdict.FAILED)


def _conclude(findings: list[_Finding]) -> GateDecision:
    """The worst finding decides; good news is left out of a bad answer."""
    verdict = max((f.verdict for f in findings), key=_SEVERITY.index)
    told = sorted(findings, key=lambda f: -_SEVERITY.index(f.verdict))
    if verdict is not Verdict.SUCCESSFUL:
        told = [f for f in told if f.verdict is not Verdict.SUCCESSFUL]
    figures = {f.criterion: {"verdict": str(f.verdict), **f.figures} for f in findings}
    return GateDecision(verdict, tuple(f.reason for f in told), figures)


def _failed(criterion: str, reason: str) -> _Finding:
    return _Finding(criterion, Verdict.FAILED, reason, {})


def _gain(point: float) -> str:
    change = 100 * abs(1 - point)
    if change < 0.05:
        return "no better or worse"
    return f"{change:.1f} % {'better' if point <= 1 else 'worse'}"


def _range(estimate: Estimate) -> str:
    """The interval of the ratio as a change in percent, best to worst."""
    low, high = (100 * (bound - 1) for bound in (estimate.low, estimate.high))
    return f"error changed by {low:+.1f} % to {high:+.1f} %"


def _what_settles(estimate: Estimate, room: float) -> str:
    """How many golden weeks would narrow the interval to the room that there is."""
    half = max(estimate.high - estimate.point, estimate.point - estimate.low)
    if room <= 0 or half / room > 5:
        return "a retrained candidate or more features would settle it, more weeks would not"
    weeks = math.ceil(estimate.weeks * (half / room) ** 2)
    if weeks <= estimate.weeks:
        return "the estimate lies in the indifference zone; a retrained candidate would settle it"
    return f"about {weeks} golden weeks instead of {estimate.weeks} would settle it"


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _weeks(timestamps: np.ndarray) -> np.ndarray:
    """The number of the week, Monday to Sunday, of each datetime64."""
    days = timestamps.astype("datetime64[D]").astype(np.int64)
    return (days + 3) // 7


def _floats(values: np.ndarray) -> np.ndarray:
    """Missing values as NaN."""
    return np.asarray(values, dtype=np.float64)
