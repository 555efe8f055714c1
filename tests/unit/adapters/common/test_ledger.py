"""The ledger keeps one entry for each kind of work, and what the cache saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl.adapters.common.ledger import Ledger
from platform_ctl.adapters.common.state import connect
from platform_ctl.domain.budget import totals


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(connect(tmp_path / "platform.db"), money_per_cpu_hour=0.36)


def test_recording_again_replaces(ledger: Ledger) -> None:
    ledger.record("r1", "tune", "tune", wall_s=1, cpu_s=2, trials=3)
    ledger.record("r1", "tune", "tune", wall_s=10, cpu_s=100, trials=20)
    (entry,) = ledger.entries("r1")
    assert (entry.wall_s, entry.cpu_s, entry.trials) == (10, 100, 20)
    assert entry.money == pytest.approx(0.01)


def test_a_cache_hit_counts_what_the_work_had_cost(ledger: Ledger) -> None:
    ledger.record("r1", "tune", "step", wall_s=12, cpu_s=3)
    ledger.record("r1", "tune", "tune", wall_s=10, cpu_s=100, trials=20)
    ledger.record("r1", "extract", "step", wall_s=5, cpu_s=5)
    ledger.save("r2", "tune", of_run_id="r1", of_task="tune")
    ledger.record("r2", "train", "train", wall_s=4, cpu_s=7)
    found = totals(ledger.entries("r2"))
    assert (found.cpu_s, found.saved_cpu_s, found.saved_wall_s) == (7, 103, 12)
    assert found.trials == 0


def test_runs_are_apart(ledger: Ledger) -> None:
    ledger.record("r1", "tune", "step", wall_s=1, cpu_s=1)
    assert ledger.entries("r2") == []
