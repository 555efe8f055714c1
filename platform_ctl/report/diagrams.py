"""Graphs as SVG: where each box, its words and its arrows go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from platform_ctl.report.dag import DagLayout, DagNode, PlacedNode, picture
from platform_ctl.report.html import look
from platform_ctl.report.layout import Arrow, Drawing, draw, path_of
from platform_ctl.report.lineage_map import LineageMap, LineageNode

_WIDEST = 1240.0
"""What is wider could not be read on a page of 1080 pixels; it is drawn downwards only."""
_LINEAGE_SIZE = (164.0, 46.0)
_INDENT = 10.0
_NARROW, _BROAD = 6.2, 7.9
"""Pixels a character of narrow and broad fonts: the reader's is not known."""


@dataclass(frozen=True)
class NodeView:
    x: float
    y: float
    width: float
    height: float
    classes: str
    tone: str
    icon: str
    label: str
    note: str
    title: str
    squeeze: float = 0.0
    """Width to press the label into, where it could be too long; 0: it has room."""
    group: bool = False


@dataclass(frozen=True)
class Diagram:
    direction: str
    width: float
    height: float
    groups: tuple[NodeView, ...]
    nodes: tuple[NodeView, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class ResponsiveDiagram:
    """One for wide screens, if it fits there, and one for telephones and paper."""

    wide: Diagram | None
    tall: Diagram


def of_graph(root: DagNode) -> ResponsiveDiagram:
    """The DAG of a run."""
    across, down = picture(root), picture(root, down=True)
    return ResponsiveDiagram(_graph(across) if across.width <= _WIDEST else None, _graph(down))


def of_lineage(lineage: LineageMap) -> tuple[Diagram | None, Diagram]:
    """Datasets and runs. (wide, tall) as in ``ResponsiveDiagram``."""
    sizes = {n.key: _LINEAGE_SIZE for n in lineage.nodes}
    across = draw(sizes, lineage.edges, gap_along=30.0, gap_across=14.0)
    turned = {key: (height, width) for key, (width, height) in sizes.items()}
    down = draw(turned, lineage.edges, gap_along=26.0, gap_across=14.0).transposed()
    wide = _lineage(across, lineage.nodes) if across.width <= _WIDEST else None
    return wide, _lineage(down, lineage.nodes)


def _graph(placed: DagLayout) -> Diagram:
    views = [_node(p) for p in placed.nodes]
    return Diagram(
        _direction(placed.down),
        _round(placed.width),
        _round(placed.height),
        tuple(v for v in views if v.group),
        tuple(v for v in views if not v.group),
        _paths(placed.arrows, placed.down),
    )


def _node(placed: PlacedNode) -> NodeView:
    node, shown = placed.node, look(placed.node.state)
    group = node.shape != "step"
    quick = node.state == "SUCCEEDED" and node.note
    note = node.note if quick else f"{shown.words} {node.note}".strip()
    if sum(node.states.values()) > 1 and not group:
        note = f"{node.note} ok"
    counts = ", ".join(f"{n} {look(s).words}" for s, n in node.states.items())
    reason = f": {node.note}" if node.note else ""
    classes = f"node {node.shape} {shown.tone}" if not group else f"group {node.shape}"
    return NodeView(
        x=_round(placed.x),
        y=_round(placed.y),
        width=_round(placed.width),
        height=_round(placed.height),
        classes=classes,
        tone=shown.tone,
        icon=shown.icon,
        label=_fit(node.label, placed.width)[0],
        note=note,
        squeeze=_fit(node.label, placed.width)[1],
        title=f"{node.key}: {counts or shown.words}{reason}",
        group=group,
    )


def _lineage(drawn: Drawing, nodes: Iterable[LineageNode]) -> Diagram:
    by_key = {n.key: n for n in nodes}
    views = tuple(
        NodeView(
            x=_round(b.x),
            y=_round(b.y),
            width=_round(b.width),
            height=_round(b.height),
            classes=f"node {by_key[b.key].kind}",
            tone="",
            icon="",
            label=_fit(by_key[b.key].label, b.width)[0],
            note=_fit(by_key[b.key].note, b.width)[0],
            squeeze=_fit(by_key[b.key].label, b.width)[1],
            title=f"{by_key[b.key].label} {by_key[b.key].note}",
        )
        for b in drawn.boxes
    )
    size = _round(drawn.width), _round(drawn.height)
    return Diagram(_direction(drawn.down), *size, (), views, _paths(drawn.arrows, drawn.down))


def _paths(arrows: Iterable[Arrow], down: bool) -> tuple[str, ...]:
    return tuple(path_of(a, down) for a in arrows)


def _direction(down: bool) -> str:
    return "down" if down else "across"


def _fit(text: str, width: float) -> tuple[str, float]:
    """The text, cut where no font would hold it, and the width to press it into (0: none)."""
    room = width - 2 * _INDENT
    most = int(room / _NARROW)
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    return shown, _round(room) if len(shown) * _BROAD > room else 0.0


def _round(value: float) -> float:
    return round(value, 1)
