"""``platform-ctl schedule``: exit codes, JSON, plans in files, one engine at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from platform_ctl.cli.app import cli
from platform_ctl.errors import BadSchedule, HomeBusy, PlanOutdated, PlatformError, UnknownName
from platform_ctl.schedules.local.store import exclusive
from tests.support import schedule_files as files


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files.project(tmp_path)
    files.write(tmp_path, files.listed(files.entry()))
    (tmp_path / "platform-ctl.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["schedule", *words], obj={}, standalone_mode=False)


def refused(*words: str) -> PlatformError:
    error = run(*words).exception
    assert isinstance(error, PlatformError), error
    return error


def code(result: Result) -> int:
    assert result.exception is None, result.exception
    return result.return_value or 0


def test_check_plan_apply_list(project: Path) -> None:
    assert "blue/nightly" in run("check").output
    assert code(run("plan")) == 1
    assert run("apply").output.endswith("1 changes\n")
    assert code(run("plan")) == 0
    assert run("apply").output == "0 changes\n"
    (row,) = json.loads(run("list", "-o", "json").stdout)["rows"]
    assert (row["key"], row["state"], len(row["next"])) == ("blue/nightly", "enabled", 3)
    assert "schedule run" in json.loads(run("list", "-o", "json").stdout)["heartbeat"]


def test_a_plan_leaves_an_empty_home_empty(project: Path) -> None:
    assert code(run("plan")) == 1
    assert not (project / "home").exists()


def test_a_bad_file_ends_with_2(project: Path) -> None:
    files.write(project, files.listed(files.entry(trigger='{cron: "0 6 * * 1"}')))
    for verb in ("check", "plan", "apply"):
        error = refused(verb)
        assert isinstance(error, BadSchedule) and error.exit_code == 2


def test_a_plan_in_a_file_is_applied_as_it_was_or_not_at_all(project: Path) -> None:
    plan = project / "plan.json"
    plan.write_text(run("plan", "-o", "json").stdout)
    files.write(project, files.listed(files.entry(enabled="false")))
    error = refused("apply", "--plan", str(plan))
    assert isinstance(error, PlanOutdated) and error.exit_code == 3
    plan.write_text(run("plan", "-o", "json").stdout)
    assert code(run("apply", "--plan", str(plan))) == 0
    plan.write_text("{}")
    assert refused("apply", "--plan", str(plan)).exit_code == 2


def test_pause_and_resume(project: Path) -> None:
    run("apply")
    run("pause", "nightly", "--reason", "holiday", "--for", "2d")
    (row,) = json.loads(run("list", "-o", "json").stdout)["rows"]
    assert row["state"].startswith("paused by ") and row["state"].endswith(": holiday")
    assert code(run("plan")) == 0
    run("resume", "blue/nightly")
    assert json.loads(run("list", "-o", "json").stdout)["rows"][0]["state"] == "enabled"
    assert isinstance(refused("pause", "nightli", "--reason", "x"), UnknownName)


def test_one_engine_at_a_time(project: Path) -> None:
    run("apply")
    with exclusive(project / "home/locks/schedule-engine.lock", "it"):
        assert isinstance(refused("run", "--once"), HomeBusy)
    assert code(run("run", "--once")) == 0
    assert json.loads(run("list", "-o", "json").stdout)["heartbeat"] == ""
