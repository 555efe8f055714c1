"""OpenLineage: the spool, the observer of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.domain.recipe import Recipe
from platform_ctl.settings import Settings
from platform_ctl.targets.home import state
from platform_ctl.targets.models import mlflow_uri
from platform_ctl.targets.project import data_access, recipes

if TYPE_CHECKING:
    from platform_ctl.adapters.common.lineage_observer import LineageObserver
    from platform_ctl.adapters.common.lineage_spool import Spool
    from platform_ctl.domain.diagnosis import RecordedLineage
    from platform_ctl.domain.runs import Run


def lineage_spool(settings: Settings) -> Spool:
    """The home's OpenLineage events."""
    from platform_ctl.adapters.common.lineage_spool import Spool

    return Spool(settings.layout.lineage)


def lineage_observer(settings: Settings) -> LineageObserver:
    """Writes the lineage events of runs; recipes are imported when a task has a dataset of one."""
    from platform_ctl import __version__
    from platform_ctl.adapters.common import iceberg_sqlite
    from platform_ctl.adapters.common.git_source import Sources
    from platform_ctl.adapters.common.lineage_observer import LineageObserver
    from platform_ctl.domain.lineage import Producer
    from platform_ctl.domain.lineage_datasets import Naming

    catalog = data_access(settings).catalog

    def recipe(pipeline: str, model: str) -> Recipe | None:
        known = recipes(settings).values()
        return next((r for r in known if pipeline == r.pipeline or model == r.model_name), None)

    naming = Naming(
        namespace=settings.lineage.namespace,
        models=_models_namespace(settings),
        recipe=recipe,
        table=lambda name: iceberg_sqlite.read(catalog, name),
        catalog=catalog,
    )
    producer = Producer(
        __version__,
        naming,
        settings.target,
        registry_uri=without_secrets(mlflow_uri(settings)),
        money_per_cpu_hour=settings.money_per_cpu_hour,
        sources=Sources(Path(settings.project_root), settings.pipelines_package),
    )
    return LineageObserver(lineage_spool(settings), state(settings), producer)


def recorded_lineage(settings: Settings, run: Run) -> RecordedLineage:
    """What the spool holds about a run."""
    from platform_ctl.operations.lineage import recorded

    spool = lineage_spool(settings)
    return recorded(spool.of_run(run.id), spool.oldest(), run)


def start_delivery(settings: Settings) -> None:
    """Deliver in a process of its own, when events go anywhere; nobody waits for it."""
    from platform_ctl.adapters.common import lineage_delivery

    config = settings.lineage.config_file
    if not lineage_delivery.configured(config, os.environ):
        return
    import subprocess
    import sys

    module = "platform_ctl.adapters.common.lineage_delivery"
    subprocess.Popen(
        [sys.executable, "-m", module, str(settings.layout.lineage), config],
        cwd=settings.project_root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _models_namespace(settings: Settings) -> str:
    """OpenLineage's namespace of the registry: ``mlflow://host:port``, or ``mlflow:///path``."""
    place = without_secrets(mlflow_uri(settings)).partition("://")[2]
    return f"mlflow://{'/' + place.lstrip('/') if place.startswith('/') else place}"


def without_secrets(uri: str) -> str:
    """A URI without user and password."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
