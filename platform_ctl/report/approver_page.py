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
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from platform_ctl.approvals.compare import ComparisonRow
from platform_ctl.approvals.request import Answer, ApprovalRequest
from platform_ctl.errors import PlatformError
from platform_ctl.models.evaluation import Evaluation
from platform_ctl.report import html, parts

HOST = "127.0.0.1"
COOKIE = "approver"
MAX_BODY_BYTES = 16_384
HEADERS = {
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_SHEETS = ("tokens.css", "style.css")


@dataclass(frozen=True)
class View:
    """One request with what an approver should see."""

    request: ApprovalRequest
    comparison: Sequence[ComparisonRow]
    changes: Sequence[str] = ()
    evaluation: Evaluation | None = None
    run_id: str = ""
    """The run that made the model."""


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
        self.told: dict[str, str] = {}
        """Request id -> what came of the last answer given here."""
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
        address = self._address()
        if address is None:
            return
        offered = parse_qs(address.query).get("token", [""])[0]
        if offered and hmac.compare_digest(offered.encode(), self.server.token.encode()):
            cookie = f"{COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._redirect(address.path, cookie)
        elif self._allowed():
            self._page(address.path)

    def do_POST(self) -> None:
        address = self._address()
        if address is None or not self._allowed():
            return
        form = self._form()
        if form is None:
            return
        origin = self.headers.get("Origin", self.server.origin)
        csrf = form.get("csrf", "").encode()
        if origin != self.server.origin or not hmac.compare_digest(csrf, self.server.csrf.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "This form is not from this page.")
            return
        request_id = address.path.strip("/")
        try:
            answer = Answer(form.get("answer", ""))
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "An answer is approve or reject.")
            return
        reason = form.get("reason", "")
        try:
            self.server.told[request_id] = self.server.actions.answer(request_id, answer, reason)
        except PlatformError as exc:
            self._page(request_id, HTTPStatus.CONFLICT, problem=exc.what, reason=reason)
            return
        self._redirect(request_id)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not logged: the first one's address holds the token."""

    # ---- guards -----------------------------------------------------------------

    def _address(self) -> SplitResult | None:
        """What is asked for; None, and refused, when that is not ours to answer."""
        if not self._host_is_ours():
            return None
        try:
            return urlsplit(self.path)
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "That is no address.")
            return None

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
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The reason is too long.")
            return None
        fields = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        return {name: values[0] for name, values in fields.items()}

    # ---- pages ------------------------------------------------------------------

    def _page(
        self,
        path: str,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        problem: str = "",
        reason: str = "",
    ) -> None:
        """The list, or one request; ``problem`` is why an answer was not taken."""
        request_id = path.strip("/")
        try:
            if not request_id:
                self._send(status, "Approvals", requests=self.server.actions.list())
                return
            view = self.server.actions.view(request_id)
        except PlatformError as exc:
            self._refuse(HTTPStatus.NOT_FOUND, exc.what)
            return
        self._send(
            status,
            f"{view.request.reference}: {view.request.state}",
            view=view,
            quality=parts.quality(view.evaluation) if view.evaluation else None,
            bound=list(parts.bound(view.request)),
            csrf=self.server.csrf,
            told=self.server.told.get(view.request.id, ""),
            problem=problem,
            reason=reason,
        )

    def _redirect(self, path: str, cookie: str = "") -> None:
        """See other: reloading the page that follows sends nothing again."""
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/" + path.strip("/"))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send(status, status.phrase, refused=why)

    def _send(self, status: HTTPStatus, title: str, **shown: Any) -> None:
        sheet = html.style(*_SHEETS)
        template = html.environment().get_template("approver_page.html")
        content = template.render(title=title, style=sheet, **{**_NOTHING, **shown}).encode()
        self.send_response(status)
        policy = html.policy(sheet, "img-src data:", "form-action 'self'", "frame-ancestors 'none'")
        for name, value in {"Content-Security-Policy": policy, **HEADERS}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


_NOTHING: dict[str, Any] = {"requests": None, "view": None, "refused": ""}
