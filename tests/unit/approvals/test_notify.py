"""Notifications against a real server on loopback: delivered once, not lost, not blocking."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from platform_ctl.approvals import notify
from platform_ctl.approvals.notifier import Notification
from platform_ctl.approvals.notify import OutboxNotifier
from platform_ctl.errors import ConfigError
from platform_ctl.home.secrets import read_secret

MESSAGE = Notification("approval-1-pending", "model/4 waits", "MASE 0.9 against 1.0")


class Endpoint:
    """Keeps what it is sent; answers with ``status``."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[tuple[dict, bytes]] = []
        self.paths: list[str] = []
        self.status = 200
        self.sleep_s = 0.0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(endpoint.sleep_s)
                if endpoint.status == 200:
                    endpoint.paths.append(self.path)
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
    assert headers["Authorization"] == "Bearer tk_1"
    assert json.loads(body) == {
        "topic": "topic",
        "title": "model/4 waits",
        "message": "MASE 0.9 against 1.0",
        "priority": 3,
    }
    assert endpoint.paths == ["/"]


def test_ntfy_gets_utf_8_priority_tags_and_a_page(outbox, endpoint):
    message = Notification(
        "k", "Größe: Übung", "naïve – 3 €", 5, ("rotating_light", "x"), "https://a/b"
    )
    outbox(ntfy=notify.ntfy(endpoint.url)).send(message)
    ((_, body),) = endpoint.received
    said = json.loads(body.decode("utf-8"))
    assert (said["title"], said["message"]) == ("Größe: Übung", "naïve – 3 €")
    assert (said["priority"], said["tags"], said["click"]) == (
        5,
        ["rotating_light", "x"],
        "https://a/b",
    )


@pytest.mark.parametrize(
    ("url", "base", "topic"),
    [
        ("https://ntfy.sh/t", "https://ntfy.sh/", "t"),
        ("http://h:80/sub/t/", "http://h:80/sub/", "t"),
        ("https://h/t?auth=x", "https://h/?auth=x", "t"),
    ],
)
def test_the_topic_of_an_address(url, base, topic):
    assert notify.split_topic(url) == (base, topic)


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
        notifier.send(Notification(f"k{i}", "t", "b"))
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


SECRET = "T00/B00/xoxb-secret"


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what ``answer`` says; its URL holds a secret."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"


def drip(connection: socket.socket) -> None:
    """An answer that is always about to come."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(40):
        time.sleep(0.2)
        connection.sendall(b"X-A: b\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        drip,
        lambda connection: connection.sendall(b"\x00\x01 nonsense\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 " + b"x" * 100_000),
        lambda connection: connection.close(),
        lambda connection: connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n"),
    ],
    ids=["drips", "nonsense", "endless", "hangs up", "404"],
)
def test_whatever_an_endpoint_does_the_message_waits_and_no_secret_is_kept(
    outbox, tmp_path, answer
):
    with raw_server(answer) as url:
        notifier = outbox(webhook=notify.webhook(url))
        started = time.monotonic()
        notifier.send(MESSAGE)
        assert time.monotonic() - started < notify.BUDGET_S
    with sqlite3.connect(tmp_path / "platform.db") as db:
        (row,) = db.execute("SELECT delivered_at, attempts, last_error FROM notifications")
    assert row[0] == "" and row[1] == 1 and row[2]
    assert SECRET.encode() not in (tmp_path / "platform.db").read_bytes()


@pytest.mark.parametrize(
    "url",
    [
        f"hooks.example.org/{SECRET}",
        f"file:///tmp/{SECRET}",
        f"ftp://127.0.0.1/{SECRET}",
        f"http://127.0.0.1:1/{SECRET}",
        f"http://127.0.0.1:99999/{SECRET}",
        f"http://[::/{SECRET}",
        f"http://127.0.0.1/{SECRET} with spaces",
        f"http://nowhere.invalid/{SECRET}",
    ],
)
def test_an_address_that_cannot_be_used_stops_nobody(outbox, tmp_path, url):
    notifier = outbox(webhook=notify.webhook(url), ntfy=notify.ntfy(url, "tk_1"))
    notifier.send(MESSAGE)
    with sqlite3.connect(tmp_path / "platform.db") as db:
        errors = [e for (e,) in db.execute("SELECT last_error FROM notifications")]
    assert len(errors) == 2 and all(errors)
    assert not any(SECRET in e or "tk_1" in e for e in errors)


def test_a_redirect_neither_counts_as_delivered_nor_takes_the_token_along(outbox, endpoint):
    def redirect(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {endpoint.url}\r\n\r\n".encode())

    with raw_server(redirect) as url:
        notifier = outbox(ntfy=notify.ntfy(url, "tk_1"))
        notifier.send(MESSAGE)
        assert notifier.deliver() == 1
    assert endpoint.received == []


def test_what_waited_arrives_in_the_order_in_which_it_was_said(outbox, endpoint):
    endpoint.status = 503
    notifier = outbox(ntfy=notify.ntfy(endpoint.url))
    for i in range(5):
        notifier.send(Notification(f"k{i}", f"title {i}", "b"))
    endpoint.status = 200
    assert notifier.deliver() == 0
    titles = [json.loads(body)["title"] for _, body in endpoint.received]
    assert titles == [f"title {i}" for i in range(5)]


def test_a_reason_cannot_call_a_channel_or_forge_a_header(outbox, endpoint):
    notifier = outbox(ntfy=notify.ntfy(endpoint.url), webhook=notify.webhook(endpoint.url))
    notifier.send(Notification("k", "title\r\nX-Evil: 1", "<!channel> & <https://evil|here>"))
    (headers, published), (_, body) = endpoint.received
    assert json.loads(published)["title"] == "title X-Evil: 1" and "X-Evil" not in headers
    assert "&lt;!channel&gt; &amp; &lt;https://evil|here&gt;" in json.loads(body)["text"]


def test_secrets_are_references(tmp_path):
    (tmp_path / "token").write_text("tk_2\n")
    assert read_secret("env:TOKEN", {"TOKEN": "tk_1"}) == "tk_1"
    assert read_secret(f"file:{tmp_path / 'token'}", {}) == "tk_2"
    assert read_secret("", {}) == ""
    for reference in ("env:TOKEN", f"file:{tmp_path / 'none'}"):
        with pytest.raises(ConfigError):
            read_secret(reference, {})
