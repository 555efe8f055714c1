"""What the API server puts off is asked again; nothing else is sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from platform_ctl.cluster.access import PlainClient
from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.errors import ClusterUnavailable


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[Cluster, list[str]]]:
    """A server that answers with these statuses, then with 200 and an empty list."""
    left, methods = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            methods.append(self.command)
            status = left.pop(0) if left else 200
            document = {"items": [], "message": "storage is (re)initializing"}
            content = json.dumps(document).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield Cluster(PlainClient(address), namespace="test", server=address), methods
    finally:
        server.shutdown()
        server.server_close()


def test_a_request_that_is_put_off_is_sent_again() -> None:
    with answering(429, 429) as (cluster, methods):
        assert cluster.list(POD) == []
        assert methods == ["GET"] * 3
    with answering(429) as (cluster, methods):
        cluster.call("POST", "/api/v1/namespaces/test/pods", body={})
        assert methods == ["POST"] * 2


def test_a_server_that_puts_off_for_ever_is_unavailable() -> None:
    with answering(*[429] * 9) as (cluster, methods), pytest.raises(ClusterUnavailable):
        cluster.list(POD)
    assert len(methods) == 6


def test_a_failure_is_not_sent_twice() -> None:
    with answering(503) as (cluster, methods), pytest.raises(ClusterUnavailable):
        cluster.list(POD)
    assert methods == ["GET"]


def test_a_server_that_fails_is_not_said_to_be_silent() -> None:
    with answering(500) as (cluster, _), pytest.raises(ClusterUnavailable) as failed:
        cluster.call("POST", "/api/v1/namespaces/test/pods", body={})
    assert "answers and fails: POST /api/v1/namespaces/test/pods" in failed.value.what
