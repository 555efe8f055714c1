"""The listener of a revision's process: limits, canary split, metrics, request log.

Production's process answers in place. Only the canary's share takes a hop,
over a unix socket to the canary's process; when that gives no answer in time,
production answers and the failure is written down against the canary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect

from platform_ctl.errors import ServiceUnavailable
from platform_ctl.serving.server.request_log import RequestLog
from platform_ctl.serving.server.service_clock import Elapsed, ServiceClock
from platform_ctl.serving.service import (
    KEY_HEADER,
    REVISION_HEADER,
    SERVED_BY_HEADER,
    Canary,
    ServiceLimits,
    takes_canary,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOP_HEADER = b"x-platform-hop"
"""With the canary's answer to production: the time it took there, in ms."""
WAIT_HEADER = b"x-platform-cpu-wait"
"""Beside it: how much of that the canary's process waited for a CPU, in ms."""

REQUESTS = Counter(
    "inference_requests",
    "Answers by revision and HTTP status; 0: the canary gave none.",
    ["service", "revision", "code"],
)
SECONDS = Histogram(
    "inference_request_seconds",
    "Time inside the revision's process.",
    ["service", "revision"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
FALLBACKS = Counter(
    "inference_canary_failures", "Requests that production took over.", ["service", "reason"]
)

_CLIENT_CLOSED_REQUEST = 499
"""nginx's number for it; counted, for nobody is left to be told."""
_WARM_LIMIT_S = 30.0
_ILL_AFTER = 5
"""Errors in a row after which this process is said to give no predictions."""
_EXAMPLE_SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}
_OPEN_AFTER = 5
"""Failures in a row after which the canary is left alone …"""
_OPEN_FOR_S = 1.0
"""… for this long, so that a hanging canary costs few callers its timeout."""


@dataclass(frozen=True)
class FrontResponse:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Front:
    """ASGI application around KServe's; ``route`` may be replaced between any two requests."""

    def __init__(
        self,
        app: App,
        *,
        service: str,
        revision: str,
        log: RequestLog,
        limits: ServiceLimits,
        example: bytes = b"",
        warming: Future | None = None,
    ) -> None:
        """``warming``: done once the feature lookup is fast."""
        self._app = app
        self._service = service
        self._revision = revision
        self._log = log
        self._limits = limits
        self._paths = {f"/v1/models/{service}:predict", f"/v2/models/{service}/infer"}
        self._seconds = SECONDS.labels(service, revision)
        self._codes: dict[int, Any] = {}
        self._example = example
        self._warming = warming
        self._clock = ServiceClock()
        self._unanswered = 0
        """Requests since the last one that was answered without an error of ours."""
        self._canary: Canary | None = None
        self._client: aiohttp.ClientSession | None = None
        self._failures = 0
        self._closed_until = 0.0
        self._background: set[asyncio.Task] = set()
        self.production = False
        self.draining = False
        self.in_flight = 0

    async def prepare(self) -> None:
        """Wait for the feature lookup, then ask the model for the prediction of its own input
        example, where it has one.

        Who replaces another process answers as fast as that one from the first request on. A
        lookup that fails or takes too long says so to whoever asks for it. Raises
        ServiceUnavailable when the model does not answer.
        """
        if self._warming is not None:
            await asyncio.wait([asyncio.wrap_future(self._warming)], timeout=_WARM_LIMIT_S)
        if not self._example:
            return
        path = f"/v1/models/{self._service}:predict"
        scope = {**_EXAMPLE_SCOPE, "path": path, "raw_path": path.encode()}
        answer = await self._here(scope, self._example)
        if answer.status != 200:
            text = answer.body.decode(errors="replace")[:200]
            raise ServiceUnavailable(
                f"revision {self._revision} answers its input example with {answer.status}: {text}",
                where=f"InferenceService {self._service}",
                fix=f"platform-ctl service logs {self._service}",
            )

    def condition(self) -> str:
        """Why this process gives no predictions; empty while it does."""
        failed = self._unanswered - self.in_flight
        return f"the last {failed} requests ended in an error" if failed >= _ILL_AFTER else ""

    async def route(self, *, production: bool, canary: Canary | None) -> None:
        """Take effect for every request that arrives from now on."""
        if (canary and canary.socket) != (self._canary and self._canary.socket):
            old, self._client = self._client, _client(canary, self._limits) if canary else None
            self._failures, self._closed_until = 0, 0.0
            if old is not None:
                self._later(self._close_when_idle(old))
        self.production = production
        self._canary = canary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The address that callers reach."""
        await self._serve(scope, receive, send, passed_on=False)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The socket at which production passes the canary's share on; no caller reaches it."""
        await self._serve(scope, receive, send, passed_on=True)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, passed_on: bool) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.in_flight += 1
        try:
            if scope["method"] == "POST" and scope["path"] in self._paths:
                await self._predict(scope, receive, send, passed_on)
            else:
                await self._app(scope, self._limited(receive), self._close_connection(send))
        finally:
            self.in_flight -= 1

    # ---- predictions ------------------------------------------------------

    async def _predict(self, scope: Scope, receive: Receive, send: Send, passed_on: bool) -> None:
        try:
            body = await self._body(scope, receive)
        except ClientDisconnect:
            self._count(_CLIENT_CLOSED_REQUEST)
            return
        if body is None:
            await self._reply(send, _too_large(self._limits.body_bytes), self._revision)
            self._count(413)
            return
        self._unanswered += 1
        if passed_on:
            status = await self._answer_hop(scope, body, send)
        else:
            status = await self._answer(scope, dict(scope["headers"]), body, send)
        if status < 500:
            self._unanswered = 0

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes, send: Send
    ) -> int:
        """Answer one request; its HTTP status, where 503 for want of a production is no error."""
        canary = self._canary_for(headers, body)
        if canary is not None and await self._by_canary(canary, scope, headers, body, send):
            return 200
        if not self.production and headers.get(REVISION_HEADER.encode()) != b"canary":
            self._count(503)
            await self._reply(send, _no_production(self._service), self._revision)
            return 200
        begun = self._clock.now()
        answer = await self._here(scope, body)
        elapsed = self._clock.since(begun)
        self._count(answer.status)
        self._seconds.observe(elapsed.wall_ms / 1e3)
        await self._reply(send, answer, self._revision)
        self._log.write(self._revision, answer.status, elapsed, headers, body, answer.body)
        return answer.status

    def _canary_for(self, headers: dict[bytes, bytes], body: bytes) -> Canary | None:
        canary = self._canary
        if canary is None:
            return None
        wanted = headers.get(REVISION_HEADER.encode())
        if wanted is not None:
            return canary if wanted == b"canary" else None
        if not canary.weight_percent or time.monotonic() < self._closed_until:
            return None
        key = headers.get(KEY_HEADER.encode()) or _content_key(body)
        return canary if takes_canary(key, canary.weight_percent) else None

    async def _here(self, scope: Scope, body: bytes) -> FrontResponse:
        """Let this process's own model answer."""
        sent = False
        status, headers, chunks = 500, [], []

        async def receive() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return FrontResponse(status, headers, b"".join(chunks))

    async def _answer_hop(self, scope: Scope, body: bytes, send: Send) -> int:
        """A request that production passed on: answer, and say how long it took here."""
        begun = self._clock.now()
        answer = await self._here(scope, body)
        elapsed = self._clock.since(begun)
        self._count(answer.status)
        self._seconds.observe(elapsed.wall_ms / 1e3)
        answer.headers.append((HOP_HEADER, f"{elapsed.wall_ms:.4f}".encode()))
        answer.headers.append((WAIT_HEADER, f"{elapsed.cpu_wait_ms:.4f}".encode()))
        await self._reply(send, answer, self._revision)
        return answer.status

    async def _by_canary(
        self,
        canary: Canary,
        scope: Scope,
        headers: dict[bytes, bytes],
        body: bytes,
        send: Send,
    ) -> bool:
        """Let the canary answer; False when it did not and production has to."""
        started = time.perf_counter()
        answer, failure = await self._hop(scope, headers, body)
        if answer is None or answer.status >= 500:
            reason = failure or f"status {answer.status if answer else 0}"
            elapsed = Elapsed((time.perf_counter() - started) * 1e3, 0.0)
            self._failures += 1
            if self._failures >= _OPEN_AFTER:
                self._closed_until = time.monotonic() + _OPEN_FOR_S
            FALLBACKS.labels(self._service, reason.split(":")[0]).inc()
            status = answer.status if answer else 0
            REQUESTS.labels(self._service, canary.revision, str(status)).inc()
            self._log.write(canary.revision, status, elapsed, headers, body, b"", failure=reason)
            return False
        self._failures = 0
        answered = dict(answer.headers)
        elapsed = Elapsed(float(answered[HOP_HEADER]), float(answered.get(WAIT_HEADER, 0)))
        REQUESTS.labels(self._service, canary.revision, str(answer.status)).inc()
        SECONDS.labels(self._service, canary.revision).observe(elapsed.wall_ms / 1e3)
        passed_on = [h for h in answer.headers if h[0] not in _DROPPED]
        passed_on.append((b"content-length", str(len(answer.body)).encode()))
        await self._reply(
            send, FrontResponse(answer.status, passed_on, answer.body), canary.revision
        )
        self._log.write(canary.revision, answer.status, elapsed, headers, body, answer.body)
        return True

    async def _hop(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes
    ) -> tuple[FrontResponse | None, str]:
        passed_on = {
            k.decode("latin-1"): v.decode("latin-1")
            for k, v in headers.items()
            if k not in _DROPPED
        }
        client = self._client
        if client is None:
            return None, "unreachable: the canary has just been taken away"
        try:
            async with (
                asyncio.timeout(self._limits.canary_timeout_s),
                client.post(
                    f"http://canary{scope['path']}", data=body, headers=passed_on
                ) as response,
            ):
                raw = [(k.lower(), v) for k, v in response.raw_headers]
                return FrontResponse(response.status, raw, await response.read()), ""
        except TimeoutError:
            return None, f"timeout: no answer in {self._limits.canary_timeout_s:g} s"
        except aiohttp.ClientError as exc:
            return None, f"unreachable: {type(exc).__name__}"

    # ---- plumbing ---------------------------------------------------------

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when it is larger than allowed (and the rest is not read).
        Raises ClientDisconnect."""
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > self._limits.body_bytes:
            return None
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._limits.body_bytes:
                return None
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _limited(self, receive: Receive) -> Receive:
        """Other endpoints take no body worth reading: end it at the limit."""
        size = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message if size <= self._limits.body_bytes else {"type": "http.disconnect"}

        return limited

    async def _reply(self, send: Send, answer: FrontResponse, served_by: str) -> None:
        headers = [*answer.headers, (SERVED_BY_HEADER.encode(), served_by.encode())]
        if self.draining or answer.status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _close_connection(self, send: Send) -> Send:
        if not self.draining:
            return send

        async def closing(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return closing

    def _count(self, status: int) -> None:
        counter = self._codes.get(status)
        if counter is None:
            counter = REQUESTS.labels(self._service, self._revision, str(status))
            self._codes[status] = counter
        counter.inc()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _close_when_idle(self, client: aiohttp.ClientSession) -> None:
        """Requests that took the old route may still wait for their answer."""
        await asyncio.sleep(self._limits.canary_timeout_s + 0.5)
        await client.close()

    async def finish(self) -> None:
        """Write what is still to be written."""
        await asyncio.gather(*(t for t in self._background if not t.done()), return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        self._log.close()
        self._clock.close()


_DROPPED = {
    b"connection",
    b"content-length",
    b"date",
    b"expect",
    b"host",
    b"keep-alive",
    b"server",
    b"transfer-encoding",
    SERVED_BY_HEADER.encode(),
    HOP_HEADER,
    WAIT_HEADER,
}


def _client(canary: Canary, limits: ServiceLimits) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(canary.socket, limit=0),
        timeout=aiohttp.ClientTimeout(total=limits.canary_timeout_s),
        auto_decompress=False,
        skip_auto_headers=("user-agent", "accept", "accept-encoding"),
    )


def _content_key(body: bytes) -> bytes:
    """What is asked, without the parts that differ from call to call (V2's id)."""
    try:
        decoded = orjson.loads(body)
        instances = decoded.get("instances", decoded.get("inputs"))
        return orjson.dumps(instances, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return body


def _json(status: int, error: str) -> FrontResponse:
    body = orjson.dumps({"error": error})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return FrontResponse(status, headers, body)


def _too_large(limit: int) -> FrontResponse:
    return _json(413, f"the body is larger than {limit} bytes")


def _no_production(service: str) -> FrontResponse:
    return _json(
        503, f"{service} has no production revision yet: platform-ctl release show {service}"
    )
