"""The pages over real HTTP: who gets in, what they see, and what an answer needs."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from platform_ctl.approvals.request import Answer, ApprovalState
from platform_ctl.home.sockets import LOOPBACK
from platform_ctl.runs.record import RunState, Task, TaskState
from platform_ctl.ui.identity import COOKIE
from platform_ctl.ui.views import (
    RunRow,
)
from tests.support.console import REQUEST, RUN, Site


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.page.stop()


def test_the_token_becomes_a_cookie_and_leaves_the_address(site):
    address = urlsplit(site.page.address())
    status, headers, _ = site.ask("GET", f"{address.path}?{address.query}", Cookie="")
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=strict" in headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=wrong", "a=b; =;;", f"{COOKIE}="])
def test_nobody_gets_in_without_the_token(site, cookie):
    for method, form in (("GET", None), ("POST", {"answer": "approve", "reason": "x"})):
        status, _, text = site.ask(method, "/approvals/aaaa1111", form=form, Cookie=cookie)
        assert status == 401 and "weekly-commits" not in text
    assert site.ask("GET", "/?token=wrong", Cookie=cookie)[0] == 401
    assert site.answers == []


def test_the_list_and_the_request_are_shown_escaped(site):
    status, headers, text = site.ask("GET", "/approvals")
    assert status == 200 and 'href="/approvals/aaaa1111"' in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, _, text = site.ask("GET", "/approvals/aaaa1111")
    assert status == 200
    for shown in ("0.900", "0.950", "1.050", "small (12 rows)", "<svg", "sha256:old", "Approve"):
        assert shown in text
    assert "<script>" not in text and "ann &lt;script&gt;" in text


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_an_answer_with_a_reason_is_taken(site, answer):
    form = site.form(answer=answer)
    status, headers, _ = site.ask("POST", "/approvals/aaaa1111", form=form, Origin=site.page.origin)
    assert (status, headers["Location"]) == (303, "/approvals/aaaa1111")
    assert "noted" in site.ask("GET", "/approvals/aaaa1111")[2]
    assert site.answers == [("aaaa1111", Answer(answer), "better everywhere", "ann")]


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({"csrf": "guessed"}, {}, 403),
        ({"csrf": ""}, {}, 403),
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Host": "evil.example"}, 421),
        ({"answer": ""}, {}, 400),
        ({"answer": "yes"}, {}, 400),
        ({"reason": ""}, {}, 409),
        ({"reason": "x" * 20_000}, {}, 413),
    ],
)
def test_anything_less_is_refused(site, changes, headers, status):
    assert (
        site.ask("POST", "/approvals/aaaa1111", form=site.form(**changes), **headers)[0] == status
    )
    assert site.answers == []


def test_what_has_changed_is_shown_and_cannot_be_approved(site):
    site.changes = ["the champion was 3 and is 5"]
    _, _, text = site.ask("GET", "/approvals/aaaa1111")
    assert "the champion was 3 and is 5" in text and 'method="post"' not in text


@pytest.mark.parametrize(
    "head",
    ["GET http://[ HTTP/1.1", "POST http://[ HTTP/1.1\r\nContent-Length: 3",
     "POST /approvals/aaaa1111 HTTP/1.1\r\nContent-Length: \xb2"],
)  # fmt: skip
def test_nonsense_is_refused_in_words(site, head, capfd):
    host, port = LOOPBACK, site.page.port
    with socket.create_connection((host, port), timeout=10) as connection:
        asked = f"{head}\r\nHost: {host}:{port}\r\nCookie: {site.cookie}\r\n\r\n"
        connection.sendall(asked.encode("latin-1") + b"a=b")
        status = int(connection.makefile("rb").readline().split()[1])
    assert status in (400, 413)
    assert "Traceback" not in capfd.readouterr().err


def test_a_decided_request_has_no_form(site):
    site.request = replace(REQUEST, state=ApprovalState.REJECTED)
    assert 'method="post"' not in site.ask("GET", "/approvals/aaaa1111")[2]


def test_an_unknown_request_is_not_found(site):
    assert site.ask("GET", "/approvals/zzzz")[0] == 404


def test_it_listens_on_loopback_only(site):
    assert site.page.origin.startswith("http://127.0.0.1:")


PAGES = ("/", "/runs", "/models", "/services", "/approvals", "/lineage", "/cost")
DETAILS = (
    "/runs/cafe0000-1111",
    "/models/weekly-commits",
    "/services/weekly-commits",
    "/lineage?of=models/weekly-commits",
)


@pytest.mark.parametrize("path", [*PAGES, *DETAILS])
def test_every_page_answers_escaped_and_runs_nothing(site, path):
    status, headers, text = site.ask("GET", path)
    assert status == 200 and "<b>" not in text and "<script" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert 'http-equiv="refresh"' not in text or path.startswith("/services/")
    for link in re.findall(r'href="(/[^"]*)"', text):
        assert site.ask("GET", link)[0] == 200, link


@pytest.mark.parametrize(
    "path", ["/runs/none", "/models/none", "/services/none", "/lineage?of=none", "/none"]
)
def test_what_is_not_there_is_not_found(site, path):
    status, _, text = site.ask("GET", path)
    assert status == 404 and "Traceback" not in text


def test_a_page_with_a_run_under_way_loads_itself_anew(site):
    site.rows = [RunRow(replace(RUN, state=RunState.RUNNING))]
    for path in ("/", "/runs", "/runs/cafe0000-1111"):
        assert 'http-equiv="refresh"' in site.ask("GET", path)[2]
    assert 'http-equiv="refresh"' not in site.ask("GET", "/cost")[2]


def test_runs_are_chosen_by_pipeline_and_state(site):
    site.rows += [RunRow(replace(RUN, id="beef", pipeline="promote", state=RunState.FAILED))]
    assert "beef" in site.ask("GET", "/runs")[2]
    assert "beef" not in site.ask("GET", "/runs?pipeline=train-deploy")[2]
    assert "cafe0000" not in site.ask("GET", "/runs?state=FAILED")[2]


def test_what_waits_comes_first(site):
    _, _, text = site.ask("GET", "/")
    assert text.index("weekly-commits/4 waits for an answer") < text.index("Newest runs")
    assert "version 4 has 10 % of the traffic" in text


def test_a_run_that_goes_on_shows_what_comes_and_how_far_it_is(site):
    begun = "2026-11-21T07:00:00.000+00:00"
    tasks = (
        Task("extract", "extract", "", TaskState.CACHED, begun),
        Task("train", "train", "", TaskState.RUNNING, begun, attempts=1),
    )
    site.rows[0] = RunRow(
        replace(RUN, state=RunState.RUNNING, started_at=begun, tasks=tasks, verdicts=()),
        planned=["extract", "train", "gate", "condition-1.register"],
        progress={"train": "9 of 33 epochs, about 12 s left"},
    )
    _, _, text = site.ask("GET", f"/runs/{RUN.id}")
    names = re.findall(r'<th scope="row">(\w+)</th><td data-label="state">', text)
    assert names == ["extract", "train", "gate", "register"]
    assert "train-deploy is running for " in text
    assert "9 of 33 epochs, about 12 s left" in text


def test_no_run_is_left_out_without_a_word(site):
    site.rows = [RunRow(replace(RUN, id=f"{n:08x}-run")) for n in range(120)]
    _, _, first = site.ask("GET", "/runs")
    assert "1 to 50 of 120, newest first" in first and "Newer" not in first
    older = re.search(r'href="(/runs\?[^"]*)">Older', first)[1].replace("&amp;", "&")
    _, _, last = site.ask("GET", older.replace("page=1", "page=2"))
    assert "101 to 120 of 120" in last and "Older" not in last
    assert f"{119:08x}" in last and "Newer" in last
    _, _, none = site.ask("GET", "/runs?state=FAILED")
    assert "No run is like that." in none
