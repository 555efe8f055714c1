"""Layered drawing of a directed graph (Sugiyama, Tagawa and Toda 1981), small graphs only.

Coordinates are pixels. ``x`` runs with the arrows; ``transposed`` turns the
picture so that they run downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

Edge = tuple[str, str]
Spot = tuple[float, float]
_SWEEPS = 4
_BEND = 8.0
"""Room that a passing arrow takes in a layer."""


@dataclass(frozen=True)
class Box:
    """The top left corner and the size of a node."""

    key: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Arrow:
    """From the border of one box to that of another, through ``spots``."""

    source: str
    target: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Drawing:
    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    down: bool = False
    """Arrows run downwards instead of to the right."""

    def transposed(self) -> Drawing:
        boxes = tuple(Box(b.key, b.y, b.x, b.height, b.width) for b in self.boxes)
        arrows = tuple(replace(a, spots=tuple((y, x) for x, y in a.spots)) for a in self.arrows)
        return Drawing(self.height, self.width, boxes, arrows, not self.down)

    def moved(self, dx: float, dy: float) -> Drawing:
        boxes = tuple(replace(b, x=b.x + dx, y=b.y + dy) for b in self.boxes)
        arrows = tuple(
            replace(a, spots=tuple((x + dx, y + dy) for x, y in a.spots)) for a in self.arrows
        )
        return replace(self, boxes=boxes, arrows=arrows)


def draw(
    sizes: Mapping[str, Spot], edges: Iterable[Edge], *, gap_along: float, gap_across: float
) -> Drawing:
    """Place boxes of ``sizes`` (width, height) so that arrows go to the right.

    An edge that a longer way implies is left out, and so is one that closes a circle.
    """
    drawn = reduced(sizes, acyclic(sizes, edges))
    if not sizes:
        return Drawing(0.0, 0.0)
    grid = _Grid(sizes, drawn)
    along = _columns(grid, gap_along)
    across = _rows(grid, gap_across)
    boxes = tuple(
        Box(n, along[grid.layer[n]] + (grid.thick(n) - w) / 2, across[n] - h / 2, w, h)
        for n, (w, h) in sizes.items()
    )
    width = max(b.x + b.width for b in boxes)
    low, high = min(b.y for b in boxes), max(b.y + b.height for b in boxes)
    by_key = {b.key: b for b in boxes}
    arrows = tuple(_arrow(edge, by_key, grid, along, across) for edge in drawn)
    return Drawing(width, high - low, boxes, arrows).moved(0.0, -low)


def acyclic(nodes: Iterable[str], edges: Iterable[Edge]) -> list[Edge]:
    """The edges between known nodes, in order, without those that would close a circle."""
    after: dict[str, set[str]] = {n: set() for n in nodes}
    forward: list[Edge] = []
    for source, target in edges:
        if source not in after or target not in after or target in after[source]:
            continue
        if source != target and not _reaches(after, target, source):
            after[source].add(target)
            forward.append((source, target))
    return forward


def reduced(nodes: Iterable[str], edges: Sequence[Edge]) -> list[Edge]:
    """The transitive reduction of an acyclic graph."""
    after: dict[str, list[str]] = {n: [] for n in nodes}
    for source, target in edges:
        after[source].append(target)
    seen = {n: _below(after, n) for n in after}
    return [
        (a, b) for a, b in edges if not any(b in seen[other] for other in after[a] if other != b)
    ]


def _reaches(after: Mapping[str, set[str]], start: str, goal: str) -> bool:
    stack, seen = [start], {start}
    while stack:
        node = stack.pop()
        if node == goal:
            return True
        stack += after[node] - seen
        seen |= after[node]
    return False


def _below(after: Mapping[str, list[str]], start: str) -> set[str]:
    stack, seen = list(after[start]), set(after[start])
    while stack:
        fresh = [n for n in after[stack.pop()] if n not in seen]
        seen.update(fresh)
        stack += fresh
    return seen


def path_of(arrow: Arrow, down: bool) -> str:
    """The arrow as the ``d`` of an SVG path: level at every spot, curved between."""
    spots = arrow.spots
    words = [f"M{_spot(*spots[0])}"]
    for (x1, y1), (x2, y2) in pairwise(spots):
        if down:
            middle = (y1 + y2) / 2
            bends = _spot(x1, middle), _spot(x2, middle)
        else:
            middle = (x1 + x2) / 2
            bends = _spot(middle, y1), _spot(middle, y2)
        words.append(f"C{bends[0]} {bends[1]} {_spot(x2, y2)}")
    return " ".join(words)


def _spot(x: float, y: float) -> str:
    return f"{x:.1f},{y:.1f}"


@dataclass
class _Grid:
    """Nodes in layers; an edge over several layers gets a bend in each one between."""

    sizes: Mapping[str, Spot]
    edges: Sequence[Edge]
    layer: dict[str, int] = field(default_factory=dict)
    layers: list[list[str]] = field(default_factory=list)
    bends: dict[Edge, list[str]] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layer = _layers(self.sizes, self.edges)
        self.layers = [[] for _ in range(max(self.layer.values()) + 1)]
        for node, number in self.layer.items():
            self.layers[number].append(node)
        for number, edge in enumerate(self.edges):
            self._bend(number, edge)
        self._order()

    def _bend(self, number: int, edge: Edge) -> None:
        source, target = edge
        between = range(self.layer[source] + 1, self.layer[target])
        self.bends[edge] = [f"{number}\0{layer}" for layer in between]
        for layer, bend in zip(between, self.bends[edge], strict=True):
            self.layer[bend] = layer
            self.layers[layer].append(bend)
        for a, b in pairwise([source, *self.bends[edge], target]):
            self.after.setdefault(a, []).append(b)
            self.before.setdefault(b, []).append(a)

    def _order(self) -> None:
        """Fewer crossings: each layer by the mean place of its neighbours."""
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            beside = self.before if down else self.after
            for layer in self.layers if down else reversed(self.layers):
                place = {n: i for row in self.layers for i, n in enumerate(row)}
                layer.sort(key=lambda n: _mean([place[m] for m in beside.get(n, [n])]))

    def thick(self, node: str) -> float:
        """Width of the node's column."""
        return max(self.width(n) for n in self.layers[self.layer[node]])

    def width(self, node: str) -> float:
        return self.sizes[node][0] if node in self.sizes else 0.0

    def height(self, node: str) -> float:
        return self.sizes[node][1] if node in self.sizes else _BEND


def _layers(nodes: Iterable[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Longest way from a source; a source stands right before what needs it first."""
    before: dict[str, list[str]] = {n: [] for n in nodes}
    after: dict[str, list[str]] = {n: [] for n in before}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    layer: dict[str, int] = {}
    waiting = {n: len(b) for n, b in before.items()}
    ready = [n for n, count in waiting.items() if not count]
    while ready:
        node = ready.pop()
        layer[node] = max((layer[b] + 1 for b in before[node]), default=0)
        for target in after[node]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node, sources in before.items():
        if not sources and after[node]:
            layer[node] = min(layer[t] for t in after[node]) - 1
    return {n: layer[n] for n in before}


def _columns(grid: _Grid, gap: float) -> list[float]:
    """Where each layer begins."""
    starts, at = [], 0.0
    for layer in grid.layers:
        starts.append(at)
        at += max((grid.width(n) for n in layer), default=0.0) + gap
    return starts


def _rows(grid: _Grid, gap: float) -> dict[str, float]:
    """The centre of each node across the arrows: near its neighbours, never overlapping."""
    at: dict[str, float] = {}
    for layer in grid.layers:
        at |= _packed(layer, [0.0] * len(layer), grid, gap)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        beside = grid.before if down else grid.after
        for layer in grid.layers if down else reversed(grid.layers):
            wanted = [_mean([at[m] for m in beside.get(n, [n])]) for n in layer]
            at |= _packed(layer, wanted, grid, gap)
    return at


def _packed(layer: list[str], wanted: list[float], grid: _Grid, gap: float) -> dict[str, float]:
    """Nearest to ``wanted`` in the order of the layer, with gaps (pool adjacent violators)."""
    offsets, at = [], 0.0
    for node in layer:
        half = grid.height(node) / 2
        at += half
        offsets.append(at)
        at += half + gap
    pools: list[list[float]] = []
    for place in (w - o for w, o in zip(wanted, offsets, strict=True)):
        pools.append([place])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    places = [_mean(pool) for pool in pools for _ in pool]
    return {n: p + o for n, p, o in zip(layer, places, offsets, strict=True)}


def _arrow(
    edge: Edge,
    boxes: Mapping[str, Box],
    grid: _Grid,
    along: Sequence[float],
    across: Mapping[str, float],
) -> Arrow:
    source, target = boxes[edge[0]], boxes[edge[1]]
    spots = [(source.x + source.width, source.y + source.height / 2)]
    for bend in grid.bends[edge]:
        start = along[grid.layer[bend]]
        spots += [(start, across[bend]), (start + grid.thick(bend), across[bend])]
    spots.append((target.x, target.y + target.height / 2))
    return Arrow(*edge, tuple(spots))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
