"""Reads metrics from the records of the target at each scrape."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from platform_ctl.errors import PortInUse
from platform_ctl.recipe.recipe import resolve
from platform_ctl.settings import Settings
from platform_ctl.targets.ledger import costs
from platform_ctl.targets.recipe import data_access, recipes
from platform_ctl.targets.runs import run_reader

if TYPE_CHECKING:
    from platform_ctl.metrics.collect_metrics import Scrape
    from platform_ctl.metrics.data import Newest
    from platform_ctl.metrics.exposition import MetricsServer
    from platform_ctl.metrics.port import Metrics


def metrics(settings: Settings) -> list[Metrics]:
    """Every source of metrics of this home; none of them changes or creates anything."""
    from platform_ctl.lineage.config import configured
    from platform_ctl.metrics.data import TableMetrics
    from platform_ctl.metrics.lineage import LineageMetrics
    from platform_ctl.metrics.releases import ReleaseMetrics
    from platform_ctl.models.training_age import DAY_S

    layout = settings.layout

    @functools.cache
    def newest() -> dict[str, Newest]:
        known = recipes(settings).values()
        return {recipe.table: resolve(recipe.newest) for recipe in known if recipe.newest}

    def age_limits_s() -> dict[str, float]:
        known = recipes(settings).values()
        return {
            r.pipeline: r.max_training_age_days * DAY_S for r in known if r.max_training_age_days
        }

    to_anywhere = configured(settings.lineage.config_file, os.environ)
    sources: list[Metrics] = [
        *_of_runs(settings),
        ReleaseMetrics(layout.database),
        TableMetrics(data_access(settings).catalog, newest, age_limits_s),
        LineageMetrics(layout.lineage, configured=to_anywhere),
    ]
    return [*sources, *_local(settings)] if settings.target == "local" else sources


def _of_runs(settings: Settings) -> list[Metrics]:
    """Of the home's records, which count what ends; of KFP, what ends while the exporter runs."""
    if settings.target == "local":
        from platform_ctl.metrics.records import RecordMetrics

        return [RecordMetrics(settings.layout.database)]
    from platform_ctl.metrics.watched_runs import WatchedRunMetrics

    return [WatchedRunMetrics(run_reader(settings), costs(settings))]


def _local(settings: Settings) -> list[Metrics]:
    """What only processes and files of this machine know."""
    from platform_ctl.metrics.schedules import ScheduleMetrics
    from platform_ctl.metrics.searches import SearchMetrics
    from platform_ctl.metrics.services import ServiceMetrics
    from platform_ctl.targets.schedule_files import schedule_figures

    layout = settings.layout
    return [
        SearchMetrics(layout.database, layout.runs),
        ServiceMetrics(layout.services),
        ScheduleMetrics(layout.database, schedule_figures(settings)),
    ]


def scrape(settings: Settings) -> Scrape:
    """Everything once."""
    from platform_ctl import __version__
    from platform_ctl.metrics.collect_metrics import collect

    return collect(metrics(settings), __version__)


def metrics_text(collected: Scrape) -> str:
    """A scrape in Prometheus' text format."""
    from platform_ctl.metrics import exposition as metrics_exposition

    return metrics_exposition.text(collected)


def metrics_server(settings: Settings, host: str, port: int) -> MetricsServer:
    """Answers scrapes; 0 picks a free port. Raises PortInUse."""
    from platform_ctl import __version__
    from platform_ctl.metrics import exposition as metrics_exposition
    from platform_ctl.metrics.collect_metrics import collect

    collecting = functools.partial(collect, metrics(settings), __version__)
    try:
        return metrics_exposition.serve(collecting, host, port)
    except OSError as exc:
        raise PortInUse(
            f"port {port} of {host} cannot be used: {exc.strerror}",
            where="metrics serve",
            fix="platform-ctl metrics serve --port 0",
        ) from exc
