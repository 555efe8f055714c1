"""Recurring runs and experiments as KFP 2.17.0 keeps them, and the endpoints over them.

Rules read in backend/src/apiserver: experiment names are unique, recurring runs' are not;
``:enable`` and ``:disable`` need the ScheduledWorkflow, deleting does not; a record with a
cron that robfig refuses is refused. The controller is ``fire``, called by the test.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.schedules import cron
from tests.fakes.kfp_server import (
    EXISTS,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    PREFIX,
    Refused,
    Request,
    Router,
    listed,
    now,
)

_FIELDS = {
    "display_name",
    "description",
    "pipeline_spec",
    "pipeline_version_reference",
    "runtime_config",
    "service_account",
    "max_concurrency",
    "trigger",
    "mode",
    "no_catchup",
    "experiment_id",
    "plugins_input",
    "namespace",
}
"""What swagger's v2beta1RecurringRun lets a caller write."""


@dataclass
class RecurringRuns:
    """``knows_orphan``: whether a deletion with ORPHAN leaves the runs; 2.16 and later do."""

    knows_orphan: bool = True
    reinstalled: bool = False
    """The cluster was made anew under the old database: no record has its ScheduledWorkflow."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._make_experiment("Default", "All runs created without specifying an experiment")

    # ---- what tests do ----------------------------------------------------

    def fire(self, record_id: str, at: str = "", state: str = "RUNNING") -> str:
        """A run of a record, as the controller makes one; its id."""
        run_id, moment = str(uuid.uuid4()), at or now()
        self.runs[run_id] = {
            "run_id": run_id,
            "display_name": f"run-{len(self.runs)}",
            "recurring_run_id": record_id,
            "pipeline_version_reference": self.records[record_id]["pipeline_version_reference"],
            "state": state,
            "created_at": moment,
            "scheduled_at": moment,
        }
        return run_id

    # ---- endpoints --------------------------------------------------------

    def routes(self, router: Router) -> None:
        many, one = f"{PREFIX}/recurringruns", f"{PREFIX}/recurringruns/{{id}}"
        router.add("POST", many, self._create)
        router.add("GET", many, lambda r: listed("recurringRuns", [*self.records.values()], r))
        router.add("GET", one, lambda r: self._record(r))
        router.add("POST", f"{one}:enable", lambda r: self._mode(r, True))
        router.add("POST", f"{one}:disable", lambda r: self._mode(r, False))
        router.add("DELETE", one, self._delete)
        several, named = f"{PREFIX}/experiments", f"{PREFIX}/experiments/{{id}}"
        router.add("POST", several, self._create_experiment)
        router.add("GET", several, lambda r: listed("experiments", [*self.experiments.values()], r))
        router.add("DELETE", named, self._delete_experiment)
        router.add("POST", f"{named}:archive", lambda r: self._archive(r, "ARCHIVED"))
        router.add("POST", f"{named}:unarchive", lambda r: self._archive(r, "AVAILABLE"))
        router.add("GET", f"{PREFIX}/runs", lambda r: listed("runs", [*self.runs.values()], r))
        router.add("GET", f"{PREFIX}/runs/{{id}}", self._run)

    def _create(self, request: Request) -> Mapping[str, Any]:
        said = request.json
        unknown = said.keys() - _FIELDS
        if unknown:
            raise Refused(INVALID, f"unknown field {sorted(unknown)[0]!r}")
        _check(said)
        record_id = str(uuid.uuid4())
        enabled = said.get("mode") == "ENABLE"
        self.records[record_id] = {
            **{name: value for name, value in said.items() if value is not False},
            "recurring_run_id": record_id,
            "status": "ENABLED" if enabled else "DISABLED",
            "mode": "ENABLE" if enabled else "DISABLE",
            "created_at": now(),
            "updated_at": now(),
            "namespace": "kubeflow",
            "experiment_id": said.get("experiment_id") or next(iter(self.experiments)),
            "service_account": said.get("service_account") or "pipeline-runner",
        }
        return self.records[record_id]

    def _record(self, request: Request) -> dict[str, Any]:
        found = self.records.get(request.params["id"])
        if found is None:
            raise Refused(NOT_FOUND, f"Job {request.params['id']} not found")
        return found

    def _mode(self, request: Request, enabled: bool) -> Mapping[str, Any]:
        record = self._record(request)
        if self.reinstalled:
            raise Refused(INTERNAL, "Failed to change recurring run's mode: not found")
        record["status"] = "ENABLED" if enabled else "DISABLED"
        record["mode"] = "ENABLE" if enabled else "DISABLE"
        return {}

    def _delete(self, request: Request) -> Mapping[str, Any]:
        record_id = self._record(request)["recurring_run_id"]
        orphan = request.query.get("propagation_policy") == "ORPHAN"
        del self.records[record_id]
        if not (orphan and self.knows_orphan):
            for run in self.runs.values():
                if run["recurring_run_id"] == record_id and run["state"] == "RUNNING":
                    run["state"] = "FAILED"
        return {}

    def _create_experiment(self, request: Request) -> Mapping[str, Any]:
        said = request.json
        name = said.get("display_name", "")
        if any(e["display_name"] == name for e in self.experiments.values()):
            raise Refused(EXISTS, f"The name {name} already exists. Please specify a new name")
        return self._make_experiment(name, said.get("description", ""))

    def _make_experiment(self, name: str, description: str) -> dict[str, Any]:
        experiment_id = str(uuid.uuid4())
        self.experiments[experiment_id] = {
            "experiment_id": experiment_id,
            "display_name": name,
            "description": description,
            "created_at": now(),
            "storage_state": "AVAILABLE",
            "last_run_created_at": "1970-01-01T00:00:00Z",
        }
        return self.experiments[experiment_id]

    def _delete_experiment(self, request: Request) -> Mapping[str, Any]:
        if self.experiments.pop(request.params["id"], None) is None:
            raise Refused(NOT_FOUND, f"Experiment {request.params['id']} not found")
        return {}

    def _archive(self, request: Request, state: str) -> Mapping[str, Any]:
        found = self.experiments.get(request.params["id"])
        if found is None:
            raise Refused(NOT_FOUND, f"Experiment {request.params['id']} not found")
        found["storage_state"] = state
        return {}

    def _run(self, request: Request) -> Mapping[str, Any]:
        found = self.runs.get(request.params["id"])
        if found is None:
            raise Refused(NOT_FOUND, f"Run {request.params['id']} not found")
        return found


def _check(said: Mapping[str, Any]) -> None:
    if not said.get("display_name"):
        raise Refused(INVALID, "Recurring run's name is required")
    if len(said.get("description", "")) > 255:  # MySQL's column; SQLite's has no limit
        raise Refused(INTERNAL, "Data too long for column 'Description' at row 1")
    if not 1 <= int(said.get("max_concurrency", 0)) <= 10:
        raise Refused(INVALID, "The max concurrency of the recurring run must be in range [1, 10]")
    trigger = said.get("trigger", {})
    text = trigger.get("cron_schedule", {}).get("cron", "")
    if text:
        try:
            cron.parse(text)
        except cron.BadCron as exc:
            raise Refused(INVALID, f"Schedule cron is not a supported format: {exc}") from None


def unexpected(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fields of records that swagger's RecurringRun has not, as the generated client holds it."""
    import kfp_server_api

    known = set(kfp_server_api.V2beta1RecurringRun.attribute_map.values())
    return sorted({name for record in records for name in record} - known)
