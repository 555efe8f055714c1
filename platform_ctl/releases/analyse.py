"""Raises the canary's weight step by step, and judges the canary at each weight."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from platform_ctl.errors import ConfigError, PreconditionMissing, ServiceUnavailable
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases import replay, true_error
from platform_ctl.releases.check_skew import check_skew
from platform_ctl.releases.episodes import episodes, is_shared
from platform_ctl.releases.judge import (
    Analysis,
    Arm,
    ErrorSample,
    Pairs,
    disagreement,
    fidelity,
    judge,
)
from platform_ctl.releases.release import Release, ReleaseState
from platform_ctl.releases.steps import ReleasePorts
from platform_ctl.releases.target import evidence_here, features_of
from platform_ctl.serving.service import RequestObservation

_GIVE_UP_AFTER = 10
"""Replayed requests in a row that a canary does not answer: more would only cost time."""
_LOG_DELAY_S = 3.0
"""How long the request log may lag behind the answers."""
_POLL_S = 0.1
_TOP_UPS = 3
"""Rounds of replay at one weight: a busy machine loses a few answers, a bad canary most."""

Progress = Callable[[str], object]


@dataclass(frozen=True)
class AnalysisResult:
    """The answer of a run of analyses: the last verdict, and every look's figures."""

    release: Release
    verdict: Verdict
    reasons: tuple[str, ...]
    log: tuple[dict, ...]


def run_analysis(
    ports: ReleasePorts,
    release_id: str,
    *,
    patience_s: float = 0.0,
    stop_at_percent: int = 0,
    on_progress: Progress = lambda line: None,
) -> AnalysisResult:
    """Step through the plan's weights until all are passed, one fails or one is inconclusive.

    ``stop_at_percent``: hold the canary, without a verdict, once it has passed at that share
    of the traffic (a first release: before Production); 0 goes on to the end.
    ``patience_s``: how long to wait at each weight for real traffic when there
    are no held-out rows to replay.
    Before the first look the canary must answer the golden rows as approved, and
    the features it looks up must be those of training. Moves no alias: the caller
    promotes or rolls back. A release that was killed half way continues at its
    step. An inconclusive one is held, and run again (by a human's ``release
    continue``) it looks once more. Raises PreconditionMissing for a release that
    is over, and ServiceUnavailable when production does not answer.
    """
    release = _open(ports, release_id)
    # A kill of every process ends the service too, and nothing else of a resumed run starts it.
    ports.serving.apply(release.target.service, release.split())
    recent, golden, approved = _held_out(ports, release)
    release, verdict, reason = _before_traffic(ports, release, golden, approved)
    if verdict is not Verdict.SUCCESSFUL:
        return _conclude(ports, release, verdict, (reason,))
    while True:
        release = _set_weight(ports, release)
        analysis, sources = _look(ports, release, recent, approved, patience_s)
        release = _record(ports, release, analysis, sources)
        on_progress(_line(release, analysis))
        if analysis.verdict is not Verdict.SUCCESSFUL:
            return _conclude(ports, release, analysis.verdict, analysis.reasons)
        if stop_at_percent and _stops(release, stop_at_percent):
            return _conclude(ports, release, Verdict.INCONCLUSIVE, (_as_asked(release),))
        if release.production is None or release.step + 1 == len(release.plan.weights_percent):
            return _conclude(ports, release, Verdict.SUCCESSFUL, analysis.reasons)
        release = dataclasses.replace(release, step=release.step + 1)


def _set_weight(ports: ReleasePorts, release: Release) -> Release:
    """Records one more look at the weight of the release's step, then moves the traffic to it."""
    release = ports.releases.update(
        dataclasses.replace(release, state=ReleaseState.RUNNING, looks=release.looks + 1),
        "weight",
        weight_percent=release.split().weight_percent,
        step=release.step + 1,
    )
    ports.serving.apply(release.target.service, release.split())
    return release


def _held_out(
    ports: ReleasePorts, release: Release
) -> tuple[replay.HeldOut, replay.HeldOut, replay.ApprovedPredictions]:
    """Rows that are replayed at each weight, golden rows, and what was approved for those."""
    evidence, columns = evidence_here(ports.registry, release), _columns(ports, release)
    return (
        replay.read_replayed(evidence.rows, columns),
        replay.read_rows(evidence.rows, columns, "golden"),
        replay.read_approved(evidence.evaluation),
    )


def _before_traffic(
    ports: ReleasePorts,
    release: Release,
    golden: replay.HeldOut,
    approved: replay.ApprovedPredictions,
) -> tuple[Release, Verdict, str]:
    """Whether the canary answers as approved, from the features of training; and why not."""
    unfaithful = _unfaithful(ports, release, golden, approved)
    if unfaithful:
        return release, Verdict.FAILED, unfaithful
    skew = check_skew(ports.data, release.target)
    release = ports.releases.update(
        release, "live features", verdict=skew.verdict, reason=skew.reason
    )
    return release, skew.verdict, skew.reason


def _stops(release: Release, percent: int) -> bool:
    return release.production is None or release.weight_percent >= percent


def _as_asked(release: Release) -> str:
    share = f"{release.split().weight_percent} % of the traffic"
    return f"it passed so far and stands at {share}, as was asked"


def _columns(ports: ReleasePorts, release: Release) -> tuple[str, ...]:
    """What the candidate takes, then what only production does: a replayed row suits both."""
    candidate = release.target.features
    before = features_of(ports.registry, release, release.production) if release.production else ()
    return (*candidate, *(c for c in before if c not in candidate))


def _open(ports: ReleasePorts, release_id: str) -> Release:
    release = ports.releases.get(release_id)
    if not release.state.is_open or release.intent:
        raise PreconditionMissing(
            f"release {release_id} is {release.intent or release.state}",
            where=f"InferenceService {release.target.service}",
            fix=f"platform-ctl release show {release.target.service}",
        )
    return release


def _conclude(
    ports: ReleasePorts, release: Release, verdict: Verdict, reasons: Sequence[str]
) -> AnalysisResult:
    if verdict is Verdict.INCONCLUSIVE:
        held = dataclasses.replace(release, state=ReleaseState.HELD, reason=reasons[0])
        release = ports.releases.update(held, "held", reasons=list(reasons))
    elif verdict is Verdict.FAILED:
        failed = dataclasses.replace(release, reason=reasons[0])
        release = ports.releases.update(failed, "failed", reasons=list(reasons))
    log = tuple({"at": e.at, "kind": e.kind, **e.detail} for e in ports.releases.events(release.id))
    return AnalysisResult(release, verdict, tuple(reasons), log)


def _record(
    ports: ReleasePorts, release: Release, analysis: Analysis, sources: dict[str, int]
) -> Release:
    return ports.releases.update(
        release,
        "analysed",
        look=analysis.look,
        weight_percent=release.split().weight_percent,
        verdict=analysis.verdict,
        reasons=list(analysis.reasons),
        figures=analysis.figures,
        level=analysis.level,
        requests=sources,
    )


def _line(release: Release, analysis: Analysis) -> str:
    weight = f"{release.split().weight_percent} %" if release.production else "first release"
    return f"{weight}: {analysis.verdict}: {'; '.join(analysis.reasons)}"


# ---- is what is served what was approved? ------------------------------------------


def _unfaithful(
    ports: ReleasePorts,
    release: Release,
    golden: replay.HeldOut,
    approved: replay.ApprovedPredictions,
) -> str:
    """Why the canary's answers to the golden rows are not the approved ones; empty if they are."""
    answered = [i for i, k in enumerate(golden.keys) if k in approved.predictions]
    if not answered:
        return ""
    golden = golden.take(answered)
    caller = _caller(ports, release)
    try:
        served = replay.ask_all(
            caller, golden, revision="canary", candidate=release.target.candidate.name
        )
    except ServiceUnavailable as exc:
        if release.production is not None:
            raise
        return exc.what  # nobody else could answer: it is the candidate that does not
    finally:
        caller.close()
    if served is None:
        return "the canary does not answer the golden rows; production had to"
    expected = np.array([approved.predictions[k] for k in golden.keys])
    return fidelity(served, expected, golden.keys)


# ---- one look ----------------------------------------------------------------------


@dataclass(frozen=True)
class AnalysisProgress:
    """How far the look at the present weight has come."""

    step: int
    """From 1."""
    steps: int
    weight_percent: int
    wanted: int
    """Requests that each revision needs for a judgement, since the release started."""
    canary_requests: int
    canary_failures: int
    production_requests: int | None
    """None for a first release, which has nothing beside it."""
    replayed: int


def standing(ports: ReleasePorts, release: Release) -> AnalysisProgress:
    """What an open release has seen so far, also while its run is at work."""
    seen = ports.serving.observations(release.target.service, since=_started_at(ports, release))
    canary = [o for o in seen if o.revision == release.target.candidate.name]
    before = release.production
    return AnalysisProgress(
        step=release.step + 1,
        steps=len(release.plan.weights_percent) if before else 1,
        weight_percent=release.split().weight_percent,
        wanted=release.plan.min_requests * max(release.looks, 1),
        canary_requests=len(canary),
        canary_failures=sum(bool(o.failure) or o.status >= 500 for o in canary),
        production_requests=sum(o.revision == before.name for o in seen) if before else None,
        replayed=sum(o.source == "replay" for o in seen),
    )


def _look(
    ports: ReleasePorts,
    release: Release,
    recent: replay.HeldOut,
    approved: replay.ApprovedPredictions,
    patience_s: float,
) -> tuple[Analysis, dict[str, int]]:
    """Judge all that was seen since the release started, topped up by replayed rows."""
    started = _started_at(ports, release)
    deadline = time.monotonic() + (0.0 if recent.keys else patience_s)
    while True:
        seen = ports.serving.observations(release.target.service, since=started)
        if time.monotonic() >= deadline or max(_short(release, seen).values()) <= 0:
            break
        time.sleep(_POLL_S)
    for _ in range(_TOP_UPS):
        before = _missing(ports, release, recent, seen)
        if max(before.values()) <= 0:
            break
        replayed = _top_up(ports, release, recent, seen, max(before.values()))
        seen = _seen_after(ports, release, started, len(seen) + replayed)
        if _missing(ports, release, recent, seen) == before:
            break
    sample = _sample(ports, release, seen, recent, approved)
    sources = {s: sum(o.source == s for o in seen) for s in ("traffic", "replay")}
    return judge(sample, release.plan, release.looks), sources


def _started_at(ports: ReleasePorts, release: Release) -> float:
    from datetime import datetime

    return datetime.fromisoformat(ports.releases.events(release.id)[0].at).timestamp()


def _short(release: Release, seen: Sequence[RequestObservation]) -> dict[str, int]:
    """Role -> requests it still needs. Each weight is judged on requests of its own."""
    wanted = release.plan.min_requests * release.looks
    arms = {"canary": release.target.candidate.name}
    if release.production is not None:
        arms["production"] = release.production.name
    return {role: wanted - sum(o.revision == name for o in seen) for role, name in arms.items()}


def _missing(
    ports: ReleasePorts,
    release: Release,
    recent: replay.HeldOut,
    seen: Sequence[RequestObservation],
) -> dict[str, int]:
    """Requests that each revision still needs, and rows that both have yet to answer."""
    short = _short(release, seen)
    if release.production is None:
        return short
    wanted = min(len(recent.keys), release.plan.min_requests * release.looks)
    return {**short, "pairs": wanted - len(_pairs(ports, release, seen, recent).canary)}


def _caller(ports: ReleasePorts, release: Release) -> replay.Caller:
    service = ports.serving.get(release.target.service)
    if not service.url:
        raise ConfigError(
            f"nobody says at which address {service.name} is reached",
            where="kubernetes.gateway_url",
            fix="kubectl -n kubeflow edit configmap platform-settings",
        )
    return replay.Caller(service.url, service.name, service.host)


def _top_up(
    ports: ReleasePorts,
    release: Release,
    recent: replay.HeldOut,
    seen: Sequence[RequestObservation],
    count: int,
) -> int:
    """Ask every revision the same ``count`` rows, new ones first; how many requests that were.

    A row that both have answered is a pair: nobody predicts in another's place.
    """
    roles = ("canary",) if release.production is None else ("production", "canary")
    known = {o.key.removeprefix("replay:") for o in seen if o.source == "replay"}
    candidate = release.target.candidate.name
    caller = _caller(ports, release)
    sent = unanswered = 0
    try:
        for key, instance in replay.in_turn(recent, count, last=known):
            for role in roles:
                sent += 1
                answered = _ask(caller, instance, key, role, release) == candidate
                if role == "canary":
                    unanswered = 0 if answered else unanswered + 1
            if unanswered >= _GIVE_UP_AFTER:
                break
    finally:
        caller.close()
    return sent


def _ask(
    caller: replay.Caller, instance: dict[str, float], key: str, role: str, release: Release
) -> str:
    """Who answered. A first release's candidate may fail: nobody stands in for it."""
    try:
        return caller.ask([instance], key=f"replay:{key}", revision=role)[1]
    except ServiceUnavailable:
        if release.production is not None:
            raise
        return ""


def _seen_after(
    ports: ReleasePorts, release: Release, since: float, expected: int
) -> Sequence[RequestObservation]:
    """The request log is written in batches: wait for the last of them."""
    deadline = time.monotonic() + _LOG_DELAY_S
    while True:
        seen = ports.serving.observations(release.target.service, since=since)
        if len(seen) >= expected or time.monotonic() > deadline:
            return seen
        time.sleep(_POLL_S)


def _sample(
    ports: ReleasePorts,
    release: Release,
    seen: Sequence[RequestObservation],
    recent: replay.HeldOut,
    approved: replay.ApprovedPredictions,
) -> ErrorSample:
    candidate = release.target.candidate.name
    canary = [o for o in seen if o.revision == candidate]
    before = release.production
    beside = [o for o in seen if before is not None and o.revision == before.name]
    stalls = episodes(canary)
    shared = sum(is_shared(stall, beside) for stall in stalls)
    production = dataclasses.replace(_arm(beside), episodes=shared) if before else None
    both = approved.predictions.keys() & approved.champion.keys()
    held = disagreement(
        np.array([approved.predictions[k] for k in both]),
        np.array([approved.champion[k] for k in both]),
    )
    unanswered = sum(stall.requests for stall in stalls)
    arm = dataclasses.replace(_arm(canary), unanswered=unanswered, episodes=len(stalls))
    arm = _with_ends(ports, release, arm)
    return ErrorSample(arm, production, _pairs(ports, release, seen, recent), held)


def _arm(seen: Sequence[RequestObservation]) -> Arm:
    answered = [o.service_ms for o in seen if o.status == 200 and not o.failure]
    errors = sum(bool(o.failure) or o.status >= 500 for o in seen)
    ((failure, _),) = Counter(o.failure for o in seen if o.failure).most_common(1) or [("", 0)]
    return Arm(len(seen), errors, np.array(answered), failure)


def _with_ends(ports: ReleasePorts, release: Release, canary: Arm) -> Arm:
    """With what its supervisor has seen of the canary's process."""
    target = release.target
    status = ports.serving.get(target.service).revision(target.candidate.name)
    if status is None:
        return canary
    is_down = not status.ready and bool(status.last_failure)
    ends = status.restarts + is_down
    return dataclasses.replace(canary, ends=ends, end_reason=status.last_failure)


def _pairs(
    ports: ReleasePorts,
    release: Release,
    seen: Sequence[RequestObservation],
    recent: replay.HeldOut,
) -> Pairs:
    """One pair for each question that both revisions have answered: a row that was replayed, an
    entity and period of real traffic, or the same request. Of several answers the last counts:
    the same question twice is no new evidence."""
    if release.production is None:
        return Pairs()
    ours = _answers(ports, release, release.target.candidate.name, seen, recent)
    theirs = _answers(ports, release, release.production.name, seen, recent)
    both = [question for question in ours if question in theirs]
    columns = np.array(
        [(ours[q].prediction, theirs[q].prediction, ours[q].label, ours[q].scale) for q in both],
        dtype=np.float64,
    ).reshape(-1, 4)
    canary, production, label, scale = columns.T
    losses = true_error.losses_of(release.target)
    return Pairs(canary, production, losses(canary, label, scale), losses(production, label, scale))


@dataclass(frozen=True)
class _Answer:
    prediction: float
    label: float
    """NaN while it is unknown."""
    scale: float


def _answers(
    ports: ReleasePorts,
    release: Release,
    revision: str,
    seen: Sequence[RequestObservation],
    recent: replay.HeldOut,
) -> dict[str, _Answer]:
    """Question -> the revision's last answer to it."""
    answered = [o for o in seen if o.revision == revision and o.status == 200 and not o.failure]
    index = {f"replay:{k}": i for i, k in enumerate(recent.keys)}
    unit = true_error.units(recent)
    labelled = true_error.labelled(ports.data, release.target, answered)
    known = {(one.observation.id, one.observation.at, one.index): one for one in labelled}
    answers: dict[str, _Answer] = {}
    for o in answered:
        at = index.get(o.key) if o.source == "replay" else None
        label, scale = (recent.labels[at], recent.scales[at]) if at is not None else (np.nan, 1.0)
        key = o.key if at is not None else json.dumps(o.request, sort_keys=True)
        for i, prediction in enumerate(o.predictions):
            one = known.get((o.id, o.at, i))
            own = unit(one.entity) if one is not None else None
            if one is not None and own is not None:
                answers[one.question] = _Answer(prediction, one.truth.label, own)
            elif at is not None or o.request is not None:
                answers[f"{key}#{i}"] = _Answer(prediction, label, scale)
    return answers
