"""The gate: may this model be registered? A pure decision with three answers.

Each criterion is a ratio of mean losses on the golden rows, in the loss that the recipe declares,
with an interval, and falls into one of three zones: clearly good,
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
from platform_ctl.recipe.scores import BASELINE, CLUSTER, named
from platform_ctl.recipe.verdict import Verdict

MIN_SLICE_ROWS = 12
"""A slice below this is reported, not judged."""
CHAMPION_TOLERANCE = 5.0
"""The upper bound against the champion may reach this multiple of the margin: with a margin of
2 %, an estimate within 2 % and, at the stated confidence, never worse than 10 %. At 3, every
second different model of the same quality would be sent back."""
INDIFFERENCE = 2.0
"""Worse than the champion by up to this multiple of the margin is never ``failed``."""
LIKELY = 0.8
"""Confidence of each bound of the comparisons with a baseline. Twelve clusters of ten rows hold a
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

    ``evaluation`` is evaluation.json; ``errors`` the columns of errors.parquet (``scores.write``)
    as arrays of equal length, one element for each golden row. Rows that are not ``judged`` do not
    count. Without a champion the baselines decide, without baselines the ceiling. Never raises for
    a bad model: whatever cannot be computed is ``failed`` or ``inconclusive`` with a reason.
    """
    stop = [*_broken(evaluation, errors), *_too_small(errors, thresholds)]
    if stop:
        return _conclude(stop)
    golden = _Golden.judged(evaluation, errors)
    contradiction = _contradiction(evaluation, golden)
    if contradiction:
        return _conclude([contradiction])
    return _conclude(
        [
            _absolute(golden, thresholds),
            *_against_baseline(golden, thresholds),
            *_against_champion(golden, thresholds),
            *_slices(golden, thresholds),
        ]
    )


@dataclass(frozen=True)
class _Golden:
    """The judged golden rows: losses by forecaster, and the clusters."""

    title: str
    """Of the loss."""
    name: str
    unit: str
    losses: Mapping[str, np.ndarray]
    baselines: tuple[str, ...]
    clusters: Mapping[str, np.ndarray]
    slices: np.ndarray

    @classmethod
    def judged(cls, evaluation: Mapping[str, Any], errors: Mapping[str, np.ndarray]) -> _Golden:
        rows = _judged(errors)
        baselines = named(errors, BASELINE)
        columns = {"candidate": errors["loss"], **baselines}
        if np.isfinite(_floats(errors["champion_loss"])).any():
            columns["champion"] = errors["champion_loss"]
        loss = evaluation["loss"]
        return cls(
            loss["title"],
            loss["name"],
            f" {loss['unit']}" if loss.get("unit") else "",
            {name: _floats(values[rows]) for name, values in columns.items()},
            tuple(baselines),
            {kind: labels[rows] for kind, labels in named(errors, CLUSTER).items()},
            errors["slice"][rows],
        )

    def mean(self, name: str, rows: np.ndarray | slice = slice(None)) -> float:
        return float(self.losses[name][rows].mean())

    def best_baseline(self, rows: np.ndarray | slice = slice(None)) -> str:
        return min(self.baselines, key=lambda name: self.mean(name, rows))

    def compare(
        self, other: str, confidence: float, rows: np.ndarray | slice = slice(None)
    ) -> Estimate:
        """Mean loss of the candidate over that of ``other``, paired."""
        clusters = [labels[rows] for labels in self.clusters.values()]
        mine, theirs = self.losses["candidate"][rows], self.losses[other][rows]
        return ratio(mine, theirs, clusters, confidence)

    def absolute(self, confidence: float) -> Estimate:
        """Mean loss of the candidate."""
        mine = self.losses["candidate"]
        return ratio(mine, np.ones_like(mine), list(self.clusters.values()), confidence)

    def figures(self, other: str) -> str:
        """``log loss 0.949 nats against 1.041 nats``."""
        mine, theirs = self.mean("candidate"), self.mean(other)
        return f"{self.title} {mine:.3f}{self.unit} against {theirs:.3f}{self.unit}"

    def what_settles(self, estimate: Estimate, room: float) -> str:
        """How many golden clusters or rows would narrow the interval to the room that there is."""
        kind = next(iter(self.clusters), "")
        have = estimate.clusters if kind else len(self.losses["candidate"])
        what = f"{kind} clusters" if kind else "rows"
        half = max(estimate.high - estimate.point, estimate.point - estimate.low)
        if room <= 0 or half / room > 5:
            return f"a retrained candidate or more features would settle it, more {what} would not"
        needed = math.ceil(have * (half / room) ** 2)
        if needed <= have:
            return (
                "the estimate lies in the indifference zone; a retrained candidate would settle it"
            )
        return f"about {needed} golden {what} instead of {have} would settle it"


def _judged(errors: Mapping[str, np.ndarray]) -> np.ndarray:
    return errors["judged"].astype(bool)


# ---- what cannot be judged ---------------------------------------------------


def _broken(evaluation: Mapping[str, Any], errors: Mapping[str, np.ndarray]) -> Iterator[_Finding]:
    """Faults that no figure can make up for."""
    loss = _floats(errors["loss"])
    bad = int((~np.isfinite(loss)).sum())
    if bad:
        yield _failed("finite", f"{bad} of {len(loss)} predictions are not finite numbers")
    others = [_floats(v[_judged(errors)]) for v in named(errors, BASELINE).values()]
    if not all(np.isfinite(v).all() for v in others) or (loss[np.isfinite(loss)] < 0).any():
        yield _failed("finite", "The golden rows hold losses that are negative or not finite")
    leaks = evaluation.get("leak_check") or {}
    if leaks.get("ok") is not True:
        leaked = leaks.get("findings") or ["the evaluation carries no leak check"]
        yield _failed(
            "leaks", f"The golden set is not independent of training: {'; '.join(leaked[:3])}"
        )
    prediction, label = _floats(errors["prediction"]), _floats(errors["label"])
    known = np.isfinite(prediction) & np.isfinite(label)
    spread = len(np.unique(label[known])) > 1
    if known.sum() > 1 and not bad and spread and np.ptp(prediction[known]) == 0:
        yield _failed("constant", f"The model predicts {prediction[known][0]:.3g} for every row")


def _too_small(errors: Mapping[str, np.ndarray], thresholds: GateThresholds) -> Iterator[_Finding]:
    judged = _judged(errors)
    rows = int(judged.sum())
    kinds = named(errors, CLUSTER)
    kind = next(iter(kinds), "")
    clusters = len(np.unique(kinds[kind][judged])) if kind else 0
    figures = {"rows": rows, "clusters": clusters}
    if rows < thresholds.min_rows:
        yield _Finding(
            "golden_rows",
            Verdict.INCONCLUSIVE,
            f"The golden set has {rows} judged rows and the gate needs {thresholds.min_rows}: "
            "ingest more and run again",
            figures,
        )
    elif kind and clusters < thresholds.min_clusters:
        yield _Finding(
            "golden_clusters",
            Verdict.INCONCLUSIVE,
            f"The golden set has {clusters} {kind} clusters and the gate needs "
            f"{thresholds.min_clusters}: run again when there are more",
            figures,
        )


def _contradiction(evaluation: Mapping[str, Any], golden: _Golden) -> _Finding | None:
    """evaluation.json and errors.parquet must describe the same model."""
    reported = {
        "candidate": evaluation.get("metrics"),
        **(evaluation.get("baselines") or {}),
        "champion": evaluation.get("champion"),
    }
    for name in sorted(set(golden.losses) | {n for n, m in reported.items() if m}):
        claimed = (reported.get(name) or {}).get(golden.name)
        recomputed = golden.mean(name) if name in golden.losses else None
        if (
            claimed is None
            or recomputed is None
            or not math.isclose(claimed, recomputed, rel_tol=AGREEMENT)
        ):
            return _failed(
                "consistent",
                f"The evaluation says that the {name} has a {golden.title} of {_figure(claimed)}, "
                f"its errors say {_figure(recomputed)}",
            )
    return None


# ---- the criteria ------------------------------------------------------------


def _absolute(golden: _Golden, thresholds: GateThresholds) -> _Finding:
    estimate = golden.absolute(thresholds.confidence)
    verdict = _Limits(good=thresholds.max_loss).judge(estimate)
    mine = f"{golden.title} {estimate.point:.3f}{golden.unit}"
    return _Finding(
        "absolute",
        verdict,
        {
            Verdict.SUCCESSFUL: f"{mine} is within the ceiling of {thresholds.max_loss:g}",
            Verdict.FAILED: f"{mine} (at least {estimate.low:.3f}) is above "
            f"the ceiling of {thresholds.max_loss:g}",
            Verdict.INCONCLUSIVE: f"{mine} is above the ceiling of "
            f"{thresholds.max_loss:g}, but not clearly (it may be {estimate.low:.3f}): "
            f"{golden.what_settles(estimate, estimate.point - thresholds.max_loss)}",
        }[verdict],
        estimate.as_dict(),
    )


def _against_baseline(golden: _Golden, thresholds: GateThresholds) -> Iterator[_Finding]:
    if not golden.baselines:
        return
    name = golden.best_baseline()
    estimate = golden.compare(name, LIKELY)
    asked_gain = thresholds.min_gain_over_baseline
    needed = 1 - asked_gain
    # A recipe that allows a loss above the baseline's needs no proof of being below it.
    verdict = _Limits(good=needed, reach=max(1.0, needed)).judge(estimate)
    gain = f"{_gain(estimate.point)} than {name} ({golden.figures(name)}; {_range(estimate)})"
    margin = (
        f"{100 * asked_gain:g} % better"
        if asked_gain >= 0
        else f"at most {-100 * asked_gain:g} % worse"
    )
    yield _Finding(
        "baseline",
        verdict,
        {
            Verdict.SUCCESSFUL: f"The model is {gain}",
            Verdict.FAILED: f"The model is {gain}; the gate asks for {margin}",
            Verdict.INCONCLUSIVE: f"The model is {gain}, which does not show {margin}: "
            f"{golden.what_settles(estimate, 1.0 - estimate.point)}",
        }[verdict],
        {"baseline": name, **estimate.as_dict()},
    )


def _against_champion(golden: _Golden, thresholds: GateThresholds) -> Iterator[_Finding]:
    if "champion" not in golden.losses:
        return
    estimate = golden.compare("champion", thresholds.confidence)
    margin = thresholds.champion_margin
    reach = 1 + CHAMPION_TOLERANCE * margin
    limits = _Limits(good=1 + margin, reach=reach, bad=1 + INDIFFERENCE * margin)
    verdict = limits.judge(estimate)
    compared = (
        f"{_gain(estimate.point)} than the champion "
        f"({golden.figures('champion')}; {_range(estimate)})"
    )
    yield _Finding(
        "champion",
        verdict,
        {
            Verdict.SUCCESSFUL: f"The model is {compared}, so not worse by "
            f"the margin of {100 * margin:g} %",
            Verdict.FAILED: f"The model is {compared}; the margin is {100 * margin:g} %",
            Verdict.INCONCLUSIVE: f"The model is {compared}, which does not show that it is "
            f"no worse: {golden.what_settles(estimate, reach - estimate.point)}",
        }[verdict],
        estimate.as_dict(),
    )


def _slices(golden: _Golden, thresholds: GateThresholds) -> Iterator[_Finding]:
    """One floor for each slice; the intervals share the error rate among them."""
    if not golden.baselines:
        return
    names = [n for n in thresholds.slice_ceiling if (golden.slices == n).any()]
    for name in thresholds.slice_ceiling:
        if name not in names:
            there = ", ".join(sorted({str(one) for one in golden.slices}))
            reason = f"Slice {name} has no golden row and is not judged (there is: {there})"
            yield _Finding(f"slice_{name}", Verdict.SUCCESSFUL, reason, {"rows": 0})
    confidence = 1 - (1 - LIKELY) / max(1, len(names))
    for name in names:
        rows = golden.slices == name
        ceiling, best = thresholds.slice_ceiling[name], golden.best_baseline(rows)
        criterion = f"slice_{name}"
        if rows.sum() < MIN_SLICE_ROWS or golden.mean(best, rows) == 0:
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
                f"{golden.what_settles(estimate, estimate.point - ceiling)}",
            }[verdict],
            {"rows": int(rows.sum()), "baseline": best, **estimate.as_dict()},
        )


# ---- words -------------------------------------------------------------------

_SEVERITY = (Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE, Verdict.FAILED)


def _conclude(findings: list[_Finding]) -> GateDecision:
    """The worst finding decides; good news is left out of a bad answer."""
    verdict = max((f.verdict for f in findings), key=_SEVERITY.index)
    ordered = sorted(findings, key=lambda f: -_SEVERITY.index(f.verdict))
    if verdict is not Verdict.SUCCESSFUL:
        ordered = [f for f in ordered if f.verdict is not Verdict.SUCCESSFUL]
    figures = {f.criterion: {"verdict": str(f.verdict), **f.figures} for f in findings}
    return GateDecision(verdict, tuple(f.reason for f in ordered), figures)


def _failed(criterion: str, reason: str) -> _Finding:
    return _Finding(criterion, Verdict.FAILED, reason, {})


def _gain(point: float) -> str:
    change = 100 * abs(1 - point)
    if change < 0.05:
        return "no better or worse"
    return f"{change:.1f} % {'better' if point <= 1 else 'worse'}"


def _range(estimate: Estimate) -> str:
    """The interval of the ratio as a change in percent, best to worst, with its confidence."""
    low, high = (100 * (bound - 1) for bound in (estimate.low, estimate.high))
    sure = f"each bound at {100 * estimate.confidence:.3g} % confidence"
    return f"loss changed by {low:+.1f} % to {high:+.1f} %, {sure}"


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _floats(values: np.ndarray) -> np.ndarray:
    """Missing values as NaN."""
    return np.asarray(values, dtype=np.float64)
