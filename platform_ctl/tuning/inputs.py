"""What a template's container reads from its environment, found on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from platform_ctl.runs.record import Run
from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.template import primary_container


def missing_paths(experiment: Experiment) -> dict[str, str]:
    """Environment variables of the trial's container that name a path which is not here."""
    job = (experiment.spec.trial_template.trial_spec or {}).get("spec") or {}
    entries = primary_container(experiment, job).get("env") or ()
    variables = {entry["name"]: str(entry.get("value", "")) for entry in entries}
    return {k: v for k, v in variables.items() if v.startswith("/") and not Path(v).exists()}


def newest_outputs(
    names: Iterable[str],
    runs: Iterable[Run],
    read: Callable[[str], Run],
    fetch: Callable[[str], Path | None],
    pipeline: str = "",
) -> dict[str, tuple[str, str]]:
    """For each of ``names`` (ROWS) the newest artifact output of that name (``rows``).

    ``runs`` come newest first, without tasks; ``fetch`` gives the path of an artifact's bytes by
    its URI, or None. With ``pipeline``, only its runs count. Returned: the path, and the id of
    its run.
    """
    wanted = set(names)
    newest: dict[str, tuple[str, str]] = {}
    for run in runs:
        if pipeline and run.pipeline != pipeline:
            continue
        if not wanted - newest.keys():
            break
        for task in read(run.id).tasks:
            for name in wanted - newest.keys():
                for artifact in task.outputs.artifacts.get(name.lower(), ()):
                    if path := fetch(artifact.uri):
                        newest[name] = (str(path), run.id)
    return newest
