"""Answers about runs: why, diff, impact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.errors import BadPipelineFile, HomeDamaged
from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals
from platform_ctl.targets.home import state_reading
from platform_ctl.targets.ledger import costs
from platform_ctl.targets.lineage import recorded_lineage
from platform_ctl.targets.models import mlflow_uri, registry
from platform_ctl.targets.recipe import data_access, read_pipeline, recipes
from platform_ctl.targets.releases import release_records, serving
from platform_ctl.targets.runs import artifacts, cache_decisions, run_reader
from platform_ctl.text import without_user

if TYPE_CHECKING:
    from platform_ctl.explain.compared import ComparedRun
    from platform_ctl.explain.impact import Impact
    from platform_ctl.explain.subject import TrainedSubject
    from platform_ctl.explain.why_facts import DiagnosisPorts
    from platform_ctl.ir.pipeline import Pipeline
    from platform_ctl.models.model import RegisteredModel
    from platform_ctl.recipe.datasets import Resolved
    from platform_ctl.recipe.recipe import DataAccess
    from platform_ctl.runs.port import RunReader
    from platform_ctl.runs.record import Run
    from platform_ctl.serving.service import InferenceService


def looking(settings: Settings) -> DiagnosisPorts:
    """What ``run why`` and ``model why`` look at."""
    from platform_ctl.explain.why_facts import DiagnosisPorts
    from platform_ctl.models import mlflow_sqlite
    from platform_ctl.recipe import iceberg_sqlite

    home_uri = f"sqlite:///{settings.layout.mlflow}/mlflow.db"

    def other_registries(recorded: str) -> dict[str, Sequence[RegisteredModel]]:
        others = {home_uri, recorded} - {"", mlflow_uri(settings)}
        databases = {uri: mlflow_sqlite.database_of(uri) for uri in others}
        return {u: mlflow_sqlite.read(path) or [] for u, path in databases.items() if path}

    runs = run_reader(settings)
    return DiagnosisPorts(
        runs=runs,
        cache=cache_decisions(settings),
        registry=registry(settings),
        approvals=approvals(settings),
        releases=release_records(settings),
        serving=_Services(settings),
        recipes=recipes(settings),
        registry_uri=without_user(mlflow_uri(settings)),
        read_pipeline=lambda run: _pipeline_of(runs, run),
        table=lambda name: iceberg_sqlite.read(data_access(settings).catalog, name),
        lineage=lambda run: recorded_lineage(settings, run),
        other_registries=other_registries,
    )


@dataclass(frozen=True)
class _Services:
    """The target's, asked for when they are listed: a cluster that is away is one link's matter."""

    settings: Settings

    def list(self) -> Sequence[InferenceService]:
        return serving(self.settings).list()


def _pipeline_of(runs: RunReader, run: Run) -> Pipeline:
    """What a run executes. Raises BadPipelineFile where there is none, and HomeDamaged for a copy
    that is not understood: it was, when the run started."""
    from platform_ctl.ir import file as ir_file

    stored = runs.pipeline_file(run.id)
    try:
        return ir_file.parse(stored, Path(f"run {run.id}"))
    except BadPipelineFile as exc:
        raise HomeDamaged(
            f"the copy of its pipeline that run {run.id[:8]} keeps cannot be read: {exc.what}",
            where=exc.where,
            fix="platform-ctl doctor --deep",
        ) from exc


def impact(settings: Settings, file: Path, parameters: Mapping[str, Any]) -> Impact:
    """What a run of the pipeline would do now, against its last one. Changes nothing."""
    from platform_ctl.explain.impact_local import ImpactRecords, forecast
    from platform_ctl.explain.subject import foresee
    from platform_ctl.ir.parameters import resolve
    from platform_ctl.runs.cache.cache import StepCache
    from platform_ctl.runs.cache.code_digest import CodeDigester
    from platform_ctl.runs.cache.computing import Computations
    from platform_ctl.runs.local.cached_steps import CachedSteps

    ir, runs, db = read_pipeline(file), run_reader(settings), state_reading(settings)
    ended = (r for r in runs.list(-1) if r.pipeline == ir.name and r.state.final)
    cache = StepCache(settings.layout.cache, db)
    digester = CodeDigester(Path(settings.project_root), db, remember=False)
    steps = CachedSteps(
        cache,
        digester,
        ir,
        "",
        computations=Computations(settings.layout.cache, ""),
        use_cache=True,
        warn=lambda text: None,
    )
    values = resolve(ir, parameters)
    records = ImpactRecords(
        last=next(ended, None),
        steps=steps,
        cache=cache,
        db=db,
        foreseen=foresee(ir, recipes(settings), data_access(settings), registry(settings)),
        money_per_cpu_hour=settings.money_per_cpu_hour,
    )
    return forecast(ir, values, records)


def current_subject(
    settings: Settings, pin: Callable[[DataAccess], Resolved], model_name: str
) -> TrainedSubject:
    """What a run that starts now is about; ``pin`` freezes the golden set if need be."""
    from platform_ctl.explain.subject import current

    return current(pin, model_name, data_access(settings), registry(settings))


def compared_run(settings: Settings, run: Run) -> ComparedRun:
    """A run as ``run diff`` sees it."""
    from platform_ctl.explain.diff_facts import DiffPorts, side
    from platform_ctl.recipe import iceberg_sqlite
    from platform_ctl.runs.cache import cache_rows, code_digest

    db, runs = state_reading(settings), run_reader(settings)
    sources = DiffPorts(
        cache=cache_decisions(settings),
        artifacts=artifacts(settings),
        key_inputs=lambda digest: cache_rows.key_inputs(db, digest),
        units=lambda digest: code_digest.units(db, digest),
        read_pipeline=lambda run: _pipeline_of(runs, run),
        recipes=recipes(settings),
        table=lambda name: iceberg_sqlite.read(data_access(settings).catalog, name),
        ledger=costs(settings).entries,
    )
    return side(run, sources)
