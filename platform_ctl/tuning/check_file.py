"""Everything wrong in the Experiment file of a recipe, each with its line.

A search needs only to know that a file is bad (``document.load``); whoever writes one wants every
mistake at once, at the line where it is to be mended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.errors import BadExperiment, PlatformError, did_you_mean
from platform_ctl.tuning.check import (
    check_what_needs_a_cluster,
    findings,
    unsupported_algorithms,
)
from platform_ctl.tuning.document import Loader
from platform_ctl.tuning.experiment import Experiment, parse

Found = tuple[int, str]
"""(line, from 1, or 0 for the file as a whole; what is wrong)."""

_DECODING = re.compile(r"not a Katib Experiment: (?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.+)`")
_NOT_TEXT = re.compile(r"Expected `str(?: \| null)?`, got `(int|float|bool)`")
_MOST = 50
"""Wrong types that are mended for the sake of finding the next one."""


def problems(file: Path, *, metrics: Collection[str] | None, package: str) -> list[Found]:
    """What keeps the search of a recipe from running.

    ``metrics``: those that the recipe's ``trial`` reports, None where that is not known.
    ``package``: the recipe's, of which a trial runs a module.
    """
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=Loader)
        document = yaml.load(text, Loader=Loader)
    except (OSError, ValueError, RecursionError) as exc:
        return [(0, f"it cannot be read: {' '.join(str(exc).split())}")]
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        return [(mark.line + 1 if mark else 0, f"it is no YAML: {getattr(exc, 'problem', exc)}")]
    if node is None or not isinstance(document, dict):
        return [(0, "it holds no Experiment")]
    document.pop("status", None)
    lines = _Lines(node)
    experiment, wrong = _decoded(document, lines)
    if experiment is None:
        return wrong
    return [*wrong, *_across(experiment, lines, metrics), *_command(experiment, lines, package)]


def _across(
    experiment: Experiment, lines: _Lines, metrics: Collection[str] | None
) -> Iterator[Found]:
    """The rules across fields, then what the recipe's own code says."""
    for path, error in unsupported_algorithms(experiment, ""):
        yield lines.of(path), f"{error.what}; {error.fix}"
    for finding in findings(experiment):
        yield lines.of(finding.partition(": ")[0]), finding
    try:
        check_what_needs_a_cluster(experiment, "")
    except PlatformError as exc:
        yield lines.of("spec"), exc.what
    if metrics is None:
        return
    for name in experiment.spec.objective.metric_names:
        if name and name not in metrics:
            yield (
                lines.of_text(name) or lines.of("spec.objective"),
                f"trial in train.py reports no {name!r}; {did_you_mean(name, sorted(metrics))}",
            )


def _command(experiment: Experiment, lines: _Lines, package: str) -> Iterator[Found]:
    """``python -m MODULE`` of a trial's containers is of this recipe: the file of another one that
    was copied would train that one's model."""
    for words in _commands(experiment.spec.trial_template.trial_spec):
        for flag, module in pairwise(words):
            if flag == "-m" and not f"{module}.".startswith(f"{package}."):
                yield (
                    lines.of_text(module),
                    f"the trial runs {module}, which is not of this recipe; "
                    f"did you mean {package}.train?",
                )


def _commands(node: Any) -> Iterator[list[str]]:
    if isinstance(node, dict):
        words = [node.get(key) for key in ("command", "args")]
        yield [str(word) for some in words if isinstance(some, list) for word in some]
        for value in node.values():
            yield from _commands(value)
    elif isinstance(node, list):
        for value in node:
            yield from _commands(value)


# ---- types -------------------------------------------------------------------


def _decoded(document: dict[str, Any], lines: _Lines) -> tuple[Experiment | None, list[Found]]:
    """The Experiment and what was of the wrong type.

    An unknown field is left out, and a number where text is wanted is made text, so that what
    follows is said too; any other wrong type ends it.
    """
    wrong: list[Found] = []
    while len(wrong) < _MOST:
        try:
            return parse(document), wrong
        except BadExperiment as exc:
            match = _DECODING.fullmatch(exc.what)
            what, path = (match["what"], match["path"] or "") if match else (exc.what, "")
        steps: list[str | int] = [int(i) if i else name for name, i in _STEP.findall(path)]
        if unknown := _UNKNOWN_FIELD.fullmatch(what):
            steps.append(unknown[1])
            del _parent(document, steps)[steps[-1]]
        elif _NOT_TEXT.fullmatch(what) and steps:
            holder = _parent(document, steps)
            holder[steps[-1]] = str(holder[steps[-1]])
            what = f"{what}: put it into quotes"
        else:
            return None, [*wrong, (lines.of_steps(steps), _sentence(path, what))]
        wrong.append((lines.of_steps(steps), _sentence(path, what)))
    return None, wrong


def _sentence(path: str, what: str) -> str:
    return f"{path or 'the document'}: {what[:1].lower()}{what[1:]}"


def _parent(document: Any, steps: Sequence[str | int]) -> Any:
    for step in steps[:-1]:
        document = document[step]
    return document


# ---- lines -------------------------------------------------------------------


class _Lines:
    """Lines of a YAML document's nodes, from 1."""

    def __init__(self, root: yaml.Node) -> None:
        self._root = root

    def of(self, path: str) -> int:
        """Of ``spec.parameters.NAME``: a step into a list is the name of its item. The deepest
        node there is, where the path goes on."""
        return self.of_steps(path.split("."))

    def of_steps(self, steps: Sequence[str | int]) -> int:
        node, line = self._root, 1
        for step in steps:
            found = _below(node, step)
            if found is None:
                break
            node, line = found
        return line

    def of_text(self, text: str) -> int:
        """Of the first scalar that is ``text``; 0 without one."""
        return next((line for value, line in _scalars(self._root) if value == text), 0)


def _below(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    """The node of a key, an index or an item's name, with the line at which it is written."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            name = _below(item, "name") if isinstance(step, str) else None
            if at == step or (name is not None and name[0].value == step):
                return item, item.start_mark.line + 1
    return None


def _scalars(node: yaml.Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.ScalarNode):
        yield node.value, node.start_mark.line + 1
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key)
            yield from _scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)
