"""OpenLineage: the outbox, the observer of runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from platform_ctl.home.environment import environment
from platform_ctl.recipe.recipe import DatasetColumns, Recipe, resolve
from platform_ctl.settings import Settings
from platform_ctl.targets.home import database
from platform_ctl.targets.kfp import runs_api
from platform_ctl.targets.models import mlflow_uri
from platform_ctl.targets.recipe import data_access, recipes
from platform_ctl.text import without_user
from platform_ctl.tuning.find_search import FOLDER

if TYPE_CHECKING:
    from platform_ctl.explain.diagnosis import RecordedLineage
    from platform_ctl.lineage.facets import Event, Producer
    from platform_ctl.lineage.observer import LineageObserver
    from platform_ctl.lineage.outbox import Outbox
    from platform_ctl.runs.port import RunObserver, RunReader
    from platform_ctl.runs.record import Run, Task

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def lineage_outbox(settings: Settings) -> Outbox:
    """The home's OpenLineage events."""
    from platform_ctl.lineage.outbox import Outbox

    return Outbox(settings.layout.lineage)


def lineage_observer(settings: Settings) -> LineageObserver:
    """Writes the lineage events of runs; recipes are imported when a task may be of one."""
    from platform_ctl.lineage.observer import LineageObserver

    producer = lineage_producer(settings)

    def trials(run: Run, task: Task, about: str) -> Sequence[Event]:
        return _trial_events(run, task, producer, about)

    return LineageObserver(
        lineage_outbox(settings),
        database(settings),
        producer,
        trials,
        with_inputs=lambda run: with_inputs(settings, run),
    )


def lineage_observers(settings: Settings, runs: RunReader) -> Sequence[RunObserver]:
    """Who writes and delivers the lineage of the runs of this target."""
    from platform_ctl.lineage.observer import Delivery, LineageFromRecord

    lineage = lineage_observer(settings)
    writer = lineage if settings.target == "local" else LineageFromRecord(lineage)
    return writer, Delivery(lineage, runs, lambda: start_delivery(settings))


def lineage_producer(settings: Settings) -> Producer:
    """How this home's events name things."""
    from platform_ctl import __version__
    from platform_ctl.lineage.facets import Naming, Producer
    from platform_ctl.lineage.git_source import CodeSources
    from platform_ctl.recipe import iceberg_sqlite

    catalog = data_access(settings).catalog
    known = _Recipes(settings)
    naming = Naming(
        namespace=settings.lineage.namespace,
        models=_models_namespace(settings),
        recipe=known.of,
        table=lambda name: iceberg_sqlite.read(catalog, name),
        catalog=catalog,
        columns=known.columns,
    )
    return Producer(
        __version__,
        naming,
        settings.target,
        registry_uri=without_user(mlflow_uri(settings)),
        money_per_cpu_hour=settings.money_per_cpu_hour,
        sources=CodeSources(Path(settings.project_root), settings.pipelines_package),
    )


class _Recipes:
    """The project's recipes, asked for once. A recipe that is broken costs its facets, never a run:
    the step that needs it says what is wrong with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._columns: dict[str, Mapping[str, DatasetColumns]] = {}

    def of(self, pipeline: str, model: str) -> Recipe | None:
        """By the pipeline that trains its model, or by the model."""
        return next(
            (r for r in self._all if pipeline == r.pipeline or (model and model == r.model_name)),
            None,
        )

    def columns(self, recipe: Recipe) -> Mapping[str, DatasetColumns]:
        if not recipe.columns:
            return {}
        if recipe.name not in self._columns:
            declared: dict[str, Any] = _or_else({}, lambda: dict(resolve(recipe.columns)()))
            self._columns[recipe.name] = {
                k: v for k, v in declared.items() if isinstance(v, DatasetColumns)
            }
        return self._columns[recipe.name]

    @cached_property
    def _all(self) -> list[Recipe]:
        # What a broken recipe file holds need not be a Recipe.
        by_name: Mapping[str, object] = _or_else({}, lambda: recipes(self._settings))
        return [recipe for recipe in by_name.values() if isinstance(recipe, Recipe)]


def _or_else(default: _T, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except Exception as exc:  # noqa: BLE001 - code of a recipe may raise anything
        _log.warning("lineage does without what a recipe declares: %s", exc)
        return default


def _trial_events(run: Run, task: Task, producer: Producer, about: str) -> Sequence[Event]:
    """Of the search that the task ran; most tasks ran none."""
    workdir = Path(run.directory) / FOLDER
    if not workdir.is_dir():
        return ()
    from platform_ctl.lineage.trials import trial_events
    from platform_ctl.tuning.local import journal

    story = _or_else(None, lambda: journal.read(workdir))
    if story is None or story.task != task.path:
        return ()
    return trial_events(run, task, story.experiment, story.in_order, producer, about)


def events_of(settings: Settings, run: Run) -> list[Event]:
    """The events of a run that are recorded, then ``missing_events``. Only reads."""
    return [*lineage_outbox(settings).of_run(run.id), *missing_events(settings, run)]


def missing_events(settings: Settings, run: Run) -> list[Event]:
    """Of a run that has ended, what its records say and no recorded event does: those of one
    that was killed, or whose disk was full."""
    return lineage_observer(settings).missing(run) if run.state.final else []


def with_inputs(settings: Settings, run: Run) -> Run:
    """A run with what its tasks were given, which records of this machine hold anyway."""
    if settings.target == "local":
        return run
    from platform_ctl.runs.kubernetes.inputs import TaskInputs

    return TaskInputs(runs_api(settings)).of(run)


def recorded_lineage(settings: Settings, run: Run) -> RecordedLineage:
    """What the outbox holds about a run."""
    from platform_ctl.lineage.find import recorded

    outbox = lineage_outbox(settings)
    return recorded(outbox.of_run(run.id), outbox.oldest(), run)


def start_delivery(settings: Settings) -> None:
    """Deliver in a process of its own, when events go anywhere; nobody waits for it."""
    from platform_ctl.lineage.config import configured

    config = settings.lineage.config_file
    if not configured(config, os.environ):
        return
    import subprocess
    import sys

    module = "platform_ctl.lineage.delivery"
    subprocess.Popen(
        [sys.executable, "-m", module, str(settings.layout.lineage), config],
        cwd=settings.project_root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _models_namespace(settings: Settings) -> str:
    """OpenLineage's namespace of the registry: ``mlflow://host:port``, or ``mlflow:///path``."""
    place = without_user(mlflow_uri(settings)).partition("://")[2]
    return f"mlflow://{'/' + place.lstrip('/') if place.startswith('/') else place}"
