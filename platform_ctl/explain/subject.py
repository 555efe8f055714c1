"""What a run that starts now is about: the data, the golden set, the champion.

The step that resolves asks here, and so does ``pipeline impact``, which must
know the answer without running the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from platform_ctl.errors import PlatformError
from platform_ctl.explain.impact import ExternalChanges
from platform_ctl.ir.pipeline import Component, Pipeline, TaskSpec
from platform_ctl.ir.roles import Role, roles
from platform_ctl.models.model import PRODUCTION
from platform_ctl.models.port import Registry
from platform_ctl.recipe.datasets import Resolved
from platform_ctl.recipe.recipe import DataAccess, Recipe, resolve


@dataclass(frozen=True)
class TrainedSubject:
    """``recipe.datasets.Resolved``, and the version in production ("" when there is none)."""

    snapshot_id: str
    as_of: str
    golden_digest: str
    champion: str


def current(
    pin: Callable[[DataAccess], Resolved], model_name: str, data: DataAccess, registry: Registry
) -> TrainedSubject:
    """``pin``: the recipe's ``resolve``, which pins the golden set of a run.

    Raises what that raises (MissingTable, TooLittleHistory, …).
    """
    pinned = pin(data)
    champion = registry.aliases(model_name).get(PRODUCTION, "")
    return TrainedSubject(pinned.snapshot_id, pinned.as_of, pinned.golden_digest, champion)


def foresee(
    pipeline: Pipeline, recipes: Mapping[str, Recipe], data: DataAccess, registry: Registry
) -> ExternalChanges:
    """What the pipeline's resolving task would put out now. Changes nothing.

    Nothing is foreseen of a task that takes other inputs than the recipe's own names, or puts out
    something else as well, nor in a home without a golden set, which the first run makes.
    """
    recipe = next((r for r in recipes.values() if r.pipeline == pipeline.name), None)
    path = roles(pipeline).get(Role.RESOLVE, "")
    component = _component(pipeline, path)
    if recipe is None or component is None or not _looks_outside(component):
        return ExternalChanges()
    if not _constants(pipeline.root.tasks[path]) <= {f"{recipe.data}:resolve", recipe.model_name}:
        return ExternalChanges()
    try:
        if resolve(f"{recipe.data}:golden_show")(data) is None:
            resolve(f"{recipe.data}:show")(data)  # raises when there is nothing to pin
            return ExternalChanges()
        pin = resolve(f"{recipe.data}:foresee")
        values = asdict(current(pin, recipe.model_name, data, registry))
        return ExternalChanges(
            {path: {n: values[n] for n in component.output_definitions.parameters}}
        )
    except PlatformError as exc:
        return ExternalChanges(problems={path: exc.what})


def _component(pipeline: Pipeline, path: str) -> Component | None:
    """Of a task of the root DAG."""
    tasks = pipeline.root.tasks
    return pipeline.component_of(tasks[path]) if path in tasks else None


def _constants(task: TaskSpec) -> set[object]:
    """The task's inputs; None for one that is no constant."""
    bound = [binding.runtime_value for binding in task.inputs.parameters.values()]
    return {value.constant if value else None for value in bound}


def _looks_outside(component: Component) -> bool:
    read, written = component.input_definitions, component.output_definitions
    known = set(TrainedSubject.__dataclass_fields__)
    return not read.artifacts and not written.artifacts and set(written.parameters) <= known
