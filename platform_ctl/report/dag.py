"""The DAG of a run: the structure from the IR, the states from the records.

A loop is drawn once; its node says how many iterations ended how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from platform_ctl.ir.pipeline import Component, Pipeline, TaskSpec
from platform_ctl.report.layout import Arrow, Drawing, Edge, draw
from platform_ctl.runs.record import Run, Task, TaskState, elapsed_s
from platform_ctl.text import duration

NOT_REACHED = "NOT_REACHED"
"""A run that is over never came to look at the task."""
GROUP_PADDING, GROUP_TITLE = 10.0, 24.0
GAP_ALONG, GAP_ACROSS = 24.0, 14.0
STEP_SIZE = (122.0, 46.0)
_TITLE_CHARACTER, _WIDEST_TITLE = 7.0, 240.0

Shape = Literal["step", "condition", "loop", "group"]


@dataclass(frozen=True)
class DagNode:
    """A step, or a group of nodes. ``states`` counts the records of its steps."""

    key: str
    """Path without iteration numbers."""
    label: str
    shape: Shape = "step"
    state: str = NOT_REACHED
    note: str = ""
    states: Mapping[str, int] = field(default_factory=dict)
    children: tuple[DagNode, ...] = ()
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True)
class PlacedNode:
    node: DagNode
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class DagLayout:
    """Groups come before what is in them."""

    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    arrows: tuple[Arrow, ...]
    down: bool


def key_of(path: str) -> str:
    """The path without the numbers of loop iterations."""
    return ".".join(part for part in path.split(".") if not part.isdigit())


def graph(pipeline: Pipeline | None, run: Run) -> DagNode:
    """The root of a run's DAG; without its pipeline, the recorded tasks without arrows."""
    by_key: dict[str, list[Task]] = {}
    for task in run.tasks:
        by_key.setdefault(key_of(task.path), []).append(task)
    if pipeline is None:
        nodes = [_step(key, key, by_key, run, "") for key in by_key]
        return DagNode("", run.pipeline, "group", children=tuple(nodes))
    return _group(pipeline, pipeline.root, "", run.pipeline, "group", by_key, run, "")


def _group(
    pipeline: Pipeline,
    component: Component,
    key: str,
    label: str,
    shape: Shape,
    by_key: Mapping[str, Sequence[Task]],
    run: Run,
    above: str,
) -> DagNode:
    own = by_key.get(key, ())
    over = above or next((str(t.state) for t in own), "")
    children, edges = [], []
    for name, spec in component.tasks.items():
        path = f"{key}.{name}" if key else name
        inner = pipeline.component_of(spec)
        if inner.dag:
            kind = _shape(spec)
            drawn = _group(pipeline, inner, path, _title(name, spec), kind, by_key, run, over)
        else:
            drawn = _step(path, name, by_key, run, over)
        children.append(drawn)
        edges += [(f"{key}.{u}" if key else u, path) for u in sorted(spec.upstream())]
    states = sum((Counter(c.states) for c in children), Counter())
    state = over or _together(states, run)
    note = next((t.error for t in own if t.error), "")
    return DagNode(key, label, shape, state, note, states, tuple(children), tuple(edges))


def _step(
    key: str, label: str, by_key: Mapping[str, Sequence[Task]], run: Run, above: str
) -> DagNode:
    tasks = by_key.get(key, ())
    states = Counter(str(t.state) for t in tasks)
    if not tasks:
        return DagNode(key, label, state=above or _unseen(run))
    if len(tasks) > 1:
        good = sum(t.state.good for t in tasks)
        return DagNode(
            key, label, "step", _together(states, run), f"{good} of {len(tasks)}", states
        )
    return DagNode(key, label, "step", str(tasks[0].state), took(tasks[0]), states)


def _together(states: Mapping[str, int], run: Run) -> str:
    """What a group shows: the state that asks for attention first."""
    worst = (
        TaskState.FAILED,
        TaskState.RUNNING,
        TaskState.CANCELED,
        TaskState.PENDING,
        TaskState.SUCCEEDED,
        TaskState.CACHED,
        TaskState.SKIPPED,
    )
    return next((str(s) for s in worst if states.get(str(s))), _unseen(run))


def _unseen(run: Run) -> str:
    return NOT_REACHED if run.state.final else str(TaskState.PENDING)


def _shape(spec: TaskSpec) -> Shape:
    if spec.is_loop:
        return "loop"
    return "condition" if spec.trigger_policy.condition else "group"


def _title(name: str, spec: TaskSpec) -> str:
    title = spec.task_info.name or name
    return {"loop": f"for each: {title}", "condition": f"if: {title}"}.get(_shape(spec), title)


def took(task: Task) -> str:
    """How long a step took, in words; "" for one that was not executed."""
    if task.state in (TaskState.CACHED, TaskState.SKIPPED):
        return ""
    if task.usage.wall_s:
        return duration(task.usage.wall_s)
    took_s = elapsed_s(task.started_at, task.ended_at)
    return "" if took_s is None else duration(took_s)


# ---- picture --------------------------------------------------------------------


def picture(root: DagNode, *, down: bool = False) -> DagLayout:
    """Place every node of the DAG; arrows run to the right, or down."""
    nodes: list[PlacedNode] = []
    arrows: list[Arrow] = []
    width, height = _place(root, down, 0.0, 0.0, nodes, arrows)
    return DagLayout(width, height, tuple(nodes), tuple(arrows), down)


def _place(
    group: DagNode,
    down: bool,
    x: float,
    y: float,
    nodes: list[PlacedNode],
    arrows: list[Arrow],
) -> tuple[float, float]:
    """Add what is in the group with its top left corner at (x, y); the size of it all."""
    drawing = _inner(group, down).moved(x, y)
    arrows += drawing.arrows
    for child, box in zip(group.children, drawing.boxes, strict=True):
        nodes.append(PlacedNode(child, box.x, box.y, box.width, box.height))
        if child.shape != "step":
            beside = (box.width - _inner(child, down).width) / 2
            _place(child, down, box.x + beside, box.y + GROUP_TITLE, nodes, arrows)
    return drawing.width, drawing.height


def _size(node: DagNode, down: bool) -> tuple[float, float]:
    if node.shape == "step":
        return STEP_SIZE
    inner = _inner(node, down)
    title = len(node.label) * _TITLE_CHARACTER
    width = max(inner.width, STEP_SIZE[0], min(title, _WIDEST_TITLE)) + 2 * GROUP_PADDING
    return width, inner.height + GROUP_TITLE + GROUP_PADDING


def _inner(group: DagNode, down: bool) -> Drawing:
    """What is in the group, from (0, 0)."""
    return _drawing({c.key: _size(c, down) for c in group.children}, group.edges, down)


def _drawing(
    sizes: Mapping[str, tuple[float, float]], edges: Iterable[Edge], down: bool
) -> Drawing:
    if down:
        turned = {key: (height, width) for key, (width, height) in sizes.items()}
        drawn = draw(turned, edges, gap_along=GAP_ALONG, gap_across=GAP_ACROSS)
        return drawn.transposed()
    return draw(sizes, edges, gap_along=GAP_ALONG, gap_across=GAP_ACROSS)
