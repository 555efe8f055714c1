"""A small web page for approvers, on loopback only.

Whoever has the address with its token may use it: the token becomes a cookie
(HttpOnly, SameSite=Strict) and leaves the address bar. An answer is a POST that
must carry the cookie, a CSRF token and a reason, from a page of this origin.
Plain HTML without JavaScript; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from string import Template
from urllib.parse import parse_qs, urlsplit

from platform_ctl.domain.approvals import Answer, ApprovalRequest, ApprovalState
from platform_ctl.errors import PlatformError
from platform_ctl.operations.compare import ComparisonRow

HOST = "127.0.0.1"
COOKIE = "approver"
MAX_BODY_BYTES = 16_384
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
BAR_WIDTH, BAR_HEIGHT, LABEL_WIDTH = 380, 9, 210


@dataclass(frozen=True)
class View:
    """One request with what an approver should see."""

    request: ApprovalRequest
    comparison: Sequence[ComparisonRow]
    changes: Sequence[str] = ()


@dataclass(frozen=True)
class Actions:
    """What the page shows and does. Called in the server's threads; may raise PlatformError."""

    list: Callable[[], Sequence[ApprovalRequest]]
    view: Callable[[str], View]
    answer: Callable[[str, Answer, str], str]
    """(request id, answer, reason) -> one sentence on what happened."""


class ApproverPage(ThreadingHTTPServer):
    """Listens on a port of 127.0.0.1; ``serve_forever`` runs it."""

    daemon_threads = True

    def __init__(self, actions: Actions, port: int = 0) -> None:
        self.actions = actions
        self.token = secrets.token_urlsafe(24)
        self.csrf = secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"{self.origin}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ApproverPage
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        if not self._host_is_ours():
            return
        address = urlsplit(self.path)
        offered = parse_qs(address.query).get("token", [""])[0]
        if offered and hmac.compare_digest(offered.encode(), self.server.token.encode()):
            cookie = f"{COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._redirect(address.path, cookie)
        elif self._allowed():
            self._page(address.path)

    def do_POST(self) -> None:
        if not self._host_is_ours() or not self._allowed():
            return
        form = self._form()
        if form is None:
            return
        origin = self.headers.get("Origin", self.server.origin)
        csrf = form.get("csrf", "").encode()
        if origin != self.server.origin or not hmac.compare_digest(csrf, self.server.csrf.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "This form is not from this page.")
            return
        request_id = urlsplit(self.path).path.strip("/")
        try:
            answer = Answer(form.get("answer", ""))
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "An answer is approve or reject.")
            return
        try:
            told = self.server.actions.answer(request_id, answer, form.get("reason", ""))
        except PlatformError as exc:
            self._refuse(HTTPStatus.CONFLICT, exc.what)
            return
        self._send(HTTPStatus.OK, "Done", f"<p>{escape(told)}</p>{_BACK}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not logged: the first one's address holds the token."""

    # ---- guards -----------------------------------------------------------------

    def _host_is_ours(self) -> bool:
        """A name that resolves here from elsewhere (DNS rebinding) is not ours."""
        port = self.server.server_address[1]
        if self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}"):
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "Unknown host.")
        return False

    def _allowed(self) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie and hmac.compare_digest(cookie.value.encode(), self.server.token.encode()):
            return True
        self._refuse(
            HTTPStatus.UNAUTHORIZED, "Open the address that platform-ctl approval serve printed."
        )
        return False

    def _form(self) -> dict[str, str] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The reason is too long.")
            return None
        fields = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        return {name: values[0] for name, values in fields.items()}

    # ---- answers ----------------------------------------------------------------

    def _page(self, path: str) -> None:
        try:
            if path == "/":
                requests = self.server.actions.list()
                self._send(HTTPStatus.OK, "Approvals", _list_html(requests))
            else:
                view = self.server.actions.view(path.strip("/"))
                title = f"{view.request.reference}: {view.request.state}"
                self._send(HTTPStatus.OK, title, _view_html(view, self.server.csrf))
        except PlatformError as exc:
            self._refuse(HTTPStatus.NOT_FOUND, exc.what)

    def _redirect(self, path: str, cookie: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/" + path.strip("/"))
        self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send(status, status.phrase, f"<p class=warning>{escape(why)}</p>{_BACK}")

    def _send(self, status: HTTPStatus, title: str, body: str) -> None:
        template = resources.files(__package__).joinpath("approver_page.html")
        page = Template(template.read_text(encoding="utf-8"))
        content = page.substitute(title=escape(title), body=body).encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


# ---- HTML ----------------------------------------------------------------------

_BACK = '<p><a href="/">All requests</a></p>'


def _list_html(requests: Sequence[ApprovalRequest]) -> str:
    if not requests:
        return "<p>Nothing waits for an approval.</p>"
    rows = [
        f'<tr><td><a href="/{escape(r.id)}">{escape(r.reference)}</a>'
        f"<td class=state>{escape(r.state)}<td>{escape(r.requested_by)}"
        f"<td>{escape(r.requested_at[:16])}<td>{escape(r.expires_at[:16])}"
        for r in requests
    ]
    heading = "<tr><th>Model<th>State<th>Asked by<th>Asked (UTC)<th>No answer by (UTC) means no"
    return f"<table>{heading}{''.join(rows)}</table>"


def _view_html(view: View, csrf: str) -> str:
    request = view.request
    parts = [
        f"<p>Asked by {escape(request.requested_by)}. No answer by "
        f"{escape(request.expires_at[:16])} UTC means no.</p>",
        *(f"<p class=warning>{escape(change)}</p>" for change in view.changes),
        *(
            f"<p>{escape(v.answer)} by {escape(v.approver)} at {escape(v.at[:16])}: "
            f"{escape(v.reason)}</p>"
            for v in request.votes
        ),
        "<h2>On the golden set</h2>",
        _comparison_html(view.comparison),
        _bars_svg(view.comparison),
        "<h2>What the answer is bound to</h2>",
        _subject_html(request),
    ]
    if request.state is ApprovalState.PENDING and not view.changes:
        parts.append(_form_html(request.id, csrf))
    return "".join(parts) + _BACK


def _comparison_html(rows: Sequence[ComparisonRow]) -> str:
    if not rows:
        return "<p class=warning>The evaluation is gone.</p>"
    heading = (
        "<tr><th>Error<th class=number>This model<th class=number>Champion"
        "<th class=number>Better naive forecast"
    )
    lines = [
        f"<tr><td>{escape(r.name)}"
        + "".join(f"<td class=number>{_number(v)}" for v in (r.candidate, r.champion, r.baseline))
        for r in rows
    ]
    return f"<table>{heading}{''.join(lines)}</table>"


def _bars_svg(rows: Sequence[ComparisonRow]) -> str:
    """MASE as bars, smaller is better: this model, the champion, the better naive forecast."""
    shown = [r for r in rows if r.name.startswith("mase")]
    values = [v for r in shown for v in (r.candidate, r.champion, r.baseline) if v is not None]
    if not values:
        return ""
    scale, y, bars = BAR_WIDTH / max(*values, 1e-9), 0, []
    for row in shown:
        bars.append(f'<text x="0" y="{y + 16}" font-size="12">{escape(row.name)}</text>')
        figures = (("mine", row.candidate), ("champion", row.champion), ("naive", row.baseline))
        for kind, value in figures:
            if value is not None:
                bars.append(
                    f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{y}" '
                    f'width="{value * scale:.1f}" height="{BAR_HEIGHT}"/>'
                )
                y += BAR_HEIGHT + 1
        y += 10
    label = "MASE of this model (blue), the champion (green), the better naive forecast (grey)"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {LABEL_WIDTH + BAR_WIDTH} {y}">'
        f"{''.join(bars)}</svg><p>{label}; shorter is better.</p>"
    )


def _subject_html(request: ApprovalRequest) -> str:
    subject = request.subject
    facts = {
        "Model": subject.model,
        "Evaluation": subject.evaluation,
        "Data snapshot": subject.data_snapshot,
        "Canary plan": subject.canary_plan,
        "Champion": subject.champion or "none",
    }
    lines = [f"<tr><td>{k}<td><code>{escape(v)}</code>" for k, v in facts.items()]
    return f"<table>{''.join(lines)}</table>"


def _form_html(request_id: str, csrf: str) -> str:
    return (
        f'<h2>Your answer</h2><form method="post" action="/{escape(request_id)}">'
        f'<input type="hidden" name="csrf" value="{csrf}">'
        '<label for="reason">Reason (kept with the decision)</label>'
        '<textarea id="reason" name="reason" required></textarea>'
        '<button type="submit" name="answer" value="reject">Reject</button>'
        '<button type="submit" name="answer" value="approve">Approve</button></form>'
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
