"""The engine of this machine: slots claimed once, over versions, kills and clock jumps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from platform_ctl.errors import ClusterUnavailable, UsageError
from platform_ctl.runs.record import Run, RunRequest, RunState
from platform_ctl.schedules import apply as apply_module
from platform_ctl.schedules.apply import Apply, ApplyOptions, Clock, ScheduleSource
from platform_ctl.schedules.local.engine import RunPorts, ScheduleEngine
from platform_ctl.schedules.local.store import LocalSchedules, looking, read_start
from tests.fakes.schedules import Killed, Time
from tests.support import schedule_files as files

SOURCE = ScheduleSource("project", "")
BEGIN = 1_795_003_200  # a full hour
KEY = "blue/nightly"


@dataclass
class FakeRuns:
    """Runs by key; faults: die before or after the submission, refuse."""

    die: str = ""
    refuse: BaseException | None = None
    requests: dict[str, RunRequest] = field(default_factory=dict)
    open: bool = False
    """Whether runs never end."""

    def submit(self, request: RunRequest) -> Run:
        if self.refuse:
            raise self.refuse
        if self.die == "before":
            raise Killed
        self.requests.setdefault(request.idempotency_key, request)
        if self.die == "after":
            raise Killed
        state = RunState.RUNNING if self.open else RunState.SUCCEEDED
        return Run(request.idempotency_key, request.name, "hello", state, "", "")

    def state(self, run_id: str) -> RunState | None:
        return RunState.RUNNING if self.open else RunState.SUCCEEDED

    def slots(self) -> list[str]:
        return [r.scheduled_at for r in self.requests.values()]


class Sandbox:
    def __init__(self, root: Path) -> None:
        self.root, self.time, self.runs = root, Time(BEGIN), FakeRuns()
        self.store = LocalSchedules(root / "platform.db", root / "locks", lambda: self.time.now)

    def apply(self, *entries: str) -> None:
        documents = files.load(self.root, *entries)
        clock = Clock(lambda: self.time.now, self.time.pass_)
        done = Apply(self.store, documents, SOURCE, clock, ApplyOptions()).run("test")
        assert all(one.outcome == "done" for one in done), done

    def engine(self) -> ScheduleEngine:
        door = RunPorts(self.runs.submit, self.runs.state, lambda name: Path(f"/{name}.yaml"))
        return ScheduleEngine(self.store, door, self.root / "ir", lambda: self.time.now)

    def look(self, after_s: int = 0) -> list:
        self.time.pass_(after_s)
        return self.engine().look()

    def counts(self) -> dict[str, int]:
        rows = self.store._db.execute("SELECT counted, value FROM schedule_counts")
        return dict(map(tuple, rows))


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def hourly(**more: str) -> str:
    catch_up = more.pop("catch_up", "all")
    return files.entry(trigger=f'{{cron: "0 0 * * * *", catch_up: {catch_up}}}', **more)


def test_a_slot_is_one_run_with_its_time_and_parameters(sandbox):
    sandbox.apply(hourly(parameters="{trials: 5}"))
    assert sandbox.look(10) == []
    (fired,) = sandbox.look(3600)
    assert (fired.key, fired.slot) == (KEY, BEGIN + 3600)
    (request,) = sandbox.runs.requests.values()
    assert request.parameters == {"trials": 5}
    assert request.scheduled_at == "2026-11-18T13:00:00Z"
    assert request.name == "nightly-2026-11-18T13:00:00Z"
    assert (
        request.pipeline.read_bytes()
        == (sandbox.root / "pipelines/compiled/hello.yaml").read_bytes()
    )
    assert sandbox.look() == []


@pytest.mark.parametrize("die", ["before", "after"])
def test_killed_around_the_submission_the_slot_is_one_run(sandbox, die):
    sandbox.apply(hourly())
    sandbox.runs.die = die
    with pytest.raises(Killed):
        sandbox.look(3600)
    sandbox.runs.die = ""
    sandbox.look(1)
    sandbox.look(1)
    assert sandbox.runs.slots() == ["2026-11-18T13:00:00Z"]


@pytest.mark.parametrize(("catch_up", "expected"), [("all", 5), ("latest", 1)])
def test_slots_missed_in_sleep_are_caught_up(sandbox, catch_up, expected):
    sandbox.apply(hourly(catch_up=catch_up, max_concurrency="10"))
    sandbox.look(5 * 3600 + 20)
    slots = sandbox.runs.slots()
    assert len(slots) == expected and slots[-1] == "2026-11-18T17:00:00Z"
    assert sandbox.counts() == ({} if catch_up == "all" else {"missed": 4})


def test_at_the_limit_a_slot_is_held_and_fires_later(sandbox):
    sandbox.apply(hourly())
    sandbox.runs.open = True
    sandbox.look(3600)
    for _ in range(4):
        sandbox.look(3600)
    assert len(sandbox.runs.requests) == 1
    assert sandbox.counts() == {"held": 1}  # the second one; the others wait behind it
    sandbox.runs.open = False
    for _ in range(5):
        sandbox.look(1)
    assert sandbox.runs.slots()[-1] == "2026-11-18T17:00:00Z" and len(sandbox.runs.requests) == 5


def test_under_latest_held_slots_become_one(sandbox):
    sandbox.apply(hourly(catch_up="latest"))
    sandbox.runs.open = True
    for _ in range(5):
        sandbox.look(3600)
    sandbox.runs.open = False
    sandbox.look(1)
    sandbox.look(1)
    assert sandbox.runs.slots() == ["2026-11-18T13:00:00Z", "2026-11-18T17:00:00Z"]


def test_a_clock_that_jumps_back_fires_nothing_again(sandbox):
    sandbox.apply(hourly(max_concurrency="10"))
    sandbox.look(2 * 3600)
    assert len(sandbox.runs.requests) == 2
    sandbox.time.now -= 7000
    sandbox.look()
    sandbox.look(7200)
    assert len(set(sandbox.runs.slots())) == len(sandbox.runs.slots()) == 2


def test_a_version_does_not_fire_the_slot_of_another(sandbox):
    sandbox.apply(hourly())
    sandbox.look(3600)
    sandbox.look(120)
    sandbox.apply(hourly(parameters="{trials: 5}"))
    sandbox.look(3600)
    assert sandbox.runs.slots() == ["2026-11-18T13:00:00Z", "2026-11-18T14:00:00Z"]


def test_slots_missed_while_paused_count(sandbox):
    sandbox.apply(hourly(catch_up="latest"))
    (run,) = sandbox.store.list()
    sandbox.store.disable(run.id)
    sandbox.look(3 * 3600)
    assert sandbox.runs.slots() == []
    sandbox.store.enable(run.id)
    sandbox.look(1)
    assert sandbox.runs.slots() == ["2026-11-18T15:00:00Z"]


def test_a_run_that_cannot_be_started_holds_nothing_back(sandbox):
    sandbox.apply(hourly())
    sandbox.runs.refuse = UsageError("no such parameter", where="x", fix="y")
    (fired,) = sandbox.look(3600)
    assert "err-usage" in fired.error
    sandbox.runs.refuse = None
    (fired,) = sandbox.look(3600)
    assert fired.slot == BEGIN + 7200
    sandbox.runs.refuse = ClusterUnavailable("away", where="x", fix="y")
    (fired,) = sandbox.look(3600)
    sandbox.runs.refuse = None
    (again,) = sandbox.look(5)
    assert (fired.slot, again.run_id != "") == (again.slot, True)


def test_latest_runs_the_pipeline_of_now(sandbox):
    sandbox.apply(hourly(version="latest"))
    sandbox.look(3600)
    (request,) = sandbox.runs.requests.values()
    assert request.pipeline == Path("/hello.yaml")


def test_the_next_look_is_not_after_the_next_slot(sandbox):
    sandbox.apply(files.entry(trigger='{cron: "*/2 * * * * *"}'))
    sandbox.time.now = BEGIN + 1
    assert sandbox.engine().wait_s() == 1
    sandbox.apply(hourly())
    assert sandbox.engine().wait_s() == 15


def test_a_deleted_schedule_leaves_its_runs(sandbox):
    sandbox.apply(hourly())
    sandbox.look(3600)
    (start,) = sandbox.store.starts_of(KEY)
    sandbox.apply(files.entry(state="absent"))
    assert sandbox.store.list() == []
    with looking(sandbox.root / "platform.db") as db:
        assert read_start(db, start.run_id).slot == start.slot


def test_a_year_of_slots_on_this_machine(sandbox):
    """The engine over a year of hours that it sleeps through now and then."""
    sandbox.apply(files.entry(trigger='{cron: "0 30 6,18 * * 1-5", catch_up: all}'))
    from platform_ctl.schedules import due

    (run,) = sandbox.store.list()
    expected = due.between(run.spec.timing, after=BEGIN, until=BEGIN + 365 * 86400, limit=10_000)
    while sandbox.time.now < BEGIN + 365 * 86400:
        sandbox.time.now += 40_000
        sandbox.look()
    for _ in range(10):
        sandbox.look()
    from platform_ctl.schedules.cron import utc

    wanted = [utc(slot) for slot in expected]
    assert sandbox.runs.slots()[: len(wanted)] == wanted


def test_apply_and_engine_need_no_network(sandbox):
    assert (
        sandbox.store.server().local
        and apply_module.read_state(sandbox.store, files.load(sandbox.root), SOURCE).server.zone
        == "UTC"
    )
