"""Metrics of schedules: what the home's database and the files say, read only."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.metrics.schedules import ScheduleMetrics
from platform_ctl.schedules.local.figures import figures
from tests.support import schedule_files as files
from tests.unit.schedules.test_engine import BEGIN, SOURCE, Sandbox, hourly


def _samples(sandbox: Sandbox, *entries: str) -> dict[tuple[str, ...], float]:
    documents = files.load(sandbox.root, *entries)
    source = ScheduleMetrics(
        sandbox.root / "platform.db", lambda db, now: figures(db, documents, SOURCE, int(now))
    )
    found = source.samples(sandbox.time.now)
    return {(s.metric.name, *s.labels): s.value for s in found}


def test_slots_drift_and_heartbeat(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    assert _samples(sandbox) == {}
    sandbox.apply(hourly(catch_up="latest"))
    sandbox.look(3 * 3600)
    found = _samples(sandbox, hourly(catch_up="latest"))
    name = ("blue", "nightly")
    assert found == {
        ("platform_schedule_drift", "blue"): 0,
        ("platform_schedule_next_fire_timestamp_seconds", *name): BEGIN + 4 * 3600,
        ("platform_schedule_last_fire_timestamp_seconds", *name): BEGIN + 3 * 3600,
        ("platform_schedule_slots_total", *name, "fired"): 1,
        ("platform_schedule_slots_total", *name, "missed"): 2,
        ("platform_schedule_engine_heartbeat_timestamp_seconds",): BEGIN + 3 * 3600,
    }
    changed = _samples(sandbox, hourly(catch_up="latest", parameters="{trials: 5}"))
    assert changed["platform_schedule_drift", "blue"] == 1
    sandbox.store.suppressed("blue/fresh", "cool_down", BEGIN)
    suppressed = _samples(sandbox)[
        "platform_schedule_triggers_suppressed_total", "blue", "fresh", "cool_down"
    ]
    assert suppressed == 1
