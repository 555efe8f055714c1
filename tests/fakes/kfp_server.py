"""A KFP API server (v2beta1) over HTTP: the wire is real, what is behind it is a dictionary.

``serve(*parts)`` runs one for the length of a ``with``. A part adds routes: runs
(``kfp_runs.py``), pipelines, recurring runs. Refusals have the shape of the real
2.17.0 (grpc-gateway: ``{"code", "message", "details"}``). Faults are arguments.

    class Greetings:
        def routes(self, router: Router) -> None:
            router.add("GET", "/apis/v2beta1/greetings/{name}", self.get)

        def get(self, request: Request) -> dict[str, Any]:
            raise Refused(NOT_FOUND, f"no greeting {request.params['name']}")
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

INVALID, NOT_FOUND, EXISTS, FORBIDDEN, PRECONDITION = 3, 5, 6, 7, 9
INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 13, 14, 16
"""Codes of gRPC that the server answers with."""
_HTTP = {
    INVALID: 400,
    NOT_FOUND: 404,
    EXISTS: 409,
    FORBIDDEN: 403,
    PRECONDITION: 400,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    UNAUTHENTICATED: 401,
}
PREFIX = "/apis/v2beta1"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)
    """What ``{names}`` of the route matched."""

    @property
    def json(self) -> dict[str, Any]:
        try:
            read = json.loads(self.body or b"{}")
        except ValueError:
            raise Refused(INVALID, "unexpected EOF") from None
        return read if isinstance(read, dict) else {}


class Refused(Exception):
    """The answer is a refusal, as grpc-gateway writes one."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


Answer = Mapping[str, Any] | bytes
"""JSON, or the bytes of a log."""
Handler = Callable[[Request], Answer]


class Router:
    """Method and path pattern -> handler. ``{name}`` matches up to the next ``/`` or ``:``."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", pattern)
        self._routes.append((method, re.compile(expression), handler))

    def answer(self, request: Request) -> Answer:
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                params = {k: unquote(v) for k, v in found.groupdict().items()}
                return handler(
                    Request(
                        request.method,
                        request.path,
                        request.query,
                        request.headers,
                        request.body,
                        params,
                    )
                )
        raise Refused(NOT_FOUND, "Not Found")


class Part(Protocol):
    """A family of endpoints."""

    def routes(self, router: Router) -> None: ...


@dataclass
class Fault:
    """What goes wrong with matching requests, ``times`` times (-1: always)."""

    method: str = ""
    path: str = ""
    """A regular expression that the path must contain; empty: every path."""
    code: int = 0
    """A refusal of this gRPC code instead of the answer; 0: none."""
    after_commit: bool = False
    """Whether the request has its effect before the refusal."""
    delay_s: float = 0.0
    drop: bool = False
    """The connection is closed instead of an answer."""
    times: int = -1

    def hits(self, request: Request) -> bool:
        if self.times == 0 or (self.method and self.method != request.method):
            return False
        if not re.search(self.path, request.path):
            return False
        self.times -= self.times > 0
        return True


class _Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class FakeKfp:
    """What a running fake knows; ``requests`` are those that came, in order."""

    url: str
    router: Router
    faults: list[Fault]
    token: str = ""
    requests: list[Request] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        try:
            said = self._answer(request)
            return 200, said if isinstance(said, bytes) else json.dumps(said).encode()
        except Refused as exc:
            refusal = {"code": exc.code, "message": exc.message, "details": []}
            return _HTTP[exc.code], json.dumps(refusal).encode()

    def _answer(self, request: Request) -> Answer:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(UNAUTHENTICATED, "Request header error: there is no valid token")
        fault = next((f for f in self.faults if f.hits(request)), None)
        if fault and fault.delay_s:
            time.sleep(fault.delay_s)
        if fault and fault.drop and not fault.after_commit:
            raise _Dropped
        if fault and fault.code and not fault.after_commit:
            raise Refused(fault.code, "fault")
        with self.lock:
            said = self.router.answer(request)
        if fault and fault.drop:
            raise _Dropped
        if fault and fault.code:
            raise Refused(fault.code, "fault, after the request had its effect")
        return said


@contextmanager
def serve(
    *parts: Part,
    faults: Sequence[Fault] = (),
    token: str = "",
    version: str = "2.17.0",
    multi_user: bool = False,
    address: tuple[str, int] = ("127.0.0.1", 0),
) -> Iterator[FakeKfp]:
    """A server, on a free port of the loopback. ``token``: what callers must bring, "" for none."""
    router = Router()
    health = {
        "commit_sha": "unknown",
        "tag_name": version,
        "multi_user": multi_user,
        "pipeline_store": "database",
    }
    router.add("GET", f"{PREFIX}/healthz", lambda request: health)
    for part in parts:
        part.routes(router)
    server = _Server(address, _HttpHandler)
    fake = FakeKfp(f"http://127.0.0.1:{server.server_port}", router, list(faults), token)
    server.fake = fake  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that did not wait for its answer is no error of the server's."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fake-kfp", ""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {k.lower(): v for k, v in self.headers.items()},
            self.rfile.read(length),
        )
        try:
            status, body = self.server.fake.answer(request)  # type: ignore[attr-defined]
        except _Dropped:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = _handle

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test reads ``FakeKfp.requests``."""


def now() -> str:
    """A time as the server writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def listed(name: str, items: Sequence[Mapping[str, Any]], request: Request) -> dict[str, Any]:
    """A page of ``items``: filtered, sorted and cut as ``request`` asks (20 without page_size).

    As the real server, it leaves out what is empty, and answers ``{}`` for nothing.
    """
    query = request.query
    found = [i for i in items if _matches(i, query.get("filter", ""))]
    key, _, order = query.get("sort_by", "created_at").partition(" ")
    found.sort(key=lambda i: str(i.get(key, "")), reverse=order.strip() == "desc")
    begin = int(base64.b64decode(query["page_token"])) if query.get("page_token") else 0
    size = int(query.get("page_size") or 0) or 20
    answer: dict[str, Any] = {name: found[begin : begin + size], "total_size": len(found)}
    if begin + size < len(found):
        answer["next_page_token"] = base64.b64encode(str(begin + size).encode()).decode()
    return {k: v for k, v in answer.items() if v}


def _matches(item: Mapping[str, Any], text: str) -> bool:
    if not text:
        return True
    try:
        predicates = json.loads(unquote(text)).get("predicates", [])
    except ValueError:
        raise Refused(INVALID, "Failed to parse the filter") from None
    return all(_holds(item, predicate) for predicate in predicates)


def _holds(item: Mapping[str, Any], predicate: Mapping[str, Any]) -> bool:
    value = str(item.get(predicate["key"], ""))
    wanted = next((str(v) for k, v in predicate.items() if k.endswith("_value")), "")
    operation = str(predicate.get("operation", predicate.get("op", "EQUALS"))).upper()
    if operation == "IS_SUBSTRING":
        return wanted.lower() in value.lower()
    if operation == "EQUALS":
        return value == wanted
    if operation == "NOT_EQUALS":
        return value != wanted
    if operation == "IN":
        values = next((v["values"] for k, v in predicate.items() if k.endswith("_values")), [])
        return value in [str(v) for v in values]
    compared = {
        "GREATER_THAN": value > wanted,
        "GREATER_THAN_EQUALS": value >= wanted,
        "LESS_THAN": value < wanted,
        "LESS_THAN_EQUALS": value <= wanted,
    }
    if operation not in compared:
        raise Refused(INVALID, f"operation {operation} is not supported")
    return compared[operation]
