"""A step that a shared store left alone says so, whatever its library called it."""

from __future__ import annotations

import socket

import click
import pytest

from platform_ctl.cli.pipeline import finish
from platform_ctl.errors import PreconditionMissing, StoreUnavailable, from_traceback
from platform_ctl.runs.record import Run, RunState, Task, TaskState
from platform_ctl.settings import Settings
from platform_ctl.targets.step import name_outage


@pytest.fixture
def port() -> int:
    """One that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ended_by(exc: Exception, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    name_outage(Settings(target="kubernetes"), type(exc), exc, None)
    return from_traceback(capsys.readouterr().err)


def test_a_store_that_is_away_is_named(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    found = ended_by(OSError("AWS Error NETWORK_CONNECTION"), capsys)
    assert found["id"] == StoreUnavailable.id and f"127.0.0.1:{port}" in found["what"]


def test_what_else_ends_a_step_keeps_its_name(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended_by(OSError("of the step itself"), capsys) == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    own = PreconditionMissing("no table", where="t", fix="f")
    assert ended_by(own, capsys)["id"] == PreconditionMissing.id


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (StoreUnavailable("nothing answers"), "run resume 11111111"),
        (PreconditionMissing("no table"), "run logs 11111111 resolve"),
    ],
)
def test_a_run_that_lacked_a_server_is_resumed(error: Exception, command: str) -> None:
    failure = {**error.as_dict(), "where": "", "fix": ""}  # type: ignore[attr-defined]
    task = Task("resolve", "resolve", "c", TaskState.FAILED, log="node", failure=failure)
    run = Run("1" * 36, "r", "p", RunState.FAILED, "2026-11-28T07:00:00Z", "", tasks=(task,))
    with pytest.raises(type(error)) as ended, click.Context(click.Command("run")) as ctx:
        finish(ctx, run, "json")
    assert ended.value.fix == f"platform-ctl {command}"  # type: ignore[attr-defined]
