"""Runs of a fake KFP API server: thin components are executed, and told as Argo's nodes.

A run is computed when it is created; ``step_s`` a step, one step after another, is
what a reader sees of it by the clock. ``task_details`` lie as the real ones do: names
repeat, no node says its own id, inner nodes of an ended run may be left RUNNING.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from platform_ctl.runs.local import conditions
from platform_ctl.runs.spent import Spent, StepIdentity, line
from tests.fakes.kfp_server import (
    INVALID,
    NOT_FOUND,
    PREFIX,
    Refused,
    Request,
    Router,
    listed,
)

NOT_YET = "0001-01-01T00:00:00Z"
EXECUTOR_OUTPUT = "I1127 22:57:49.146636      14 launcher_v2.go:1230] ExecutorOutput: "
"""As KFP's launcher (2.17.0) begins the line with what a step put out."""
Json = dict[str, Any]


@dataclass
class Step:
    """One leaf as it was, or will be, executed."""

    node: str
    begin_s: float
    end_s: float
    state: str
    log: str = ""
    execution_id: str = ""
    fingerprint: str = ""
    cached_execution_id: str = ""
    inputs: Json = field(default_factory=dict)

    @property
    def cached(self) -> bool:
        return bool(self.cached_execution_id)

    @property
    def driver_log(self) -> str:
        """As ``container.go`` of 2.17.0 writes it: the shape of tests/data/kfp/driver-hit.log."""
        said = {"cache_fingerprint": self.fingerprint}
        said |= {"cached_execution_id": self.cached_execution_id} if self.cached else {}
        properties = " ".join(
            f'custom_properties:{{key:"{k}" value:{{string_value:"{v}"}}}}'
            for k, v in said.items()
            if v
        )
        inputs = json.dumps({"inputs": {"parameterValues": self.inputs}}, indent=2)
        head = "I1128 01:38:53.324025      15"
        return (
            f"{head} container.go:204] Created execution: id:{self.execution_id} type_id:13 "
            f"{properties}\n{head} main.go:556] output ExecutorInput:{inputs}\n"
        )


@dataclass
class FakeRun:
    said: Json
    steps: dict[str, Step] = field(default_factory=dict)
    opened: dict[str, float] = field(default_factory=dict)
    """DAG node -> when it was opened."""
    closed: dict[str, float] = field(default_factory=dict)
    """DAG node whose condition is false -> when that was known."""
    begun_s: float = 0.0
    end_s: float = 0.0
    live: bool = False
    """Whether it is still being executed; ``end_s`` is then how far it has come."""
    state: str = "SUCCEEDED"
    workflow: str = ""
    terminated_s: float | None = None
    outputs: dict[str, Json] = field(default_factory=dict)
    """Node of a step that succeeded -> what it put out."""


@dataclass(frozen=True)
class Leaf:
    """What a step executes."""

    label: str
    container: Json
    component: Json
    inputs: Json
    """``parameters`` and ``artifacts`` by their names in the component."""

    @property
    def function(self) -> str:
        return str(self.container["args"][-1])


class Runs:
    """``endless``: functions that go on until the run is terminated.

    ``spent``: what a function's step writes that it has used.
    ``stale``: whether inner nodes of a run that has ended still say RUNNING.
    ``filtered``: whether v1alpha1 serves archived logs, as servers do unless told otherwise.
    """

    def __init__(
        self,
        *,
        step_s: float = 0.0,
        endless: tuple[str, ...] = ("wait",),
        stale: bool = True,
        filtered: bool = False,
        spent: Mapping[str, Spent] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._step_s, self._endless, self._stale, self._clock = step_s, endless, stale, clock
        self.kept: dict[str, FakeRun] = {}
        self._spent, self._filtered = dict(spent or {}), filtered
        self._executions = 0
        self._cache: dict[str, tuple[str, str, Json]] = {}
        """Fingerprint -> execution and run that produced, and what."""
        import kfp.dsl  # noqa: F401 - two seconds that are no part of the first run

    def routes(self, router: Router) -> None:
        one = f"{PREFIX}/runs/{{run_id}}"
        router.add("POST", f"{PREFIX}/runs", self.create)
        router.add("GET", f"{PREFIX}/runs", self.list)
        router.add("GET", one, self.get)
        router.add("DELETE", one, self.delete)
        router.add("POST", f"{one}:terminate", self.terminate)
        router.add("POST", f"{one}:retry", self.retry)
        log = f"{one}/nodes/{{node}}/artifacts/main-logs:read"
        router.add("GET", log, self.log)
        router.add("GET", "/apis/v1alpha1/tasks", self.cached)
        router.add("GET", "/apis/v1alpha1/runs/{run_id}/nodes/{node}/log", self.live_log)

    # ---- endpoints --------------------------------------------------------

    def create(self, request: Request) -> Json:
        body = request.json
        if not body.get("display_name"):
            raise Refused(INVALID, "Invalid input error: Run name cannot be empty")
        if "pipelineInfo" not in _document(body):
            raise Refused(INVALID, "unknown template format: pipeline spec is invalid")
        run_id = str(uuid.uuid4())
        begun = self._clock()
        said = {
            **body,
            "run_id": run_id,
            "storage_state": "AVAILABLE",
            "created_at": _time(begun),
            "scheduled_at": _time(begun),
        }
        self._begin(said, begun)
        return self._now(run_id)

    def list(self, request: Request) -> Json:
        return listed("runs", [self._now(run_id) for run_id in self.kept], request)

    def get(self, request: Request) -> Json:
        self._known(request)
        return self._now(request.params["run_id"])

    def delete(self, request: Request) -> Json:
        self._known(request)
        del self.kept[request.params["run_id"]]
        return {}

    def terminate(self, request: Request) -> Json:
        run = self._known(request)
        if self._ended(run):
            raise Refused(INVALID, "Failed to terminate a run. Row not found")
        run.terminated_s = self._clock()
        return {}

    def retry(self, request: Request) -> Json:
        run = self._known(request)
        if not self._ended(run) or run.state == "SUCCEEDED":
            raise Refused(INVALID, "Workflow must be Failed/Error to retry")
        self._begin(run.said, self._clock(), run)
        return {}

    def cached(self, request: Request) -> Json:
        """The index of the cache, by the execution that produced."""
        (wanted,) = json.loads(request.query["filter"])["predicates"]
        found = [
            {"runId": run_id, "mlmdExecutionID": execution, "fingerprint": fingerprint}
            for fingerprint, (execution, run_id, _) in self._cache.items()
            if wanted["key"] == "mlmdExecutionID" and execution == wanted["string_value"]
        ]
        return {"tasks": found, "total_size": len(found)} if found else {}

    def log(self, request: Request) -> Json:
        run = self._known(request)
        for step in list(run.steps.values()):
            logs = {
                f"{step.node}-driver(0)": (step.driver_log, step.begin_s),
                f"{step.node}(0).executor(0)": (step.log, step.end_s),
            }
            for name, (text, at) in logs.items():
                asked = request.params["node"] == node_id(run.workflow, name)
                if asked and text and self._clock() >= at:
                    return {"data": base64.b64encode(text.encode()).decode()}
        raise Refused(NOT_FOUND, "artifact main-logs not found")

    def live_log(self, request: Request) -> Json | bytes:
        """Pods are gone at once. 2.17.0 says so in the body of an answer with status 200; else it
        serves what is archived, without lines that are JSON (``archive/log.go``)."""
        if self._filtered:
            lines = base64.b64decode(self.log(request)["data"]).splitlines(keepends=True)
            return b"".join(line for line in lines if not line.startswith(b"{"))
        said = f"BadRequestError: Failed to read logs for run {request.params['run_id']}"
        return {"error_message": said, "error_details": said}

    def _known(self, request: Request) -> FakeRun:
        run = self.kept.get(request.params["run_id"])
        if run is None:
            raise Refused(NOT_FOUND, f"Run {request.params['run_id']} not found")
        return run

    # ---- what a run does --------------------------------------------------

    def _begin(self, said: Json, begun: float, earlier: FakeRun | None = None) -> None:
        """``earlier``: the run that is retried; what succeeded in it stays."""
        name = f"{_document(said)['pipelineInfo']['name']}-{said['run_id'][:5]}"
        run = FakeRun(said, workflow=name, begun_s=begun, end_s=begun)
        if earlier:
            run.outputs = earlier.outputs
            run.steps = {node: earlier.steps[node] for node in earlier.outputs}
        self.kept[said["run_id"]] = run
        self._execute(run)

    def _execute(self, run: FakeRun) -> None:
        document = _document(run.said)
        root = f"{run.workflow}(0).root(0)"
        run.opened[root] = run.begun_s
        given = run.said.get("runtime_config", {}).get("parameters", {})
        declared = document["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {k: s["defaultValue"] for k, s in declared.items() if "defaultValue" in s}
        inputs = {"parameters": {**values, **given}, "artifacts": {}}
        good = self._dag(run, document, document["root"], root, inputs)
        run.state = "SUCCEEDED" if good else "FAILED"

    def _dag(self, run: FakeRun, document: Json, dag: Json, base: str, given: Json) -> bool:
        """Executes the tasks in an order that their inputs allow; whether all went well."""
        tasks, made, bad = dict(dag["dag"]["tasks"]), dict[str, Json](), set[str]()
        while tasks:
            name = next(n for n, t in tasks.items() if not _upstream(t) & set(tasks))
            task = tasks.pop(name)
            if _upstream(task) & bad:
                bad.add(name)
                continue
            inputs = _inputs(task, given, made)
            node = f"{base}.{name}"
            component = document["components"][task["componentRef"]["name"]]
            condition = task.get("triggerPolicy", {}).get("condition")
            if condition and not conditions.condition(condition, inputs["parameters"]):
                run.closed[node] = run.end_s
                continue
            if "dag" in component:
                run.opened[f"{node}(0)"] = run.end_s
                good, made[name] = self._dag(run, document, component, f"{node}(0)", inputs), {}
            else:
                good, made[name] = self._leaf(run, document, task, component, node, inputs)
            if not good:
                bad.add(name)
        return not bad

    def _leaf(
        self, run: FakeRun, document: Json, task: Json, component: Json, node: str, inputs: Json
    ) -> tuple[bool, Json]:
        if node in run.outputs:
            return True, run.outputs[node]
        label = component["executorLabel"]
        container = document["deploymentSpec"]["executors"][label]["container"]
        leaf = Leaf(label, container, component, inputs)
        self._executions += 1
        step = Step(node, run.end_s, run.end_s + self._step_s, "SUCCEEDED")
        step.execution_id, step.inputs = str(self._executions), inputs["parameters"]
        run.steps[node] = step
        if task.get("cachingOptions", {}).get("enableCache"):
            key = json.dumps([container, inputs], sort_keys=True)
            step.fingerprint = hashlib.sha256(key.encode()).hexdigest()
            if step.fingerprint in self._cache:
                step.cached_execution_id, _, outputs = self._cache[step.fingerprint]
                return True, outputs
        good, outputs = self._perform(run, step, leaf)
        if good:
            run.outputs[node] = outputs
        if good and step.fingerprint:
            self._cache[step.fingerprint] = step.execution_id, run.said["run_id"], outputs
        return good, outputs

    def _perform(self, run: FakeRun, step: Step, leaf: Leaf) -> tuple[bool, Json]:
        """Whether the step went well, and what it put out: here, of parameters alone."""
        if leaf.function in self._endless:
            step.end_s = run.end_s = float("inf")
            return False, {}
        run.end_s = step.end_s
        try:
            values = _call(leaf.container["command"][-1], leaf.function, step.inputs)
        except Exception as exc:  # noqa: BLE001 - a step may raise anything
            step.state, step.log = "FAILED", "".join(traceback.format_exception(exc))
            return False, {}
        outputs = {"parameterValues": values}
        used = self._spent.get(leaf.function)
        said = line(StepIdentity(run.said["run_id"], leaf.function), used) + "\n" if used else ""
        step.log = f"working\n{said}{EXECUTOR_OUTPUT}{json.dumps(outputs, indent=2)}\n"
        return True, outputs

    # ---- what a reader sees of it now --------------------------------------

    def _ended(self, run: FakeRun) -> bool:
        return run.terminated_s is not None or (not run.live and self._clock() >= run.end_s)

    def _now(self, run_id: str) -> Json:
        run, now = self.kept[run_id], self._clock()
        ended = self._ended(run)
        state = run.state if ended else "RUNNING"
        if run.terminated_s is not None:
            state = "FAILED"  # as the real one says
        end_s = run.terminated_s or run.end_s
        history = [{"state": "RUNNING", "update_time": _time(run.begun_s)}]
        if run.terminated_s is not None:
            history.append({"state": "CANCELING", "update_time": _time(end_s)})
        history += [{"state": state, "update_time": _time(end_s)}] if ended else []
        return {
            **run.said,
            "state": state,
            "state_history": history,
            "finished_at": _time(end_s) if ended else "1970-01-01T00:00:00Z",
            "run_details": {"task_details": self._details(run, now)},
        }

    def _details(self, run: FakeRun, now: float) -> list[Json]:
        w, found = run.workflow, list[Json]()

        def entry(display: str, child: str, state: str, begin: float, end: float) -> None:
            found.append(
                {
                    "run_id": run.said["run_id"],
                    "task_id": str(uuid.uuid4()),
                    "display_name": display,
                    "create_time": run.said["created_at"],
                    "start_time": _time(begin),
                    "end_time": _time(end) if end <= now else NOT_YET,
                    "state": state,
                    "child_tasks": [{"pod_name": node_id(w, child)}],
                }
            )

        inner = "RUNNING" if self._stale else "SUCCEEDED"
        end_s = float("inf") if run.live else run.end_s
        entry(w, f"{w}(0)", inner, run.begun_s, end_s)
        for node, begin in list(run.opened.items()):
            if begin <= now:
                entry(node.rpartition(".")[2].partition("(")[0], node, inner, begin, end_s)
        for node, begin in list(run.closed.items()):
            if begin <= now:
                name = node.rpartition(".")[2]
                entry(f"{name}-driver", f"{node}-driver(0)", "SUCCEEDED", begin, begin)
        for step in list(run.steps.values()):
            if step.begin_s > now or (run.terminated_s or now) < step.begin_s:
                continue
            name, state = step.node.rpartition(".")[2], "RUNNING"
            if now >= step.end_s:
                state = step.state
            entry(
                f"{name}-driver", f"{step.node}-driver(0)", "SUCCEEDED", step.begin_s, step.begin_s
            )
            whole = "SUCCEEDED" if step.cached else state
            entry(name, f"{step.node}(0)", whole, step.begin_s, step.end_s)
            if not step.cached:
                entry("executor", f"{step.node}(0).executor(0)", state, step.begin_s, step.end_s)
        return [*found, {"run_id": run.said["run_id"], "task_id": str(uuid.uuid4())}]


def _document(body: Mapping[str, Any]) -> Json:
    spec = body.get("pipeline_spec", {})
    return spec.get("pipeline_spec", spec)


def kubernetes_executor(body: Mapping[str, Any], label: str) -> Json:
    """What the platform spec of a submitted run says of an executor; empty without one."""
    platforms = body["pipeline_spec"].get("platform_spec", {}).get("platforms", {})
    executors = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    return dict(executors.get(label, {}))


def _parameters(task: Json) -> Json:
    return task.get("inputs", {}).get("parameters", {})


def _upstream(task: Json) -> set[str]:
    bindings = [*_parameters(task).values(), *task.get("inputs", {}).get("artifacts", {}).values()]
    produced = {
        output["producerTask"]
        for binding in bindings
        for kind, output in binding.items()
        if kind in ("taskOutputParameter", "taskOutputArtifact")
    }
    return produced | set(task.get("dependentTasks", []))


def _inputs(task: Json, given: Json, made: Mapping[str, Json]) -> Json:
    """Of a task: its parameters and artifacts, from those of its DAG and of the tasks before."""
    artifacts = task.get("inputs", {}).get("artifacts", {})
    return {
        "parameters": {
            name: _value(binding, given["parameters"], made)
            for name, binding in _parameters(task).items()
        },
        "artifacts": {
            name: _artifacts(binding, given["artifacts"], made)
            for name, binding in artifacts.items()
        },
    }


def _value(binding: Json, values: Json, made: Mapping[str, Json]) -> Any:
    if "runtimeValue" in binding:
        return binding["runtimeValue"]["constant"]
    if "componentInputParameter" in binding:
        return values[binding["componentInputParameter"]]
    output = binding["taskOutputParameter"]
    return made[output["producerTask"]]["parameterValues"][output["outputParameterKey"]]


def _artifacts(binding: Json, given: Json, made: Mapping[str, Json]) -> Any:
    if "componentInputArtifact" in binding:
        return given[binding["componentInputArtifact"]]
    output = binding["taskOutputArtifact"]
    return made[output["producerTask"]]["artifacts"][output["outputArtifactKey"]]


def _call(source: str, function: str, inputs: Json) -> Json:
    namespace: Json = {}
    exec(source, namespace)
    returned = namespace[function](**inputs)
    return dict(returned._asdict()) if hasattr(returned, "_asdict") else {"Output": returned}


def node_id(workflow: str, name: str) -> str:
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return f"{workflow}-{value}"


def _time(seconds: float) -> str:
    if seconds == float("inf"):
        return NOT_YET
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
