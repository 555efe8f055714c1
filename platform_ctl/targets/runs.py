"""Runs: the orchestrator and the step cache."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.errors import (
    ConfigError,
    DiskFull,
    MissingExtra,
    NothingYet,
    UnknownName,
    Unsupported,
)
from platform_ctl.settings import Settings
from platform_ctl.targets.home import database, require_local, state, state_reading
from platform_ctl.targets.installation import cluster
from platform_ctl.targets.kfp import runs_api
from platform_ctl.targets.ledger import ledger
from platform_ctl.targets.lineage import (
    events_of,
    lineage_observer,
    lineage_observers,
    lineage_outbox,
    start_delivery,
)
from platform_ctl.targets.tuning import local_training

if TYPE_CHECKING:
    from platform_ctl.cluster.api import Cluster
    from platform_ctl.lineage.facets import Event
    from platform_ctl.runs.cache.port import Cache, Decisions
    from platform_ctl.runs.kubernetes.runs import KfpRuns
    from platform_ctl.runs.kubernetes.workloads import Workloads
    from platform_ctl.runs.local.runs import LocalOrchestrator
    from platform_ctl.runs.log_file import RunLog
    from platform_ctl.runs.observed import ObservedRuns
    from platform_ctl.runs.port import Artifacts, Orchestrator, RunReader
    from platform_ctl.runs.record import Run

PROMOTE = "promote"
"""The pipeline that every way to Production submits."""
_EXECUTE_RUN = "from platform_ctl.cli.app import main; main()", "run", "execute"
"""Program and words of a detached run's process (``python -c``); the run id follows."""


def orchestrator(settings: Settings) -> Orchestrator:
    """Runs compiled pipelines on the target of the settings; log and lineage observe them."""
    kubernetes = settings.target == "kubernetes"
    return _observed(settings, _kfp_runs(settings) if kubernetes else local_engine(settings))


def run_reader(settings: Settings) -> RunReader:
    """Runs to look at; builds nothing that executes."""
    if settings.target == "kubernetes":
        return _kfp_runs(settings)
    require_local(settings, "orchestrator")
    from platform_ctl.runs.local.reader import LocalRuns
    from platform_ctl.runs.local.records import RunRecords

    return LocalRuns(RunRecords(database(settings)))


def artifacts(settings: Settings) -> Artifacts:
    """What the steps of runs have left, by URI."""
    if settings.target == "kubernetes":
        from platform_ctl.runs.kubernetes.artifacts import StoreArtifacts

        return StoreArtifacts()
    from platform_ctl.runs.local.artifacts import LocalArtifacts

    return LocalArtifacts()


def _kfp_runs(settings: Settings) -> KfpRuns:
    """Runs through KFP's API server."""
    from platform_ctl.runs.kubernetes.runs import KfpRuns
    from platform_ctl.runs.kubernetes.submission import prepare
    from platform_ctl.runs.kubernetes.workloads import DeferredWorkloads

    wanted = settings.kubernetes

    def to_submit(documents: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return prepare(documents, wanted, _config_keys(settings) if wanted.image else [])

    return KfpRuns(
        runs_api(settings),
        prepare=to_submit,
        workloads=DeferredWorkloads(lambda: _workloads(settings)),
        service_account=wanted.service_account,
        accounts={PROMOTE: wanted.deployer_account},
    )


def _config_keys(settings: Settings) -> list[str]:
    """Names of the settings that pods are given; none without access to the cluster itself."""
    from platform_ctl.cluster.api import CONFIG_MAP

    api = _reachable(settings)
    config_map = api.get(CONFIG_MAP, settings.kubernetes.config_map) if api else None
    return list((config_map or {}).get("data") or {})


def _reachable(settings: Settings) -> Cluster | None:
    with contextlib.suppress(ConfigError, MissingExtra):
        return cluster(settings)
    return None


def _workloads(settings: Settings) -> Workloads:
    """Pods of runs, and the jobs of the rooms whose steps make some; without access to the
    cluster itself no pod explains a run."""
    from platform_ctl.runs.kubernetes.workloads import ClusterWorkloads, NoWorkloads
    from platform_ctl.training.kubernetes import findings as fits
    from platform_ctl.training.kubernetes import training
    from platform_ctl.tuning.kubernetes import findings as searches
    from platform_ctl.tuning.kubernetes import tuning

    api = _reachable(settings)
    if api is None:
        return NoWorkloads()
    return ClusterWorkloads(
        api,
        findings=[partial(fits.findings, api), partial(searches.findings, api)],
        ends=[partial(training.end_run, api), partial(tuning.end_run, api)],
    )


def execute_run(settings: Settings, run_id: str) -> Run:
    """Executes a submitted run in this process, which is the run's own, and observes it."""
    engine = local_engine(settings)
    before = engine.get(run_id)
    return _observed(settings, engine).follow(
        lambda tell: engine.execute(run_id, tell), lambda event: None, before
    )


def _observed(settings: Settings, runs: Orchestrator) -> ObservedRuns:
    from platform_ctl.runs.observed import ObservedRuns

    return ObservedRuns(runs, lambda: (run_log(settings), *lineage_observers(settings, runs)))


def local_engine(settings: Settings) -> LocalOrchestrator:
    """Executes runs on this machine; ends a run's Ray with the run."""
    require_local(settings, "orchestrator")
    from platform_ctl.runs.local.runs import Hooks, LocalOrchestrator

    def on_death(run_id: str) -> None:
        run_log(settings).died(run_id)
        lineage_observer(settings).owe(run_id)

    def at_end(run_dir: Path) -> None:
        if (run_dir / "ray").is_dir():
            _stop_ray(settings, run_dir)

    return LocalOrchestrator(settings, database(settings), Hooks(at_end, _EXECUTE_RUN, on_death))


def run_log(settings: Settings) -> RunLog:
    """Writes what runs do to the home's log."""
    from platform_ctl.runs.log_file import JsonLog, RunLog

    return RunLog(JsonLog(settings.layout.logs))


def record_deaths(settings: Settings) -> tuple[str, ...]:
    """Write down which runs died, with their last events of lineage; the ids of these runs."""
    local = local_engine(settings)
    dead = local.record_deaths()
    if lineage_observer(settings).write_backfill(local):
        start_delivery(settings)
    return dead


def run_lineage(settings: Settings, run_id: str) -> list[Event] | None:
    """The events of a run, with what its records add; None when there are none. Only reads."""
    if not run_id:
        return None
    with contextlib.suppress(NothingYet, UnknownName, Unsupported):
        return events_of(settings, run_reader(settings).get(run_id)) or None
    return lineage_outbox(settings).of_run(run_id) or None


def _stop_ray(settings: Settings, run_dir: Path) -> None:
    """End a run's Ray, and charge the run with what no step has been charged with."""
    import sqlite3

    from platform_ctl.training.local.ray_head import used_cpu_s

    local_training(settings).stop(run_dir)
    with contextlib.suppress(sqlite3.OperationalError, DiskFull):  # the run has its own error
        ledger(settings).charge_ray(run_dir.name, "", used_cpu_s(run_dir / "ray"))


def cache_decisions(settings: Settings) -> Decisions:
    """What the cache of the target decided for the tasks of runs."""
    if settings.target == "local":
        return step_cache(settings, reading=True)
    from platform_ctl.runs.kubernetes.decisions import KfpDecisions

    return KfpDecisions(runs_api(settings))


def step_cache(settings: Settings, *, reading: bool = False) -> Cache:
    """Results of earlier tasks; ``reading``: to be looked at only."""
    require_local(settings, "cache")
    from platform_ctl.runs.cache.cache import StepCache

    db = state_reading(settings) if reading else state(settings)
    return StepCache(settings.layout.cache, db)
