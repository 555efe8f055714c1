"""Why a model is, or is not, where a green run should have put it.

The chain is walked from the data to the service; each link looks only at
records. The first broken one is the answer: what comes after it could not
have been right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from platform_ctl.explain import why_release
from platform_ctl.explain.diagnosis import Diagnosis, DiagnosisFacts, Link, LinkState
from platform_ctl.ir.roles import Role
from platform_ctl.models.model import broken_link, unrecorded_moves
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.runs.record import Blocker, RunState, SkippedBy, Task, TaskState
from platform_ctl.text import moment

FRESH_DAYS = 14.0
"""Two weekly runs: older data than this, and nobody is feeding the model."""
_DAY_S = 86_400.0

STEP_RUNBOOK = "runbooks/alerts/kfp-pipeline-failed-step-debug.md"
STUCK_RUNBOOK = "runbooks/procedures/free-a-stuck-run.md"
TRIALS_RUNBOOK = "runbooks/alerts/katib-trials-stuck.md"
_OF_TRIALS = frozenset({"SuggestionNotReady", "TrialNeverReported", "TrialFailed"})
_STEPS_OWN = "Error"
"""Reason of a pod whose container ended with an error: its log says more."""
CACHE_RUNBOOK = "runbooks/alerts/pipeline-cache-poisoned.md"
REGISTRY_RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
DATA_RUNBOOK = "runbooks/errors/precondition.md"
LINEAGE_RUNBOOK = "runbooks/alerts/lineage-undelivered.md"


def diagnose(facts: DiagnosisFacts, subject: str) -> Diagnosis:
    """Walk the chain; every link up to the first broken one is judged, the rest not reached."""
    links: list[Link] = []
    over: LinkState | None = None
    for name, judge, stands_alone in _CHAIN:
        if over is LinkState.BROKEN or (over is LinkState.WAITING and not stands_alone):
            links.append(Link(name, LinkState.NOT_REACHED, ""))
            continue
        link = _unread(facts, name) or judge(facts)
        links.append(link)
        if link.state in (LinkState.BROKEN, LinkState.WAITING):
            over = link.state if over is None else LinkState.BROKEN
    return Diagnosis(subject, tuple(links))


def _unread(facts: DiagnosisFacts, name: str) -> Link | None:
    """A link whose records are away: nobody can say that it holds."""
    error = facts.unread.get(name)
    if error is None:
        return None
    return _broken(name, f"not known: {error.what}", error.fix, error.runbook, error.where)


# ---- data, snapshot, features ---------------------------------------------------


def _data(facts: DiagnosisFacts) -> Link:
    table = facts.table
    if table is None:
        return Link("data", LinkState.OK, "not checked: its catalog is not in this home")
    if not table.exists or not table.current:
        return _broken(
            "data",
            f"there is no table {table.name}",
            "platform-ctl data ingest --sample",
            DATA_RUNBOOK,
            f"nothing was ever ingested into {table.name}",
        )
    asked_at = facts.now if facts.standing else _seconds(facts.run.created_at)
    known = [s for s in table.snapshots if s.at <= asked_at] or table.snapshots[:1]
    age_days = (asked_at - known[-1].at) / _DAY_S
    when = _day(known[-1].at)
    if age_days > FRESH_DAYS:
        return _broken(
            "data",
            f"stale: {table.name} was last ingested {age_days:.0f} days before "
            + ("now" if facts.standing else "the run"),
            "platform-ctl data show",
            DATA_RUNBOOK,
            f"newest snapshot then: {known[-1].id} of {when}; at most {FRESH_DAYS:.0f} days are "
            "fresh",
            "fetch the sources, then platform-ctl data ingest",
        )
    return Link("data", LinkState.OK, f"{table.name}, last ingest {when}")


def _snapshot(facts: DiagnosisFacts) -> Link:
    problem = _problem(facts, "snapshot", Role.RESOLVE)
    if problem:
        return problem
    used = facts.output(Role.RESOLVE, "snapshot_id")
    if not used:
        return Link("snapshot", LinkState.OK, "this pipeline pins none")
    table = facts.table
    if table is None or not table.exists:
        return Link("snapshot", LinkState.OK, used)
    mine = table.snapshot(used)
    if mine is None:
        return _broken(
            "snapshot",
            f"{used} is no longer in {table.name}",
            f"platform-ctl pipeline run {facts.run.pipeline}",
            DATA_RUNBOOK,
            "the snapshot expired, or the table was made again",
        )
    behind_days = (table.snapshots[-1].at - mine.at) / _DAY_S
    if facts.standing and behind_days > FRESH_DAYS:
        return _broken(
            "snapshot",
            f"the newest run used data {behind_days:.0f} days older than there is",
            f"platform-ctl pipeline run {facts.run.pipeline}",
            DATA_RUNBOOK,
            f"the run used {used} of {_day(mine.at)}; "
            f"{table.current} is of {_day(table.snapshots[-1].at)}",
        )
    return Link("snapshot", LinkState.OK, f"{used} of {_day(mine.at)}")


def _features(facts: DiagnosisFacts) -> Link:
    problem = _problem(facts, "features", Role.FEATURES)
    if problem:
        return problem
    service = facts.output(Role.FEATURES, "feature_service")
    task = facts.task(Role.FEATURES)
    used = facts.output(Role.RESOLVE, "snapshot_id")
    for artifact in task.artifacts if task else ():
        of = str(artifact.metadata.get("snapshot_id", used))
        if of != used:
            return _broken(
                "features",
                f"the rows are of snapshot {of}, not of {used}",
                f"platform-ctl pipeline run {facts.run.pipeline} --no-cache",
                CACHE_RUNBOOK,
                f"{artifact.name} of task {task.path if task else ''}: {artifact.uri}",
            )
    return Link("features", LinkState.OK, service or "this pipeline extracts none")


# ---- steps, cache, gate, registration -------------------------------------------


def _steps(facts: DiagnosisFacts) -> Link:
    run = facts.run
    if held := run.stuck:
        return _stuck(facts, held)
    if not run.state.final:
        done = sum(t.state.final for t in run.tasks)
        return Link("step", LinkState.WAITING, f"the run is {run.state}, {done} tasks have ended")
    failed = next((t for t in run.tasks if t.state is TaskState.FAILED), None)
    if failed:
        return _failed_task("step", facts, failed)
    if run.state is not RunState.SUCCEEDED:
        return _broken(
            "step",
            f"the run is {run.state}: {run.error or 'no reason recorded'}",
            f"platform-ctl run resume {facts.short}",
            STEP_RUNBOOK,
            f"run {run.id} ended at {moment(run.ended_at)}",
        )
    for role in (Role.GATE, Role.REGISTRATION):
        skipped = None if _ran(facts, role) else _skipped(facts, role)
        if skipped and not (role is Role.REGISTRATION and _is_condition(skipped)):
            return _broken(
                "step",
                f"{facts.roles[role]} was skipped: {skipped.path}: {skipped.error}",
                f"platform-ctl run show {facts.short}",
                STEP_RUNBOOK,
                *_why_skipped(facts, skipped),
            )
    executed = sum(t.state is TaskState.SUCCEEDED for t in run.tasks)
    return Link(
        "step",
        LinkState.OK,
        f"{executed} executed, {len(run.tasks) - executed} from the cache or skipped",
    )


def _cache(facts: DiagnosisFacts) -> Link:
    task = facts.task(Role.REGISTRATION)
    if task and task.state is TaskState.CACHED and facts.version is None:
        return _broken(
            "cache",
            f"{task.path} was served from the cache, and what it registered is gone",
            f"platform-ctl pipeline run {facts.run.pipeline} --no-cache",
            CACHE_RUNBOOK,
            f"{task.cache}: version {facts.number}, which {facts.registry_uri} does not hold",
            "a step with effects outside the run needs set_caching_options(False)",
        )
    spoilt = next((d for d in facts.decisions if d.quarantined), None)
    hits = sum(d.decision == "HIT" for d in facts.decisions)
    more = f"; {spoilt.task} ran again: {spoilt.reason}" if spoilt else ""
    return Link("cache", LinkState.OK, f"{hits} of {len(facts.decisions)} tasks reused{more}")


def _gate(facts: DiagnosisFacts) -> Link:
    if Role.GATE not in facts.roles:
        return Link("gate", LinkState.OK, "this pipeline has none")
    verdict = facts.output(Role.GATE, "verdict")
    task = facts.task(Role.GATE)
    reasons = task.outputs.parameters.get("reasons") if task else None
    texts = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
    if verdict == Verdict.SUCCESSFUL:
        return Link("gate", LinkState.OK, texts[0] if texts else "successful")
    return _broken(
        "gate",
        f"the gate's verdict is {verdict or 'missing'}",
        f"platform-ctl run diff {facts.short}",
        REGISTRY_RUNBOOK,
        *texts,
    )


def _registration(facts: DiagnosisFacts) -> Link:
    if Role.REGISTRATION not in facts.roles:
        return Link("registration", LinkState.OK, "this pipeline registers nothing")
    skipped = None if _ran(facts, Role.REGISTRATION) else _skipped(facts, Role.REGISTRATION)
    if skipped:
        return _broken(
            "registration",
            f"skipped although the gate said successful: {skipped.error}",
            "platform-ctl pipeline compile --check",
            STEP_RUNBOOK,
            *_why_skipped(facts, skipped),
        )
    if facts.version is not None:
        return Link("registration", LinkState.OK, str(facts.version))
    return _missing_version(facts)


def _missing_version(facts: DiagnosisFacts) -> Link:
    """Registered by the run, and not in the registry of the settings: another one, or deleted."""
    name = facts.model.name if facts.model else facts.recipe.model_name if facts.recipe else "?"
    missing = f"{name}/{facts.number} is not in {facts.registry_uri}"
    recorded = facts.lineage.registry_uri if facts.lineage else ""
    for uri, version in facts.elsewhere.items():
        return _broken(
            "registration",
            f"wrong registry: {missing}",
            f"export PLATFORM_CTL_MLFLOW_TRACKING_URI={uri}",
            REGISTRY_RUNBOOK,
            f"{uri} holds {version} of this run",
        )
    if recorded and recorded != facts.registry_uri:
        return _broken(
            "registration",
            f"wrong registry: {missing}",
            f"export PLATFORM_CTL_MLFLOW_TRACKING_URI={recorded}",
            REGISTRY_RUNBOOK,
            f"the run registered in {recorded}",
        )
    return _broken(
        "registration",
        f"{missing}: it was deleted",
        f"platform-ctl pipeline run {facts.run.pipeline}",
        REGISTRY_RUNBOOK,
        f"task {facts.roles[Role.REGISTRATION]} of run {facts.short} made it; "
        "registering the same model again is safe",
    )


def _alias(facts: DiagnosisFacts) -> Link:
    if facts.model is None or facts.version is None:
        return Link("alias", LinkState.OK, "no version to point to")
    name = facts.model.name
    history = f"platform-ctl model show {name} --history"
    altered = broken_link(facts.moves)
    if altered:
        return _broken(
            "alias",
            "the history of alias moves was altered",
            history,
            REGISTRY_RUNBOOK,
            f"line {altered.seq} ({altered.alias} -> {altered.to_version}) does not follow",
        )
    for alias, recorded, there in unrecorded_moves(facts.moves, name, facts.aliases):
        return _broken(
            "alias",
            f"{name}@{alias} was moved outside the platform",
            history,
            REGISTRY_RUNBOOK,
            f"the platform put it at {recorded or 'nothing'}, it is at {there or 'nothing'}",
        )
    if facts.version.aliases:
        return Link("alias", LinkState.OK, ", ".join(f"{name}@{a}" for a in facts.version.aliases))
    newer = facts.aliases.get("staging") or facts.aliases.get("production") or "none"
    return Link("alias", LinkState.OK, f"none: version {newer} came after it")


# ---- lineage --------------------------------------------------------------------


def _lineage(facts: DiagnosisFacts) -> Link:
    seen = facts.lineage
    if seen is None or not seen.since or facts.run.created_at < seen.since:
        return Link("lineage", LinkState.OK, "the run is older than what was recorded")
    ended = {t.path for t in facts.run.tasks if t.state.good or t.state is TaskState.FAILED}
    missing = sorted(ended - seen.tasks)
    if seen.started and not missing and (seen.ended or not facts.run.state.final):
        return Link("lineage", LinkState.OK, f"{len(seen.tasks)} tasks recorded")
    what = "no event at all" if not seen.started else "events are missing"
    return _broken(
        "lineage",
        f"gap: {what}",
        f"platform-ctl lineage repair {facts.short}",
        LINEAGE_RUNBOOK,
        f"tasks without a final event: {', '.join(missing) or 'none'}; "
        f"the run itself {'has one' if seen.ended else 'has none'}",
    )


# ---- helpers --------------------------------------------------------------------


def _broken(name: str, says: str, fix: str, runbook: str, *evidence: str) -> Link:
    return Link(name, LinkState.BROKEN, says, tuple(evidence), fix, runbook)


def _problem(facts: DiagnosisFacts, name: str, role: Role) -> Link | None:
    """The failure of the task that plays the part, as this link's."""
    task = facts.task(role)
    return _failed_task(name, facts, task) if task and task.state is TaskState.FAILED else None


def _stuck(facts: DiagnosisFacts, held: Sequence[Task]) -> Link:
    """Of a run that no waiting ends."""
    first = held[0].blocker
    return _broken(
        "step",
        f"the run is stuck: {held[0].path} cannot proceed: {first.reason if first else ''}",
        (first.fix if first else "") or f"platform-ctl run show {facts.short}",
        _runbook_of(first),
        *(f"{task.path}: {task.blocker}" for task in held),
        f"then platform-ctl run cancel {facts.short}, or let it go on when the cause is gone",
    )


def _failed_task(name: str, facts: DiagnosisFacts, task: Task) -> Link:
    log = f"platform-ctl run logs {facts.short} {task.path}" if task.log else ""
    if task.blocker and task.blocker.reason != _STEPS_OWN:
        return _broken(
            name,
            f"{task.path} failed: {task.blocker.reason}",
            task.blocker.fix or log,
            _runbook_of(task.blocker),
            str(task.blocker),
            *([task.error] if task.error not in ("", str(task.blocker)) else []),
        )
    return _broken(
        name,
        f"{task.path} failed: {task.error}",
        log or f"platform-ctl run show {facts.short}",
        STEP_RUNBOOK,
        f"after {_tries(task)}, at {moment(task.ended_at) if task.ended_at else 'an unknown time'}",
    )


def _tries(task: Task) -> str:
    return "one try" if task.attempts <= 1 else f"{task.attempts} tries"


def _runbook_of(blocker: Blocker | None) -> str:
    return TRIALS_RUNBOOK if blocker and blocker.reason in _OF_TRIALS else STUCK_RUNBOOK


def _ran(facts: DiagnosisFacts, role: Role) -> bool:
    task = facts.task(role)
    return role not in facts.roles or (task is not None and task.state.good)


def _skipped(facts: DiagnosisFacts, role: Role) -> Task | None:
    """The skipped task that is the cause of the part not being played, as far up as it goes."""
    path = facts.roles[role]
    by_path = {t.path: t for t in facts.run.tasks if t.state is TaskState.SKIPPED}
    task = next((by_path[p] for p in _prefixes(path) if p in by_path), None)
    while task is not None and not _is_condition(task):
        above = by_path.get(task.skip_cause)
        if above is None:
            break
        task = above
    return task


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[: i + 1]) for i in range(len(parts)))


def _is_condition(task: Task) -> bool:
    return task.skipped_by is SkippedBy.CONDITION


def _why_skipped(facts: DiagnosisFacts, task: Task) -> tuple[str, ...]:
    condition = facts.conditions.get(task.path, "")
    verdicts = ", ".join(f"{v.task}: {v.verdict}" for v in facts.run.verdicts)
    answer = (f"condition: {condition}" if condition else "", verdicts)
    return tuple(t for t in answer if t)


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


_CHAIN: tuple[tuple[str, Callable[[DiagnosisFacts], Link], bool], ...] = (
    ("data", _data, False),
    ("snapshot", _snapshot, False),
    ("features", _features, False),
    ("step", _steps, False),
    ("cache", _cache, False),
    ("gate", _gate, False),
    ("registration", _registration, False),
    ("alias", _alias, False),
    ("approval", why_release.approval, False),
    ("release", why_release.release, False),
    ("service", why_release.service, True),
    ("lineage", _lineage, True),
)
"""Name, judgement, and whether it is judged while something before it still waits."""
