"""Runs through KFP's API server: implements ``runs.port.Orchestrator`` on a cluster."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml

from platform_ctl.cluster.kfp import Refusal
from platform_ctl.cluster.pods import Blocked
from platform_ctl.errors import (
    ClusterForbidden,
    ClusterUnavailable,
    KfpUnavailable,
    NothingYet,
    UsageError,
    WorkloadFailed,
    from_traceback,
    unknown_id,
)
from platform_ctl.ir import file as ir_file
from platform_ctl.ir import parameters
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.support import UnsupportedUse
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.runs.kubernetes.api import AVAILABLE, PAGE, READERS, Json, RunsApi, predicate
from platform_ctl.runs.kubernetes.cached import ProducerOutputs
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.outputs import last_line, read_outputs
from platform_ctl.runs.kubernetes.records import ir_of, pipeline_of, read, record
from platform_ctl.runs.kubernetes.workloads import NoWorkloads, Workloads
from platform_ctl.runs.record import (
    METRICS,
    Blocker,
    EventKind,
    Run,
    RunEvent,
    RunRequest,
    RunState,
    Task,
    TaskState,
    TaskVerdict,
    Usage,
)
from platform_ctl.runs.spent import read as read_spent
from platform_ctl.runs.watch import POLL_S, watch

OUTPUT_LOGS = 50
"""Tasks of a run whose outputs are read: each costs a log. Those outside loops come first."""
_NEAR_MISSES = 50
"""Newest runs among which the one is looked for that a mistyped id means: one request."""
SETTLED_S = 1.5
"""After which no run can appear whose time of creation is that of one just made: by the server's
clock, and by our own where the server does not tell its time."""
SETTLING_S = 0.25
"""Between two looks at the server's clock."""
VERDICT = "verdict"
"""The output by which a task judges."""
_NO_WORKLOADS = NoWorkloads()
_log = logging.getLogger(__name__)
T = TypeVar("T")
OnEvent = Callable[[RunEvent], None]


@dataclass(frozen=True)
class KfpRuns:
    """Run ids are KFP's. Every method may raise KfpUnavailable."""

    api: RunsApi
    prepare: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]] = list
    """From the committed documents to those that are submitted: images, environment."""
    workloads: Workloads = _NO_WORKLOADS
    service_account: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Pipeline -> ServiceAccount, for those whose runs need another one."""
    poll_s: float = POLL_S
    tries: int = 60
    """Readings of a watched run that may fail in a row, ``poll_s`` apart."""
    sleep: Callable[[float], None] = time.sleep
    _finished: dict[tuple[str, str, int], Task] = field(default_factory=dict, repr=False)
    """Of finished tasks, by run, path and attempt: a log is read once."""
    _listed: dict[str, Json] = field(default_factory=dict, repr=False)
    """The runs of the newest ``list``, as the server told them: whole, as it tells a single one."""

    # ---- port -------------------------------------------------------------

    def run(self, request: RunRequest, on_event: OnEvent) -> Run:
        return self._follow(self.submit(request).id, on_event)

    def submit(self, request: RunRequest) -> Run:
        """POST is not idempotent, so the key stands in the description and is looked for.

        A server that fails after it has created the run, and two callers at once,
        leave one run: the earliest one with the key.
        """
        documents = _documents(request.pipeline)
        pipeline = ir_file.read(request.pipeline)
        values = parameters.resolve(pipeline, request.parameters)
        key = _mark(request.idempotency_key or str(uuid.uuid4()))
        if request.idempotency_key and (earlier := self._of_key(key)):
            return self.get(earlier["run_id"])
        body = self._body(request, pipeline, documents, values, key)
        try:
            created = self.api.create(body)
        except (Refusal, KfpUnavailable) as exc:
            created = self._created_nevertheless(key, exc, str(request.pipeline))
        if request.idempotency_key:
            created = self._earliest(key, created)
        return self.get(created["run_id"])

    def get(self, run_id: str) -> Run:
        document = self._find(run_id)
        run, nodes = read(document)
        with ThreadPoolExecutor(1) as pods:
            blocking = pods.submit(self._blockers, run, nodes)
            tasks = self._with_outputs(run.id, document, nodes, ProducerOutputs(self.api))
            blockers = blocking.result()
        tasks = [replace(t, blocker=blockers.get(t.path)) for t in tasks]
        tasks = [self._with_failure(run, t) for t in tasks]
        first = next((t for t in tasks if t.state is TaskState.FAILED), None)
        error = run.error or (f"{first.path} failed: {first.error}" if first else "")
        if run.state is RunState.FAILED and not error:
            error = self._refusal(run)
        return replace(
            run,
            tasks=tuple(tasks),
            error=error if run.state is RunState.FAILED else "",
            verdicts=_verdicts(document, tasks),
        )

    def outcomes(self, runs: Sequence[Run]) -> list[Run]:
        """Reads the logs of the tasks that judge or measure, of several runs at a time."""
        producers = ProducerOutputs(self.api)
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(lambda run: self._outcome(run, producers), runs))

    def watch(self, run_id: str) -> Iterator[RunEvent]:
        full_id: str = self._patiently(lambda: self._find(run_id)["run_id"])
        return watch(
            lambda: self._patiently(lambda: self.get(full_id)), poll_s=self.poll_s, sleep=self.sleep
        )

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        return (self.api.log(run.id, task.log, task.state) or b"")[begin:] if task.log else b""

    def pipeline_file(self, run_id: str) -> bytes:
        """As the server has it: the same documents, in another order of keys."""
        documents = ir_of(self._find(run_id))
        return yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True).encode()

    def resume(self, run_id: str, on_event: OnEvent) -> Run:
        """KFP's retry: the failed steps' pods are made anew, what succeeded stays."""
        run = record(self._find(run_id))
        if run.state not in (RunState.FAILED, RunState.CANCELED):
            done = run.state is RunState.SUCCEEDED
            verb = "show" if done else "watch"
            raise UsageError(
                "the run succeeded: there is nothing to resume"
                if done
                else "the run is still running",
                where=run.id,
                fix=f"platform-ctl run {verb} {run.id[:8]}",
            )
        try:
            self.api.retry(run.id)
        except Refusal as exc:
            raise WorkloadFailed(
                f"KFP does not retry the run: {exc.message}",
                where=run.id,
                fix=f"platform-ctl --target kubernetes pipeline run {run.pipeline}",
            ) from exc
        return self._follow(run.id, on_event)

    def cancel(self, run_id: str) -> Run:
        """Of a run that has ended, what its steps left behind is removed."""
        run = record(self._find(run_id))
        if not run.state.final:
            try:
                self.api.terminate(run.id)
            except Refusal:  # it ended meanwhile, or somebody else ends it
                pass
        self.workloads.stop(run.id)
        return self.get(run.id)

    def delete(self, run: Run) -> None:
        """Its jobs first: as long as there is a record, what remains can be asked for again."""
        self.workloads.stop(run.id)
        self.api.delete(run.id)

    def explain(self, pipeline: Pipeline) -> list[UnsupportedUse]:
        """Nothing is ignored: KFP runs all of the IR."""
        return []

    # ---- inside -----------------------------------------------------------

    def _follow(self, run_id: str, on_event: OnEvent) -> Run:
        try:
            for event in self.watch(run_id):
                on_event(event)
        except (KeyboardInterrupt, KfpUnavailable):
            end = f"platform-ctl --target kubernetes run cancel {run_id[:8]}"
            on_event(RunEvent(EventKind.NOTE, run_id, text=f"the run continues; {end} ends it"))
            raise
        return self._patiently(lambda: self.get(run_id))

    def _patiently(self, read: Callable[[], T]) -> T:
        """What ``read`` returns; a server that restarts is waited for, ``tries`` times."""
        for _ in range(self.tries - 1):
            try:
                return read()
            except (KfpUnavailable, ClusterUnavailable):
                self.sleep(self.poll_s)
        return read()

    def _body(
        self,
        request: RunRequest,
        pipeline: Pipeline,
        documents: Sequence[Mapping[str, Any]],
        values: Mapping[str, Any],
        key: str,
    ) -> Json:
        prepared = [json.loads(json.dumps(document)) for document in self.prepare(documents)]
        if not request.use_cache:
            _switch_cache_off(prepared[0])
        spec = prepared[0]
        if len(prepared) > 1:
            spec = {"pipeline_spec": prepared[0], "platform_spec": prepared[1]}
        body: Json = {
            "display_name": request.name or f"{pipeline.name}-{key[-8:]}",
            "description": key,
            "pipeline_spec": spec,
            "runtime_config": {"parameters": {k: v for k, v in values.items() if v is not None}},
        }
        if account := self.accounts.get(pipeline.name, self.service_account):
            body["service_account"] = account
        return body

    def _of_key(self, key: str) -> Json | None:
        """The earliest run with the key."""
        runs = list(self.api.newest(predicate("description", "IS_SUBSTRING", key)))
        return min(runs, key=lambda r: (r["created_at"], r["run_id"]), default=None)

    def _created_nevertheless(self, key: str, exc: Refusal | KfpUnavailable, where: str) -> Json:
        if isinstance(exc, Refusal) and exc.status < 500 and exc.status != 409:
            raise _refused(exc, where) from exc
        try:
            run = self._of_key(key)
        except Refusal:
            run = None
        if run is None:
            raise exc if isinstance(exc, KfpUnavailable) else _refused(exc, where)
        return run

    def _earliest(self, key: str, created: Json) -> Json:
        """The run that stays. The server's times are whole seconds: once that of ``created`` is
        over, every caller sees the same runs of it, and the smallest id decides among them.
        A server that needs longer than a second from the stamp of a run to its row may leave two
        callers with different runs; it gives nothing unique to decide by before that."""
        created_s = datetime.fromisoformat(created["created_at"]).timestamp()
        earliest = self._of_key(key) or created
        while 0 < self.api.kfp.clock_s() < created_s + SETTLED_S:
            self.sleep(SETTLING_S)
            earliest = self._of_key(key) or created
        if not self.api.kfp.clock_s():
            self.sleep(SETTLED_S)
            earliest = self._of_key(key) or created
        if earliest["run_id"] != created["run_id"]:
            self.api.delete(created["run_id"])
        return earliest

    def _find(self, run_id: str) -> Json:
        if run_id == "latest":
            matching = list(islice(self.api.newest(AVAILABLE, page_size=1), 1))
        elif len(run_id) == 36:
            exact = self.api.get(run_id)
            matching = [exact] if exact else []
        else:
            like = self.api.newest(predicate("run_id", "IS_SUBSTRING", run_id))
            matching = list(islice((r for r in like if r["run_id"].startswith(run_id)), 2))
        if len(matching) == 1:
            return self.api.with_spec(matching[0])
        if not matching and not next(self.api.newest(page_size=1), None):
            raise NothingYet(
                f"there is no run yet, so there is no {run_id!r}",
                where=self.api.kfp.address,
                fix="platform-ctl pipeline list",
            )
        raise unknown_id(
            "run",
            run_id,
            (r["run_id"] for r in matching or islice(self.api.newest(), _NEAR_MISSES)),
            where=self.api.kfp.address,
            fix="platform-ctl --target kubernetes run list",
        )

    def _blockers(self, run: Run, nodes: Sequence[WorkflowNode]) -> Mapping[str, Blocker]:
        """None of a run that went well. Who may read runs need not be let near pods: KFP's own
        record is shown without them."""
        if run.state is RunState.SUCCEEDED:
            return {}
        try:
            return self.workloads.blockers(run.id, nodes)
        except (ClusterForbidden, ClusterUnavailable) as exc:
            _log.warning("the pods of the run cannot be read: %s", exc.what)
            return {}

    def _refusal(self, run: Run) -> str:
        try:
            return self.workloads.refusal(run.id)
        except (ClusterForbidden, ClusterUnavailable):
            return ""

    def _outcome(self, run: Run, producers: ProducerOutputs) -> Run:
        document = self._listed.get(run.id) or self.api.get(run.id)
        if not run.state.final or document is None:
            return run
        document = self.api.with_spec(document)
        _, nodes = read(document)
        wanted = _telling(pipeline_of(document)) if nodes else frozenset()
        telling = [n for n in nodes if n.task.component in wanted]
        tasks = self._with_outputs(run.id, document, telling, producers)
        return replace(run, tasks=tuple(tasks), verdicts=_verdicts(document, tasks))

    def _with_outputs(
        self,
        run_id: str,
        document: Json,
        nodes: Sequence[WorkflowNode],
        producers: ProducerOutputs,
    ) -> list[Task]:
        """The tasks with what they put out; of several logs at a time."""
        if not nodes:
            return []
        pipeline = pipeline_of(document)
        wanted = [n for n in nodes if n.task.state.good and _declares(pipeline, n)]
        judging = _judging(pipeline)

        def order(node: WorkflowNode) -> tuple[bool, bool]:
            return node.task.component not in judging, _in_loop(node.task.path)

        wanted = sorted(wanted, key=order)[:OUTPUT_LOGS]

        def finished(node: WorkflowNode) -> Task:
            key, task = (run_id, node.task.path, node.task.attempts), node.task
            if key not in self._finished:
                component = pipeline.components[task.component]
                if task.state is TaskState.CACHED:
                    done = replace(task, outputs=producers.of(run_id, node, component))
                else:
                    log = self.api.log(run_id, task.log, task.state) or b""
                    done = replace(
                        task, outputs=read_outputs(log, component), usage=_usage(task, log)
                    )
                self._finished[key] = done
            done = self._finished[key]
            return replace(task, outputs=done.outputs, usage=done.usage)

        with ThreadPoolExecutor(READERS) as pool:
            read = {task.path: task for task in pool.map(finished, wanted)}
        return [read.get(n.task.path, n.task) for n in nodes]

    def _with_failure(self, run: Run, task: Task) -> Task:
        """With one line that says why it failed, of its pod, else of what it wrote last; and with
        the platform's own error, where the step ended with one."""
        if task.state is not TaskState.FAILED or task.error:
            return task
        blocker = task.blocker
        if blocker and blocker.reason != Blocked.FAILED and not blocker.of_job:
            return replace(task, error=str(blocker))
        log = self.log(run, task)
        if failure := from_traceback(log.decode("utf-8", "replace")):
            return replace(task, error=failure["what"], failure=failure)
        code = f"exit code {blocker.exit_code}" if blocker and blocker.exit_code else ""
        return replace(task, error=last_line(log) or code or "the step ended with an error")

    def list(self, limit: int) -> list[Run]:
        newest = self.api.newest(AVAILABLE, page_size=PAGE if limit < 0 else max(limit, 1))
        documents = list(newest if limit < 0 else islice(newest, limit))
        self._listed.clear()
        self._listed.update({d["run_id"]: d for d in documents})
        return [record(document) for document in documents]


def _documents(path: Path) -> list[Json]:
    """As committed. Raises BadPipelineFile through ``ir_file.read`` for anything else."""
    ir_file.read(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(path.read_bytes(), Loader=loader))


def _mark(key: str) -> str:
    """What the description says of a key: short, and of characters that no filter reads."""
    return f"platform-ctl key {hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _switch_cache_off(document: Json) -> None:
    dags = [document["root"], *document.get("components", {}).values()]
    for component in dags:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}


def _refused(exc: Refusal, where: str) -> WorkloadFailed:
    return WorkloadFailed(
        f"KFP's API server does not take the run: {exc.message}",
        where=where,
        fix="platform-ctl pipeline compile --check",
    )


def _in_loop(path: str) -> bool:
    return any(part.isdigit() for part in path.split("."))


def _declares(pipeline: Pipeline, node: WorkflowNode) -> bool:
    declared = pipeline.components[node.task.component].output_definitions
    return bool(declared.parameters or declared.artifacts)


def _usage(task: Task, log: bytes) -> Usage:
    """What the step itself has measured, else the time of its pod's node."""
    own = next((s for s in read_spent(log) if s.kind == "step"), None)
    return Usage(own.wall_s, own.cpu_s, own.peak_memory_bytes) if own else task.usage


def _judging(pipeline: Pipeline) -> frozenset[str]:
    """The components that declare a verdict."""
    components = pipeline.components.items()
    return frozenset(n for n, c in components if VERDICT in c.output_definitions.parameters)


def _telling(pipeline: Pipeline) -> frozenset[str]:
    """The components whose outputs are the outcome of a run: verdicts and metrics."""
    measuring = {
        name
        for name, component in pipeline.components.items()
        for output in component.output_definitions.artifacts.values()
        if output.artifact_type.schema_title == METRICS
    }
    return _judging(pipeline) | measuring


def _verdicts(document: Json, tasks: Sequence[Task]) -> tuple[TaskVerdict, ...]:
    judging = _judging(pipeline_of(document)) if tasks else frozenset()
    return tuple(v for t in tasks if (v := _verdict(t, judging)))


def _verdict(task: Task, judging: frozenset[str]) -> TaskVerdict | None:
    """What a task decided. One whose decision cannot be read any more has decided nothing that
    anybody could build on: inconclusive, never absent."""
    if task.component not in judging or not task.state.good:
        return None
    outputs = task.outputs.parameters
    if not isinstance(outputs.get(VERDICT), str):
        cached = task.state is TaskState.CACHED
        gone = "the run whose result the cache gave it" if cached else "its log"
        why = f"what it decided cannot be read: {gone} is gone"
        return TaskVerdict(task.path, Verdict.INCONCLUSIVE, (why,))
    reasons = outputs.get("reasons") or ()
    return TaskVerdict(task.path, outputs[VERDICT], tuple(map(str, reasons)))
