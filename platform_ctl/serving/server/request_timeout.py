"""How long a connection may take to say what it wants.

uvicorn waits for ever for the rest of a request. A caller that sends one header
a minute, or half a body, would hold a connection, and the end of a draining
process, for as long as it likes.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024


def protocol(request_timeout_s: float) -> type[RequestTimeoutProtocol]:
    """The protocol class for ``uvicorn.Config(http=…)``: uvicorn makes one object a connection."""
    limits = {"request_timeout_s": request_timeout_s}
    return type("RequestTimeoutProtocol", (RequestTimeoutProtocol,), limits)


class RequestTimeoutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an end to its patience: 408 for a request that is not all
    there after ``request_timeout_s``, 431 for a head of more than ``MAX_HEAD_BYTES``."""

    request_timeout_s: ClassVar[float]

    def connection_made(  # type: ignore[override]  # uvicorn's own narrows it as well
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._deadline = self.loop.call_later(self.request_timeout_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._deadline.cancel()
        self._deadline = self.loop.call_later(self.request_timeout_s, self._give_up)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._deadline.cancel()

    def _give_up(self) -> None:
        why = f"the request was not complete in {self.request_timeout_s:g} s"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, why)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Say why, when it is this request's turn to be answered, and close."""
        if self.transport.is_closing():
            return
        if self._in_head:
            nothing_asked = self._head_bytes == 0
            is_next = self.cycle is None or self.cycle.response_complete
        else:
            nothing_asked = False
            is_next = not self.pipeline and not self.cycle.response_started
        if is_next and not nothing_asked:
            body = orjson.dumps({"error": why})
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
