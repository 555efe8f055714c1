"""Delivery of the outbox: in order, once, and never held up or lost by what does not answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from filelock import FileLock

from platform_ctl import targets
from platform_ctl.errors import ConfigError, HomeBusy
from platform_ctl.lineage import delivery as lineage_delivery
from platform_ctl.lineage.config import configured
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.runs.record import RunRequest, RunState
from platform_ctl.settings import LineageSettings, Settings
from tests.support import six_steps


def event(number: int) -> dict[str, Any]:
    return {"eventType": "START", "eventTime": "2026-01-01T00:00:00Z", "number": number}


class Endpoint:
    """Takes events; answers with ``statuses`` first, ``status`` afterwards, 500 to ``poison``."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.asked: list[tuple[str, str]] = []
        """Path and authorization of each request."""
        self.status = 201
        self.statuses: list[int] = []
        self.poison: set[int] = set()
        self.answers = threading.Event()
        """Cleared: it listens, and says nothing."""
        self.answers.set()
        self.reached = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append((self.path, self.headers.get("authorization", "")))
                outer.reached.set()
                outer.answers.wait()
                status = outer.statuses.pop(0) if outer.statuses else outer.status
                status = 500 if body.get("number") in outer.poison else status
                if status < 300:
                    outer.got.append(body.get("number", 0))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def config(self, folder: Path) -> str:
        path = folder / "openlineage.yml"
        retry = "{total: 0}"
        path.write_text(
            f"transport: {{type: http, url: 'http://127.0.0.1:{self.server.server_port}', "
            f"retry: {retry}, timeout: 5}}\n"
        )
        return str(path)

    def close(self) -> None:
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


def test_delivered_in_order_and_once(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(5)))
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 5
    outbox.append([event(5)])
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 1
    assert endpoint.got == [0, 1, 2, 3, 4, 5]


def test_what_fails_waits_and_stays_in_order(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(4)))
    endpoint.statuses = [201, 503]
    first = lineage_delivery.deliver(outbox.folder, config)
    assert (first.delivered, first.waiting) == (1, 3) and "503" in first.problem
    assert lineage_delivery.deliver(outbox.folder, config).waiting == 0
    assert endpoint.got == [0, 1, 2, 3]


def test_nobody_listens(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(2)))
    endpoint.close()
    done = lineage_delivery.deliver(outbox.folder, config)
    assert (done.delivered, done.waiting) == (0, 2) and done.problem


def test_a_refused_event_is_kept_aside(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(3)))
    endpoint.statuses = [201, 400]
    done = lineage_delivery.deliver(outbox.folder, config)
    assert (done.delivered, done.refused, done.waiting, done.problem) == (2, 1, 0, "")
    aside = json.loads((outbox.folder / "refused.jsonl").read_text())
    assert aside["event"]["number"] == 1
    assert endpoint.got == [0, 2]


def test_a_torn_line_among_the_refused_holds_up_no_other(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(3)))
    endpoint.statuses = [422, 201, 422]
    lineage_delivery.deliver(outbox.folder, config)
    refused = outbox.folder / "refused.jsonl"
    assert refused.stat().st_mode & 0o077 == 0
    first, last = refused.read_bytes().splitlines()
    refused.write_bytes(first + b"\n" + last[:-9])
    outbox.append([event(3)])
    endpoint.statuses = [201, 422]
    assert lineage_delivery.deliver(outbox.folder, config, refused_too=True).delivered == 1
    assert endpoint.got == [1, 0]
    torn, new = refused.read_bytes().splitlines()
    assert torn == last[:-9] and json.loads(new)["event"]["number"] == 3


def test_a_refused_event_is_sent_again_when_asked(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(4)))
    endpoint.statuses = [422, 201, 400]
    assert lineage_delivery.deliver(outbox.folder, config).refused == 2
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 0
    endpoint.statuses = [201, 422]
    assert lineage_delivery.deliver(outbox.folder, config, refused_too=True).delivered == 1
    left = (outbox.folder / "refused.jsonl").read_text().splitlines()
    assert [json.loads(x)["event"]["number"] for x in left] == [2]
    assert lineage_delivery.deliver(outbox.folder, config, refused_too=True).delivered == 1
    assert endpoint.got == [1, 3, 0, 2]


def test_an_event_that_is_never_taken_does_not_hold_up_the_rest(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    """Older DataHubs answer 500 to what they do not understand, for ever."""
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(5)))
    endpoint.poison = {1}
    for _ in range(2):
        stopped = lineage_delivery.deliver(outbox.folder, config)
        assert "500" in stopped.problem and stopped.waiting == 4
    done = lineage_delivery.deliver(outbox.folder, config)
    assert (done.delivered, done.refused, done.waiting, done.problem) == (3, 1, 0, "")
    assert endpoint.got == [0, 2, 3, 4]
    (aside,) = (outbox.folder / "refused.jsonl").read_text().splitlines()
    assert json.loads(aside)["event"]["number"] == 1 and "500" in json.loads(aside)["why"]


def test_an_endpoint_that_comes_back_at_that_moment_loses_nothing(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(3)))
    endpoint.statuses = [503] * 3
    for waits in (3, 3, 0):
        assert lineage_delivery.deliver(outbox.folder, config).waiting == waits
    assert sorted(endpoint.got) == [0, 1, 2] and not (outbox.folder / "refused.jsonl").exists()


def test_a_note_that_a_power_cut_emptied(tmp_path: Path, endpoint: Endpoint) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(2)))
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 2
    (outbox.folder / "delivered.json").write_bytes(b"")
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 2
    assert endpoint.got == [0, 1, 0, 1]


@pytest.mark.parametrize("status", [500, 503, 401, 404, 429])
def test_an_endpoint_that_is_out_of_order_loses_nothing(
    tmp_path: Path, endpoint: Endpoint, status: int
) -> None:
    outbox, config = Outbox(tmp_path / "outbox"), endpoint.config(tmp_path)
    outbox.append(map(event, range(4)))
    endpoint.status = status
    for _ in range(6):
        assert lineage_delivery.deliver(outbox.folder, config).waiting == 4
    endpoint.status = 202
    assert lineage_delivery.deliver(outbox.folder, config).delivered == 4
    assert endpoint.got == [0, 1, 2, 3] and not (outbox.folder / "refused.jsonl").exists()


def test_an_endpoint_that_never_answers_delays_no_run(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = six_steps.write_project(tmp_path)
    lineage = LineageSettings(config_file=endpoint.config(tmp_path))
    settings = msgspec.structs.replace(
        Settings(), home=str(tmp_path / "home"), project_root=str(tmp_path), lineage=lineage
    )
    endpoint.answers.clear()
    run = targets.orchestrator(settings).run(RunRequest(pipeline), lambda event: None)
    assert run.state is RunState.SUCCEEDED
    assert endpoint.reached.wait(30), "nobody started a delivery"
    assert endpoint.got == [] and len(targets.lineage_outbox(settings).of_run(run.id)) == 14
    endpoint.answers.set()
    monkeypatch.setenv("OPENLINEAGE_CONFIG", lineage.config_file)
    targets.deliver_lineage(settings)  # waits for the other one, then finds nothing
    assert len(endpoint.got) == 14


def test_who_delivers_while_another_does_is_told(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_delivery, "_LOCK_TIMEOUT_S", 0)
    config = endpoint.config(tmp_path)
    with FileLock(tmp_path / "delivery.lock"), pytest.raises(HomeBusy):
        lineage_delivery.deliver(tmp_path, config)


def test_nothing_to_deliver_in_a_new_home(tmp_path: Path, endpoint: Endpoint) -> None:
    done = lineage_delivery.deliver(tmp_path / "new", endpoint.config(tmp_path))
    assert (done.delivered, done.waiting, done.problem) == (0, 0, "")


@pytest.mark.parametrize(
    "text", ["transport: {type: console}", "transport: {type: noop}", "transport: {type: http}",
             "transport: {type: pigeon}", "transport: [", ""],
)  # fmt: skip
def test_a_configuration_that_delivers_nothing_loses_nothing(tmp_path: Path, text: str) -> None:
    """OpenLineage's client prints to the console when it is told nothing useful."""
    config, outbox = tmp_path / "openlineage.yml", Outbox(tmp_path / "outbox")
    config.write_text(text)
    outbox.append(map(event, range(2)))
    with pytest.raises(ConfigError) as told:
        lineage_delivery.deliver(outbox.folder, str(config))
    assert str(config) in told.value.where
    assert lineage_delivery.waiting(outbox.folder) == 2


def test_a_configuration_file_that_is_missing_is_named(tmp_path: Path) -> None:
    outbox, missing = Outbox(tmp_path / "outbox"), str(tmp_path / "nowhere.yml")
    outbox.append(map(event, range(2)))
    with pytest.raises(ConfigError, match=r"nowhere\.yml is not a file"):
        lineage_delivery.deliver(outbox.folder, missing)
    assert lineage_delivery.waiting(outbox.folder) == 2


def test_openlineages_own_switch_is_heard() -> None:
    url = {"OPENLINEAGE_URL": "http://localhost:5000"}
    assert configured("", url)
    assert not configured("", {**url, "OPENLINEAGE_DISABLED": "true"})


def documented() -> dict[str, str]:
    """Heading -> the configuration that the how-to gives under it."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "lineage.md").read_text()
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    found = {head: re.search(r"```yaml\n(.*?)```", text, re.DOTALL) for head, _, text in parts}
    return {head: match[1] for head, match in found.items() if match}


@pytest.mark.parametrize(
    ("heading", "asked"),
    [
        ("Marquez", {("/api/v1/lineage", "")}),
        ("DataHub", {("/openapi/openlineage/api/v1/lineage", "Bearer TOKEN")}),
        ("Both", {("/api/v1/lineage", ""),
                  ("/openapi/openlineage/api/v1/lineage", "Bearer TOKEN")}),
    ],
)  # fmt: skip
def test_the_documented_configurations_reach_where_they_say(
    tmp_path: Path, endpoint: Endpoint, heading: str, asked: set[tuple[str, str]]
) -> None:
    config, outbox = tmp_path / "openlineage.yml", Outbox(tmp_path / "outbox")
    port = endpoint.server.server_port
    config.write_text(re.sub(r"localhost:\d+", f"127.0.0.1:{port}", documented()[heading]))
    outbox.append(map(event, range(2)))
    endpoint.status = 202
    done = lineage_delivery.deliver(outbox.folder, str(config))
    assert (done.delivered, done.problem) == (2, "")
    assert set(endpoint.asked) == asked and len(endpoint.asked) == 2 * len(asked)


def test_of_two_endpoints_neither_misses_an_event(tmp_path: Path, endpoint: Endpoint) -> None:
    config, outbox = tmp_path / "openlineage.yml", Outbox(tmp_path / "outbox")
    port = endpoint.server.server_port
    config.write_text(re.sub(r"localhost:\d+", f"127.0.0.1:{port}", documented()["Both"]))
    outbox.append([event(7)])
    endpoint.statuses = [201, 401]
    assert lineage_delivery.deliver(outbox.folder, str(config)).waiting == 1
    assert lineage_delivery.deliver(outbox.folder, str(config)).waiting == 0
    assert endpoint.got == [7, 7, 7], "the first one twice, and the second one not never"


def test_to_a_file(tmp_path: Path) -> None:
    config = tmp_path / "openlineage.yml"
    config.write_text(f"transport: {{type: file, log_file_path: {tmp_path}/out, append: true}}\n")
    outbox = Outbox(tmp_path / "outbox")
    outbox.append(map(event, range(3)))
    assert lineage_delivery.deliver(outbox.folder, str(config)).delivered == 3
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(x)["number"] for x in lines] == [0, 1, 2]
