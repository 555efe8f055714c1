"""Recurring runs of KFP through ``kfp_server_api``: no update exists, so versions are switched.

Locks and pauses are KFP experiments, whose names are unique: whoever reaches KFP's API
sees them, with or without rights on the cluster. What only the cluster knows (the
controller's time zone, whether a record has its ScheduledWorkflow) is read where a
connection to it is given, and unknown elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from platform_ctl.cluster.api import CONFIG_MAP, Cluster, ResourceKind
from platform_ctl.cluster.kfp import Kfp, Refusal
from platform_ctl.errors import (
    BadSchedule,
    ClusterForbidden,
    ClusterUnavailable,
    KfpUnavailable,
    NotUploaded,
    OrphanedRecord,
)
from platform_ctl.schedules import cron
from platform_ctl.schedules.document import DEFAULT_EXPERIMENT, KfpExperiment, Spec, VersionPolicy
from platform_ctl.schedules.due import CatchUp, Timing
from platform_ctl.schedules.kubernetes.notes import LOCK, PAUSE, KfpLock, Notes
from platform_ctl.schedules.port import (
    Activity,
    Lock,
    NewRecurringRun,
    Pause,
    RecurringRun,
    Server,
)

SCHEDULED_WORKFLOW = ResourceKind("kubeflow.org/v1beta1", "ScheduledWorkflow", "scheduledworkflows")
CONTROLLER_SETTINGS = "pipeline-install-config"
"""ConfigMap of KFP's installation; ``cronScheduleTimezone`` is the controller's zone."""
_PAGE = 100
_OPEN = ["PENDING", "RUNNING", "CANCELING", "PAUSED"]
_IR = re.compile(r"^ir: ([0-9a-f]{64})$", re.MULTILINE)
"""What an upload writes into the description of a version."""


@dataclass
class KfpSchedules:
    """Implements ``schedules.port.Schedules``.

    ``cluster`` is optional; ``service_account`` is what KFP fills in where none is named.
    """

    kfp: Kfp
    cluster: Cluster | None = None
    service_account: str = "pipeline-runner"
    _pipelines: dict[str, str] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _known: dict[str, RecurringRun] = field(default_factory=dict)

    # ---- reading ----------------------------------------------------------

    def server(self) -> Server:
        return Server(self.kfp.health().version, self._zone())

    def list(self) -> Sequence[RecurringRun]:
        service = self.kfp.recurring_runs
        listed = self._pages(
            service.recurring_run_service_list_recurring_runs,
            "recurring_runs",
            sort_by="created_at",
        )
        experiments = {e.experiment_id: e.display_name for e in self._experiments()}
        workflows = self._workflows()
        records = [self._record(one, experiments, workflows) for one in listed]
        self._known = {run.id: run for run in records}
        return records

    def activity(self, run_ids: Sequence[str]) -> Activity:
        flying: list[str] = []
        newest: list[tuple[int, str, int | None]] = []
        workflows = self._workflows()
        for run_id in run_ids:
            flying += [run.run_id for run in self._runs_of(run_id, _OPEN, _PAGE)]
            for run in self._runs_of(run_id, [], 1):
                at = _seconds(run.created_at) or 0
                newest.append((at, run.run_id, self._slot(run_id, run, workflows)))
        slots = [slot for _, _, slot in newest if slot is not None]
        last = max(newest)[1] if newest else ""
        return Activity(tuple(flying), max(slots, default=None), last)

    def succeeded(self, key: str, *, since: int) -> Sequence[str]:
        """Runs of a schedule's records that succeeded, of those created since; oldest first."""
        runs = []
        for run in self._known.values():
            if run.key != key:
                continue
            for one in self._runs_of(run.id, ["SUCCEEDED"], _PAGE):
                at = _seconds(one.created_at) or 0
                if at >= since:
                    runs.append((at, str(one.run_id)))
        return [run_id for _, run_id in sorted(runs)]

    def open_runs_named(self, beginning: str) -> int:
        """Runs that have not ended and whose name begins so."""
        predicates: list[Mapping[str, Any]] = [
            {"key": "name", "operation": "IS_SUBSTRING", "string_value": beginning},
            {"key": "state", "operation": "IN", "string_values": {"values": _OPEN}},
        ]
        runs = self._filtered_runs(predicates, _PAGE)
        return sum(1 for run in runs if (run.display_name or "").startswith(beginning))

    def experiments(self) -> Mapping[str, bool]:
        return {
            e.display_name: str(e.storage_state) == "ARCHIVED"
            for e in self._experiments()
            if not e.display_name.startswith((LOCK, PAUSE))
        }

    def pauses(self) -> Mapping[str, Pause]:
        return self._notes.pauses(self._experiments())

    # ---- writing ----------------------------------------------------------

    def create(self, new: NewRecurringRun) -> RecurringRun:
        import kfp_server_api as api

        spec = new.spec
        if spec.timing is None:
            raise BadSchedule(
                "a trigger with `on` is no recurring run of KFP",
                where=new.display_name,
                fix="platform-ctl --target kubernetes schedule run --once",
            )
        body = api.V2beta1RecurringRun(
            display_name=new.display_name,
            description=new.description,
            pipeline_version_reference=self._version(spec),
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(spec.parameters)),
            service_account=spec.service_account or self.service_account,
            max_concurrency=str(spec.max_concurrency),
            trigger=_trigger(spec.timing),
            mode="DISABLE",
            no_catchup=spec.timing.catch_up is CatchUp.LATEST,
            experiment_id=self._experiment_id(spec.experiment),
        )
        service = self.kfp.recurring_runs
        created = self._write(
            service.recurring_run_service_create_recurring_run, body, what=new.display_name
        )
        experiments = {e.experiment_id: e.display_name for e in self._experiments()}
        record = self._record(created, experiments, None)
        self._known[record.id] = record
        return record

    def enable(self, run_id: str) -> None:
        service = self.kfp.recurring_runs
        try:
            self.kfp.call(service.recurring_run_service_enable_recurring_run, run_id)
        except Refusal as exc:
            workflows = self._workflows()
            if exc.status == 404 or (workflows is not None and run_id not in workflows):
                raise OrphanedRecord(
                    "the recurring run has no ScheduledWorkflow: nothing can fire it",
                    where=f"recurring run {run_id}",
                    fix="platform-ctl --target kubernetes schedule apply",
                ) from exc
            raise self._unavailable(exc) from exc

    def disable(self, run_id: str) -> None:
        service = self.kfp.recurring_runs
        self._write(service.recurring_run_service_disable_recurring_run, run_id, what=run_id)

    def delete(self, run_id: str) -> None:
        service = self.kfp.recurring_runs
        try:
            self.kfp.call(
                service.recurring_run_service_delete_recurring_run,
                run_id,
                propagation_policy="ORPHAN",
            )
        except Refusal as exc:
            if exc.status != 404:
                raise self._unavailable(exc) from exc

    def put_experiment(self, experiment: KfpExperiment) -> None:
        """An archived experiment stops its recurring runs: files may not name it."""
        import kfp_server_api as api

        service = self.kfp.experiments
        there = self._find_experiment(experiment.name)
        if there is None:
            body = api.V2beta1Experiment(
                display_name=experiment.name, description=experiment.description
            )
            try:
                there = self.kfp.call(service.experiment_service_create_experiment, body)
            except Refusal as exc:
                if exc.status != 409:
                    raise self._unavailable(exc) from exc
                there = self._find_experiment(experiment.name)
        if there is None or (str(there.storage_state) == "ARCHIVED") == experiment.archived:
            return
        change = (
            service.experiment_service_archive_experiment
            if experiment.archived
            else service.experiment_service_unarchive_experiment
        )
        self._write(change, there.experiment_id, what=experiment.name)

    def pause(self, key: str, pause: Pause) -> None:
        self._notes.put_pause(key, pause, self._experiments())

    def resume(self, key: str) -> None:
        self._notes.remove(PAUSE + key, self._experiments())

    @contextmanager
    def lock(self, holder: str) -> Iterator[Lock]:
        lock = KfpLock(self._notes, self._experiments, holder)
        lock.acquire()
        try:
            yield lock
        finally:
            lock.release()

    # ---- inside -----------------------------------------------------------

    @property
    def _notes(self) -> Notes:
        return Notes(self.kfp)

    def _zone(self) -> str | None:
        if self.cluster is None:
            return None
        try:
            config_map = self.cluster.get(CONFIG_MAP, CONTROLLER_SETTINGS)
        except (ClusterForbidden, ClusterUnavailable):
            return None
        if config_map is None:
            return None
        return str(config_map.get("data", {}).get("cronScheduleTimezone") or "UTC")

    def _workflows(self) -> Mapping[str, Any] | None:
        """ScheduledWorkflows by UID, which is the id of their record; None when unreadable."""
        if self.cluster is None:
            return None
        try:
            listed = self.cluster.list(SCHEDULED_WORKFLOW)
        except (ClusterForbidden, ClusterUnavailable):
            return None
        return {workflow["metadata"]["uid"]: workflow for workflow in listed}

    def _record(
        self, one: Any, experiments: Mapping[str, str], workflows: Mapping[str, Any] | None
    ) -> RecurringRun:
        run = RecurringRun(
            id=one.recurring_run_id,
            display_name=one.display_name or "",
            description=one.description or "",
            enabled=str(one.status) == "ENABLED",
            created_at=_seconds(one.created_at) or 0,
            spec=None,
            backed=None if workflows is None else one.recurring_run_id in workflows,
        )
        if run.mark is None or not run.key:
            return run
        return replace(run, spec=self._spec(run.key, one, experiments))

    def _spec(self, key: str, one: Any, experiments: Mapping[str, str]) -> Spec | None:
        """The fields of a record as typed values; None when it has no reference to a pipeline."""
        reference = one.pipeline_version_reference
        timing = _timing(one)
        if reference is None or timing is None:
            return None
        team, _, name = key.partition("/")
        pinned = reference.pipeline_version_id or ""
        account = one.service_account or ""
        parameters = one.runtime_config.parameters if one.runtime_config else None
        return Spec(
            team=team,
            name=name,
            pipeline=self._pipeline_name(reference.pipeline_id),
            version=VersionPolicy.PINNED if pinned else VersionPolicy.LATEST,
            ir=self._digest(reference.pipeline_id, pinned) if pinned else "",
            parameters=parameters or {},
            experiment=experiments.get(one.experiment_id, one.experiment_id),
            timing=timing,
            max_concurrency=int(one.max_concurrency or 1),
            service_account="" if account == self.service_account else account,
        )

    def _pipeline_name(self, pipeline_id: str) -> str:
        if pipeline_id not in self._pipelines:
            service = self.kfp.pipelines
            listed = self._pages(service.pipeline_service_list_pipelines, "pipelines")
            self._pipelines = {p.pipeline_id: p.name or p.display_name for p in listed}
        return self._pipelines.get(pipeline_id, pipeline_id)

    def _digest(self, pipeline_id: str, version_id: str) -> str:
        """Digest of a version's IR as its upload wrote it; empty for a version of another shape."""
        if version_id not in self._digests:
            service = self.kfp.pipelines
            try:
                version = self.kfp.call(
                    service.pipeline_service_get_pipeline_version, pipeline_id, version_id
                )
                match = _IR.search(version.description or "")
            except Refusal as exc:
                if exc.status != 404:
                    raise self._unavailable(exc) from exc
                match = None
            self._digests[version_id] = match[1] if match else ""
        return self._digests[version_id]

    def _version(self, spec: Spec) -> Any:
        """Reference to the pipeline, and where it is pinned to its newest version of that IR."""
        import kfp_server_api as api

        service = self.kfp.pipelines
        listed = self._pages(service.pipeline_service_list_pipelines, "pipelines")
        pipeline = next((p for p in listed if spec.pipeline in (p.name, p.display_name)), None)
        if pipeline is None:
            raise _not_uploaded(spec, "is not there")
        if spec.version is VersionPolicy.LATEST:
            return api.V2beta1PipelineVersionReference(pipeline_id=pipeline.pipeline_id)
        versions = self._pages(
            service.pipeline_service_list_pipeline_versions,
            "pipeline_versions",
            pipeline.pipeline_id,
            sort_by="created_at desc",
        )
        for version in versions:
            match = _IR.search(version.description or "")
            if match and match[1] == spec.ir:
                return api.V2beta1PipelineVersionReference(
                    pipeline_id=pipeline.pipeline_id,
                    pipeline_version_id=version.pipeline_version_id,
                )
        raise _not_uploaded(spec, f"has no version with the IR {spec.ir[:12]}")

    def _experiments(self) -> Sequence[Any]:
        service = self.kfp.experiments
        return list(self._pages(service.experiment_service_list_experiments, "experiments"))

    def _find_experiment(self, name: str) -> Any | None:
        return next((e for e in self._experiments() if e.display_name == name), None)

    def _experiment_id(self, name: str) -> str:
        experiment = self._find_experiment(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        if name == DEFAULT_EXPERIMENT:
            return ""
        raise BadSchedule(
            f"KFP has no experiment {name!r}",
            where=name,
            fix="platform-ctl --target kubernetes schedule apply",
        )

    def _runs_of(self, run_id: str, states: Sequence[str], limit: int) -> Sequence[Any]:
        predicates: list[dict[str, Any]] = [
            {"key": "recurring_run_id", "operation": "EQUALS", "string_value": run_id}
        ]
        if states:
            predicates.append(
                {"key": "state", "operation": "IN", "string_values": {"values": list(states)}}
            )
        return self._filtered_runs(predicates, limit)

    def _filtered_runs(self, predicates: Sequence[Mapping[str, Any]], limit: int) -> Sequence[Any]:
        try:
            page = self.kfp.call(
                self.kfp.runs.run_service_list_runs,
                page_size=limit,
                sort_by="created_at desc",
                filter=json.dumps({"predicates": list(predicates)}),
            )
        except Refusal as exc:
            raise self._unavailable(exc) from exc
        return page.runs or []

    def _slot(self, run_id: str, run: Any, workflows: Mapping[str, Any] | None) -> int | None:
        """The slot of a record's newest run.

        The controller's own note where it can be read. Elsewhere ``scheduled_at``, which for
        the newest version is when the run was created: then the newest slot before that.
        """
        if workflows is not None and run_id in workflows:
            status = workflows[run_id].get("status", {}).get("trigger", {})
            noted = status.get("lastTriggeredTime")
            if noted:  # written after the run: until then what the run says has to do
                return int(datetime.fromisoformat(noted).timestamp())
        at = _seconds(run.scheduled_at) or _seconds(run.created_at)
        known = self._known.get(run_id)
        timing = known.spec.timing if known and known.spec else None
        if at is None or timing is None or not timing.cron:
            return at
        return cron.parse(timing.cron).until(at)

    def _pages(self, function: Callable[..., Any], items: str, *args: Any, **kwargs: Any) -> Any:
        """Everything of a list, page by page."""
        everything: list[Any] = []
        token = ""
        while True:
            words = {**kwargs, "page_token": token} if token else kwargs
            try:
                page = self.kfp.call(function, *args, page_size=_PAGE, **words)
            except Refusal as exc:
                raise self._unavailable(exc) from exc
            everything += getattr(page, items) or []
            token = page.next_page_token or ""
            if not token:
                return everything

    def _write(self, function: Callable[..., Any], *args: Any, what: str) -> Any:
        try:
            return self.kfp.call(function, *args)
        except Refusal as exc:
            if exc.status in (400, 403, 422):
                raise BadSchedule(
                    f"KFP refuses it: {exc.message}", where=what, fix="platform-ctl schedule check"
                ) from exc
            raise self._unavailable(exc) from exc

    def _unavailable(self, exc: Refusal) -> KfpUnavailable:
        return KfpUnavailable(
            f"KFP's API server did not do it: {exc}",
            where=self.kfp.address,
            fix="platform-ctl --target kubernetes schedule plan",
        )


def _trigger(timing: Timing) -> Any:
    import kfp_server_api as api

    start, end = _moment(timing.start_at), _moment(timing.end_at)
    if timing.cron:
        schedule = api.V2beta1CronSchedule(cron=timing.cron, start_time=start, end_time=end)
        return api.V2beta1Trigger(cron_schedule=schedule)
    periodic = api.V2beta1PeriodicSchedule(
        interval_second=str(timing.interval_s), start_time=start, end_time=end
    )
    return api.V2beta1Trigger(periodic_schedule=periodic)


def _timing(one: Any) -> Timing | None:
    """The trigger of a record; None where it has none that is understood."""
    trigger = one.trigger
    schedule = trigger and (trigger.cron_schedule or trigger.periodic_schedule)
    if not schedule:
        return None
    text = schedule.cron if trigger.cron_schedule else ""
    try:
        text = cron.parse(text).text if text else ""
    except cron.BadCron:
        return None
    return Timing(
        cron=text,
        interval_s=0 if text else int(schedule.interval_second or 0),
        start_at=_seconds(schedule.start_time),
        end_at=_seconds(schedule.end_time),
        catch_up=CatchUp.LATEST if one.no_catchup else CatchUp.ALL,
    )


def _seconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(at.timestamp()) or None  # the server writes 1970 for "never"


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _not_uploaded(spec: Spec, what: str) -> NotUploaded:
    return NotUploaded(
        f"the pipeline {spec.pipeline} of {spec.key} {what} on this KFP",
        where=spec.key,
        fix=f"platform-ctl --target kubernetes pipeline upload {spec.pipeline}",
    )
