"""The ledger keeps one entry for each kind of work, and what the cache saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl.home.state import connect
from platform_ctl.runs.budget import cost
from platform_ctl.runs.ledger import Ledger


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
    ledger.record("r2", "train", "ray", wall_s=4, cpu_s=7)
    found = cost(ledger.entries("r2"))
    assert (found.cpu_s, found.saved_cpu_s, found.saved_wall_s) == (7, 103, 12)
    assert found.trials == 0


def test_runs_are_apart(ledger: Ledger) -> None:
    ledger.record("r1", "tune", "step", wall_s=1, cpu_s=1)
    assert ledger.entries("r2") == []


def test_every_attempt_counts(ledger: Ledger) -> None:
    ledger.add("r1", "train", "step", wall_s=1, cpu_s=2)
    ledger.add("r1", "train", "step", wall_s=3, cpu_s=4)
    (entry,) = ledger.entries("r1")
    assert (entry.wall_s, entry.cpu_s, entry.money) == (4, 6, pytest.approx(0.0006))


def test_what_was_spent_stays_beside_what_the_cache_saved(ledger: Ledger) -> None:
    ledger.record("r1", "train", "step", wall_s=5, cpu_s=5)
    ledger.add("r2", "train", "step", wall_s=1, cpu_s=2)
    ledger.save("r2", "train", of_run_id="r1", of_task="train")
    found = cost(ledger.entries("r2"))
    assert (found.cpu_s, found.saved_cpu_s) == (2, 5)


def test_trials_and_the_rest_of_ray_add_up_to_its_meter(ledger: Ledger) -> None:
    ledger.record("r1", "tune", "tune", wall_s=9, cpu_s=16, trials=20)
    ledger.charge_ray("r1", "tune", 20)  # a start of 4
    ledger.charge_ray("r1", "train", 30)
    ledger.charge_ray("r1", "train", 31)  # its second attempt
    ledger.charge_ray("r1", "", 30.5)  # a meter that reads low takes nothing back
    entries = ledger.entries("r1")
    assert {e.task: e.cpu_s for e in entries if e.kind == "ray"} == {
        "tune": 4,
        "train": 11,
        "": 0,
    }
    assert cost(entries).cpu_s == 31


def test_a_meter_that_began_anew_counts_from_there(ledger: Ledger) -> None:
    readings = iter((5.0, 7.0, 9.0, 1.0))
    for _ in range(2):
        with ledger.metered("r1", "analyse", "canary", lambda: next(readings)):
            pass
    (entry,) = ledger.entries("r1")
    assert (entry.kind, entry.cpu_s) == ("canary", 3)
