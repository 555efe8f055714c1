"""The graph of datasets and task runs that a home's lineage events describe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.text import minute

Key = tuple[str, str, str]
"""Namespace, name and version of a dataset; the version may be ""."""


@dataclass
class TaskRun:
    """One run of a task, or of a job inside one, that ended. Trials are apart."""

    run_id: str
    """Of the task."""
    parent: str
    """Of the pipeline, also for a job inside a task."""
    job: str
    state: str
    at: str
    inputs: tuple[Key, ...] = ()
    outputs: tuple[Key, ...] = ()
    produced_by: str = ""
    """Task run that a cached one took its outputs from."""


@dataclass(frozen=True)
class TrialRun:
    """One trial of a search that ended."""

    number: int
    state: str
    minimize: bool
    parameters: Mapping[str, str]
    value: float | None = None
    """Of the objective; None when there is no finite one."""


@dataclass(frozen=True)
class Node:
    """``kind`` is task or dataset; what a kind does not have is ""."""

    id: str
    kind: str
    name: str
    """Of the job or of the dataset."""
    namespace: str = ""
    version: str = ""
    run: str = ""
    """Run of the pipeline, of a task."""
    state: str = ""
    at: str = ""


@dataclass(frozen=True)
class LineagePicture:
    """A graph to draw: edges are (from, to) ids, from what is read to what is made."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass
class PrintedTree:
    """Something to print, with what is under it."""

    text: str
    children: list[PrintedTree] = field(default_factory=list)


class Graph:
    """Built from the final events; a later event of the same task run replaces an earlier one."""

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self.tasks: dict[str, TaskRun] = {}
        self._trials: dict[str, dict[str, TrialRun]] = defaultdict(dict)
        for event in events:
            self._add(event)
        self._writers: dict[Key, list[TaskRun]] = defaultdict(list)
        self._readers: dict[Key, list[TaskRun]] = defaultdict(list)
        for task in self.tasks.values():
            for key in task.outputs:
                self._writers[key].append(task)
            for key in task.inputs:
                self._readers[key].append(task)

    def _add(self, event: Mapping[str, Any]) -> None:
        facets = event["run"]["facets"]
        if event["eventType"] == "START" or "parent" not in facets:
            return
        run_id = event["run"]["runId"]
        if "platform_trial" in facets:
            self._trials[facets["parent"]["run"]["runId"]][run_id] = _trial(event)
        else:
            self.tasks[run_id] = _task_run(event)

    def trials(self, task: TaskRun) -> list[TrialRun]:
        """Of the search that the task ran, in the order of suggestion."""
        return sorted(self._trials.get(task.run_id, {}).values(), key=lambda t: t.number)

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

    def upstream(self, key: Key) -> PrintedTree:
        """What the dataset was made from, and that from what; each dataset once."""
        return self._upstream(key, "", set())

    def downstream(self, key: Key) -> PrintedTree:
        """What was made from the dataset, and what from that; each dataset once."""
        return self._downstream(key, set())

    def around(self, key: Key) -> list[TaskRun]:
        """Every task that led to the dataset or that came of it."""
        by_run: dict[str, TaskRun] = {}
        for edges, further in ((self._writers, "inputs"), (self._readers, "outputs")):
            waiting, seen = [key], set()
            while waiting:
                here = waiting.pop()
                if here in seen:
                    continue
                seen.add(here)
                for task in edges.get(here, ()):
                    by_run[task.run_id] = task
                    waiting += getattr(task, further)
        return list(by_run.values())

    def _upstream(self, key: Key, run: str, seen: set[Key]) -> PrintedTree:
        tree = PrintedTree(label(key))
        writers = self._writers[key]
        if key in seen:
            tree.text += " (above)" if writers else ""
            return tree
        seen.add(key)
        mine = [t for t in writers if t.parent == run] or writers
        for task in mine[-1:]:
            origin = self.tasks.get(task.produced_by, task)
            inputs = [self._upstream(k, origin.parent, seen) for k in origin.inputs if k != key]
            tree.children.append(PrintedTree(_told(task), inputs))
        return tree

    def _downstream(self, key: Key, seen: set[Key]) -> PrintedTree:
        tree = PrintedTree(label(key))
        readers = self._readers[key]
        if key in seen:
            tree.text += " (above)" if readers else ""
            return tree
        seen.add(key)
        for task in readers:
            subtrees = [self._downstream(k, seen) for k in task.outputs if k != key]
            tree.children.append(PrintedTree(_told(task), subtrees))
        return tree

    def _age(self, key: Key) -> str:
        return max((t.at for t in (*self._writers[key], *self._readers[key])), default="")


def run_tree(graph: Graph, tasks: Iterable[TaskRun], title: str) -> PrintedTree:
    """A run with its tasks, what each read (<-) and wrote (->), and what its search found."""
    tree = PrintedTree(title)
    for task in tasks:
        read = [PrintedTree(f"<- {label(k)}") for k in task.inputs]
        written = [PrintedTree(f"-> {label(k)}") for k in task.outputs]
        searched = [PrintedTree(_searched(trials))] if (trials := graph.trials(task)) else []
        tree.children.append(PrintedTree(_told(task), read + searched + written))
    return tree


def picture(tasks: Iterable[TaskRun]) -> LineagePicture:
    """Tasks and the datasets they read and wrote, as nodes and edges; each dataset version once.

    ``picture(graph.of_run(run_id))`` is one run, ``picture(graph.around(key))`` everything
    upstream and downstream of a dataset.
    """
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}
    for task in tasks:
        nodes[task.run_id] = Node(
            task.run_id, "task", task.job, run=task.parent, state=task.state, at=task.at
        )
        for key in task.inputs:
            edges[_dataset(key, nodes), task.run_id] = None
        for key in task.outputs:
            edges[task.run_id, _dataset(key, nodes)] = None
    return LineagePicture(tuple(nodes.values()), tuple(edges))


def _dataset(key: Key, nodes: dict[str, Node]) -> str:
    namespace, name, version = key
    node_id = f"{namespace} {name}" + (f"@{version}" if version else "")
    nodes.setdefault(node_id, Node(node_id, "dataset", name, namespace, version))
    return node_id


def label(key: Key) -> str:
    """``iceberg shop.sales @ 6569…``: digests shortened, names whole."""
    namespace, name, version = key
    shown = version if len(version) < 24 else version[:12]
    return f"{namespace} {name}" + (f" @ {shown}" if shown else "")


def _told(task: TaskRun) -> str:
    cached = ", from the cache" if task.produced_by else ""
    return f"{task.job} ({task.state}{cached}, run {task.parent[:8]}, {minute(task.at)})"


def _searched(trials: Sequence[TrialRun]) -> str:
    """``20 trials (19 COMPLETE, 1 FAIL), best 0.98: batch_size 64, …``"""
    counted = ", ".join(f"{n} {state}" for state, n in Counter(t.state for t in trials).items())
    summary = f"{len(trials)} trials ({counted})"
    scored = [(t.value if t.minimize else -t.value, t) for t in trials if t.value is not None]
    if not scored:
        return summary
    _, best = min(scored, key=lambda pair: pair[0])
    values = ", ".join(f"{name} {_short(value)}" for name, value in best.parameters.items())
    return f"{summary}, best {best.value:.4g}: {values}"


def _short(value: str) -> str:
    """Numbers to three digits; Katib's parameters are text."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _trial(event: Mapping[str, Any]) -> TrialRun:
    facet = event["run"]["facets"]["platform_trial"]
    objective = facet["objective"]
    return TrialRun(
        facet["number"],
        event["eventType"],
        objective["type"] == "minimize",
        facet["parameters"],
        objective.get("value"),
    )


def _task_run(event: Mapping[str, Any]) -> TaskRun:
    facets = event["run"]["facets"]
    source = facets.get("platform_cache", {}).get("producedBy", {})
    return TaskRun(
        run_id=event["run"]["runId"],
        parent=facets["parent"]["root"]["run"]["runId"],
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
