"""Schedules: the files of the teams, where they are applied, and what starts their runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import ConfigError, MissingExtra, Unsupported
from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import notifier
from platform_ctl.targets.home import require_local
from platform_ctl.targets.installation import cluster
from platform_ctl.targets.kfp import kfp
from platform_ctl.targets.recipe import pipelines, recipes
from platform_ctl.targets.runs import orchestrator, run_reader
from platform_ctl.targets.schedule_files import schedule_documents, schedule_source

if TYPE_CHECKING:
    from platform_ctl.cluster.api import Cluster
    from platform_ctl.runs.record import Run
    from platform_ctl.schedules.apply import Applied, ApplyOptions, Clock
    from platform_ctl.schedules.conditions import Readings
    from platform_ctl.schedules.kubernetes.recurring_runs import KfpSchedules
    from platform_ctl.schedules.local.engine import StartedSlot
    from platform_ctl.schedules.local.machine import MachineSchedules
    from platform_ctl.schedules.local.store import LocalSchedules
    from platform_ctl.schedules.plan import PlanState, SchedulePlan
    from platform_ctl.schedules.port import RecurringRun, Schedules
    from platform_ctl.schedules.report import ScheduleReport


def schedules(settings: Settings, *, reading: bool = False) -> Schedules:
    """Recurring runs of the target; ``reading``: to be looked at only."""
    if settings.target == "kubernetes":
        return kfp_schedules(settings)
    return schedule_store(settings, reading=reading)


def kfp_schedules(settings: Settings) -> KfpSchedules:
    """Recurring runs of KFP; what only the cluster knows is unknown without access to it."""
    from platform_ctl.schedules.kubernetes.recurring_runs import KfpSchedules

    return KfpSchedules(
        kfp(settings), _cluster(settings), service_account=settings.kubernetes.service_account
    )


def _cluster(settings: Settings) -> Cluster | None:
    try:
        return cluster(settings)
    except (ConfigError, MissingExtra):
        return None


def schedule_store(settings: Settings, *, reading: bool = False) -> LocalSchedules:
    """Recurring runs of this machine, with what the engine keeps."""
    require_local(settings, "schedule engine")
    from platform_ctl.schedules.local.store import LocalSchedules

    layout = settings.layout
    return LocalSchedules(layout.database, layout.locks, reading=reading)


def schedule_plan(settings: Settings, *, prune: bool) -> tuple[PlanState, SchedulePlan]:
    """The state of files and target, and what an apply would change. Only reads."""
    from platform_ctl.schedules.apply import make_plan, read_state

    port = schedules(settings, reading=True)
    state = read_state(port, schedule_documents(settings), schedule_source(settings))
    return state, make_plan(port, state, _clock().now(), prune=prune)


def schedule_apply(settings: Settings, options: ApplyOptions) -> list[Applied]:
    """Make the target what the files say."""
    from platform_ctl.schedules.apply import Apply

    documents, source = schedule_documents(settings), schedule_source(settings)
    return Apply(schedules(settings), documents, source, _clock(), options).run(lock_holder())


def lock_holder() -> str:
    """Who this process is, for the message of whoever finds the lock taken."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _clock() -> Clock:
    from platform_ctl.schedules.apply import Clock

    return Clock(lambda: int(time.time()), time.sleep)


# ---- what starts runs ---------------------------------------------------------


@contextmanager
def schedule_engine(settings: Settings) -> Iterator[MachineSchedules]:
    """The engine of this machine, alone. Raises HomeBusy when another one runs."""
    from platform_ctl.schedules.local.store import exclusive

    store = schedule_store(settings)
    lock = settings.layout.locks / "schedule-engine.lock"
    with exclusive(lock, "another schedule run is at work on this home"):
        yield schedule_looker(settings, store)


def schedule_looker(settings: Settings, store: LocalSchedules) -> MachineSchedules:
    """Engine and arbiter over one store."""
    from platform_ctl.schedules.local.conditions import LocalTriggerPorts
    from platform_ctl.schedules.local.engine import RunPorts, ScheduleEngine
    from platform_ctl.schedules.local.machine import MachineSchedules
    from platform_ctl.schedules.report import state_of
    from platform_ctl.schedules.trigger import TriggerEvaluator

    runs = orchestrator(settings)

    def newest(pipeline: str) -> Path:
        return pipelines(settings).find(pipeline)

    now = _clock().now
    engine = ScheduleEngine(
        store,
        RunPorts(runs.submit, state_of(runs), newest),
        settings.layout.root / "schedules",
        now,
    )
    ports = LocalTriggerPorts(store, engine, newest, schedule_readings(settings), now).ports(
        _notify(settings)
    )
    return MachineSchedules(engine, TriggerEvaluator(store, ports, now), store, now)


def _notify(settings: Settings) -> Callable[[str, str], None]:
    """Tells people that a trigger has stopped."""
    from platform_ctl.approvals.notifier import Notification

    def notify(key: str, text: str) -> None:
        message = Notification(
            f"schedule-{key}-{int(time.time())}", f"Schedule {key} stopped", text
        )
        notifier(settings).send(message)

    return notify


def schedule_readings(settings: Settings) -> Readings:
    """What conditions look at, apart from runs."""
    from platform_ctl.schedules.conditions import Readings

    return Readings(
        newest_record=lambda recipe: _newest_record(settings, recipe),
        true_error=lambda service, metric: _true_error(settings, service, metric),
    )


def _newest_record(settings: Settings, recipe: str) -> float | None:
    """Time of the newest record of a recipe's table; None before the first ingest."""
    from platform_ctl.metrics import catalogue
    from platform_ctl.metrics.data import TableMetrics
    from platform_ctl.recipe.recipe import resolve
    from platform_ctl.targets.recipe import data_access

    declared = recipes(settings)[recipe]
    if not declared.newest:
        return None
    table = TableMetrics(
        data_access(settings).catalog, lambda: {declared.table: resolve(declared.newest)}
    )
    for sample in table.samples(time.time()):
        if sample.metric is catalogue.TABLE_NEWEST and isinstance(sample.value, float | int):
            return float(sample.value)
    return None


def _true_error(settings: Settings, service: str, metric: str) -> float | None:
    """The true error of what answers a service's traffic, since its last release."""
    from platform_ctl.releases.true_error import true_errors
    from platform_ctl.targets.releases import releasing

    ports = releasing(settings)
    release = ports.releases.latest(service)
    if release is None:
        return None
    values = [getattr(error, metric, None) for error in true_errors(ports, release)]
    known = [float(value) for value in values if value is not None]
    return max(known) if known else None


# ---- verbs --------------------------------------------------------------------


def schedule_report(settings: Settings) -> ScheduleReport:
    """Applied schedules, their next slots and last runs. Only reads."""
    from platform_ctl.schedules import report

    port, source = schedules(settings, reading=True), schedule_source(settings).repository
    last_run = report.last_run_of(run_reader(settings))
    rows = report.rows(port, source, last_run, _clock().now())
    return report.ScheduleReport(rows, schedule_heartbeat(settings))


def schedule_heartbeat(settings: Settings) -> str:
    """What is wrong with the engine of this machine; empty when nothing is, or KFP fires."""
    from platform_ctl.schedules.local.machine import heartbeat

    if settings.target != "local":
        return ""
    return heartbeat(settings.layout.database, _clock().now())


def schedule_trigger(settings: Settings, name: str) -> Run:
    """Start a run of an applied schedule now. Raises ScheduleBusy at ``max_concurrency``."""
    from platform_ctl.schedules.report import current_version
    from platform_ctl.targets.home import local_user

    key, runs = _applied(settings, name)
    current, by = current_version(runs), f"by {local_user()}"
    if settings.target == "kubernetes":
        from platform_ctl.schedules.kubernetes.triggers import KfpTriggerPorts

        ports = KfpTriggerPorts(
            kfp_schedules(settings),
            orchestrator(settings),
            schedule_readings(settings),
            _clock().now,
            schedule_documents(settings),
        )
        return run_reader(settings).get(ports.trigger(key, runs, current, by))
    machine = schedule_looker(settings, schedule_store(settings))
    return run_reader(settings).get(machine.trigger(key, current, by))


def schedule_pause(settings: Settings, name: str, why: str, until: int | None) -> str:
    """Switch a schedule off until then; its ``team/name``."""
    from platform_ctl.schedules import apply
    from platform_ctl.schedules.port import Pause
    from platform_ctl.targets.home import local_user

    key, _ = _applied(settings, name)
    source = schedule_source(settings).repository
    pause = Pause(local_user(), why, _clock().now(), until)
    apply.pause(schedules(settings), source, key, pause, lock_holder())
    return key


def schedule_resume(settings: Settings, name: str) -> str:
    """End a pause; its ``team/name``."""
    from platform_ctl.schedules import apply

    key, _ = _applied(settings, name)
    apply.resume(schedules(settings), schedule_source(settings).repository, key, lock_holder())
    return key


def schedule_run(settings: Settings, *, once: bool, until: float | None) -> Iterator[StartedSlot]:
    """Start what is due until ``until`` (of the monotonic clock), or once; yields what started."""
    if settings.target == "kubernetes":
        yield from _look_on_kfp(settings, once=once)
        return
    with schedule_engine(settings) as machine:
        yield from machine.run(once=once, until=until)


def _look_on_kfp(settings: Settings, *, once: bool) -> Iterator[StartedSlot]:
    """Conditions of the files on KFP; its own controller fires what has a clock."""
    from platform_ctl.schedules.kubernetes.triggers import ConfigMapTriggerStates, KfpTriggerPorts
    from platform_ctl.schedules.local.engine import StartedSlot
    from platform_ctl.schedules.trigger import TriggerEvaluator

    if not once:
        raise Unsupported(
            "KFP's controller fires schedules on a cluster; conditions are looked at once a call",
            where="schedule run",
            fix="platform-ctl --target kubernetes schedule run --once",
        )
    documents, port, now = schedule_documents(settings), kfp_schedules(settings), _clock().now
    memories = ConfigMapTriggerStates(cluster(settings))
    port.list()
    readings = schedule_readings(settings)
    ports = KfpTriggerPorts(port, orchestrator(settings), readings, now, documents).ports(
        _notify(settings)
    )
    triggers = memories.triggers(documents, port.pauses(), now())
    for one in TriggerEvaluator(memories, ports, now).look(triggers):
        yield StartedSlot(one.key, None, one.reason, one.run_id, one.error)


def schedule_of_run(settings: Settings, run_id: str) -> str:
    """Schedule, slot and reason of a run in a few words; empty for a run of no schedule."""
    if settings.target != "local":
        return ""
    from platform_ctl.schedules.local.machine import schedule_of_run

    return schedule_of_run(settings.layout.database, run_id)


def _applied(settings: Settings, name: str) -> tuple[str, list[RecurringRun]]:
    """The records of an applied schedule by name. Raises UnknownName."""
    from platform_ctl.schedules.port import ours
    from platform_ctl.schedules.report import key_of

    known = ours(schedules(settings, reading=True).list(), schedule_source(settings).repository)
    key = key_of(name, known)
    return key, known[key]
