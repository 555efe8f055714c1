"""Pipeline parameters: text or JSON in, typed values out, checked before anything starts."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from platform_ctl.domain.ir import UNSET, InputParameter, ParameterType, Pipeline, plain_numbers
from platform_ctl.errors import BadParameter

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def resolve(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of the pipeline with its typed value: given, default, or None.

    Raises BadParameter for an unknown name (with near misses), a missing
    value, a wrong type, or a value outside the declared literals.
    """
    declared = pipeline.root.input_definitions.parameters
    for name in given:
        if name not in declared:
            raise _unknown(pipeline, name)
    values: dict[str, Any] = {}
    for name, spec in declared.items():
        if name in given:
            values[name] = typed(name, given[name], spec)
        elif spec.default_value is not UNSET:
            values[name] = typed(name, spec.default_value, spec)
        elif spec.is_optional:
            values[name] = None
        else:
            raise BadParameter(
                f"the pipeline {pipeline.name} needs the parameter {name!r} "
                f"({spec.parameter_type})",
                where=name,
                fix=f"platform-ctl pipeline run {pipeline.name} -p {name}=VALUE",
            )
    return values


def parse(pipeline: Pipeline, text: Mapping[str, str]) -> dict[str, Any]:
    """``-p name=text`` to values of the declared types; unknown names are refused."""
    declared = pipeline.root.input_definitions.parameters
    values = {}
    for name, raw in text.items():
        if name not in declared:
            raise _unknown(pipeline, name)
        values[name] = _from_text(name, raw, declared[name])
    return values


def typed(name: str, value: Any, spec: InputParameter) -> Any:
    """``value`` as the declared type, without guessing. Raises BadParameter."""
    if value is None and spec.is_optional and spec.default_value is UNSET:
        return None
    converted = convert(value, spec.parameter_type)
    if converted is UNSET:
        raise _wrong(name, value, spec)
    if spec.literals and converted not in plain_numbers(spec.literals):
        allowed = ", ".join(map(repr, plain_numbers(spec.literals)))
        raise BadParameter(f"{name} must be one of {allowed}, not {value!r}", where=name)
    return converted


def convert(value: Any, kind: ParameterType) -> Any:
    """``value`` if it is of the type (3.0 is an integer, 3 is a double), else UNSET."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case ParameterType.NUMBER_INTEGER:
            whole = number and math.isfinite(value) and value == int(value)
            return int(value) if whole else UNSET
        case ParameterType.NUMBER_DOUBLE:
            return value if number and math.isfinite(value) else UNSET
        case ParameterType.STRING:
            return value if isinstance(value, str) else UNSET
        case ParameterType.BOOLEAN:
            return value if isinstance(value, bool) else UNSET
        case ParameterType.LIST:
            return plain_numbers(value) if isinstance(value, list) else UNSET
        case _:
            return plain_numbers(value) if isinstance(value, dict) else UNSET


def _from_text(name: str, raw: str, spec: InputParameter) -> Any:
    kind = spec.parameter_type
    if kind is ParameterType.STRING:
        return raw
    if kind is ParameterType.BOOLEAN:
        if raw.lower() in _TRUE | _FALSE:
            return raw.lower() in _TRUE
        raise _wrong(name, raw, spec)
    try:
        value = json.loads(raw, parse_constant=_not_json)
    except ValueError as exc:
        raise _wrong(name, raw, spec) from exc
    return typed(name, value, spec)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _wrong(name: str, value: Any, spec: InputParameter) -> BadParameter:
    return BadParameter(
        f"the parameter {name} is {spec.parameter_type}; {value!r:.80} is not",
        where=name,
        fix=f"-p {name}={_EXAMPLES.get(spec.parameter_type, 'VALUE')}",
    )


_EXAMPLES = {
    ParameterType.NUMBER_INTEGER: "3",
    ParameterType.NUMBER_DOUBLE: "0.5",
    ParameterType.BOOLEAN: "true",
    ParameterType.LIST: "'[1, 2]'",
    ParameterType.STRUCT: "'{\"key\": 1}'",
}


def _unknown(pipeline: Pipeline, name: str) -> BadParameter:
    declared = list(pipeline.root.input_definitions.parameters)
    near = difflib.get_close_matches(name, declared, n=1)
    known = ", ".join(declared) or "none"
    hint = f"did you mean {near[0]}?" if near else f"it has: {known}"
    return BadParameter(
        f"the pipeline {pipeline.name} has no parameter {name!r}; {hint}",
        where=name,
        fix=f"platform-ctl pipeline run {pipeline.name} -p {near[0] if near else 'NAME'}=VALUE",
    )
