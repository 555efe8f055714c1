"""Durations and sizes as words of the command line: ``30d``, ``1.5h``, ``2GB``, ``512MiB``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"b": 1, "": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_LONGEST_S = 100 * 365 * 86400


class _Quantity(click.ParamType):
    units: dict[str, int]
    example: str

    def scale(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _QUANTITY.fullmatch(str(value))
        unit = match[2].lower() if match else None
        if match is None or unit not in self.units:
            self.fail(f"{value!r} is not a {self.name}: write {self.example}", param, ctx)
        return float(match[1]) * self.units[unit]


class Duration(_Quantity):
    """-> timedelta. A unit is required: 30 alone could be seconds or days."""

    name = "duration"
    units = _SECONDS
    example = "30d, 12h, 45m or 90s"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        seconds = self.scale(value, param, ctx)
        if seconds > _LONGEST_S:
            self.fail(f"{value!r} is longer than a century", param, ctx)
        return timedelta(seconds=seconds)


class Count(click.IntRange):
    """-> int, at least 1."""

    name = "integer"

    def __init__(self) -> None:
        super().__init__(min=1)


class Size(_Quantity):
    """-> bytes. kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024."""

    name = "size"
    units = _BYTES
    example = "500MB, 2GB, 1.5GiB or a number of bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return value if isinstance(value, int) else round(self.scale(value, param, ctx))


def text_of_bytes(count: int) -> str:
    """A size for people: ``1.5 GB``."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"
