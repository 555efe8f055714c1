"""What runs do is JSON lines with run, task and trace ids, in a log that stays small."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl import targets
from platform_ctl.runs import log_json
from platform_ctl.runs.log_file import FILE, JsonLog
from platform_ctl.settings import Settings
from platform_ctl.text import redacted
from tests.support import monitored

IDS = {"run_id", "trace_id", "span_id"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return monitored.settings_of(tmp_path / "home")


def lines(settings: Settings) -> list[dict[str, Any]]:
    text = (settings.layout.logs / FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_is_told_from_start_to_end(settings: Settings, tmp_path: Path) -> None:
    run = monitored.run(settings, monitored.gate_pipeline(tmp_path, "train-deploy"), 1)
    told = lines(settings)
    assert [line["event"] for line in told] == [
        "run.started",
        "task.started",
        "task.ended",
        "run.ended",
    ]
    for line in told:
        assert line.keys() >= {"ts", "level", "event", "pipeline", "state", *IDS}
        assert line["run_id"] == run.id
        assert line["pipeline"] == "train-deploy"
        assert line["level"] == "info"
        assert datetime.fromisoformat(line["ts"]).utcoffset() == timedelta(0)
    _, begun, task, ended = told
    assert task["task"] == begun["task"] == "gate"
    assert task["state"] == "SUCCEEDED"
    assert task["attempt"] == 1
    assert task["verdict"] == "successful"
    assert task["cache"] == "no earlier result of this component"
    assert 0 < task["cpu_s"] <= task["duration_s"] + 1
    assert task["peak_memory_bytes"] > 0
    assert ended["verdicts"] == {"gate": "successful"}
    assert task["duration_s"] <= ended["duration_s"]


def test_a_step_belongs_to_the_trace_that_its_lines_name(
    settings: Settings, tmp_path: Path
) -> None:
    run = monitored.run(settings, monitored.gate_pipeline(tmp_path, "train-deploy"), 1)
    start, begun, ended, _ = lines(settings)
    said = (Path(run.directory) / run.tasks[0].log).read_text().split()[1]
    assert said == f"00-{ended['trace_id']}-{ended['span_id']}-01"
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", said)
    assert ended["trace_id"] == run.id.replace("-", "")
    assert begun["parent_span_id"] == start["span_id"]
    assert "parent_span_id" not in start


def test_cached_steps_say_so_and_cost_nothing(settings: Settings, tmp_path: Path) -> None:
    pipeline = monitored.gate_pipeline(tmp_path, "train-deploy")
    first = monitored.run(settings, pipeline, 1)
    monitored.run(settings, pipeline, 1)
    *_, task, _ = lines(settings)
    assert task["state"] == "CACHED"
    assert task["cache"] == f"result of run {first.id[:8]}"
    assert "cpu_s" not in task


def test_a_failure_is_an_error_without_the_credentials_in_its_words(
    settings: Settings, tmp_path: Path
) -> None:
    monitored.run(settings, monitored.gate_pipeline(tmp_path, "train-deploy", retries=1), -1)
    told = lines(settings)
    assert [(line["event"], line["level"]) for line in told] == [
        ("run.started", "info"),
        ("task.started", "info"),
        ("task.retried", "warning"),
        ("task.started", "info"),
        ("task.ended", "error"),
        ("run.ended", "error"),
    ]
    assert [line.get("attempt") for line in told] == [None, 1, 1, 2, 2, None]
    assert "cannot log in at https://***@example.org" in told[4]["error"]
    assert "hunter2" not in json.dumps(told)
    assert "abc123" not in json.dumps(told)


def test_a_resumed_run_begins_again_in_the_same_trace(settings: Settings, tmp_path: Path) -> None:
    run = monitored.run(settings, monitored.gate_pipeline(tmp_path, "train-deploy"), -1)
    targets.orchestrator(settings).resume(run.id, lambda event: None)
    told = lines(settings)
    assert [line["event"] for line in told if not line["event"].startswith("task")] == [
        "run.started",
        "run.ended",
        "run.resumed",
        "run.ended",
    ]
    assert len({line["trace_id"] for line in told}) == 1


def test_the_death_of_a_run_is_logged_once_by_who_records_it(settings: Settings) -> None:
    run_id = monitored.stuck_search(settings)
    assert targets.orchestrator(settings).list(5)[0].died
    assert not settings.layout.logs.exists()
    targets.record_deaths(settings)
    targets.record_deaths(settings)
    (line,) = lines(settings)
    assert line["event"] == "run.died"
    assert line["level"] == "error"
    assert line["run_id"] == run_id


def test_a_disk_that_refuses_ends_no_run(settings: Settings, tmp_path: Path) -> None:
    settings.layout.root.mkdir()
    settings.layout.logs.write_text("in the way")
    run = monitored.run(settings, monitored.gate_pipeline(tmp_path, "train-deploy"), 1)
    assert run.state == "SUCCEEDED"


def test_a_line_that_a_full_disk_cut_short_spoils_no_other(tmp_path: Path) -> None:
    log = JsonLog(tmp_path)
    log.write({"event": "a"})
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"event": "b')
    log.write({"event": "c"})
    told = (tmp_path / FILE).read_text().splitlines()
    assert json.loads(told[0])["event"] == "a"
    assert json.loads(told[2])["event"] == "c"


def test_the_log_is_nobody_else_s_to_read(tmp_path: Path) -> None:
    JsonLog(tmp_path / "logs").write({"event": "a"})
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "logs" / FILE).stat().st_mode & 0o777 == 0o600


def test_old_files_go(tmp_path: Path) -> None:
    log = JsonLog(tmp_path, max_bytes=1000, keep=2)
    for number in range(200):
        log.write({"number": number})
    files = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))
    assert files == [f"{FILE}.1", f"{FILE}.2"] or files == [FILE, f"{FILE}.1", f"{FILE}.2"]
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 3 * 1100
    newest = (tmp_path / f"{FILE}.1").read_text().splitlines()
    older = (tmp_path / f"{FILE}.2").read_text().splitlines()
    assert json.loads(older[-1])["number"] + 1 == json.loads(newest[0])["number"]


@given(st.uuids(version=4), st.text(min_size=1), st.text(min_size=1))
def test_ids_follow_from_names_alone(run: Any, one: str, other: str) -> None:
    first = log_json.traceparent(str(run), one)
    assert re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01", first)
    assert (first == log_json.traceparent(str(run), other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no such table: runs", "no such table: runs"),
        ("postgres://me:secret@db/x refused", "postgres://***@db/x refused"),
        ("GET https://h/?a=1&api_key=abc&b=2", "GET https://h/?a=1&api_key=***&b=2"),
        ('{"password": "p w"}', '{"password": "***"}'),
        ("{'passwd': 'p w', 'a': 1}", "{'passwd': '***', 'a': 1}"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("Authorization: Token abc", "Authorization: Token ***"),
        ("AWS_SECRET_ACCESS_KEY=abc refused", "AWS_SECRET_ACCESS_KEY=*** refused"),
        ("MLFLOW_TRACKING_TOKEN=abc not accepted", "MLFLOW_TRACKING_TOKEN=*** not accepted"),
        ("tokens: 512", "tokens: 512"),
    ],
)
def test_credentials_are_not_told(text: str, kept: str) -> None:
    assert redacted(text) == kept
