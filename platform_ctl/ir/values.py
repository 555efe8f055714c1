"""Parameter values from a file: JSON as JSON, YAML as Kubernetes reads it.

What JSON cannot hold is no KFP value (protobuf ``Value``) and is refused by name.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

import yaml

from platform_ctl.errors import BadParameter

_MAX_DEPTH = 200
_TAG = "tag:yaml.org,2002:"


_OURS = ("timestamp", "int", "float")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its surprises: ``1e-05`` is a number; times and ``12:30`` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) not in _OURS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)\Z"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z"
        r"|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"
    ),
    list("-+0123456789."),
)


def read_values(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises BadParameter for a file that is none, or holds more than
    JSON does."""
    try:
        document = _document(path.read_bytes().decode("utf-8-sig"))
    except OSError as exc:
        raise BadParameter(
            f"cannot read the parameters: {exc.strerror}",
            where=str(path),
            fix=f"ls {quote(str(path.parent))}",
        ) from exc
    except yaml.MarkedYAMLError as exc:
        at = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise _bad(f"cannot read the parameters: {at}{exc.problem}", path) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise _bad(f"cannot read the parameters: {reason}", path) from exc
    if not isinstance(document, dict):
        raise _bad("the file is not a mapping of names to values", path)
    for name, value in document.items():
        if not isinstance(name, str):
            raise _bad(f"the name {name!r} is not text", path)
        if problem := _problem(value, 1):
            raise _bad(f"the value of {name!r} {problem}", path)
    return document


def _document(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text, parse_constant=_not_json)
        except json.JSONDecodeError:
            pass  # a mapping in YAML's flow style
    return yaml.load(text, Loader=_Loader)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} has no place in JSON")


def _problem(value: Any, depth: int) -> str:
    """Why a value is none of KFP's; "" for one that is."""
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} deep"
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            return f"has the key {wrong!r}, which is not text"
        return next(filter(None, (_problem(v, depth + 1) for v in value.values())), "")
    if isinstance(value, list):
        return next(filter(None, (_problem(v, depth + 1) for v in value)), "")
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        return "" if abs(value) < 2**1023 else "is larger than any number of KFP's"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"holds {value}, which JSON does not have"
    if isinstance(value, str):
        return "" if value.isascii() or _is_text(value) else "is not Unicode text"
    return f"holds {value!r:.60}, which JSON does not have"


def _is_text(value: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


def _bad(what: str, path: Path) -> BadParameter:
    return BadParameter(what, where=str(path), fix=f"edit {path}")
