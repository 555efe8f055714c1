"""The fake KFP answers as KFP 2.17.0 did, and both as the API's schema says.

``tests/data/kfp/recurring_runs_2.17.0.json`` was recorded from the real server, ids replaced
by names. Compared are status, fields, and every value that is no id, no time and no sentence.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest

from tests.fakes import kfp_server
from tests.fakes.kfp_pipelines import Pipelines, Store
from tests.fakes.kfp_recurring_runs import RecurringRuns
from tests.support import schedule_files as files

RECORDED = json.loads(
    (Path(__file__).parents[1] / "data/kfp/recurring_runs_2.17.0.json").read_text()
)
VOLATILE = {"created_at", "updated_at", "message", "details", "last_run_created_at"}


class Wire:
    """Plain HTTP to a server; names of the recording stand for ids."""

    def __init__(self, url: str, ids: dict[str, str]) -> None:
        self.url, self.ids = url, ids

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        text = self._with_ids(data.decode()).encode() if data else None
        address = f"{self.url}{kfp_server.PREFIX}{self._with_ids(path)}"
        request = urllib.request.Request(address, data=text, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read() or b"{}")

    def _with_ids(self, text: str) -> str:
        for name, value in self.ids.items():
            text = text.replace(name, value)
        return text


@pytest.fixture(scope="module")
def answers() -> Iterator[list[tuple[dict[str, Any], int, Any]]]:
    """Every exchange beside what the fake answered to it, in order."""
    store = Store()
    with kfp_server.serve(Pipelines(store), RecurringRuns()) as fake:
        pipeline = store.create("hello")
        content = files.PIPELINE.replace("NAME", "hello").encode()
        version = store.upload(pipeline.id, "v1", content, "", {})
        wire = Wire(fake.url, {"PIPELINE": pipeline.id, "VERSION": version.id})
        made = {"create": "RECURRING", "create interval": "INTERVAL", "experiment": "NOTE"}
        found = []
        for exchange in RECORDED:
            status, answer = wire.call(exchange["method"], exchange["path"], exchange["request"])
            name = made.get(exchange["what"])
            if name:
                wire.ids[name] = answer.get("recurring_run_id") or answer["experiment_id"]
            found.append((exchange, status, answer))
        yield found


def _plain(answer: Any) -> Any:
    """Without what differs from server to server."""
    if isinstance(answer, dict):
        return {
            key: "*" if key in VOLATILE or key.endswith("_id") else _plain(value)
            for key, value in answer.items()
        }
    return [_plain(item) for item in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("number", range(len(RECORDED)), ids=[e["what"] for e in RECORDED])
def test_the_fake_answers_as_the_real_server_did(answers, number):
    exchange, status, answer = answers[number]
    assert status == exchange["status"]
    assert _plain(answer) == _plain(exchange["answer"])


def test_recorded_answers_have_the_fields_of_the_schema():
    """The schema is upstream's swagger, as the generated client holds it."""
    known = set(kfp_server_api.V2beta1RecurringRun.attribute_map.values())
    answers = [e["answer"] for e in RECORDED if "recurring_run_id" in e["answer"]]
    assert len(answers) >= 4
    for answer in answers:
        assert answer.keys() <= known
        assert answer["status"] in kfp_server_api.V2beta1RecurringRunStatus.allowable_values
        assert answer["mode"] in kfp_server_api.RecurringRunMode.allowable_values
