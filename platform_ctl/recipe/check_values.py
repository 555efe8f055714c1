"""What recipe.py declares that cannot be so: types, ranges, names."""

from __future__ import annotations

import difflib
import keyword
import math
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from platform_ctl.recipe import source
from platform_ctl.recipe.contract import ROW_COLUMNS
from platform_ctl.recipe.recipe import GateThresholds, Recipe

Rule = tuple[Callable[[float], bool], str]
"""(whether a value is good, what it has to be)."""
Value = tuple[tuple[str, ...], str]
"""(path of arguments below ``Recipe``, what is wrong there)."""

_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_METRIC = re.compile(r"[A-Za-z]\w*")
_ABOVE_0: Rule = (lambda v: v > 0, "above 0")
_SHARE: Rule = (lambda v: 0 < v < 1, "between 0 and 1")
_GATE: Mapping[str, Rule] = {
    "max_loss": (lambda v: v > 0, "above 0: no model could pass"),
    "min_gain_over_baseline": (lambda v: v < 1, "below 1: no model could pass"),
    "champion_margin": (lambda v: v >= 0, "0 or more"),
    "min_rows": _ABOVE_0,
    "min_clusters": _ABOVE_0,
    "confidence": _SHARE,
}
_CANARY: Mapping[str, Rule] = {
    "min_requests": _ABOVE_0,
    "max_error_rate": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "max_latency_ratio": _ABOVE_0,
    "max_error_increase": _ABOVE_0,
    "false_rollback_rate": _SHARE,
}
_SOURCE_TAKES = ("access", "now", "progress", "paths")
"""Parameters of ``ingest_NAME`` that no option may be called."""


def values(recipe: Recipe, package: str, folder: Path) -> Iterator[Value]:
    """Everything wrong in the values; ranges are looked at where all the types are right.

    ``package``: what the folder is called as a package.
    """
    wrong = list(_types(recipe, ()))
    yield from wrong
    if recipe.package != package:
        yield ("package",), f"package is {recipe.package!r}; it is __package__, here {package!r}"
    if wrong:
        return
    yield from _names(recipe)
    yield from _numbers(recipe)
    yield from _sources(recipe)
    yield from _slices(recipe.gate, folder)


def of_declared_types(recipe: Recipe) -> bool:
    """Whether every field holds what its annotation says."""
    return next(_types(recipe, ()), None) is None


# ---- types -------------------------------------------------------------------


def _types(declared: Any, path: tuple[str, ...]) -> Iterator[Value]:
    """Fields of a dataclass, and of those below it, that are of another type than declared."""
    # No local names: a field called like a type (``Option.type``) would stand for its default.
    hints = get_type_hints(type(declared), vars(sys.modules[type(declared).__module__]), {})
    for field in fields(declared):
        value = getattr(declared, field.name)
        here = (*path, field.name)
        if not _fits(value, hints[field.name]):
            wanted = str(getattr(field.type, "__name__", field.type)).replace("typing.", "")
            yield here, f"{'.'.join(here)} is {value!r}, not {wanted}"
            continue
        for part in value.values() if isinstance(value, Mapping) else (value,):
            if is_dataclass(part):
                yield from _types(part, here)


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in parts
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(v, parts[0]) for v in value)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items()
        )
    if hint in (int, float):
        kinds = int if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, hint)


# ---- names -------------------------------------------------------------------


def _names(recipe: Recipe) -> Iterator[Value]:
    if not _DNS_LABEL.fullmatch(recipe.model_name):
        yield (
            ("model_name",),
            f"model_name {recipe.model_name!r} is no DNS label, which an InferenceService needs: "
            "lower-case letters, digits and '-', a letter first, at most 63 characters",
        )
    if not _METRIC.fullmatch(recipe.loss.name):
        yield (
            ("loss", "name"),
            f"the loss is called {recipe.loss.name!r}; it is a key of metrics: a letter, then "
            "letters, digits and '_'",
        )
    if not recipe.features:
        yield ("features",), "no feature is named"
    if twice := sorted({f for f in recipe.features if recipe.features.count(f) > 1}):
        yield ("features",), f"named twice in features: {', '.join(twice)}"
    if taken := [f for f in recipe.features if f in ROW_COLUMNS]:
        yield (
            ("features",),
            f"a feature cannot be called {taken[0]}: the platform reads that column of the rows",
        )


# ---- numbers -----------------------------------------------------------------


def _numbers(recipe: Recipe) -> Iterator[Value]:
    yield from _budget(recipe)
    for part, rules in (("gate", _GATE), ("canary", _CANARY)):
        for name, (good, wanted) in rules.items():
            value = getattr(getattr(recipe, part), name)
            if math.isnan(value) or not good(value):
                yield (part, name), f"the {part}'s {name} is {value:g}, not {wanted}"
    for slice_name, ceiling in recipe.gate.slice_ceiling.items():
        if not ceiling > 0:
            yield (
                ("gate", "slice_ceiling"),
                f"the ceiling of slice {slice_name} is {ceiling:g}, not above 0",
            )
    weights = list(recipe.canary.weights_percent)
    if not weights or weights != sorted(set(weights)) or weights[0] < 1 or weights[-1] != 100:
        yield (
            ("canary", "weights_percent"),
            f"the canary's weights {recipe.canary.weights_percent} do not rise to 100",
        )
    if recipe.max_training_age_days < 0:
        yield ("max_training_age_days",), "max_training_age_days is below 0"


def _budget(recipe: Recipe) -> Iterator[Value]:
    for field in fields(recipe.budget):
        value = getattr(recipe.budget, field.name)
        if value is not None and not value > 0:
            yield ("budget", field.name), f"the budget's {field.name} is {value:g}, not above 0"


# ---- sources and slices ------------------------------------------------------


def _sources(recipe: Recipe) -> Iterator[Value]:
    if not recipe.sources:
        yield ("sources",), "no source is named: data ingest would have nothing to offer"
    for name, declared in recipe.sources.items():
        if not is_parameter(name):
            yield ("sources",), f"source {name!r} is no name of Python, as ingest_NAME needs"
        for option in declared.options:
            if not is_parameter(option) or option in _SOURCE_TAKES:
                yield (
                    ("sources",),
                    f"option {option!r} of source {name} cannot be a parameter of ingest_{name}",
                )


def is_parameter(name: str) -> bool:
    """Whether a function can have a parameter of that name."""
    return name.isidentifier() and not keyword.iskeyword(name)


def _slices(gate: GateThresholds, folder: Path) -> Iterator[Value]:
    """A ceiling for a slice that evaluate.py cannot make. A slice may be a value of the data:
    one that is only not written there is left to the gate, which says what it did not meet."""
    try:
        texts = source.texts_of(folder / "evaluate.py")
    except (OSError, SyntaxError, ValueError):
        return  # said of evaluate.py itself
    where = ("gate", "slice_ceiling")
    for name in gate.slice_ceiling:
        if "slices" not in texts:
            yield where, f"slice_ceiling names {name!r}, and evaluate.py makes no slices"
        elif name not in texts and (near := difflib.get_close_matches(name, texts, 1, 0.8)):
            yield where, f"evaluate.py makes no slice {name!r}; did you mean {near[0]!r}?"
