"""What the pages show, read from the rooms of a home or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from platform_ctl.approvals import decide
from platform_ctl.approvals.compare import compare as compare_with_champion
from platform_ctl.approvals.decide import DecisionPorts, as_they_stand, subject_changes
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import Answer, ApprovalRequest
from platform_ctl.explain.compared import ComparedRun
from platform_ctl.explain.run_diff import compare
from platform_ctl.lineage.find import find_dataset, not_in_lineage
from platform_ctl.lineage.graph import Graph, label
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.models.figures import figures
from platform_ctl.models.model import PRODUCTION, RegisteredModel
from platform_ctl.models.port import Registry
from platform_ctl.models.read_evaluation import evaluation_of
from platform_ctl.models.tables import columns
from platform_ctl.progress import describe, latest
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.releases.port import Releases
from platform_ctl.runs.budget import Costs, cost
from platform_ctl.runs.planned import planned_steps
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run, TaskState
from platform_ctl.runs.select import find
from platform_ctl.serving.service import InferenceService
from platform_ctl.ui.views import ApprovalView, LineageView, RunRow, ServiceView, VersionRow

CHANGES_SHOWN = 5


@dataclass(frozen=True)
class HomeReaders:
    """Each opens what it reads anew: a page is answered in a thread of its own."""

    runs: Callable[[], RunReader]
    costs: Callable[[], Costs]
    outbox: Callable[[], Outbox]
    recipes: Callable[[], Mapping[str, Recipe]]
    registry: Callable[[], Registry]
    approvals: Callable[[], Approvals]
    releases: Callable[[], Releases]
    services: Callable[[], Sequence[InferenceService]]
    compared: Callable[[Run], ComparedRun]
    deciding: Callable[[], DecisionPorts]


def lineage(home: HomeReaders, name: str) -> LineageView:
    """Raises UnknownName for what is not in the lineage of this home."""
    graph = Graph(home.outbox().ends())
    names = graph.names()
    if not name:
        return LineageView(names)
    key = find_dataset(graph, name)
    if key is None:
        raise not_in_lineage(name, graph)
    return LineageView(names, name, label(key), graph.upstream(key), graph.downstream(key))


def answer(home: HomeReaders, request_id: str, what: Answer, reason: str, who: str) -> str:
    ports = home.deciding()
    answered = decide.answer(ports, request_id, what, approver=who, reason=reason)
    request, run = answered.request, answered.run
    if run is None:
        return f"{request.reference} is {request.state}."
    return f"{request.reference} is approved; its promotion is run {run.id[:8]}."


def row(home: HomeReaders, run: Run) -> RunRow:
    spent = cost(home.costs().entries(run.id))
    return RunRow(run, spent.money, spent.saved_money)


def run_row(home: HomeReaders, run_id: str) -> RunRow:
    """One run with the steps that are to come, and how far those are that run."""
    reader = home.runs()
    run = reader.get(run_id)
    progress = {}
    for task in run.tasks:
        if task.state is TaskState.RUNNING and (newest := latest(reader.log(run, task, 0))):
            progress[task.path] = describe(newest)
    return replace(row(home, run), planned=planned_steps(reader, run), progress=progress)


def versions(home: HomeReaders, model: RegisteredModel) -> list[VersionRow]:
    known = home.recipes()
    rows = []
    for version in model.versions:
        losses = figures(version, known)
        best = f"{losses.baseline.value:.4g} {losses.baseline_name}" if losses.baseline else ""
        champion = f"{losses.champion.value:.4g}" if losses.champion else ""
        rows.append(VersionRow(version, str(losses.model or ""), best, champion))
    return rows


def services(home: HomeReaders) -> list[ServiceView]:
    records, views = home.releases(), []
    for service in home.services():
        release = records.latest(service.name)
        events = records.events(release.id) if release else ()
        views.append(ServiceView(service, release, events))
    return views


def approval(home: HomeReaders, request_id: str) -> ApprovalView:
    stored, models = home.approvals().get(request_id), home.registry()
    (request,) = as_they_stand(models, home.recipes(), [stored])
    evaluation, run_id = evaluation_of(models, request.reference, columns)
    return ApprovalView(
        request,
        compare_with_champion(models, request),
        subject_changes(models, home.recipes(), stored),
        evaluation,
        run_id,
        gate=_gate(home, run_id),
        since_champion=_since_champion(home, request, run_id),
        plan=_plan(home, request),
    )


def _run(home: HomeReaders, run_id: str) -> Run | None:
    """The run, or None where its record is gone."""
    return find(home.runs(), run_id) if run_id else None


def _gate(home: HomeReaders, run_id: str) -> Sequence[str]:
    run = _run(home, run_id)
    return [reason for verdict in run.verdicts for reason in verdict.reasons] if run else ()


def _since_champion(home: HomeReaders, request: ApprovalRequest, run_id: str) -> Sequence[str]:
    """What differs between the run of the champion and the run of the candidate."""
    model = next((m for m in home.registry().models() if m.name == request.model), None)
    champion = model.version(model.aliases.get(PRODUCTION, "")) if model else None
    older = _run(home, champion.tags.get("run_id", "")) if champion else None
    newer = _run(home, run_id)
    if older is None or newer is None or older.id == newer.id:
        return ()
    differences = compare(home.compared(older), home.compared(newer))
    # What the candidate was compared with is another model by itself: that is no change of anybody.
    causes = [d for d in differences if d.kind.is_cause and not d.what.endswith(".champion")]
    shown = [
        f"{d.kind.name.lower().replace('_', ' ')} {d.what}: {d.old or 'none'} → {d.new or 'none'}"
        for d in causes[:CHANGES_SHOWN]
    ]
    if len(causes) > CHANGES_SHOWN:
        more = f"platform-ctl run diff {older.id[:8]} {newer.id[:8]}"
        shown.append(f"and {len(causes) - CHANGES_SHOWN} more: {more}")
    return shown or ["nothing that a result depends on"]


def _plan(home: HomeReaders, request: ApprovalRequest) -> str:
    recipe = home.recipes().get(request.recipe)
    if recipe is None:
        return ""
    plan = recipe.canary
    steps = " → ".join(str(w) for w in plan.weights_percent)
    return (
        f"The traffic moves in steps of {steps} %, each judged after at least "
        f"{plan.min_requests} requests: errors above {plan.max_error_rate:.0%}, latency above "
        f"{plan.max_latency_ratio:g} times production's or a true error "
        f"{plan.max_error_increase:.0%} higher roll it back."
    )
