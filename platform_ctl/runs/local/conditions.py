"""CEL, as the KFP driver evaluates it: conditions of tasks, selectors on parameters.

Values go in as data, never as text of the expression, so no value can change
what is asked.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from platform_ctl.errors import BadPipelineFile, StepFailed
from platform_ctl.ir.pipeline import Pipeline

_SHOWN = 80
"""Characters of an item that a message repeats."""


def condition(expression: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the task runs. ``parameters`` are its resolved inputs.

    Raises StepFailed when the expression cannot be evaluated to a boolean.
    """
    answer = _evaluate(expression, {"inputs": {"parameter_values": dict(parameters)}})
    if not isinstance(answer, bool):
        raise StepFailed(f"the condition is not a boolean but {answer!r:.80}", where=expression)
    return answer


def check(pipeline: Pipeline) -> None:
    """Raise BadPipelineFile for a condition or selector that is not CEL."""
    for _, name, task, _ in pipeline.declared_tasks():
        selectors = (b.parameter_expression_selector for b in task.inputs.parameters.values())
        for expression in filter(None, (task.trigger_policy.condition, *selectors)):
            try:
                _program(expression)
            except (ValueError, RuntimeError) as exc:
                raise BadPipelineFile(
                    f"the condition of {name} is not CEL: {expression}",
                    where=name,
                    fix="platform-ctl pipeline compile",
                ) from exc


def select(expression: str, value: Any) -> Any:
    """``parameterExpressionSelector``: ``string_value`` is the value, or its JSON text."""
    text = as_text(value)
    return _evaluate(expression, {"string_value": text}, what=f"the item {_short(text)}")


def as_text(value: Any) -> str:
    """A parameter as the driver turns it into a string: JSON unless it is one already."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _evaluate(expression: str, variables: dict[str, Any], what: str = "the condition") -> Any:
    cel = _library()
    try:
        context = cel.Context(variables)
        context.add_function("parseJson", json.loads)
        return _program(expression).execute(context)
    except KeyError as exc:
        raise StepFailed(f"{what} has no key {exc}", where=expression) from exc
    except (ValueError, TypeError, RuntimeError, OverflowError) as exc:
        reason = " ".join(str(exc).split())[:300]
        raise StepFailed(f"{what} cannot be evaluated: {reason}", where=expression) from exc


@functools.lru_cache(maxsize=256)
def _program(expression: str) -> Any:
    return _library().compile(expression)


@functools.cache
def _library() -> ModuleType:
    """The Rust extension alone (8 ms): the package around it also loads a command line (0.2 s)."""
    package = importlib.machinery.PathFinder.find_spec("cel")
    folders = list(package.submodule_search_locations or []) if package else []
    spec = importlib.machinery.PathFinder.find_spec("cel.cel", folders)
    if spec is None or spec.loader is None:
        return importlib.import_module("cel")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
