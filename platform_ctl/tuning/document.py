"""Reads an Experiment file by the rules that the cluster reads it by.

JSON is read as JSON. In YAML ``1e-3`` is a number, as for Go's YAML package
(YAML 1.2), though not for PyYAML; where Katib wants a string it is refused here as
the API server refuses it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from platform_ctl.errors import BadExperiment
from platform_ctl.tuning.check import check
from platform_ctl.tuning.experiment import Experiment, parse


def load(path: Path) -> Experiment:
    """Read and check an Experiment file. Raises BadExperiment, UnsupportedAlgorithm."""
    try:
        text = path.read_text(encoding="utf-8")
        is_json = text.lstrip().startswith("{")
        document = json.loads(text) if is_json else yaml.load(text, Loader=Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as exc:
        raise BadExperiment(
            f"cannot be read: {_reason(exc)}", where=str(path), fix=f"edit {path}"
        ) from exc
    if isinstance(document, dict):
        document.pop("status", None)
    experiment = parse(document, where=str(path))
    check(experiment, where=str(path))
    return experiment


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark:
        return f"line {exc.problem_mark.line + 1}: {exc.problem}"
    return " ".join(str(exc).split())


class Loader(yaml.CSafeLoader):
    """Safe, and times stay text: Kubernetes has no date type."""


_FLOAT = "tag:yaml.org,2002:float"
_GO_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(_FLOAT, _GO_FLOAT, list("-+.0123456789"))
