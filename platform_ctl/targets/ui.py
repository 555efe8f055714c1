"""The pages of a home: what they read, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals, approvals_as_they_stand, deciding
from platform_ctl.targets.explain import compared_run
from platform_ctl.targets.ledger import costs
from platform_ctl.targets.lineage import lineage_outbox
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import recipes
from platform_ctl.targets.releases import release_records, serving
from platform_ctl.targets.report import report_page, reporting
from platform_ctl.targets.runs import run_reader

if TYPE_CHECKING:
    from platform_ctl.ui.views import ConsolePorts


def pages(settings: Settings) -> ConsolePorts:
    """What the pages of this home read; an answer does what ``approval approve|reject`` do."""
    from platform_ctl.report.gather import run_report
    from platform_ctl.ui import read
    from platform_ctl.ui.views import ConsolePorts

    home = read.HomeReaders(
        runs=lambda: run_reader(settings),
        costs=lambda: costs(settings),
        outbox=lambda: lineage_outbox(settings),
        recipes=lambda: recipes(settings),
        registry=lambda: registry(settings),
        approvals=lambda: approvals(settings),
        releases=lambda: release_records(settings),
        services=lambda: serving(settings).list(),
        compared=lambda run: compared_run(settings, run),
        deciding=lambda: deciding(settings),
    )
    return ConsolePorts(
        home=settings.home,
        runs=lambda limit: [read.row(home, run) for run in run_reader(settings).list(limit)],
        run=lambda run_id: read.run_row(home, run_id),
        report=lambda run_id: report_page(run_report(reporting(settings), run_id), back=True),
        models=lambda: registry(settings).models(),
        versions=lambda model: read.versions(home, model),
        history=lambda name: [m for m in registry(settings).history() if m.model == name],
        services=lambda: read.services(home),
        approvals=lambda: approvals_as_they_stand(settings),
        approval=lambda request_id: read.approval(home, request_id),
        lineage=lambda name: read.lineage(home, name),
        money_per_cpu_hour=settings.money_per_cpu_hour,
        answer=lambda *answer: read.answer(home, *answer),
    )
