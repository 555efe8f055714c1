"""What a run may cost, and whether a search has reached it. Pure arithmetic.

Money is cpu-hours times the rate in ``money_per_cpu_hour``; wall time is free.
"""

from __future__ import annotations

from dataclasses import dataclass

from platform_ctl.domain.recipe import Budget


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
