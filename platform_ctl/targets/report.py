"""The report of a run: what it is gathered from, and the page it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.errors import UnknownName, UsageError
from platform_ctl.folders import make_private
from platform_ctl.settings import Settings
from platform_ctl.targets.explain import looking
from platform_ctl.targets.ledger import costs
from platform_ctl.targets.lineage import lineage_outbox
from platform_ctl.targets.runs import artifacts
from platform_ctl.targets.tuning import tuner

if TYPE_CHECKING:
    from platform_ctl.lineage.graph import TaskRun
    from platform_ctl.report.gather import Reporting
    from platform_ctl.report.value import RunReport
    from platform_ctl.runs.record import Run
    from platform_ctl.tuning.port import SearchRecord


def reporting(settings: Settings) -> Reporting:
    """What ``run report`` reads."""
    from platform_ctl.report.gather import Reporting

    return Reporting(
        looking=looking(settings),
        artifacts=artifacts(settings),
        ledger=costs(settings).entries,
        search=lambda run_id: _search(settings, run_id),
        importance=_importance,
        columns=_columns,
        lineage=lambda: _task_runs(settings),
    )


def _search(settings: Settings, run_id: str) -> SearchRecord | None:
    """The search of a run; None where it made none."""
    try:
        return tuner(settings).read(run_id)
    except UnknownName:
        return None


def draw_search(record: SearchRecord, path: Path) -> None:
    """Write the page of a search. Raises UsageError for no .html, or a search without a score."""
    from platform_ctl.home import files
    from platform_ctl.report import search_page
    from platform_ctl.tuning.progress import scored

    if path.suffix != ".html":
        raise UsageError(
            f"a search is drawn as a page, and {path.name} does not end in .html",
            where=str(path),
            fix=f"platform-ctl experiment show --plot {path.with_suffix('.html')}",
        )
    if not scored(record.experiment, record.trials):
        raise UsageError(
            "the search has no scored trial to draw",
            where=record.experiment.name,
            fix=f"platform-ctl experiment show {record.experiment.name}",
        )
    page = search_page.render(search_page.summary(record, _importance(record)))
    files.replace(path.resolve(), page.encode())


def report_page(report: RunReport, *, back: bool = False) -> str:
    """The report as one HTML file that needs nothing else. ``back``: among the pages of a home,
    with links to them."""
    from platform_ctl.report.page import render

    return render(report, back=f"/runs/{report.run.id}" if back else "")


def report_file(settings: Settings, run: Run) -> Path:
    """Where the page of a run goes when nobody says where: in the run's folder, or for a run
    that has none on this machine under ``reports`` of the home, which is made."""
    from platform_ctl.report.page import REPORT_FILE

    if run.directory:
        return Path(run.directory) / REPORT_FILE
    make_private(settings.layout.reports)
    return settings.layout.reports / f"{run.id}.html"


def write_report(report: RunReport, path: Path) -> Path:
    """The page as a file, whole or not at all. Its path.

    Raises UsageError where it cannot be written.
    """
    from platform_ctl.report.page import write

    return write(report, path)


def _importance(record: SearchRecord) -> Mapping[str, float]:
    from platform_ctl.tuning.importance import importance

    return importance(record.experiment, record.trials)


def _columns(folder: Path) -> Mapping[str, Sequence[Any]]:
    from platform_ctl.models.tables import columns

    return columns(folder)


def _task_runs(settings: Settings) -> Iterable[TaskRun]:
    from platform_ctl.lineage.graph import Graph

    return Graph(lineage_outbox(settings).ends()).tasks.values()
