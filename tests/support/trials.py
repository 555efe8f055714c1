"""Trial functions that behave and misbehave on purpose; importable by Ray workers."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping

Report = Callable[[Mapping[str, float]], None]


def bowl(params: dict[str, str], *, report: Report | None = None) -> dict[str, float]:
    """Smallest (0) at x = 3."""
    return {"loss": (float(params["x"]) - 3.0) ** 2}


def steps(params: dict[str, str], *, report: Report) -> dict[str, float]:
    """Ten reports that fall from x + 10 to x + 1."""
    x = float(params["x"])
    for step in range(10):
        report({"loss": x + 10 - step})
    return {"loss": x + 1}


def misbehave(params: dict[str, str], *, report: Report) -> dict[str, float]:
    """``how`` is one of ok, raise, nan, nothing, die, hang, busy."""
    how = params["how"]
    if how == "raise":
        raise ValueError("no such file")
    if how == "nan":
        return {"loss": math.nan}
    if how == "nothing":
        return {"other": 1.0}
    if how == "die":
        os._exit(3)
    if how == "hang":
        time.sleep(600)
    if how == "busy":
        burn(600)
    return {"loss": 1.0}


def burn(cpu_s: float) -> float:
    """Use ``cpu_s`` seconds of CPU; returns what was used."""
    begin = time.process_time()
    value = 0.0
    while time.process_time() - begin < cpu_s:
        value = math.sin(value + 1.0)
    return time.process_time() - begin


def burner(params: dict[str, str], *, report: Report) -> dict[str, float]:
    """Uses x seconds of CPU, reporting twenty times."""
    x = float(params["x"])
    for _ in range(20):
        burn(x / 20)
        report({"loss": x})
    return {"loss": x}


def paced(params: dict[str, str], *, report: Report) -> dict[str, float]:
    """Ten reports of x; a large x takes its time after the fourth."""
    x = float(params["x"])
    for step in range(10):
        report({"loss": x})
        if x > 9 and step >= 3:
            time.sleep(0.2)
    return {"loss": x}


def scaled(params: dict[str, str], rows: str, *, report: Report | None = None) -> dict[str, float]:
    """x times the number in the file ``rows``."""
    with open(rows, encoding="ascii") as file:
        return {"loss": float(params["x"]) * float(file.read())}
