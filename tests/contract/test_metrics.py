"""What every source of metrics does, on any home there can be."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from platform_ctl.metrics.catalogue import CATALOGUE
from platform_ctl.metrics.collect_metrics import collect
from platform_ctl.metrics.port import Metrics
from platform_ctl.targets.metrics import metrics
from tests.support import monitored
from tests.support.commands import platform_ctl

SOURCES = ("records", "releases", "tables", "lineage", "searches", "services", "schedules")
OF_THE_DATABASE = {"records", "releases", "searches", "schedules"}


def sources(home: Path) -> dict[str, Metrics]:
    return {source.name: source for source in metrics(monitored.settings_of(home))}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with something of everything (no table: that takes an ingest)."""
    folder = tmp_path_factory.mktemp("busy")
    settings = monitored.settings_of(folder / "home")
    for x in (1, 1, -1):
        monitored.run(settings, monitored.gate_pipeline(folder, "train-deploy"), x)
    monitored.waiting_approval(settings)
    monitored.blocked_promotion(settings)
    monitored.releases(settings)
    monitored.dead_service(settings)
    monitored.stuck_search(settings)
    return folder / "home"


def test_there_is_no_other_source(tmp_path: Path) -> None:
    assert tuple(sources(tmp_path)) == SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_an_empty_home_is_no_error_and_stays_empty(name: str, tmp_path: Path) -> None:
    list(sources(tmp_path / "home")[name].samples(time.time()))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", SOURCES)
def test_samples_are_of_the_catalogue_and_each_is_told_once(name: str, busy: Path) -> None:
    samples = list(sources(busy)[name].samples(time.time()))
    assert {sample.metric for sample in samples} <= set(CATALOGUE)
    series = [(sample.metric.name, sample.labels) for sample in samples]
    assert len(series) == len(set(series))
    assert samples or name in ("tables", "schedules")


@pytest.mark.parametrize("name", SOURCES)
def test_two_scrapes_of_a_quiet_home_agree(name: str, busy: Path) -> None:
    source = sources(busy)[name]
    assert list(source.samples(1e9)) == list(source.samples(1e9))


def test_no_label_holds_the_id_of_anything(busy: Path) -> None:
    ids = {path.name for path in (busy / "runs").iterdir()}
    with sqlite3.connect(busy / "platform.db") as db:
        ids |= {row[0] for table in ("approvals", "releases") for row in _ids(db, table)}
    values = {label for sample in collect(list(sources(busy).values()), "1").samples
              for label in sample.labels}  # fmt: skip
    assert len(ids) >= 8
    assert not values & ids


def _ids(db: sqlite3.Connection, table: str) -> list[tuple[str]]:
    return db.execute(f"SELECT id FROM {table}").fetchall()


def failing(home: Path) -> set[str]:
    """Sources that a scrape says it could not read; the others are told."""
    found = collect(list(sources(home).values()), "1")
    told = {s.labels[0]: s.value for s in found.samples if s.metric.name.endswith("source_up")}
    assert set(told) == set(SOURCES)
    assert {name for name, up in told.items() if not up} == set(found.problems)
    return set(found.problems)


def test_a_half_made_home(tmp_path: Path) -> None:
    """Killed between making the file and its first table."""
    tmp_path.joinpath("platform.db").touch()
    assert failing(tmp_path) == OF_THE_DATABASE


def test_a_damaged_database(tmp_path: Path) -> None:
    tmp_path.joinpath("platform.db").write_bytes(b"no database" * 1000)
    assert failing(tmp_path) == OF_THE_DATABASE


def test_a_locked_database_is_not_waited_for_long(tmp_path: Path) -> None:
    """As while a home is migrated in a mode that lets nobody read."""
    settings = monitored.settings_of(tmp_path)
    monitored.waiting_approval(settings)
    with sqlite3.connect(settings.layout.database) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        assert failing(tmp_path) == OF_THE_DATABASE
        assert time.monotonic() - begun < 20  # of which a second is meant for each source
        db.execute("ROLLBACK")
    db.close()
    assert failing(tmp_path) == set()


def test_a_writer_in_the_middle_of_its_transaction_does_not_keep_anybody_waiting(
    tmp_path: Path,
) -> None:
    settings = monitored.settings_of(tmp_path)
    monitored.waiting_approval(settings)
    with sqlite3.connect(settings.layout.database, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE approvals SET state = 'void'")
        waiting = {s.labels: s.value for s in sources(tmp_path)["releases"].samples(time.time())}
        assert waiting[(monitored.MODEL, "pending")] == 1
        db.execute("ROLLBACK")


def test_a_home_of_an_older_platform_says_what_makes_it_new(tmp_path: Path) -> None:
    settings = monitored.settings_of(tmp_path)
    monitored.waiting_approval(settings)
    with sqlite3.connect(settings.layout.database) as db:
        db.execute("PRAGMA user_version=70")
    found = collect(list(sources(tmp_path).values()), "1")
    assert set(found.problems) == OF_THE_DATABASE
    assert "platform-ctl run list" in found.problems["records"]


def test_a_damaged_file_blinds_its_own_source_only(busy: Path) -> None:
    notes = busy / "services" / monitored.MODEL / "process.json"
    before = notes.read_bytes()
    notes.write_text("{")
    assert failing(busy) == {"services"}
    notes.write_bytes(before)


def test_a_broken_recipe_blinds_the_tables_only(tmp_path: Path) -> None:
    package = tmp_path / "broken_recipes"
    (package / "one").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "one" / "recipe.py").write_text("raise RuntimeError('half edited')")
    done = platform_ctl(
        tmp_path / "home",
        *("metrics", "serve", "--once"),
        PLATFORM_CTL_RECIPES_PACKAGE="broken_recipes",
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 0
    assert done.stderr.startswith("tables: recipe broken_recipes.one.recipe cannot be imported")
    assert done.stderr.count("\n") == 1 and "RuntimeError: half edited" in done.stderr
    assert 'platform_metrics_source_up{source="tables"} 0.0' in done.stdout


def test_the_values(busy: Path) -> None:
    samples = collect(list(sources(busy).values()), "1.2").samples
    found = {(s.metric.name.removeprefix("platform_"), *s.labels): s.value for s in samples}

    def value(name: str, *labels: str) -> float:
        return found[(name, *labels)]

    assert value("runs_total", "train-deploy", "SUCCEEDED") == 2
    assert value("runs_total", "train-deploy", "FAILED") == 1
    assert value("runs_open", "train-deploy", "RUNNING") == 1
    assert value("runs_orphaned", "train-deploy") == 1
    assert value("tasks_total", "train-deploy", "gate", "CACHED") == 1
    assert value("verdicts_total", "train-deploy", "gate", "successful") == 2
    assert value("cache_lookups_total", "train-deploy", "hit") == 1
    assert value("cache_lookups_total", "train-deploy", "miss") == 2
    assert value("cache_saved_cpu_seconds_total", "train-deploy") > 0
    assert value("cost_cpu_seconds_total", "train-deploy", "orchestrator") > 0
    assert value("task_duration_seconds", "train-deploy", "gate").counts[-1] == (float("inf"), 2)
    assert value("approvals", monitored.MODEL, "pending") == 1
    assert value("approvals", monitored.MODEL, "approved") == 1
    assert abs(value("approval_next_expiry_timestamp_seconds", monitored.MODEL) - in_hours(3)) < 600
    since = value("promotion_pending_since_timestamp_seconds", monitored.MODEL)
    assert abs(since - in_hours(-2)) < 600
    assert value("releases_total", monitored.MODEL, "rolled_back") == 1
    assert value("canary_weight_ratio", monitored.MODEL) == 0.5
    assert value("canary_verdicts_total", monitored.MODEL, "inconclusive") == 1
    assert value("inference_service_up", monitored.MODEL) == 0
    assert value("searches_running", "train-deploy") == 1
    assert value("build_info", "1.2") == 1


def in_hours(hours: float) -> float:
    return time.time() + 3600 * hours


def test_lineage_that_waits_is_counted_from_where_delivery_stopped(tmp_path: Path) -> None:
    from platform_ctl.lineage.outbox import Outbox
    from platform_ctl.metrics.lineage import LineageMetrics

    def waiting() -> float:
        return {s.metric.name: s.value for s in source.samples(0)}[
            "platform_lineage_events_waiting"
        ]

    settings = monitored.settings_of(tmp_path)
    folder = settings.layout.lineage
    source = LineageMetrics(folder, configured=True)
    assert waiting() == 0
    for _ in range(5):
        monitored.old_lineage(settings)
    assert waiting() == 5
    position = [position for position, _ in Outbox(folder).lines()][2]
    (folder / "delivered.json").write_bytes(msgspec.json.encode(position))
    assert waiting() == 2
    monitored.old_lineage(settings)
    assert waiting() == 3
    for file in folder.iterdir():  # the home was made anew under a process that goes on
        file.unlink()
    monitored.old_lineage(settings)
    assert waiting() == 1
    assert LineageMetrics(folder, configured=False).samples(0) is not None
