"""What a run may cost, and whether a search has reached it. Pure arithmetic.

Money is cpu-hours times the rate in ``money_per_cpu_hour``; wall time is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from platform_ctl.recipe.recipe import Budget


@dataclass(frozen=True)
class Spend:
    """Used so far: trials started, seconds of wall clock, seconds of CPU as the kernel counts."""

    trials: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


def money(cpu_s: float, money_per_cpu_hour: float) -> float:
    return cpu_s / 3600.0 * money_per_cpu_hour


def exhausted(budget: Budget, spend: Spend, *, money_per_cpu_hour: float) -> str | None:
    """The first running cap that is reached, as a sentence for the record; None below all caps.

    The cap on trials is not here: it stops the start of further trials and never
    one in flight.
    """
    if budget.wall_s is not None and spend.wall_s >= budget.wall_s:
        return f"{spend.wall_s:.1f} s of {budget.wall_s:g} s wall time used"
    if budget.cpu_s is not None and spend.cpu_s >= budget.cpu_s:
        return f"{spend.cpu_s:.1f} of {budget.cpu_s:g} cpu-seconds used"
    cost = money(spend.cpu_s, money_per_cpu_hour)
    if budget.money is not None and cost >= budget.money:
        return f"{cost:.4f} of {budget.money:g} money used"
    return None


def trials_left(budget: Budget, spend: Spend) -> int | None:
    """How many more trials may start; None without a cap."""
    return None if budget.trials is None else max(0, budget.trials - spend.trials)


Kind = Literal["step", "tune", "ray", "canary", "orchestrator"]


@dataclass(frozen=True)
class LedgerEntry:
    """What one kind of work of one task cost, or would have cost had the cache not answered.

    Kinds do not overlap, so that the CPU seconds of a run add up to what the
    kernel counted for its processes:

    ``step``: the step's process and the children it waited for.
    ``tune``: the trials of a search, as far as they ran in the run's Ray.
    ``ray``: the rest of that Ray (daemons, starting workers, distributed
    training), charged to the step that was connected meanwhile, and what is
    left at the end to task ``""``.
    ``canary``: the processes of the InferenceService while the step started or
    judged a canary in them; they are not the run's own.
    ``orchestrator``: the run's process and its step server; task ``""``.
    """

    run_id: str
    task: str
    kind: Kind
    wall_s: float
    cpu_s: float
    money: float
    trials: int = 0
    saved_by_cache: bool = False
    note: str = ""
    """What cut the work short, where something did."""


class Costs(Protocol):
    """The ledger of a target, to be read."""

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """In the order of recording; none of a run that nothing is known of."""
        ...


@dataclass(frozen=True)
class Cost:
    """Sums of a run: what was spent, and what the cache saved.

    Wall times are those of the steps, one after another: what ran inside a
    step is part of it.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    money: float = 0.0
    trials: int = 0
    cpu_s_by_kind: Mapping[Kind, float] = field(default_factory=dict)
    saved_wall_s: float = 0.0
    saved_cpu_s: float = 0.0
    saved_money: float = 0.0
    notes: tuple[str, ...] = ()


def cost(entries: Iterable[LedgerEntry]) -> Cost:
    """Spent and saved, apart."""
    entries = list(entries)
    spent = [e for e in entries if not e.saved_by_cache]
    saved = [e for e in entries if e.saved_by_cache]
    by_kind: dict[Kind, float] = {}
    for entry in spent:
        by_kind[entry.kind] = by_kind.get(entry.kind, 0.0) + entry.cpu_s
    return Cost(
        wall_s=sum(e.wall_s for e in spent if e.kind == "step"),
        cpu_s=sum(e.cpu_s for e in spent),
        money=sum(e.money for e in spent),
        trials=sum(e.trials for e in spent),
        cpu_s_by_kind=by_kind,
        saved_wall_s=sum(e.wall_s for e in saved if e.kind == "step"),
        saved_cpu_s=sum(e.cpu_s for e in saved),
        saved_money=sum(e.money for e in saved),
        notes=tuple(f"{e.task}: {e.note}" for e in entries if e.note),
    )
