"""YAML whose values know their line, read strictly: no duplicate key, no alias, no surprise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import yaml

from platform_ctl.errors import BadSchedule, did_you_mean, nearest

_MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTES = 'an alias; an expression that begins with * needs quotes: "*/5 …"'
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_SCALARS = {
    f"tag:yaml.org,2002:{name}": kind
    for name, kind in {
        "int": int,
        "float": float,
        "bool": bool,
        "str": str,
        "null": type(None),
    }.items()
}
_WORDS: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    dict: "a mapping",
    list: "a list",
    type(None): "nothing",
}


@dataclass(frozen=True)
class Located:
    """A value with its place. ``value`` of a mapping holds Located, as does that of a list."""

    value: Any
    text: str
    """A scalar as it is written."""
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def refuse(self, what: str, better: str = "") -> NoReturn:
        """Raise BadSchedule at this line; ``better`` is the line as it should be."""
        fix = f"write in line {self.line}: {better}" if better else f"edit {self.file}"
        raise BadSchedule(what, where=self.where, fix=fix)

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> Fields:
        """The value as a mapping with no other keys than ``known``. Raises BadSchedule."""
        if not isinstance(self.value, dict):
            self.refuse(f"{_shown(self)} is {_kind(self.value)}, not a mapping")
        names = list(known)
        for name, item in self.value.items():
            if name not in names:
                near = nearest(name, names)
                item.refuse(
                    f"unknown key {name!r}; {did_you_mean(name, names)}",
                    f"{near}: …" if near else "",
                )
        for name in required:
            if name not in self.value:
                self.refuse(f"the key {name!r} is missing", f"{name}: …")
        return Fields(self, self.value)

    def items(self) -> Iterator[Located]:
        """The value as a list. Raises BadSchedule."""
        if not isinstance(self.value, list):
            self.refuse(f"{_shown(self)} is {_kind(self.value)}, not a list")
        yield from self.value

    def of(self, kind: type, name: str) -> Any:
        """The value when it is of ``kind``; a whole number is a number. Raises BadSchedule."""
        value = self.value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            hint = (
                f'{name}: "{self.text}"'
                if kind is str and not isinstance(value, dict | list)
                else ""
            )
            self.refuse(f"{name} is {_kind(value)}, not {_WORDS[kind]}", hint)
        return value

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {name: item.plain() for name, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass(frozen=True)
class Fields:
    """A mapping whose keys are known."""

    node: Located
    value: Mapping[str, Located]

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def __getitem__(self, name: str) -> Located:
        return self.value[name]

    def get(self, name: str, kind: type, default: Any) -> Any:
        """The value of a key, checked, or ``default``. Raises BadSchedule."""
        return self.value[name].of(kind, name) if name in self.value else default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``. Raises BadSchedule."""
        number = self.get(name, int, default)
        if name in self and not low <= number <= high:
            nearest = min(max(number, low), high)
            self[name].refuse(f"{name} is {number}, not from {low} to {high}", f"{name}: {nearest}")
        return number

    def word(self, name: str, words: Iterable[str], default: str) -> str:
        """One of ``words``. Raises BadSchedule."""
        value = self.get(name, str, default)
        known = list(words)
        if value not in known:
            better = f"{name}: {nearest(value, known) or default or known[0]}"
            self[name].refuse(f"{name} is {value!r}, not one of {', '.join(known)}", better)
        return value


def read(path: Path, file: str) -> Located | None:
    """The one document of a file, or None when it is empty. ``file`` is what errors call it.

    Raises BadSchedule.
    """
    whole = Located(None, "", file, 1)
    try:
        data = path.read_bytes()
    except OSError as exc:
        whole.refuse(f"the file cannot be read: {exc.strerror}")
    if len(data) > _MAX_BYTES:
        whole.refuse(f"the file is larger than {_MAX_BYTES} bytes")
    try:
        _refuse_aliases(data, file)
        nodes = list(yaml.compose_all(data, Loader=_LOADER))
    except yaml.MarkedYAMLError as exc:
        mark = exc.context_mark or exc.problem_mark
        place = Located(None, "", file, mark.line + 1 if mark else 1)
        lines = data.decode(errors="replace").splitlines()
        if mark and lines[mark.line : mark.line + 1] and lines[mark.line][mark.column :][:1] == "*":
            place.refuse(_QUOTES)
        place.refuse(f"not YAML: {' '.join(filter(None, (exc.context, exc.problem)))}")
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as exc:
        whole.refuse(f"not YAML: {' '.join(str(exc).split())[:200]}")
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1
        Located(None, "", file, line).refuse("a second document; a file has one")
    return _located(nodes[0], file) if nodes and nodes[0] is not None else None


def _refuse_aliases(data: bytes, file: str) -> None:
    """``* * * * * *`` without quotes is an alias, and so is a bomb; both stop here."""
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        place = Located(None, "", file, line)
        if isinstance(event, yaml.AliasEvent):
            place.refuse(_QUOTES)
        if depth > _MAX_DEPTH:
            place.refuse(f"nested more than {_MAX_DEPTH} deep")


def _located(node: yaml.Node, file: str) -> Located:
    line = node.start_mark.line + 1
    if node.tag == _MAP and isinstance(node, yaml.MappingNode):
        return Located(_mapping(node, file), "", file, line)
    if node.tag == _SEQ and isinstance(node, yaml.SequenceNode):
        return Located([_located(item, file) for item in node.value], "", file, line)
    if not isinstance(node, yaml.ScalarNode):
        Located(None, "", file, line).refuse(f"the tag {node.tag} is not understood")
    return Located(_scalar(node, file), node.value, file, line)


def _mapping(node: yaml.MappingNode, file: str) -> dict[str, Located]:
    """Keys are what is written: YAML's ``on`` is a word here, not true."""
    fields: dict[str, Located] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        place = Located(None, "", file, line)
        if not isinstance(key, yaml.ScalarNode):
            place.refuse("a key that is not a word")
        if key.value in fields:
            place.refuse(
                f"the key {key.value!r} is there twice, first in line {fields[key.value].line}"
            )
        value = _located(item, file)
        fields[key.value] = (
            value if value.line == line else Located(value.value, value.text, file, line)
        )
    return fields


def _scalar(node: yaml.ScalarNode, file: str) -> Any:
    """Of the types of JSON; a time is text, whatever YAML takes it for."""
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    if node.tag == "tag:yaml.org,2002:int" and ":" in node.value:
        return node.value  # 22:00 is 1320 to YAML 1.1
    if node.tag not in _SCALARS:
        Located(None, "", file, node.start_mark.line + 1).refuse(
            f"the tag {node.tag} is not understood"
        )
    loader = yaml.SafeLoader("")
    return loader.construct_object(node)


def moment(node: Located, name: str) -> int:
    """A time with its zone, RFC 3339, as seconds since the epoch. Raises BadSchedule."""
    text = node.of(str, name)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        node.refuse(f"{name} is {text!r}, not a time", f'{name}: "2026-12-07T06:00:00Z"')
    if at.tzinfo is None:
        node.refuse(f"{name} has no time zone", f'{name}: "{at.isoformat()}Z"')
    if at.microsecond:
        node.refuse(
            f"{name} has a fraction of a second", f'{name}: "{at.isoformat(timespec="seconds")}"'
        )
    return int(at.timestamp())


def _kind(value: Any) -> str:
    return _WORDS[type(value)]


def _shown(node: Located) -> str:
    return repr(node.text) if node.text else "this"
