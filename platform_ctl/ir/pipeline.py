"""Compiled KFP v2 IR (``pipeline_spec.proto``, schema 2.1.0) as typed, frozen data.

One Struct a message, camelCase as in the YAML. An unknown field is an error
that names it: what is not understood must not be silently ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

UNSET = msgspec.UNSET
_EXPONENT_FROM = 1e21
"""As Go's encoding/json and protojson write a float64."""


class ParameterType(StrEnum):
    """``ParameterTypeEnum``; the last two are filled in by the orchestrator."""

    NUMBER_DOUBLE = "NUMBER_DOUBLE"
    NUMBER_INTEGER = "NUMBER_INTEGER"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"
    TASK_FINAL_STATUS = "TASK_FINAL_STATUS"
    TASK_CONFIG = "TASK_CONFIG"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every message."""


class ArtifactType(Message, frozen=True):
    schema_title: str = ""
    schema_uri: str = ""
    instance_schema: str = ""
    schema_version: str = ""


class InputArtifact(Message, frozen=True):
    artifact_type: ArtifactType = ArtifactType()
    is_artifact_list: bool = False
    is_optional: bool = False
    description: str = ""


class InputParameter(Message, frozen=True):
    parameter_type: ParameterType = ParameterType.STRING
    default_value: Any = UNSET
    is_optional: bool = False
    description: str = ""
    literals: list[Any] = []
    type: str = ""

    @property
    def optional(self) -> bool:
        return self.is_optional or self.default_value is not UNSET


class OutputArtifact(Message, frozen=True):
    artifact_type: ArtifactType = ArtifactType()
    properties: dict[str, Any] = {}
    custom_properties: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    is_artifact_list: bool = False
    description: str = ""


class OutputParameter(Message, frozen=True):
    parameter_type: ParameterType = ParameterType.STRING
    description: str = ""
    type: str = ""


class InputDefinitions(Message, frozen=True):
    artifacts: dict[str, InputArtifact] = {}
    parameters: dict[str, InputParameter] = {}


class OutputDefinitions(Message, frozen=True):
    artifacts: dict[str, OutputArtifact] = {}
    parameters: dict[str, OutputParameter] = {}


class TaskOutputArtifact(Message, frozen=True):
    producer_task: str
    output_artifact_key: str


class TaskOutputParameter(Message, frozen=True):
    producer_task: str
    output_parameter_key: str


class TaskFinalStatus(Message, frozen=True):
    producer_task: str


class Value(Message, frozen=True):
    """``ValueOrRuntimeParameter``: exactly one of the fields."""

    constant: Any = UNSET
    runtime_parameter: str = ""
    constant_value: Any = UNSET


class ArtifactBinding(Message, frozen=True):
    task_output_artifact: TaskOutputArtifact | None = None
    component_input_artifact: str = ""


class ParameterBinding(Message, frozen=True):
    task_output_parameter: TaskOutputParameter | None = None
    runtime_value: Value | None = None
    component_input_parameter: str = ""
    task_final_status: TaskFinalStatus | None = None
    parameter_expression_selector: str = ""


class TaskInputs(Message, frozen=True):
    parameters: dict[str, ParameterBinding] = {}
    artifacts: dict[str, ArtifactBinding] = {}


class CachingOptions(Message, frozen=True):
    enable_cache: bool = False
    cache_key: str = ""


class ComponentRef(Message, frozen=True):
    name: str


class TaskInfo(Message, frozen=True):
    name: str = ""


class TriggerPolicy(Message, frozen=True):
    condition: str = ""
    strategy: str = ""

    @property
    def on_completion(self) -> bool:
        """Runs whether its upstream tasks succeeded or not (exit tasks)."""
        return self.strategy == "ALL_UPSTREAM_TASKS_COMPLETED"


class IteratorItems(Message, frozen=True):
    raw: str = ""
    input_parameter: str = ""


class ParameterIterator(Message, frozen=True):
    items: IteratorItems
    item_input: str


class ArtifactItems(Message, frozen=True):
    input_artifact: str


class ArtifactIterator(Message, frozen=True):
    items: ArtifactItems
    item_input: str


class RetryPolicy(Message, frozen=True):
    max_retry_count: int = 0
    backoff_duration: str = "0s"
    backoff_factor: float = 1.0
    backoff_max_duration: str = "3600s"

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait before retry number ``attempt`` (1 is the first retry)."""
        delay = seconds(self.backoff_duration) * self.backoff_factor ** (attempt - 1)
        return min(delay, seconds(self.backoff_max_duration))


class IteratorPolicy(Message, frozen=True):
    parallelism_limit: int = 0


class TaskOutputs(Message, frozen=True):
    parameters: dict[str, Any] = {}
    artifacts: dict[str, Any] = {}


class TaskSpec(Message, frozen=True):
    component_ref: ComponentRef
    task_info: TaskInfo = TaskInfo()
    inputs: TaskInputs = TaskInputs()
    outputs: TaskOutputs | None = None
    dependent_tasks: list[str] = []
    caching_options: CachingOptions = CachingOptions()
    trigger_policy: TriggerPolicy = TriggerPolicy()
    artifact_iterator: ArtifactIterator | None = None
    parameter_iterator: ParameterIterator | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    iterator_policy: IteratorPolicy = IteratorPolicy()

    @property
    def is_loop(self) -> bool:
        """Whether it calls its component once for each item of a list."""
        return bool(self.parameter_iterator or self.artifact_iterator)

    def upstream(self) -> frozenset[str]:
        """Every task of the same DAG that must end before this one is looked at."""
        producers = set(self.dependent_tasks)
        for parameter in self.inputs.parameters.values():
            if parameter.task_output_parameter:
                producers.add(parameter.task_output_parameter.producer_task)
            if parameter.task_final_status:
                producers.add(parameter.task_final_status.producer_task)
        for artifact in self.inputs.artifacts.values():
            if artifact.task_output_artifact:
                producers.add(artifact.task_output_artifact.producer_task)
        return frozenset(producers)


class ArtifactSelector(Message, frozen=True):
    producer_subtask: str
    output_artifact_key: str


class DagOutputArtifact(Message, frozen=True):
    artifact_selectors: list[ArtifactSelector] = []


class ParameterSelector(Message, frozen=True):
    producer_subtask: str
    output_parameter_key: str


class ParameterSelectors(Message, frozen=True):
    parameter_selectors: list[ParameterSelector] = []


class DagOutputParameter(Message, frozen=True):
    value_from_parameter: ParameterSelector | None = None
    value_from_oneof: ParameterSelectors | None = None

    @property
    def selectors(self) -> list[ParameterSelector]:
        if self.value_from_parameter:
            return [self.value_from_parameter]
        return self.value_from_oneof.parameter_selectors if self.value_from_oneof else []


class DagOutputs(Message, frozen=True):
    artifacts: dict[str, DagOutputArtifact] = {}
    parameters: dict[str, DagOutputParameter] = {}


class Dag(Message, frozen=True):
    tasks: dict[str, TaskSpec] = {}
    outputs: DagOutputs = DagOutputs()


class Component(Message, frozen=True):
    input_definitions: InputDefinitions = InputDefinitions()
    output_definitions: OutputDefinitions = OutputDefinitions()
    dag: Dag | None = None
    executor_label: str = ""
    single_platform_specs: list[Any] = []
    task_config_passthroughs: list[Any] = []

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        """By name, in the order of the file; empty for a step."""
        return self.dag.tasks if self.dag else {}


class EnvVar(Message, frozen=True):
    name: str
    value: str = ""


class Container(Message, frozen=True):
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    lifecycle: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    env: list[EnvVar] = []


class Importer(Message, frozen=True):
    artifact_uri: Value = Value()
    type_schema: ArtifactType = ArtifactType()
    properties: dict[str, Any] = {}
    custom_properties: dict[str, Any] = {}
    reimport: bool = False
    metadata: dict[str, Any] = {}
    download_to_workspace: bool = False


class Executor(Message, frozen=True):
    container: Container | None = None
    importer: Importer | None = None
    resolver: dict[str, Any] | None = None
    custom_job: dict[str, Any] | None = None


class DeploymentSpec(Message, frozen=True):
    executors: dict[str, Executor] = {}


class PipelineInfo(Message, frozen=True):
    name: str
    display_name: str = ""
    description: str = ""


class PlacedTask(NamedTuple):
    """A task where the pipeline calls it."""

    path: str
    """Task names from the root, joined by dots; a loop's body appears once."""
    name: str
    task: TaskSpec
    component: Component
    """What the task calls."""
    parent: Component
    """The DAG that the task is part of."""
    repeated: bool
    """Whether it is in a loop, or is one."""


class DeclaredTask(NamedTuple):
    """A task where the file declares it, in a DAG that may be called from several places."""

    dag: str
    """Name of the DAG's component; ``root`` for the outermost."""
    name: str
    task: TaskSpec
    parent: Component
    """The component of the DAG."""


class Pipeline(Message, frozen=True):
    """The first document of a compiled file."""

    pipeline_info: PipelineInfo
    root: Component
    schema_version: str
    sdk_version: str = ""
    components: dict[str, Component] = {}
    deployment_spec: DeploymentSpec = DeploymentSpec()
    default_pipeline_root: str = ""
    platforms: dict[str, Any] = msgspec.field(default_factory=dict, name="platforms")
    """Of the second document, if there is one: platform name -> configuration."""

    @property
    def name(self) -> str:
        return self.pipeline_info.name

    def component_of(self, task: TaskSpec) -> Component:
        return self.components[task.component_ref.name]

    def executor_of(self, component: Component) -> Executor:
        return self.deployment_spec.executors[component.executor_label]

    def dags(self) -> Iterator[tuple[str, Component, Dag]]:
        """Every DAG once, wherever it is called: its name, its component, what is in it."""
        for name, component in [("root", self.root), *self.components.items()]:
            if component.dag:
                yield name, component, component.dag

    def declared_tasks(self) -> Iterator[DeclaredTask]:
        """Every task of every DAG once, wherever the DAG is called, in the order of the file."""
        for dag, parent, _ in self.dags():
            for name, task in parent.tasks.items():
                yield DeclaredTask(dag, name, task, parent)

    def walk(self) -> Iterator[PlacedTask]:
        """Every task from the root, a DAG before what is in it, in the order of the file."""
        yield from self.walk_inside(self.root, "")

    def walk_inside(
        self, parent: Component, prefix: str, *, repeated: bool = False
    ) -> Iterator[PlacedTask]:
        """As ``walk``, of the tasks of one component; ``prefix`` begins each path."""
        for name, task in parent.tasks.items():
            inner = self.component_of(task)
            loops = repeated or task.is_loop
            yield PlacedTask(prefix + name, name, task, inner, parent, loops)
            yield from self.walk_inside(inner, f"{prefix}{name}.", repeated=loops)

    @property
    def kubernetes_pipeline(self) -> dict[str, Any]:
        """The pipeline's own Kubernetes configuration: workspace, deadline, time to live."""
        return self.platforms.get("kubernetes", {}).get("pipelineConfig", {})

    def kubernetes(self, executor_label: str) -> dict[str, Any]:
        """The executor's Kubernetes configuration (``kfp.kubernetes``), if any."""
        spec = self.platforms.get("kubernetes", {}).get("deploymentSpec", {})
        return spec.get("executors", {}).get(executor_label, {})


def planned_leaves(pipeline: Pipeline) -> list[str]:
    """Paths of the steps that the IR already knows, those outside loops, in the order of the flow.

    A task comes after everything that it waits for; among equals the order of the file counts.
    """
    return list(_leaves_in_flow(pipeline, pipeline.root, ""))


def _leaves_in_flow(pipeline: Pipeline, parent: Component, prefix: str) -> Iterator[str]:
    for name, task in _in_flow(parent.tasks):
        inner = pipeline.component_of(task)
        if task.is_loop:
            continue
        if inner.dag:
            yield from _leaves_in_flow(pipeline, inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _in_flow(tasks: Mapping[str, TaskSpec]) -> Iterator[tuple[str, TaskSpec]]:
    waiting = dict(tasks)
    while waiting:
        ready = [n for n, task in waiting.items() if not task.upstream() & waiting.keys()]
        for name in ready or list(waiting):  # a cycle, which ``check`` refuses
            yield name, waiting.pop(name)


def seconds(duration: str) -> float:
    """A protobuf JSON duration (``"3.5s"``) in seconds."""
    return float(duration.removesuffix("s") or 0)


def plain_numbers(value: Any) -> Any:
    """Whole floats as ints, all the way down: protobuf has doubles only, and the
    cluster's driver hands 1.0 to a step as ``1``; from 1e21 on it writes an exponent."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXPONENT_FROM:
        return int(value)
    if isinstance(value, list):
        return [plain_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    return value


READY = msgspec.json.Decoder(Pipeline)
"""Never used: msgspec (0.22) works out a type when it is used for the first time, and crashes the
process where two threads do so at once. Here it has been done by the thread that imports."""
