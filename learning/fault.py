"""What a fault is: a module of this package's ``faults`` folder with these names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from learning import faults
from learning.lab import RepairState
from learning.sandbox import Sandbox


@dataclass(frozen=True)
class Fault:
    """``inject`` breaks the home and gives the facts that ``is_repaired`` needs."""

    name: str
    symptom: str
    """What somebody on call would hear; nothing of the cause."""
    cause: str
    """One of ``learning.lab.CAUSES``."""
    explanation: str
    """Told once it is solved."""
    hints: tuple[str, ...]
    runbook: str
    inject: Callable[[Sandbox], Mapping[str, Any]]
    is_repaired: Callable[[Sandbox, Mapping[str, Any]], RepairState]
    family: str = ""


def all_faults() -> dict[str, Fault]:
    """Every fault, by name."""
    by_name = {}
    for info in pkgutil.iter_modules(faults.__path__):
        fault = _fault(importlib.import_module(f"{faults.__name__}.{info.name}"))
        by_name[fault.name] = fault
    return dict(sorted(by_name.items()))


def _fault(module: Any) -> Fault:
    return Fault(
        name=module.NAME,
        symptom=module.SYMPTOM,
        cause=module.CAUSE,
        explanation=" ".join((module.__doc__ or "").replace("``", "`").split()),
        hints=module.HINTS,
        runbook=module.RUNBOOK,
        inject=module.inject,
        is_repaired=module.is_repaired,
        family=getattr(module, "FAMILY", ""),
    )
