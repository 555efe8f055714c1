"""Notifications against a real server on loopback: delivered once, not lost, not blocking."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from platform_ctl.adapters.common import notify
from platform_ctl.adapters.common.notify import OutboxNotifier
from platform_ctl.adapters.common.secrets import read_secret
from platform_ctl.errors import ConfigError
from platform_ctl.ports.notifier import Message

MESSAGE = Message("approval-1-pending", "model/4 waits", "MASE 0.9 against 1.0")


class Endpoint:
    """Keeps what it is sent; answers with ``status``."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[tuple[dict, bytes]] = []
        self.status = 200
        self.sleep_s = 0.0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(endpoint.sleep_s)
                if endpoint.status == 200:
                    endpoint.received.append((dict(self.headers), body))
                self.send_response(endpoint.status)
                self.end_headers()

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/topic"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def outbox(tmp_path):
    def outbox(**channels) -> OutboxNotifier:
        return OutboxNotifier(tmp_path / "platform.db", tmp_path / "notify.lock", channels)

    return outbox


def test_ntfy_gets_a_title_a_body_and_a_token(outbox, endpoint):
    outbox(ntfy=notify.ntfy(endpoint.url, "tk_1")).send(MESSAGE)
    headers, body = endpoint.received[0]
    assert headers["Title"] == "model/4 waits"
    assert headers["Authorization"] == "Bearer tk_1"
    assert body == b"MASE 0.9 against 1.0"


def test_a_webhook_gets_text(outbox, endpoint):
    outbox(webhook=notify.webhook(endpoint.url)).send(MESSAGE)
    _, body = endpoint.received[0]
    assert json.loads(body) == {"text": "*model/4 waits*\nMASE 0.9 against 1.0"}


def test_one_event_is_sent_once(outbox, endpoint):
    notifier = outbox(ntfy=notify.ntfy(endpoint.url))
    notifier.send(MESSAGE)
    notifier.send(MESSAGE)
    assert len(endpoint.received) == 1


def test_an_endpoint_that_is_down_gets_it_later(outbox):
    first = Endpoint()
    port = first.port
    first.close()
    notifier = outbox(ntfy=notify.ntfy(first.url))
    notifier.send(MESSAGE)
    assert notifier.deliver() == 1
    again = Endpoint(port)
    assert notifier.deliver() == 0
    assert len(again.received) == 1
    again.close()


def test_an_endpoint_that_refuses_is_tried_again(outbox, endpoint):
    endpoint.status = 503
    notifier = outbox(ntfy=notify.ntfy(endpoint.url))
    notifier.send(MESSAGE)
    endpoint.status = 200
    assert notifier.deliver() == 0
    assert len(endpoint.received) == 1


def test_a_slow_endpoint_does_not_hold_anybody_up(outbox, endpoint):
    endpoint.sleep_s = 5.0
    notifier = outbox(ntfy=notify.ntfy(endpoint.url))
    started = time.monotonic()
    for i in range(3):
        notifier.send(Message(f"k{i}", "t", "b"))
    assert time.monotonic() - started < 3 * notify.TIMEOUT_S + 1.5


def test_one_channel_down_does_not_stop_the_other(outbox, endpoint):
    down = Endpoint()
    down.close()
    notifier = outbox(ntfy=notify.ntfy(down.url), webhook=notify.webhook(endpoint.url))
    notifier.send(MESSAGE)
    assert len(endpoint.received) == 1


def test_without_channels_nothing_is_made(outbox, tmp_path):
    notifier = outbox()
    notifier.send(MESSAGE)
    assert notifier.deliver() == 0
    assert not (tmp_path / "platform.db").exists()


def test_secrets_are_references(tmp_path):
    (tmp_path / "token").write_text("tk_2\n")
    assert read_secret("env:TOKEN", {"TOKEN": "tk_1"}) == "tk_1"
    assert read_secret(f"file:{tmp_path / 'token'}", {}) == "tk_2"
    assert read_secret("", {}) == ""
    for reference in ("env:TOKEN", f"file:{tmp_path / 'none'}"):
        with pytest.raises(ConfigError):
            read_secret(reference, {})
