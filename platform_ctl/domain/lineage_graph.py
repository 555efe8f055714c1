"""The graph of datasets and task runs that a home's lineage events describe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str, str]
"""Namespace, name and version of a dataset; the version may be ""."""


@dataclass
class TaskRun:
    """One run of a task that ended."""

    run_id: str
    """Of the task."""
    parent: str
    """Of the pipeline."""
    job: str
    state: str
    at: str
    inputs: tuple[Key, ...] = ()
    outputs: tuple[Key, ...] = ()
    produced_by: str = ""
    """Task run that a cached one took its outputs from."""


@dataclass
class Tree:
    """Something to print, with what is under it."""

    text: str
    children: list[Tree] = field(default_factory=list)


class Graph:
    """Built from the final events; a later event of the same task run replaces an earlier one."""

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self.tasks: dict[str, TaskRun] = {}
        for event in events:
            if event["eventType"] != "START" and "parent" in event["run"]["facets"]:
                self.tasks[event["run"]["runId"]] = _task_run(event)
        self._writers: dict[Key, list[TaskRun]] = defaultdict(list)
        self._readers: dict[Key, list[TaskRun]] = defaultdict(list)
        for task in self.tasks.values():
            for key in task.outputs:
                self._writers[key].append(task)
            for key in task.inputs:
                self._readers[key].append(task)

    def of_run(self, run_id: str) -> list[TaskRun]:
        """In the order they ended."""
        return [t for t in self.tasks.values() if t.parent == run_id]

    def find(self, word: str) -> list[Key]:
        """Datasets called ``NAME`` (any version: the newest last) or ``NAME/version``; a model
        comes after what is called the same."""
        known = {*self._writers, *self._readers}
        name, _, version = word.rpartition("/")
        exact = [k for k in known if word in (k[1], k[1].removeprefix("models/"))]
        versioned = [
            k for k in known if name in (k[1], k[1].removeprefix("models/")) and k[2] == version
        ]
        return sorted(versioned or exact, key=lambda k: (k[1].startswith("models/"), self._age(k)))

    def names(self) -> list[str]:
        return sorted({k[1] for k in (*self._writers, *self._readers)})

    def upstream(self, key: Key) -> Tree:
        """What the dataset was made from, and that from what; each dataset once."""
        return self._upstream(key, "", set())

    def downstream(self, key: Key) -> Tree:
        """What was made from the dataset, and what from that; each dataset once."""
        return self._downstream(key, set())

    def _upstream(self, key: Key, run: str, seen: set[Key]) -> Tree:
        tree = Tree(label(key))
        writers = self._writers[key]
        if key in seen:
            tree.text += " (above)" if writers else ""
            return tree
        seen.add(key)
        mine = [t for t in writers if t.parent == run] or writers
        for task in mine[-1:]:
            origin = self.tasks.get(task.produced_by, task)
            inputs = [self._upstream(k, origin.parent, seen) for k in origin.inputs if k != key]
            tree.children.append(Tree(_told(task), inputs))
        return tree

    def _downstream(self, key: Key, seen: set[Key]) -> Tree:
        tree = Tree(label(key))
        readers = self._readers[key]
        if key in seen:
            tree.text += " (above)" if readers else ""
            return tree
        seen.add(key)
        for task in readers:
            made = [self._downstream(k, seen) for k in task.outputs if k != key]
            tree.children.append(Tree(_told(task), made))
        return tree

    def _age(self, key: Key) -> str:
        return max((t.at for t in (*self._writers[key], *self._readers[key])), default="")


def run_tree(tasks: Iterable[TaskRun], title: str) -> Tree:
    """A run with its tasks, and what each read (<-) and wrote (->)."""
    tree = Tree(title)
    for task in tasks:
        read = [Tree(f"<- {label(k)}") for k in task.inputs]
        written = [Tree(f"-> {label(k)}") for k in task.outputs]
        tree.children.append(Tree(_told(task), read + written))
    return tree


def label(key: Key) -> str:
    """``iceberg abukix.commits @ 6569…``: digests shortened, names whole."""
    namespace, name, version = key
    shown = version if len(version) < 24 else version[:12]
    return f"{namespace} {name}" + (f" @ {shown}" if shown else "")


def _told(task: TaskRun) -> str:
    cached = ", from the cache" if task.produced_by else ""
    return f"{task.job} ({task.state}{cached}, run {task.parent[:8]}, {task.at[:16]})"


def _task_run(event: Mapping[str, Any]) -> TaskRun:
    facets = event["run"]["facets"]
    source = facets.get("platform_cache", {}).get("producedBy", {})
    return TaskRun(
        run_id=event["run"]["runId"],
        parent=facets["parent"]["run"]["runId"],
        job=event["job"]["name"],
        state=event["eventType"],
        at=event["eventTime"],
        inputs=tuple(_key(d) for d in event["inputs"]),
        outputs=tuple(_key(d) for d in event["outputs"]),
        produced_by=source.get("taskRunId", ""),
    )


def _key(dataset: Mapping[str, Any]) -> Key:
    version = dataset["facets"].get("version", {}).get("datasetVersion", "")
    return dataset["namespace"], dataset["name"], version
