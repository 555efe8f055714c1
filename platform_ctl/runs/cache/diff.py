"""Which fields of two cache keys differ, in words short enough for a terminal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.runs.cache.key import CacheKeyInputs, component_source, exact_json

SHORT = 60
"""Longest value shown."""
_DIGEST = re.compile(r"[0-9a-f]{32,64}")


@dataclass(frozen=True)
class FieldChange:
    """One field of the key, before and now. '' stands for "was not there"."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        if not self.old or not self.new:
            return f"{self.field}: {'added ' + self.new if self.new else 'removed ' + self.old}"
        return f"{self.field}: {self.old} -> {self.new}"


def diff(old: CacheKeyInputs, new: CacheKeyInputs) -> tuple[FieldChange, ...]:
    """The fields that differ, likeliest cause first; empty when the keys are equal.

    Fields that never enter the key (``component`` without a ``cache_key``) are
    not compared.
    """
    changes: list[FieldChange] = []
    if old.cache_key or new.cache_key:
        _add(changes, "cache_key", old.cache_key, new.cache_key)
        _add_mapping(changes, "outputs", _outputs(old), _outputs(new))
        return tuple(changes)
    _add_mapping(changes, "parameters", old.parameters, new.parameters)
    _add_artifacts(changes, old, new)
    _add_command(changes, old, new)
    for part in ("modules", "data", "packages"):
        _add_mapping(changes, f"code.{part}", getattr(old.code, part), getattr(new.code, part))
    _add_mapping(changes, "env", old.env, new.env)
    _add(changes, "image", old.image, new.image)
    _add_mapping(changes, "outputs", _outputs(old), _outputs(new))
    _add(changes, "pvc_names", sorted(set(old.pvc_names)), sorted(set(new.pvc_names)))
    return tuple(changes)


def _outputs(inputs: CacheKeyInputs) -> dict[str, Any]:
    artifacts = {n: [s.type, s.metadata] for n, s in inputs.output_artifacts.items()}
    return {**artifacts, **inputs.output_parameters}


def _add(changes: list[FieldChange], name: str, old: Any, new: Any) -> None:
    if exact_json(old) != exact_json(new):
        changes.append(FieldChange(name, *_shortened(old, new)))


def _add_mapping(
    changes: list[FieldChange], name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            changes.append(FieldChange(f"{name}.{key}", "", _short(new[key])))
        elif key not in new:
            changes.append(FieldChange(f"{name}.{key}", _short(old[key]), ""))
        else:
            _add(changes, f"{name}.{key}", old[key], new[key])


def _add_artifacts(changes: list[FieldChange], old: CacheKeyInputs, new: CacheKeyInputs) -> None:
    for name in sorted(old.artifacts.keys() | new.artifacts.keys()):
        before, after = old.artifacts.get(name, ()), new.artifacts.get(name, ())
        if len(before) != len(after):
            changes.append(
                FieldChange(
                    f"artifacts.{name}", f"{len(before)} artifacts", f"{len(after)} artifacts"
                )
            )
            continue
        for index, (a, b) in enumerate(zip(before, after, strict=True)):
            label = f"artifacts.{name}" if len(after) == 1 else f"artifacts.{name}[{index}]"
            _add(changes, f"{label}.digest", a.digest, b.digest)
            _add(changes, f"{label}.type", a.type, b.type)
            _add_mapping(changes, f"{label}.metadata", a.metadata, b.metadata)


def _add_command(changes: list[FieldChange], old: CacheKeyInputs, new: CacheKeyInputs) -> None:
    before, after = component_source(old), component_source(new)
    if before and after:
        if before != after:
            changes.append(_source_change(before, after))
        _add(changes, "command", old.command[:-1], new.command[:-1])
    else:
        _add(changes, "command", old.command, new.command)
    _add(changes, "args", old.args, new.args)


def _source_change(old: str, new: str) -> FieldChange:
    a, b = old.strip().splitlines(), new.strip().splitlines()
    blocks = [
        (j1 + 1, max(j1 + 1, j2))
        for tag, _, _, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    lines = ", ".join(str(x) if x == y else f"{x}-{y}" for x, y in blocks) or "white space"
    return FieldChange(
        "component source", f"{len(a)} lines", f"component source changed (lines {lines})"
    )


def _shortened(old: Any, new: Any) -> tuple[str, str]:
    """Both values, cut around the place where they first differ when they are long."""
    a, b = _plain(old), _plain(new)
    if a == b:  # 1 and "1"
        a, b = exact_json(old), exact_json(new)
    if _DIGEST.fullmatch(a) and _DIGEST.fullmatch(b) and a[:12] != b[:12]:
        return a[:12], b[:12]
    if len(a) <= SHORT and len(b) <= SHORT:
        return a, b
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    start = max(0, min(start, max(len(a), len(b)) - SHORT // 2) - SHORT // 4)
    return _cut(a, start), _cut(b, start)


def short_values(old: Any, new: Any) -> tuple[str, str]:
    """Two values that differ, short enough for a terminal; "" for None."""
    if old is None or new is None:
        return tuple("" if v is None else _short(v) for v in (old, new))  # type: ignore[return-value]
    return _shortened(old, new)


def _short(value: Any) -> str:
    return _cut(_plain(value), 0)


def _cut(text: str, start: int) -> str:
    end = start + SHORT
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else exact_json(value)
