"""Pipeline parameters: text or JSON in, typed values out, checked before anything starts."""

from __future__ import annotations

import difflib
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from platform_ctl.errors import BadParameter, nearest, unknown
from platform_ctl.ir.pipeline import UNSET, InputParameter, ParameterType, Pipeline, plain_numbers
from platform_ctl.text import is_reference

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True)
class Allowed:
    """Values of a parameter beyond what its type says. KFP's IR has no words for a range."""

    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[Any, ...] = ()
    workers: bool = False
    """Whether it is a number of training workers: the target says how many it holds."""
    reason: str = ""
    """Why there is this limit, where the value alone does not say it."""
    secret: bool = False
    """Whether it is a credential. It is then given as a reference, ``env:NAME`` or ``file:PATH``,
    which the step reads (``home.secrets.read_secret``): no record or log ever has its value."""

    def at_most(self, limit: int, reason: str) -> Allowed:
        """The same without the values above ``limit``; ``reason`` says why they are gone."""
        if self.choices:
            fitting = tuple(c for c in self.choices if c <= limit)
            return (
                self if fitting == self.choices else replace(self, choices=fitting, reason=reason)
            )
        if self.maximum <= limit:
            return self
        return replace(self, maximum=limit, reason=reason)

    def __str__(self) -> str:
        return self._range() + (f" ({self.reason})" if self.reason else "")

    def _range(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.maximum == math.inf:
            return f"{self.minimum} or more"
        if self.minimum == -math.inf:
            return f"{self.maximum} or less"
        return f"from {self.minimum} to {self.maximum}"

    def nearest(self, value: Any) -> Any:
        """``value`` itself when it is allowed."""
        if self.choices:
            return value if value in self.choices else min(self.choices, key=_distance(value))
        return min(max(value, self.minimum), self.maximum)


@dataclass(frozen=True)
class _Request:
    """A request as words: an error's fix is the same command with one value changed."""

    pipeline: str
    given: Mapping[str, Any]
    allowed: Mapping[str, Allowed] = field(default_factory=dict)

    def with_value(self, name: str, value: Any, *, instead_of: str = "") -> str:
        words = ["platform-ctl", "pipeline", "run", self.pipeline]
        for key, old in self.given.items():
            if key not in (name, instead_of):
                words += ["-p", self._word(key, old)]
        return shlex.join([*words, "-p", self._word(name, value)])

    def _word(self, name: str, value: Any) -> str:
        """``NAME=VALUE``; of what is declared secret, the reference that belongs there."""
        secret = name in self.allowed and self.allowed[name].secret
        if secret and value not in (None, "") and not _is_reference(value):
            return f"{name}=env:{name.upper()}"
        return f"{name}={_as_text(value)}"


def resolve(
    pipeline: Pipeline,
    supplied: Mapping[str, Any],
    *,
    allowed: Mapping[str, Allowed] | None = None,
    called: str = "",
) -> dict[str, Any]:
    """Every parameter of the pipeline with its typed value: given, default, or None.

    ``called`` is how the user names the pipeline. Raises BadParameter for an unknown
    name (with near misses), a missing value, a wrong type, a value outside the
    declared literals or outside ``allowed``; its fix is a command that would run.
    """
    check_secrets(supplied, allowed or {}, called=called or pipeline.name)
    request = _Request(called or pipeline.name, supplied, allowed or {})
    declared = pipeline.root.input_definitions.parameters
    for name in supplied:
        if name not in declared:
            raise _unknown(pipeline, request, name)
    values: dict[str, Any] = {}
    for name, spec in declared.items():
        if name in supplied:
            values[name] = _typed(request, name, supplied[name], spec)
        elif spec.default_value is not UNSET:
            values[name] = _typed(request, name, spec.default_value, spec)
        elif spec.is_optional:
            values[name] = None
        else:
            raise BadParameter(
                f"the pipeline {pipeline.name} needs the parameter {name!r} "
                f"({spec.parameter_type})",
                where=f"parameters of {request.pipeline}",
                fix=request.with_value(name, _example(spec)),
            )
    check_secrets(values, allowed or {}, called=request.pipeline)
    for name, bounds in (allowed or {}).items():
        if name in values and not bounds.secret:
            _check_bounds(request, name, values[name], bounds)
    return values


def check_secrets(
    supplied: Mapping[str, Any], allowed: Mapping[str, Allowed], *, called: str
) -> None:
    """Raises BadParameter, which does not repeat it, for the value of a secret where a
    reference belongs. Nothing and the empty text are no secrets."""
    for name, value in supplied.items():
        is_secret = name in allowed and allowed[name].secret
        if is_secret and value not in (None, "") and not _is_reference(value):
            raise BadParameter(
                f"{name} is a secret: give where it is, env:NAME or file:PATH, not what it is",
                where=f"parameters of {called}",
                fix=shlex.join(
                    ["platform-ctl", "pipeline", "run", called, "-p", f"{name}=env:{name.upper()}"]
                ),
            )


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and is_reference(value)


def typed(
    pipeline: Pipeline, name: str, value: Any, *, allowed: Mapping[str, Allowed] | None = None
) -> Any:
    """One parameter's value, checked as ``resolve`` checks all. Raises BadParameter."""
    check_secrets({name: value}, allowed or {}, called=pipeline.name)
    request = _Request(pipeline.name, {name: value}, allowed or {})
    declared = pipeline.root.input_definitions.parameters
    if name not in declared:
        raise _unknown(pipeline, request, name)
    converted = _typed(request, name, value, declared[name])
    bounds = (allowed or {}).get(name)
    if bounds and not bounds.secret:
        _check_bounds(request, name, converted, bounds)
    return converted


def split(
    pipeline: Pipeline,
    words: Iterable[str],
    *,
    allowed: Mapping[str, Allowed] | None = None,
    called: str = "",
) -> dict[str, str]:
    """``NAME=VALUE`` words, the later over the earlier.

    Raises BadParameter, which repeats no word without ``=``: it may be the value of a secret.
    """
    declared = pipeline.root.input_definitions.parameters
    text: dict[str, str] = {}
    for position, word in enumerate(words, start=1):
        name, equals, value = word.partition("=")
        if equals:
            text[name] = value
            continue
        request = _Request(called or pipeline.name, text, allowed or {})
        near = nearest(name, declared) or (name if name in declared else "")
        fix = "platform-ctl pipeline list"
        if near:
            fix = request.with_value(near, _example(declared[near]))
        raise BadParameter(
            f"word {position} of -p is not NAME=VALUE"
            + (f"; did you mean {near}=…?" if near else ""),
            where=f"parameters of {request.pipeline}",
            fix=fix,
        )
    return text


def parse(
    pipeline: Pipeline,
    text: Mapping[str, str],
    *,
    allowed: Mapping[str, Allowed] | None = None,
    called: str = "",
) -> dict[str, Any]:
    """``-p name=text`` to values of the declared types; unknown names are refused."""
    request = _Request(called or pipeline.name, text, allowed or {})
    declared = pipeline.root.input_definitions.parameters
    values = {}
    for name, raw in text.items():
        if name not in declared:
            raise _unknown(pipeline, request, name)
        values[name] = _from_text(request, name, raw, declared[name])
    return values


def _typed(request: _Request, name: str, value: Any, spec: InputParameter) -> Any:
    if value is None and spec.is_optional and spec.default_value is UNSET:
        return None
    converted = convert(value, spec.parameter_type)
    if converted is UNSET:
        raise _wrong(request, name, value, spec)
    if spec.literals:
        _check_bounds(
            request, name, converted, Allowed(choices=tuple(plain_numbers(spec.literals)))
        )
    return converted


def _check_bounds(request: _Request, name: str, value: Any, allowed: Allowed) -> None:
    nearest = allowed.nearest(value)
    if nearest != value:
        raise BadParameter(
            f"{name} must be {allowed}, not {value!r}",
            where=f"parameters of {request.pipeline}",
            fix=request.with_value(name, nearest),
        )


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


def _from_text(request: _Request, name: str, raw: str, spec: InputParameter) -> Any:
    kind = spec.parameter_type
    if kind is ParameterType.STRING:
        return raw
    if kind is ParameterType.BOOLEAN:
        if raw.lower() in _TRUE | _FALSE:
            return raw.lower() in _TRUE
        raise _wrong(request, name, raw, spec)
    try:
        value = json.loads(raw, parse_constant=_not_json)
    except ValueError as exc:
        raise _wrong(request, name, raw, spec) from exc
    return _typed(request, name, value, spec)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _wrong(request: _Request, name: str, value: Any, spec: InputParameter) -> BadParameter:
    return BadParameter(
        f"{name} must be {_WORDS.get(spec.parameter_type, spec.parameter_type)}, not {value!r:.80}",
        where=f"parameters of {request.pipeline}",
        fix=request.with_value(name, _example(spec)),
    )


_WORDS: Mapping[ParameterType, str] = {
    ParameterType.NUMBER_INTEGER: "a whole number",
    ParameterType.NUMBER_DOUBLE: "a number",
    ParameterType.BOOLEAN: "true or false",
    ParameterType.STRING: "text",
    ParameterType.LIST: "a JSON list",
    ParameterType.STRUCT: "a JSON object",
}
_EXAMPLES: Mapping[ParameterType, Any] = {
    ParameterType.NUMBER_INTEGER: 3,
    ParameterType.NUMBER_DOUBLE: 0.5,
    ParameterType.BOOLEAN: True,
    ParameterType.LIST: [1, 2],
    ParameterType.STRUCT: {"key": 1},
}


def _example(spec: InputParameter) -> Any:
    """A value that is right: the default, a literal, or one of the type."""
    if spec.literals:
        return plain_numbers(spec.literals)[0]
    if spec.default_value is not UNSET and spec.default_value is not None:
        return plain_numbers(spec.default_value)
    return _EXAMPLES.get(spec.parameter_type, "text")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _distance(value: Any) -> Callable[[Any], float]:
    """How far a choice is: numbers by their difference, everything else by its spelling."""

    def distance(choice: Any) -> float:
        if isinstance(value, int | float) and isinstance(choice, int | float):
            return abs(choice - value)
        return 1 - difflib.SequenceMatcher(None, str(value), str(choice)).ratio()

    return distance


def _unknown(pipeline: Pipeline, request: _Request, name: str) -> BadParameter:
    declared = pipeline.root.input_definitions.parameters
    near = nearest(name, declared)
    if near in request.allowed and request.allowed[near].secret:
        # Not ``unknown``: the command line would put the name right and repeat the value.
        return BadParameter(
            f"the pipeline {pipeline.name} has no parameter {name!r}; did you mean {near}?",
            where=f"parameters of {request.pipeline}",
            fix=request.with_value(near, request.given[name], instead_of=name),
        )
    return unknown(
        f"the pipeline {pipeline.name} has no parameter {name!r}",
        name,
        declared,
        where=f"parameters of {request.pipeline}",
        fix=request.with_value(near, request.given[name], instead_of=name) if near else "",
        otherwise="platform-ctl pipeline list",
        error=BadParameter,
    )
