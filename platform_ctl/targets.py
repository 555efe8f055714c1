"""Composition root: Settings -> the adapters of a target. The only file that imports adapters.

Each function imports what it builds when it is called, so that a command pays
only for the capability it uses.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.domain.recipe import DataAccess, Recipe
from platform_ctl.errors import (
    ConfigError,
    DiskFull,
    PortInUse,
    PreconditionMissing,
    TargetUnavailable,
    Unsupported,
)
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    import sqlite3

    from platform_ctl.adapters.common.approver_page import ApproverPage
    from platform_ctl.adapters.common.ledger import Ledger
    from platform_ctl.adapters.common.lineage_delivery import Delivered
    from platform_ctl.adapters.common.lineage_observer import LineageObserver
    from platform_ctl.adapters.common.lineage_spool import Spool
    from platform_ctl.adapters.common.pipelines import Pipelines
    from platform_ctl.adapters.local.lab.bench import Bench
    from platform_ctl.adapters.local.lab.fault import Fault
    from platform_ctl.adapters.local.orchestrator.local import LocalOrchestrator
    from platform_ctl.adapters.local.serving.service import LocalServing
    from platform_ctl.domain.approvals import Answer
    from platform_ctl.domain.diagnosis import RecordedLineage
    from platform_ctl.domain.impact import Impact
    from platform_ctl.domain.ir import Pipeline
    from platform_ctl.domain.models import ModelVersion, RegisteredModel
    from platform_ctl.domain.run_diff import Side
    from platform_ctl.domain.runs import Run
    from platform_ctl.operations.exit_test import Records
    from platform_ctl.operations.release import Releasing
    from platform_ctl.operations.why import Looking
    from platform_ctl.ports.approvals import Approvals
    from platform_ctl.ports.cache import Cache
    from platform_ctl.ports.notifier import Notifier
    from platform_ctl.ports.registry import Registry
    from platform_ctl.ports.serving import Serving
    from platform_ctl.ports.training import Training
    from platform_ctl.ports.tuner import SearchRecord, Tuner

_EXECUTE_RUN = "from platform_ctl.cli.app import main; main()", "run", "execute"
"""Program and words of a detached run's process (``python -c``); the run id follows."""


def current_settings() -> Settings:
    """The Settings of this process, for code that runs inside a step."""
    from platform_ctl.settings import load

    return load(cwd=Path.cwd(), env=os.environ).settings


def state(settings: Settings) -> sqlite3.Connection:
    """The home's database, migrated."""
    from platform_ctl.adapters.common.state import connect

    return connect(settings.layout.database)


def schema_versions(settings: Settings) -> tuple[int | None, int]:
    """Schema of the home (None: no home yet) and the newest one this version knows."""
    from platform_ctl.adapters.common.state import schema_versions

    return schema_versions(settings.layout.database)


def data_access(settings: Settings) -> DataAccess:
    """Where the recipe's data lives on this target."""
    layout = settings.layout
    catalog = dict(settings.iceberg_catalog) or {
        "name": "local",
        "type": "sql",
        "uri": f"sqlite:///{layout.iceberg}/catalog.db",
        "warehouse": f"file://{layout.iceberg}/warehouse",
    }
    return DataAccess(
        catalog=catalog,
        feast_dir=layout.feast,
        golden_dir=layout.golden,
        pseudonym_key_file=layout.secrets / "author-key",
        lock_dir=layout.locks,
    )


def recipes(settings: Settings) -> dict[str, Recipe]:
    """Every recipe of the project, by name: folders that hold a recipe.py."""
    import importlib

    package = importlib.import_module(settings.recipes_package)
    names = sorted(
        p.parent.name for root in package.__path__ for p in Path(root).glob("*/recipe.py")
    )
    return {n: importlib.import_module(f"{package.__name__}.{n}.recipe").RECIPE for n in names}


def pipelines(settings: Settings) -> Pipelines:
    """The project's pipeline sources and their committed IR."""
    from platform_ctl.adapters.common.pipelines import Pipelines

    return Pipelines(Path(settings.project_root), settings.pipelines_package)


def read_pipeline(file: Path) -> Pipeline:
    """One compiled file, checked. Raises BadPipelineFile."""
    from platform_ctl.adapters.common import ir_file

    return ir_file.read(file)


def orchestrator(settings: Settings) -> LocalOrchestrator:
    """Runs compiled pipelines; ends a run's Ray with the run."""
    _require_local(settings, "orchestrator")
    from platform_ctl.adapters.local.orchestrator.local import Hooks, LocalOrchestrator

    observer = lineage_observer(settings)

    def at_end(run_dir: Path) -> None:
        if (run_dir / "ray").is_dir():
            _stop_ray(settings, run_dir)
        observer.ended(made.get(run_dir.name))
        _start_delivery(settings)

    made = LocalOrchestrator(
        settings, state(settings), Hooks(at_end, _EXECUTE_RUN, observer.observe)
    )
    return made


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


def deliver_lineage(settings: Settings) -> Delivered:
    """Send what waits, in this process; killed runs get their last events first.

    Raises PreconditionMissing, TargetUnavailable.
    """
    from platform_ctl.adapters.common import lineage_delivery
    from platform_ctl.domain.runs import ORPHANED

    config = settings.lineage.config_file
    if not lineage_delivery.configured(config, os.environ):
        raise PreconditionMissing(
            "OpenLineage has no transport here: events stay in the home",
            where="setting lineage.config_file",
            fix="export OPENLINEAGE_URL=http://localhost:5000",
        )
    observer, runs = lineage_observer(settings), orchestrator(settings)
    for run in runs.list(-1):
        if run.error == ORPHANED:
            observer.repair(runs.get(run.id))
    done = lineage_delivery.deliver(settings.layout.lineage, config)
    if done.problem:
        raise TargetUnavailable(
            f"delivered {done.delivered}, {done.waiting} events wait: {done.problem}",
            where="OpenLineage transport",
            fix="platform-ctl lineage deliver",
        )
    return done


def _start_delivery(settings: Settings) -> None:
    """A process of its own, when events go anywhere; nobody waits for it."""
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


def step_cache(settings: Settings) -> Cache:
    """Results of earlier tasks."""
    _require_local(settings, "cache")
    from platform_ctl.adapters.local.cache import StepCache

    return StepCache(settings.layout.cache, state(settings))


def training(settings: Settings) -> Training:
    """Ray for the steps of this run; outside a run (notebook, test), a private one."""
    _require_local(settings, "training")
    from platform_ctl.adapters.local.training import LocalTraining

    run_dir, pid = os.environ.get("PLATFORM_RUN_DIR"), os.environ.get("PLATFORM_RUN_PID")
    if not run_dir or not pid:
        return LocalTraining()
    run_id, task = Path(run_dir).name, os.environ.get("PLATFORM_TASK_NAME", "")

    def charge(cpu_s: float) -> None:
        ledger(settings).charge_ray(run_id, task, cpu_s)

    return LocalTraining(run_dir=Path(run_dir), run_pid=int(pid), charge=charge)


def _stop_ray(settings: Settings, run_dir: Path) -> None:
    """End a run's Ray, and charge the run with what no step has been charged with."""
    import sqlite3

    from platform_ctl.adapters.local.ray_holder import used_cpu_s

    training(settings).stop(run_dir)
    with contextlib.suppress(sqlite3.OperationalError, DiskFull):  # the run has its own error
        ledger(settings).charge_ray(run_dir.name, "", used_cpu_s(run_dir / "ray"))


def tuner(settings: Settings) -> Tuner:
    """Runs Katib Experiments; trials that are functions go to the Ray of this process, if any."""
    _require_local(settings, "tuner")
    from platform_ctl.adapters.local.tuner.local import LocalTuner

    return LocalTuner(Path(settings.project_root), settings.money_per_cpu_hour)


def serving(settings: Settings) -> Serving:
    """InferenceServices: KServe's server in processes of this machine."""
    return _local_serving(settings)


def _local_serving(settings: Settings) -> LocalServing:
    _require_local(settings, "serving")
    from platform_ctl.adapters.local.serving.records import Limits
    from platform_ctl.adapters.local.serving.service import LocalServing

    return LocalServing(
        settings.layout.services,
        host=settings.serving.host,
        port=settings.serving.port,
        project_root=settings.project_root,
        data=data_access(settings),
        limits=Limits(
            body_bytes=int(settings.serving.body_mib * 2**20),
            canary_timeout_s=settings.serving.canary_timeout_s,
            memory_bytes=settings.serving.memory_mib * 2**20,
            ready_timeout_s=settings.serving.ready_timeout_s,
        ),
    )


def releasing(settings: Settings) -> Releasing:
    """The ports of every release verb."""
    from platform_ctl.adapters.common.releases import SqliteReleases
    from platform_ctl.operations.release import Releasing

    return Releasing(
        SqliteReleases(state(settings)),
        serving(settings),
        registry(settings),
        approvals(settings),
        data_access(settings),
    )


def registry(settings: Settings) -> Registry:
    """MLflow, on SQLite in the home or at the configured URI; the history is in the home."""
    from platform_ctl.adapters.common.history import AliasHistory
    from platform_ctl.adapters.common.registry import MlflowRegistry

    layout = settings.layout
    return MlflowRegistry(
        mlflow_uri(settings),
        layout.mlflow / "artifacts",
        AliasHistory(layout.database),
        layout.locks / "registry.lock",
    )


def impact(settings: Settings, file: Path, parameters: Mapping[str, Any]) -> Impact:
    """What a run of the pipeline would do now, against its last one. Changes nothing."""
    from platform_ctl.adapters.local.code_digest import CodeDigester
    from platform_ctl.adapters.local.forecast import forecast
    from platform_ctl.adapters.local.step_reuse import CachedSteps
    from platform_ctl.domain.parameters import resolve

    ir, runs, db = read_pipeline(file), orchestrator(settings), state(settings)
    digester = CodeDigester(Path(settings.project_root), db)
    ended = (r for r in runs.list(-1) if r.pipeline == ir.name and r.state.final)
    last = next(ended, None)
    steps = CachedSteps(
        step_cache(settings), digester, ir, "", use_cache=True, warn=lambda text: None
    )
    values = resolve(ir, parameters)
    known = runs.get(last.id) if last else None
    return forecast(ir, values, known, steps, db, settings.money_per_cpu_hour)


def compared_run(settings: Settings, run: Run) -> Side:
    """A run as ``run diff`` sees it."""
    from platform_ctl.adapters.local import cache_rows
    from platform_ctl.operations.diff_runs import side

    db = state(settings)
    return side(
        run,
        step_cache(settings),
        lambda digest: cache_rows.key_inputs(db, digest),
        read_pipeline,
        settings.money_per_cpu_hour,
    )


def looking(settings: Settings) -> Looking:
    """What ``run why`` and ``model why`` look at."""
    from platform_ctl.adapters.common import iceberg_sqlite, mlflow_sqlite
    from platform_ctl.adapters.common.releases import SqliteReleases
    from platform_ctl.operations.why import Looking

    home_uri = f"sqlite:///{settings.layout.mlflow}/mlflow.db"

    def other_registries(recorded: str) -> dict[str, Sequence[RegisteredModel]]:
        others = {home_uri, recorded} - {"", mlflow_uri(settings)}
        databases = {uri: mlflow_sqlite.database_of(uri) for uri in others}
        return {u: mlflow_sqlite.read(path) or [] for u, path in databases.items() if path}

    return Looking(
        orchestrator=orchestrator(settings),
        cache=step_cache(settings),
        registry=registry(settings),
        approvals=approvals(settings),
        releases=SqliteReleases(state(settings)),
        serving=serving(settings),
        recipes=recipes(settings),
        registry_uri=mlflow_uri(settings),
        read_pipeline=read_pipeline,
        table=lambda name: iceberg_sqlite.read(data_access(settings).catalog, name),
        lineage=lambda run: recorded_lineage(settings, run),
        other_registries=other_registries,
    )


def load_model(mlflow_dir: Path) -> Any:
    """The predictor of a registered model, with the code it was registered with."""
    from platform_ctl.adapters.common import mlflow_model

    return mlflow_model.load(mlflow_dir)


def recipe_of(settings: Settings, version: ModelVersion) -> Recipe:
    """The recipe that made a registered version. Raises ConfigError when it is gone."""
    name = version.tags.get("recipe", "")
    found = recipes(settings).get(name)
    if found is None:
        raise ConfigError(
            f"{version} was made by recipe {name!r}, which this project does not have",
            where=f"package {settings.recipes_package}",
            fix=f"platform-ctl model show {version}",
        )
    return found


def approvals(settings: Settings) -> Approvals:
    """Approval requests, in the home."""
    from platform_ctl.adapters.common.approvals import SqliteApprovals

    return SqliteApprovals(settings.layout.database)


def notifier(settings: Settings) -> Notifier:
    """ntfy and a webhook, where they are set, behind the home's outbox."""
    from platform_ctl.adapters.common import notify
    from platform_ctl.adapters.common.secrets import read_secret

    asked, layout = settings.notify, settings.layout
    channels = {}
    if asked.ntfy_url:
        channels["ntfy"] = notify.ntfy(asked.ntfy_url, read_secret(asked.ntfy_token, os.environ))
    if asked.webhook_url:
        channels["webhook"] = notify.webhook(read_secret(asked.webhook_url, os.environ))
    return notify.OutboxNotifier(layout.database, layout.locks / "notify.lock", channels)


def provenance(settings: Settings) -> dict[str, str]:
    """Commit and environment of this project, as tags of a model."""
    from platform_ctl.adapters.common import provenance

    return provenance.provenance(Path(settings.project_root))


def evidence_dir(settings: Settings) -> Path:
    """Where the evidence packs of this home are."""
    return settings.layout.root / "evidence"


def write_evidence(
    settings: Settings, version: ModelVersion, records: Mapping[str, Any] | None = None
) -> Path:
    """(Re)write the evidence pack of a version; ``records`` adds the canary's log."""
    from platform_ctl.operations.evidence import write_pack

    ports = registry(settings), approvals(settings)
    return write_pack(*ports, version, evidence_dir(settings), records=records)


def approver_page(
    settings: Settings, answer: Callable[[str, Answer, str], str], port: int
) -> ApproverPage:
    """The page of ``approval serve``; ``answer`` does what the command does. Raises PortInUse."""
    from platform_ctl.adapters.common.approver_page import Actions, ApproverPage, View
    from platform_ctl.operations.approve import subject_changes
    from platform_ctl.operations.compare import compare

    def view(request_id: str) -> View:
        request = approvals(settings).get(request_id)
        changes = subject_changes(registry(settings), recipes(settings), request)
        return View(request, compare(registry(settings), request), changes)

    try:
        return ApproverPage(Actions(approvals(settings).list, view, answer), port)
    except OSError as exc:
        raise PortInUse(
            f"port {port} cannot be used: {exc.strerror}",
            where="approver page",
            fix="platform-ctl approval serve --port 0",
        ) from exc


def local_user() -> str:
    """The account this process runs as."""
    from platform_ctl.adapters.common import identity

    return identity.local_user()


def mlflow_uri(settings: Settings) -> str:
    """Where MLflow's tracking and registry are: as set, else SQLite in the home."""
    return settings.mlflow_tracking_uri or f"sqlite:///{settings.layout.mlflow}/mlflow.db"


def log_search(settings: Settings, record: SearchRecord, run_id: str = "") -> str:
    """Record a search in MLflow as a parent with nested runs; returns the parent's run id."""
    from platform_ctl.adapters.common.search_tracking import log_search

    return log_search(record, tracking_uri=mlflow_uri(settings), run_id=run_id)


def draw_search(record: SearchRecord, path: Path) -> None:
    """Best-so-far and parameter importance, as a .png or .html file."""
    from platform_ctl.adapters.common.search_plots import draw

    draw(record.experiment, record.trials, path)


def ledger(settings: Settings) -> Ledger:
    """What runs cost and what the cache saved."""
    from platform_ctl.adapters.common.ledger import Ledger

    return Ledger(state(settings), settings.money_per_cpu_hour)


def charge_search(settings: Settings, record: SearchRecord) -> None:
    """Charge this run's task with the trials that ran in its Ray; outside a run, nobody."""
    from platform_ctl.domain.tuning_progress import cut_short, wall_s

    if run_id := os.environ.get("PLATFORM_RUN_ID"):
        ledger(settings).record(
            run_id,
            os.environ.get("PLATFORM_TASK_NAME", ""),
            "tune",
            wall_s=wall_s(record.status),
            cpu_s=sum(trial.cpu_s for trial in record.trials),
            trials=record.status.trials,
            note=cut_short(record.status),
        )


def canary_cost(settings: Settings, service: str) -> contextlib.AbstractContextManager[None]:
    """Charge this run's task with what the InferenceService uses meanwhile."""
    run_id, task = os.environ.get("PLATFORM_RUN_ID"), os.environ.get("PLATFORM_TASK_NAME", "")
    if not run_id:
        return contextlib.nullcontext()
    local = _local_serving(settings)
    return ledger(settings).metered(run_id, task, "canary", lambda: local.cpu_s(service))


def lab(settings: Settings, folder: Path | None = None) -> Bench:
    """The fault lab in ``folder``, else in the home; inside a lab's own home, that lab."""
    _require_local(settings, "fault lab")
    from platform_ctl.adapters.local.lab.bench import MARKER, Bench

    root = settings.layout.root
    inside = root.name == "home" and (root.parent / MARKER).is_file()
    default = root.parent if inside else root / "lab"
    return Bench((folder or default).resolve(), settings)


def exit_test_records(settings: Settings) -> Records:
    """What the exit test checks: the records of the recipe that was run last."""
    from platform_ctl.operations.exit_test import Records

    runs = orchestrator(settings)
    known = {r.pipeline: r for r in recipes(settings).values() if r.pipeline}
    newest = next((r.pipeline for r in runs.list(-1) if r.pipeline in known), next(iter(known)))
    folder = settings.layout.root / "exit-test"
    return Records(runs, step_cache(settings), registry(settings), known[newest], folder)


def faults() -> dict[str, Fault]:
    """What the lab can break, by name."""
    from platform_ctl.adapters.local.lab.fault import all_faults

    return all_faults()


def _require_local(settings: Settings, capability: str) -> None:
    if settings.target != "local":
        raise Unsupported(
            f"the {settings.target} target has no {capability} yet (see docs/architecture.md)",
            where=f"target {settings.target}",
            fix="export PLATFORM_CTL_TARGET=local",
        )
