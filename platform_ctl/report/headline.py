"""Builds the headline of a report: the outcome of the run, and the next command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.explain.diagnosis import Diagnosis, DiagnosisFacts, Link
from platform_ctl.explain.why import STEP_RUNBOOK
from platform_ctl.ir.roles import Role
from platform_ctl.models.model import PRODUCTION
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.release import Release, ReleaseState
from platform_ctl.report.plots import count
from platform_ctl.runs.record import Run, RunState, TaskState, TaskVerdict
from platform_ctl.text import moment


class Tone(StrEnum):
    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class SuggestedAction:
    """Something to do: why, the command, and the runbook if there is one."""

    why: str
    command: str
    runbook: str = ""


@dataclass(frozen=True)
class Failure:
    """A task that failed: what the error itself says to do, and the last lines it wrote."""

    task: str
    error: str
    fix: str = ""
    runbook: str = ""
    log: str = ""


@dataclass(frozen=True)
class Headline:
    tone: Tone
    title: str
    sentences: tuple[str, ...] = ()
    actions: tuple[SuggestedAction, ...] = ()


def headline(
    run: Run,
    facts: DiagnosisFacts | None = None,
    diagnosis: Diagnosis | None = None,
    release: Release | None = None,
    failures: Sequence[Failure] = (),
) -> Headline:
    """``release`` is that of the run's model, if it has one; ``facts`` of the run that made it."""
    return (
        _registering(run, facts)
        or _unfinished(run)
        or _broken_off(run, failures)
        or _verdict(run, facts, diagnosis, release)
        or _model(run, facts, diagnosis, release)
        or _plain(run)
    )


def _registering(run: Run, facts: DiagnosisFacts | None) -> Headline | None:
    """Of a run that goes on behind a gate that said yes. The page that stays beside the registered
    model is written here, by the step that registers it: it must be true afterwards, too."""
    gate = facts.task(Role.GATE) if facts and facts.run.id == run.id else None
    if run.state.final or gate is None or not gate.state.good:
        return None
    if gate.outputs.parameters.get("verdict") != Verdict.SUCCESSFUL:
        return None
    reasons = gate.outputs.parameters.get("reasons")
    action = SuggestedAction("see what came after", f"platform-ctl run report {run.id[:8]}")
    listed = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
    return Headline(Tone.GOOD, "The model passed the gate", listed, (action,))


def _unfinished(run: Run) -> Headline | None:
    if run.state.final:
        return None
    ended = sum(t.state.final for t in run.tasks)
    now = ", ".join(t.path for t in run.tasks if t.state is TaskState.RUNNING)
    return Headline(
        Tone.WAITING,
        "Still running" if run.state is RunState.RUNNING else "Not started yet",
        (f"{count(ended, 'task')} ended" + (f"; now: {now}" if now else ""),),
        (SuggestedAction("follow it", f"platform-ctl run watch {run.id[:8]}"),),
    )


def _broken_off(run: Run, failures: Sequence[Failure]) -> Headline | None:
    if run.state is RunState.SUCCEEDED:
        return None
    short = run.id[:8]
    resume = SuggestedAction(
        "continue after the finished steps", f"platform-ctl run resume {short}"
    )
    if run.state is RunState.CANCELED:
        return Headline(Tone.NEUTRAL, "Cancelled", _told(run.error), (resume,))
    if not failures:
        title, text = ("Its process died" if run.died else "Failed"), _told(run.error)
        return Headline(Tone.BAD, title, text, (resume,))
    first = failures[0]
    read = f"platform-ctl run logs {short} {first.task}"
    actions = [
        SuggestedAction("read the step's whole log", read, "" if first.fix else STEP_RUNBOOK)
    ]
    if first.fix:
        actions.insert(0, SuggestedAction("the fix that the error names", first.fix, first.runbook))
    title = f"Failed in {first.task}"
    return Headline(Tone.BAD, title, _told(first.error or run.error), (*actions, resume))


def _verdict(
    run: Run, facts: DiagnosisFacts | None, diagnosis: Diagnosis | None, release: Release | None
) -> Headline | None:
    """A run whose steps went well and whose answer is no."""
    verdict = next((v for v in run.verdicts if v.verdict != Verdict.SUCCESSFUL), None)
    if verdict is None:
        return None
    undecided = verdict.verdict == Verdict.INCONCLUSIVE
    title = _verdict_title(verdict, facts, release)
    tone = Tone.WAITING if undecided else Tone.BAD
    return Headline(tone, title, verdict.reasons, _release_actions(release, diagnosis))


def _verdict_title(
    verdict: TaskVerdict, facts: DiagnosisFacts | None, release: Release | None
) -> str:
    undecided = verdict.verdict == Verdict.INCONCLUSIVE
    if release and facts and facts.roles.get(Role.GATE) != verdict.task:
        name = f"{release.target.model}/{release.version}"
        if release.state is ReleaseState.ROLLED_BACK:
            return f"{name} was rolled back"
        if release.state is ReleaseState.HELD:
            return f"The canary of {name} is held: a person must decide"
        return f"The canary of {name} {'could not decide' if undecided else 'failed'}"
    if facts and facts.roles.get(Role.GATE) == verdict.task:
        return "The gate could not decide" if undecided else "The gate refused the model"
    return f"{verdict.task}: {verdict.verdict}"


def _model(
    run: Run, facts: DiagnosisFacts | None, diagnosis: Diagnosis | None, release: Release | None
) -> Headline | None:
    """A run that made a model, or promoted one: how far the model has come."""
    if facts is None or facts.version is None:
        return None
    name, number = str(facts.version), facts.number
    live = facts.aliases.get(PRODUCTION, "")
    reasons = tuple(r for v in run.verdicts for r in v.reasons)
    if live == number:
        use = SuggestedAction(
            "get predictions", f"platform-ctl model predict {facts.version.name}@{PRODUCTION}"
        )
        broken = diagnosis.broken if diagnosis else None
        if broken:
            text = f"{broken.name}: {broken.says}"
            title = f"{name} is in production, and a link is broken"
            return Headline(Tone.WAITING, title, (text, *reasons), (*_next(diagnosis), use))
        return Headline(Tone.GOOD, f"{name} is in production", reasons, (*_next(diagnosis), use))
    if release and release.state is not ReleaseState.PROMOTED:
        return _release(name, release, diagnosis)
    if release and live:
        title = f"{name} was in production; {facts.version.name}/{live} replaced it"
        return Headline(Tone.NEUTRAL, title, reasons, tuple(_next(diagnosis)))
    if facts.approval:
        return _approval(name, facts.approval, reasons, diagnosis)
    return Headline(Tone.NEUTRAL, f"{name} is registered", reasons, tuple(_next(diagnosis)))


def _release(name: str, release: Release, diagnosis: Diagnosis | None) -> Headline:
    actions = _release_actions(release, diagnosis)
    title, tone = {
        ReleaseState.RUNNING: (f"The canary of {name} is under way", Tone.WAITING),
        ReleaseState.HELD: (f"The canary of {name} is held: a person must decide", Tone.WAITING),
    }.get(release.state, (f"{name} was rolled back", Tone.BAD))
    return Headline(tone, title, _told(release.reason), actions)


def _release_actions(
    release: Release | None, diagnosis: Diagnosis | None
) -> tuple[SuggestedAction, ...]:
    """A held canary asks for a decision; of any other, what the chain of links asks for."""
    actions = tuple(_next(diagnosis))
    if release is None or not release.state.is_open:
        return actions
    service = release.target.service
    show = SuggestedAction("show its progress", f"platform-ctl release show {service}")
    if release.state is not ReleaseState.HELD:
        return actions or (show,)
    look = SuggestedAction(
        "continue: analyse once more", f"platform-ctl release continue {service}"
    )
    stop = SuggestedAction("end it, production stays", f"platform-ctl release abort {service}")
    return show, look, stop


def _approval(
    name: str, request: ApprovalRequest, reasons: tuple[str, ...], diagnosis: Diagnosis | None
) -> Headline:
    if request.state is ApprovalState.PENDING:
        until = f"No answer by {moment(request.expires_at)} means no"
        commands = (
            SuggestedAction("read the request", f"platform-ctl approval show {request.id}"),
            SuggestedAction(
                "say yes", f'platform-ctl approval approve {request.id} --reason "why"'
            ),
            SuggestedAction("say no", f'platform-ctl approval reject {request.id} --reason "why"'),
        )
        title = f"{name} passed the gate and waits for a person"
        return Headline(Tone.WAITING, title, (until, *reasons), commands)
    actions = tuple(_next(diagnosis))
    if request.state is ApprovalState.APPROVED:
        return Headline(Tone.WAITING, f"{name} is approved", _told(request.reason), actions)
    title = f"{name} passed the gate; its approval is {request.state}"
    return Headline(Tone.BAD, title, _told(request.reason), actions)


def _plain(run: Run) -> Headline:
    cached = sum(t.state is TaskState.CACHED for t in run.tasks)
    good = sum(t.state.good for t in run.tasks)
    of_these = f", {cached} of them from the cache" if cached else ""
    reasons = tuple(r for v in run.verdicts for r in v.reasons)
    return Headline(Tone.GOOD, "Succeeded", (f"{count(good, 'task')} done{of_these}", *reasons))


def _next(diagnosis: Diagnosis | None) -> Iterator[SuggestedAction]:
    """What the first broken link, or what is waited for, asks for."""
    link: Link | None = (diagnosis.broken or diagnosis.waiting) if diagnosis else None
    if link and link.fix:
        yield SuggestedAction(f"{link.name}: {link.says}", link.fix, link.runbook)


def _told(text: str) -> tuple[str, ...]:
    return (text,) if text else ()
