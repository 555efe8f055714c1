"""The approver's page over real HTTP: who gets in, what they see, and what an answer needs."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import pytest

from platform_ctl.approvals.compare import ComparisonRow
from platform_ctl.approvals.request import Answer, ApprovalRequest, ApprovalState, Subject
from platform_ctl.errors import UnknownName, UsageError
from platform_ctl.report.approver_page import COOKIE, Actions, ApproverPage, View

REQUEST = ApprovalRequest(
    id="aaaa1111",
    model="weekly-commits",
    version="4",
    recipe="train_deploy",
    subject=Subject("sha256:m", "sha256:e", "4711", "sha256:c", "3 sha256:old"),
    state=ApprovalState.PENDING,
    requested_by="ann <script>",
    requested_at="2026-11-21T07:00:00.000+00:00",
    expires_at="2026-11-24T07:00:00.000+00:00",
)
ROWS = [
    ComparisonRow("mase", 0.9, 0.95, 1.05),
    ComparisonRow("mae", 6.0, 6.5, 7.0),
    ComparisonRow("mase, small (12 rows)", 0.8, None, 1.0),
]


class Site:
    """A page on a free port, and a browser's worth of HTTP."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Answer, str]] = []
        self.request = REQUEST
        self.changes: list[str] = []
        self.page = ApproverPage(Actions(lambda: [self.request], self._view, self._answer))
        threading.Thread(target=self.page.serve_forever, daemon=True).start()
        self.cookie = f"{COOKIE}={self.page.token}"

    def _view(self, request_id: str) -> View:
        if request_id != self.request.id:
            raise UnknownName(f"there is no approval request {request_id!r}")
        return View(self.request, ROWS, self.changes)

    def _answer(self, request_id: str, answer: Answer, reason: str) -> str:
        if not reason:
            raise UsageError("a decision needs a reason")
        self.answers.append((request_id, answer, reason))
        return "noted"

    def ask(self, method: str, path: str, *, form: dict | None = None, **headers: str):
        """(status, headers, text); ``cookie`` is sent unless another one is given."""
        host = urlsplit(self.page.origin).netloc
        connection = http.client.HTTPConnection(host, timeout=10)
        sent = {"Cookie": self.cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
        body = None if form is None else urlencode(form)
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        found = response.status, dict(response.headers), response.read().decode()
        connection.close()
        return found

    def form(self, **changes: str) -> dict[str, str]:
        _, _, text = self.ask("GET", "/aaaa1111")
        csrf = re.search(r'name="csrf" value="([^"]+)"', text)[1]
        return {"csrf": csrf, "answer": "approve", "reason": "better everywhere", **changes}


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.page.shutdown()
    made.page.server_close()


def test_the_token_becomes_a_cookie_and_leaves_the_address(site):
    address = urlsplit(site.page.url)
    status, headers, _ = site.ask("GET", f"{address.path}?{address.query}", Cookie="")
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=wrong", "a=b; =;;", f"{COOKIE}="])
def test_nobody_gets_in_without_the_token(site, cookie):
    for method, form in (("GET", None), ("POST", {"answer": "approve", "reason": "x"})):
        status, _, text = site.ask(method, "/aaaa1111", form=form, Cookie=cookie)
        assert status == 401 and "weekly-commits" not in text
    assert site.ask("GET", "/?token=wrong", Cookie=cookie)[0] == 401
    assert site.answers == []


def test_the_list_and_the_request_are_shown_escaped(site):
    status, headers, text = site.ask("GET", "/")
    assert status == 200 and 'href="/aaaa1111"' in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, _, text = site.ask("GET", "/aaaa1111")
    assert status == 200
    for shown in ("0.900", "0.950", "1.050", "small (12 rows)", "<svg", "sha256:old", "Approve"):
        assert shown in text
    assert "<script>" not in text and "ann &lt;script&gt;" in text


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_an_answer_with_a_reason_is_taken(site, answer):
    form = site.form(answer=answer)
    status, headers, _ = site.ask("POST", "/aaaa1111", form=form, Origin=site.page.origin)
    assert (status, headers["Location"]) == (303, "/aaaa1111")
    assert "noted" in site.ask("GET", "/aaaa1111")[2]
    assert site.answers == [("aaaa1111", Answer(answer), "better everywhere")]


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
    assert site.ask("POST", "/aaaa1111", form=site.form(**changes), **headers)[0] == status
    assert site.answers == []


def test_what_has_changed_is_shown_and_cannot_be_approved(site):
    site.changes = ["the champion was 3 and is 5"]
    _, _, text = site.ask("GET", "/aaaa1111")
    assert "the champion was 3 and is 5" in text and "<form" not in text


@pytest.mark.parametrize(
    "head",
    ["GET http://[ HTTP/1.1", "POST http://[ HTTP/1.1\r\nContent-Length: 3",
     "POST /aaaa1111 HTTP/1.1\r\nContent-Length: \xb2"],
)  # fmt: skip
def test_nonsense_is_refused_in_words(site, head, capfd):
    host, port = site.page.server_address[:2]
    with socket.create_connection((host, port), timeout=10) as connection:
        asked = f"{head}\r\nHost: {host}:{port}\r\nCookie: {site.cookie}\r\n\r\n"
        connection.sendall(asked.encode("latin-1") + b"a=b")
        status = int(connection.makefile("rb").readline().split()[1])
    assert status in (400, 413)
    assert "Traceback" not in capfd.readouterr().err


def test_a_decided_request_has_no_form(site):
    site.request = replace(REQUEST, state=ApprovalState.REJECTED)
    assert "<form" not in site.ask("GET", "/aaaa1111")[2]


def test_an_unknown_request_is_not_found(site):
    assert site.ask("GET", "/zzzz")[0] == 404


def test_it_listens_on_loopback_only(site):
    assert site.page.server_address[0] == "127.0.0.1"
