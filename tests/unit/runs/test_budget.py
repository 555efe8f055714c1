"""Caps and the sums of the ledger."""

from __future__ import annotations

import pytest

from platform_ctl.recipe.recipe import Budget
from platform_ctl.runs.budget import LedgerEntry, Spend, cost, exhausted, money, trials_left


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        (Budget(), None),
        (Budget(wall_s=11, cpu_s=101, money=0.02), None),
        (Budget(wall_s=10), "wall time"),
        (Budget(cpu_s=100), "cpu-seconds"),
        (Budget(money=0.009), "money"),
        (Budget(trials=1), None),
    ],
)
def test_the_first_cap_that_is_reached_is_named(budget: Budget, named: str | None) -> None:
    found = exhausted(budget, Spend(trials=9, wall_s=10, cpu_s=100), money_per_cpu_hour=0.36)
    assert (found is None) if named is None else (named in found)


def test_money_is_cpu_hours_times_the_rate() -> None:
    assert money(7200, 0.05) == pytest.approx(0.1)


def test_a_cap_on_trials_counts_what_was_started() -> None:
    assert trials_left(Budget(), Spend(trials=3)) is None
    assert trials_left(Budget(trials=5), Spend(trials=3)) == 2
    assert trials_left(Budget(trials=5), Spend(trials=9)) == 0


def test_totals_keep_saved_apart_and_count_wall_time_once() -> None:
    entries = [
        LedgerEntry("r", "tune", "step", wall_s=10, cpu_s=1, money=0.1),
        LedgerEntry(
            "r", "tune", "tune", wall_s=9, cpu_s=16, money=1.6, trials=20, note="no time left"
        ),
        LedgerEntry("r", "extract", "step", wall_s=5, cpu_s=4, money=0.4, saved_by_cache=True),
    ]
    found = cost(entries)
    assert (found.wall_s, found.cpu_s, found.trials) == (10, 17, 20)
    assert found.cpu_s_by_kind == {"step": 1, "tune": 16}
    assert found.money == pytest.approx(1.7)
    assert (found.saved_wall_s, found.saved_cpu_s, found.saved_money) == (5, 4, 0.4)
    assert found.notes == ("tune: no time left",)
