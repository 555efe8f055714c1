"""Repeating a run from its evidence: its compiled IR, with what it looked up put in as constants.

A task that is never cached looks at the world outside the run (it takes
nothing from other tasks: what it found is in the record, and is put in its
place) or changes it (it is left out, and all that follows from it). What is
left computes the same from the same, on either target.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

SEARCH_OUTPUT = "search"
"""Artifact output by which a hyperparameter search is known."""

Document = dict[str, Any]
Recorded = Mapping[str, Mapping[str, Any]]
"""Task -> its output parameters."""


def reproduction(ir: Document, recorded: Recorded, *, repeat_search: bool) -> Document:
    """The IR that repeats a run. Without ``repeat_search`` its choice is put in as well, since
    trials that end in another order lead a search elsewhere.

    Raises KeyError naming a task whose outputs are needed and not recorded.
    """
    repeated = copy.deepcopy(ir)
    components = repeated["components"]
    tasks: Document = repeated["root"]["dag"]["tasks"]
    known = {name for name in tasks if _is_known(tasks[name], components, repeat_search)}
    gone = {name for name in tasks if name not in known and _acts(tasks[name], components)}
    while more := {n for n in tasks if n not in gone | known and gone & set(_producers(tasks[n]))}:
        gone |= more
    for name in gone | known:
        del tasks[name]
    for task in tasks.values():
        _put_in(task, known, recorded)
        remaining = [n for n in task.get("dependentTasks", ()) if n in tasks]
        task.pop("dependentTasks", None)
        task |= {"dependentTasks": remaining} if remaining else {}
    # The outputs of the pipeline are of no interest, and may be of tasks that are gone.
    repeated["root"]["dag"].pop("outputs", None)
    repeated["root"].pop("outputDefinitions", None)
    repeated["pipelineInfo"]["name"] += "-reproduction"
    return repeated


def _is_known(task: Document, components: Document, repeat_search: bool) -> bool:
    component = components[task["componentRef"]["name"]]
    if "dag" in component:
        return False
    if not _cached(task):
        return not any(_producers(task))
    outputs = component.get("outputDefinitions", {}).get("artifacts", {})
    return SEARCH_OUTPUT in outputs and not repeat_search


def _acts(task: Document, components: Document) -> bool:
    """Whether the task, or any inside it, is never cached."""
    inside = components[task["componentRef"]["name"]].get("dag")
    if inside is None:
        return not _cached(task)
    return any(_acts(each, components) for each in inside["tasks"].values())


def _cached(task: Document) -> bool:
    return bool(task.get("cachingOptions", {}).get("enableCache"))


def _producers(task: Document) -> Iterator[str]:
    """Tasks that this one takes something from."""
    for bindings in task.get("inputs", {}).values():
        for binding in bindings.values():
            for kind in ("taskOutputParameter", "taskOutputArtifact"):
                if kind in binding:
                    yield binding[kind]["producerTask"]


def _put_in(task: Document, known: set[str], recorded: Recorded) -> None:
    parameters = task.get("inputs", {}).get("parameters", {})
    for name, binding in parameters.items():
        source = binding.get("taskOutputParameter")
        if source and source["producerTask"] in known:
            value = recorded[source["producerTask"]][source["outputParameterKey"]]
            parameters[name] = {"runtimeValue": {"constant": value}}
