"""Scales, ticks and the charts of a report, in percent of the picture's width and height.

Percentages let one drawing fill a telephone and a wide screen with text of the same size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["linear", "log", "log1p"]
_SMALLEST = 1e-100
"""Below it there is no logarithmic axis: nobody could read its labels."""
LEFT, RIGHT = 15.0, 97.0
TOP, BOTTOM = 5.0, 82.0
"""The plotting area; the rest holds ticks and labels."""


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto ``start`` to ``end`` (percent); beyond is clipped."""

    low: float
    high: float
    kind: Kind = "linear"
    start: float = LEFT
    end: float = RIGHT

    def at(self, value: float) -> float:
        low, high = self._bent(self.low), self._bent(self.high)
        inside = self._bent(min(max(value, self.low), self.high))
        share = (inside - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, wanted: int = 5) -> tuple[Tick, ...]:
        """About so many round values inside, with their labels."""
        values = {"linear": _round, "log": _decades, "log1p": _from_zero}[self.kind](
            self.low, self.high, wanted
        )
        return tuple(
            Tick(self.at(v), label) for v, label in zip(values, _labels(values), strict=True)
        )

    def _bent(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        return math.log1p(value) if self.kind == "log1p" else value


def fit(
    values: Iterable[float],
    *,
    start: float = LEFT,
    end: float = RIGHT,
    kind: Kind = "linear",
    zero: bool = False,
) -> Scale:
    """A scale that holds every finite value with a little air; with ``zero``, 0 too.

    ``log`` needs values above 0 and ``log1p`` none below; else it is ``linear``.
    """
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if (kind == "log" and low < _SMALLEST) or (kind == "log1p" and low < 0):
        kind = "linear"
    if kind == "log":
        room = (high / low) ** 0.05 if high > low else 2.0
        return Scale(low / room, high * room, kind, start, end)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low)
    size = max(abs(low), abs(high))
    if room < 1e-9 * max(1.0, size):  # as good as one value
        room = 0.5 * size if size > 1e-9 else 0.5
    if kind == "log1p":
        return Scale(max(0.0, low - room), high + room, kind, start, end)
    return Scale(low if zero and low == 0.0 else low - room, high + room, kind, start, end)


def spread(values: Sequence[float]) -> Kind:
    """``log1p`` for counts with a long tail, else ``linear``."""
    known = sorted(v for v in values if math.isfinite(v))
    if not known or known[0] < 0:
        return "linear"
    middle = known[len(known) // 2]
    return "log1p" if known[-1] > 20 and known[-1] > 8 * max(middle, 1.0) else "linear"


def number(value: float | None) -> str:
    """A figure for people: three significant digits, thousands in full, – for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if abs(value) < 0.0001:
        digits, power = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    text = f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text and len(text) > 4 else text


def metric(value: float | None) -> str:
    """A figure to compare with others: the same decimals for all of a size."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return number(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def count(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def money(value: float) -> str:
    """Four decimals, as on the command line."""
    return f"{value:.4f}" if value >= 0.0001 or value == 0 else "< 0.0001"


def _labels(values: Sequence[float]) -> list[str]:
    """As short as they can be and still tell the values apart."""
    labels = [number(v) for v in values]
    digits = 4
    while len(set(labels)) < len(labels) and digits < 15:
        labels = [f"{v:.{digits}g}" for v in values]
        digits += 1
    return labels


def _round(low: float, high: float, wanted: int) -> list[float]:
    step = _nice((high - low) / max(1, wanted))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = 12 - math.floor(math.log10(step))
    return [round(n * step, digits) for n in range(first, last + 1)]


def _nice(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))


def _decades(low: float, high: float, wanted: int) -> list[float]:
    """1, 10, 100; with 2 and 5 between where decades alone are too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [s * 10.0**p for p in powers for s in steps]
        inside = [v for v in values if low <= v <= high]
        if len(inside) >= 3:
            break
    if len(inside) < 2:
        return _round(low, high, wanted)
    return inside[:: math.ceil(len(inside) / (2 * wanted))]


def _from_zero(low: float, high: float, wanted: int) -> list[float]:
    """0, 1, 3, 10, 30 …"""
    steps = [0.0, *(s * 10.0**p for p in range(0, 10) for s in (1, 3))]
    inside = [v for v in steps if low <= v <= high]
    return inside if len(inside) <= wanted + 2 else inside[:1] + inside[1::2]


# ---- charts ---------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Segment:
    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True)
class Chart:
    """One picture: everything in percent, ``kind`` is what the style sheet colours by."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[Point, ...] = ()
    segments: tuple[Segment, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """(kind, words)."""
    note: str = ""
    """What the picture shows, for who cannot see it."""


def vertical(values: Iterable[float], kind: Kind = "linear", *, zero: bool = False) -> Scale:
    """A scale for the y axis: larger is higher."""
    return fit(values, start=BOTTOM, end=TOP, kind=kind, zero=zero)


def line(spots: Sequence[tuple[float, float]], kind: str) -> tuple[Segment, ...]:
    """A line from spot to spot (percent)."""
    return tuple(Segment(*one, *other, kind) for one, other in pairwise(spots))


def steps(spots: Sequence[tuple[float, float]], kind: str) -> tuple[Segment, ...]:
    """A line that keeps its height until the next spot (percent)."""
    segments: list[Segment] = []
    for (x1, y1), (x2, y2) in pairwise(spots):
        segments.append(Segment(x1, y1, x2, y1, kind))
        if y1 != y2:
            segments.append(Segment(x2, y1, x2, y2, kind))
    return tuple(segments)
