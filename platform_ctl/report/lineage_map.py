"""What a run read and left behind, and the runs before and after it: a picture of few nodes.

Runs and the datasets between them; what only moves between the steps of one run is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform_ctl.lineage.graph import Key, TaskRun
from platform_ctl.report.layout import Edge

MOST_NODES = 24
_DEPTH = 3
_SHORT = 14


@dataclass(frozen=True)
class LineageNode:
    """``kind``: this, run or data."""

    key: str
    kind: str
    label: str
    note: str


@dataclass(frozen=True)
class LineageStep:
    """What one task of the run read and wrote, in words."""

    task: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class LineageMap:
    """``inside``: datasets that only the run's own steps use. ``left_out``: nodes too many."""

    nodes: tuple[LineageNode, ...]
    edges: tuple[Edge, ...]
    steps: tuple[LineageStep, ...]
    inside: int = 0
    left_out: int = 0


def lineage_map(tasks: Iterable[TaskRun], run_id: str) -> LineageMap | None:
    """``tasks``: the ended task runs of the home. None when the run has none among them."""
    runs: dict[str, list[TaskRun]] = {}
    for task in tasks:
        runs.setdefault(task.parent, []).append(task)
    if run_id not in runs:
        return None
    reached = _Walk({key: _RunView(some) for key, some in runs.items()}, run_id)
    reached.back(run_id, _DEPTH)
    reached.forth(run_id, _DEPTH)
    nodes = tuple(reached.nodes.values())
    shown = {n.key for n in nodes[:MOST_NODES]}
    mine = runs[run_id]
    steps = tuple(
        LineageStep(
            t.job.partition(".")[2] or t.job,
            tuple(map(_words, t.inputs)),
            tuple(map(_words, t.outputs)),
        )
        for t in mine
    )
    ours = {k for t in mine for k in (*t.inputs, *t.outputs)}
    inside = len([k for k in ours if _data(k) not in reached.nodes])
    edges = tuple((a, b) for a, b in reached.edges if a in shown and b in shown)
    return LineageMap(nodes[:MOST_NODES], edges, steps, inside, len(nodes[MOST_NODES:]))


class _RunView:
    """One run seen from outside."""

    def __init__(self, tasks: Sequence[TaskRun]) -> None:
        self.name = tasks[0].job.partition(".")[0]
        self.at = min(t.at for t in tasks)
        self.writes = dict.fromkeys(k for t in tasks for k in t.outputs)
        self.reads = dict.fromkeys(k for t in tasks for k in t.inputs if k not in self.writes)
        self.files = {k for t in tasks for k in t.outputs if k[1].startswith(f"{t.job}.")}
        """Artifacts of its own steps; others matter only when another run reads them."""


class _Walk:
    def __init__(self, runs: Mapping[str, _RunView], this: str) -> None:
        self.runs, self.this = runs, this
        self.nodes: dict[str, LineageNode] = {}
        self.edges: dict[Edge, None] = {}
        self._add_run(this)

    def back(self, run_id: str, depth: int) -> None:
        """What the run read, and who wrote that."""
        for key in self.runs[run_id].reads:
            self._add_data(key)
            self.edges[_data(key), run_id] = None
            writer = self._writer(key, self.runs[run_id].at)
            if writer and depth:
                new = self._add_run(writer)
                self.edges[writer, _data(key)] = None
                if new:
                    self.back(writer, depth - 1)

    def forth(self, run_id: str, depth: int) -> None:
        """What the run left behind, and who read that."""
        view = self.runs[run_id]
        for key in view.writes:
            readers = [r for r, v in self.runs.items() if key in v.reads and r != run_id]
            if key in view.files and not readers:
                continue
            self._add_data(key)
            self.edges[run_id, _data(key)] = None
            for reader in readers if depth else ():
                new = self._add_run(reader)
                self.edges[_data(key), reader] = None
                if new:
                    self.forth(reader, depth - 1)

    def _writer(self, key: Key, before: str) -> str:
        """The newest run that wrote it before then."""
        known = [(v.at, r) for r, v in self.runs.items() if key in v.writes and v.at < before]
        return max(known)[1] if known else ""

    def _add_run(self, run_id: str) -> bool:
        if run_id in self.nodes:
            return False
        kind, view = "this" if run_id == self.this else "run", self.runs[run_id]
        note = "this run" if kind == "this" else f"run {run_id[:8]}"
        self.nodes[run_id] = LineageNode(run_id, kind, view.name, note)
        return True

    def _add_data(self, key: Key) -> None:
        namespace, name, version = key
        note = " ".join((namespace.partition(":")[0], _short(version))).strip()
        shown = name.removeprefix("models/")
        self.nodes.setdefault(_data(key), LineageNode(_data(key), "data", shown, note))


def _data(key: Key) -> str:
    return "\0".join(key)


def _words(key: Key) -> str:
    _, name, version = key
    return f"{name} @ {_short(version)}" if version else name


def _short(version: str) -> str:
    return version if len(version) <= _SHORT else f"{version[:10]}…"
