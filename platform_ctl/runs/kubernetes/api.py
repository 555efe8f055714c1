"""The run endpoints of KFP's API server, as JSON.

The generated models would parse some hundred nodes of a run into objects and
drop fields that they do not know; what the server says is kept as it is.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.cluster.kfp import CONNECTIONS, Kfp, Refusal
from platform_ctl.runs.record import TaskState

PAGE = 100
"""Runs in one answer at most; the server allows 200, and each comes with its IR and nodes."""
READERS = CONNECTIONS
"""Logs of runs that are read at the same time."""
KEPT_BYTES = 32_000_000
"""Of logs that one connection remembers."""
Json = dict[str, Any]


def _is_refusal(body: bytes) -> bool:
    """Whether a log is KFP's own error document (``run_log_server.go``) and nothing else."""
    if not body.startswith(b'{"error_message"'):
        return False
    try:
        return set(json.loads(body)) == {"error_message", "error_details"}
    except ValueError:
        return False


def predicate(key: str, operation: str, value: str) -> Json:
    return {"key": key, "operation": operation, "string_value": value}


AVAILABLE = predicate("storage_state", "EQUALS", "AVAILABLE")
"""Runs that nobody has archived."""


class KeptLogs:
    """Logs that cannot change any more, for as long as the process: several readers ask for the
    same one (outputs, costs). Full, it takes no more."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}
        self._left, self._lock = limit_bytes, threading.Lock()

    def get(self, run_id: str, node_id: str) -> bytes | None:
        return self._kept.get((run_id, node_id))

    def keep(self, run_id: str, node_id: str, log: bytes) -> None:
        with self._lock:
            if len(log) <= self._left and (run_id, node_id) not in self._kept:
                self._kept[run_id, node_id] = log
                self._left -= len(log)


@dataclass(frozen=True)
class RunsApi:
    """Raises KfpUnavailable for a server that does not answer, Refusal for one that refuses."""

    kfp: Kfp
    _logs: KeptLogs = field(default_factory=KeptLogs, repr=False, compare=False)

    def create(self, run: Mapping[str, Any]) -> Json:
        return self._json(self.kfp.runs.run_service_create_run, dict(run))

    def get(self, run_id: str) -> Json | None:
        """None when there is no such run."""
        try:
            return self._json(self.kfp.runs.run_service_get_run, run_id)
        except Refusal as exc:
            if exc.status == 404:
                return None
            raise

    def with_spec(self, run: Json) -> Json:
        """A run with its IR. One that a recurring run started names a pipeline version instead;
        where that was deleted the run stays without."""
        reference = run.get("pipeline_version_reference") or {}
        if run.get("pipeline_spec") or not reference.get("pipeline_version_id"):
            return run
        ids = reference["pipeline_id"], reference["pipeline_version_id"]
        try:
            version = self._json(self.kfp.pipelines.pipeline_service_get_pipeline_version, *ids)
        except Refusal as exc:
            if exc.status == 404:
                return run
            raise
        return {**run, "pipeline_spec": version.get("pipeline_spec")}

    def newest(self, *predicates: Json, page_size: int = PAGE) -> Iterator[Json]:
        """Runs that hold all of ``predicates``, newest first, ``page_size`` an answer."""
        query = {"page_size": min(page_size, PAGE), "sort_by": "created_at desc"}
        query |= {"filter": json.dumps({"predicates": list(predicates)})} if predicates else {}
        while True:
            page = self._json(self.kfp.runs.run_service_list_runs, **query)
            yield from page.get("runs", [])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    def terminate(self, run_id: str) -> None:
        self._json(self.kfp.runs.run_service_terminate_run, run_id)

    def retry(self, run_id: str) -> None:
        self._json(self.kfp.runs.run_service_retry_run, run_id)

    def delete(self, run_id: str) -> None:
        """A run that is not there any more is fine."""
        try:
            self._json(self.kfp.runs.run_service_delete_run, run_id)
        except Refusal as exc:
            if exc.status != 404:
                raise

    def cached(self, execution_id: str) -> Json | None:
        """The cache's entry for what an execution put out, None where it has none: ``runId`` that
        produced it, ``fingerprint``, ``created_at`` (``task.proto``, which KFP 2.17.0 serves)."""
        predicates = [{"op": "EQUALS", "key": "mlmdExecutionID", "string_value": execution_id}]
        query = {"filter": json.dumps({"predicates": predicates}), "page_size": 1}
        try:
            tasks = json.loads(self._bytes("/apis/v1alpha1/tasks", query)).get("tasks")
        except Refusal:
            return None
        return tasks[0] if tasks else None

    def log(self, run_id: str, node_id: str, state: TaskState = TaskState.RUNNING) -> bytes | None:
        """What the pod of a node wrote; ``state`` is that of its task.

        Of a task that has ended Argo's archive is asked first: it has the bytes as they were
        written, and needs no pod. None where nobody has a log: the pod has not started, or nothing
        is archived.
        """
        if stored := self._logs.get(run_id, node_id):
            return stored
        readers = [self._live_log, self._archived_log]
        for read in reversed(readers) if state.final else readers:
            try:
                log = read(run_id, node_id)
            except Refusal:
                continue
            if state.good:
                self._logs.keep(run_id, node_id, log)
            return log
        return None

    def _live_log(self, run_id: str, node_id: str) -> bytes:
        """v1alpha1 serves the archived log too, unless the server is told not to.

        It answers before it looks: where there is neither, the refusal has status 200.
        """
        log = self._bytes(f"/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log")
        if _is_refusal(log):
            raise Refusal(404, "there is no log")
        return log

    def _archived_log(self, run_id: str, node_id: str) -> bytes:
        path = f"/apis/v2beta1/runs/{run_id}/nodes/{node_id}/artifacts/main-logs:read"
        return base64.b64decode(json.loads(self._bytes(path)).get("data", ""))

    def _json(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Json:
        def call(**options: Any) -> Json:
            raw = function(*args, _preload_content=False, **kwargs, **options).data
            return json.loads(raw) if raw else {}

        return self.kfp.call(call)

    def _bytes(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        def call(**options: Any) -> bytes:
            answer = self.kfp.client.call_api(
                path,
                "GET",
                query_params=list((query or {}).items()),
                header_params={"Accept": "*/*"},
                auth_settings=["Bearer"],
                _preload_content=False,
                _return_http_data_only=True,
                **options,
            )
            return answer.data

        return self.kfp.call(call)
