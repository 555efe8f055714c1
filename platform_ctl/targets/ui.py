"""The pages of a home: what they read, and who may ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.progress import describe, latest
from platform_ctl.runs.record import TaskState
from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals, approvals_as_they_stand, deciding
from platform_ctl.targets.explain import compared_run
from platform_ctl.targets.ledger import costs
from platform_ctl.targets.lineage import lineage_outbox
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import recipes
from platform_ctl.targets.releases import released, serving
from platform_ctl.targets.report import report_page, reporting
from platform_ctl.targets.runs import run_reader

if TYPE_CHECKING:
    from platform_ctl.approvals.request import Answer, ApprovalRequest
    from platform_ctl.models.model import RegisteredModel
    from platform_ctl.runs.record import Run
    from platform_ctl.ui.views import (
        ApprovalView,
        ConsolePorts,
        LineageView,
        RunRow,
        ServiceView,
        VersionRow,
    )

CHANGES_SHOWN = 5


def pages(settings: Settings) -> ConsolePorts:
    """What the pages of this home read; an answer does what ``approval approve|reject`` do."""
    from platform_ctl.report.gather import run_report
    from platform_ctl.ui.views import ConsolePorts

    return ConsolePorts(
        home=settings.home,
        runs=lambda limit: [_row(settings, run) for run in run_reader(settings).list(limit)],
        run=lambda run_id: _run_row(settings, run_id),
        report=lambda run_id: report_page(run_report(reporting(settings), run_id), back=True),
        models=lambda: registry(settings).models(),
        versions=lambda model: _versions(settings, model),
        history=lambda name: [m for m in registry(settings).history() if m.model == name],
        services=lambda: _services(settings),
        approvals=lambda: approvals_as_they_stand(settings),
        approval=lambda request_id: _approval(settings, request_id),
        lineage=lambda name: _lineage(settings, name),
        money_per_cpu_hour=settings.money_per_cpu_hour,
        answer=lambda *said: _answer(settings, *said),
    )


def _lineage(settings: Settings, name: str) -> LineageView:
    """Raises UnknownName for what is not in the lineage of this home."""
    from platform_ctl.lineage.find import find_dataset, not_in_lineage
    from platform_ctl.lineage.graph import Graph, label
    from platform_ctl.ui.views import LineageView

    graph = Graph(lineage_outbox(settings).ends())
    names = graph.names()
    if not name:
        return LineageView(names)
    key = find_dataset(graph, name)
    if key is None:
        raise not_in_lineage(name, graph)
    return LineageView(names, name, label(key), graph.upstream(key), graph.downstream(key))


def _answer(settings: Settings, request_id: str, what: Answer, reason: str, who: str) -> str:
    from platform_ctl.approvals import decide

    ports = deciding(settings)
    answered = decide.answer(ports, request_id, what, approver=who, reason=reason)
    request, run = answered.request, answered.run
    if run is None:
        return f"{request.reference} is {request.state}."
    return f"{request.reference} is approved; its promotion is run {run.id[:8]}."


def _row(settings: Settings, run: Run) -> RunRow:
    from platform_ctl.runs.budget import cost
    from platform_ctl.ui.views import RunRow

    spent = cost(costs(settings).entries(run.id))
    return RunRow(run, spent.money, spent.saved_money)


def _run_row(settings: Settings, run_id: str) -> RunRow:
    """One run with the steps that are to come, and how far those are that run."""
    from platform_ctl.errors import PlatformError
    from platform_ctl.ir import file
    from platform_ctl.ir.pipeline import planned_leaves

    reader = run_reader(settings)
    run = reader.get(run_id)
    row = _row(settings, run)
    if run.state.final and all(t.started_at for t in run.tasks):
        return row
    progress = {}
    for task in run.tasks:
        if task.state is TaskState.RUNNING and (found := latest(reader.log(run, task, 0))):
            progress[task.path] = describe(found)
    try:
        planned = planned_leaves(file.parse(reader.pipeline_file(run.id), Path(run.pipeline)))
    except PlatformError:  # the file is gone
        planned = []
    return replace(row, planned=planned, progress=progress)


def _versions(settings: Settings, model: RegisteredModel) -> list[VersionRow]:
    from platform_ctl.models.figures import figures
    from platform_ctl.ui.views import VersionRow

    known = recipes(settings)
    rows = []
    for version in model.versions:
        found = figures(version, known)
        best = f"{found.baseline.value:.4g} {found.baseline_name}" if found.baseline else ""
        champion = f"{found.champion.value:.4g}" if found.champion else ""
        rows.append(VersionRow(version, str(found.model or ""), best, champion))
    return rows


def _services(settings: Settings) -> list[ServiceView]:
    from platform_ctl.ui.views import ServiceView

    records, found = released(settings).releases, []
    for service in serving(settings).list():
        release = records.latest(service.name)
        events = records.events(release.id) if release else ()
        found.append(ServiceView(service, release, events))
    return found


def _approval(settings: Settings, request_id: str) -> ApprovalView:
    from platform_ctl.approvals.compare import compare
    from platform_ctl.approvals.decide import as_they_stand, subject_changes
    from platform_ctl.models.read_evaluation import evaluation_of
    from platform_ctl.models.tables import columns
    from platform_ctl.ui.views import ApprovalView

    stored, models = approvals(settings).get(request_id), registry(settings)
    (request,) = as_they_stand(models, recipes(settings), [stored])
    evaluation, run_id = evaluation_of(models, request.reference, columns)
    return ApprovalView(
        request,
        compare(models, request),
        subject_changes(models, recipes(settings), stored),
        evaluation,
        run_id,
        gate=_gate(settings, run_id),
        since_champion=_since_champion(settings, request, run_id),
        plan=_plan(settings, request),
    )


def _run(settings: Settings, run_id: str) -> Run | None:
    """The run, or None where its record is gone."""
    from platform_ctl.errors import UnknownName

    try:
        return run_reader(settings).get(run_id) if run_id else None
    except UnknownName:
        return None


def _gate(settings: Settings, run_id: str) -> Sequence[str]:
    run = _run(settings, run_id)
    return [reason for verdict in run.verdicts for reason in verdict.reasons] if run else ()


def _since_champion(settings: Settings, request: ApprovalRequest, run_id: str) -> Sequence[str]:
    """What differs between the run of the champion and the run of the candidate."""
    from platform_ctl.explain.run_diff import compare
    from platform_ctl.models.model import PRODUCTION

    model = next((m for m in registry(settings).models() if m.name == request.model), None)
    champion = model.version(model.aliases.get(PRODUCTION, "")) if model else None
    older = _run(settings, champion.tags.get("run_id", "")) if champion else None
    newer = _run(settings, run_id)
    if older is None or newer is None or older.id == newer.id:
        return ()
    found = compare(compared_run(settings, older), compared_run(settings, newer))
    # What the candidate was compared with is another model by itself: that is no change of anybody.
    causes = [d for d in found if d.kind.is_cause and not d.what.endswith(".champion")]
    shown = [
        f"{d.kind.name.lower().replace('_', ' ')} {d.what}: {d.old or 'none'} → {d.new or 'none'}"
        for d in causes[:CHANGES_SHOWN]
    ]
    if len(causes) > CHANGES_SHOWN:
        more = f"platform-ctl run diff {older.id[:8]} {newer.id[:8]}"
        shown.append(f"and {len(causes) - CHANGES_SHOWN} more: {more}")
    return shown or ["nothing that a result depends on"]


def _plan(settings: Settings, request: ApprovalRequest) -> str:
    recipe = recipes(settings).get(request.recipe)
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
