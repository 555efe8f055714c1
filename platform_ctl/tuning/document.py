"""Reads an Experiment file."""

from __future__ import annotations

from pathlib import Path

import yaml

from platform_ctl.errors import BadExperiment
from platform_ctl.tuning.check import check
from platform_ctl.tuning.experiment import Experiment, parse


def load(path: Path) -> Experiment:
    """Read and check an Experiment file. Raises BadExperiment, UnsupportedAlgorithm."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        reason = str(exc).replace("\n", " ")
        raise BadExperiment(
            f"cannot be read: {reason}", where=str(path), fix=f"edit {path}"
        ) from exc
    if isinstance(document, dict):
        document.pop("status", None)
    experiment = parse(document, where=str(path))
    check(experiment, where=str(path))
    return experiment


class _Loader(yaml.CSafeLoader):
    """Safe, and times stay text: Kubernetes has no date type."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
