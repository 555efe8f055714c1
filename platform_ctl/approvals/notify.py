"""ntfy and Slack-compatible webhooks, behind an outbox in the home's database.

Each call tries each waiting message once; whatever does not arrive waits for
the next call of any command that delivers. A message may arrive twice when a
process dies between sending and noting it.
"""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import queue
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from platform_ctl.approvals.notifier import Notification
from platform_ctl.folders import make_private
from platform_ctl.home.state import connect, connect_reading, transaction

TIMEOUT_S = 1.0
"""For one endpoint to take one message."""
BUDGET_S = 3.0
"""For everything one command delivers."""

Send = Callable[[Notification], None]


class OutboxNotifier:
    """``channels``: name -> function(message) that raises OSError when it cannot deliver."""

    def __init__(self, database: Path, lock_file: Path, channels: Mapping[str, Send]) -> None:
        self._database = database
        self._lock_file = lock_file
        self._channels = channels

    def send(self, message: Notification) -> None:
        if not self._channels:
            return
        db = connect(self._database)
        try:
            with transaction(db):
                for channel in self._channels:
                    db.execute(
                        "INSERT OR IGNORE INTO notifications (channel, key, title, body, "
                        "priority, tags, click, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (channel, *_row(message), _now()),
                    )
        finally:
            db.close()
        self.deliver()

    def undelivered(self) -> int:
        if not self._channels:
            return 0
        with contextlib.closing(connect_reading(self._database)) as db:
            return len(_waiting(db))

    def deliver(self) -> int:
        """One process delivers at a time; another returns at once."""
        if not self._channels:
            return 0
        make_private(self._lock_file.parent)
        db = connect(self._database)
        try:
            with FileLock(self._lock_file, timeout=0):
                self._deliver(db)
        except Timeout:
            pass
        finally:
            waiting = _waiting(db)
            db.close()
        return len(waiting)

    def _deliver(self, db: sqlite3.Connection) -> None:
        """In order; a channel that fails once is left alone, and so is the rest of the budget."""
        deadline = time.monotonic() + BUDGET_S
        down: set[str] = set()
        for row in _waiting(db):
            send = self._channels.get(row["channel"])
            if send is None or row["channel"] in down or time.monotonic() > deadline:
                continue
            try:
                send(_message(row))
            except OSError as exc:
                down.add(row["channel"])
                db.execute(
                    "UPDATE notifications SET attempts = attempts + 1, last_error = ? WHERE id = ?",
                    (str(exc), row["id"]),
                )
            else:
                db.execute(
                    "UPDATE notifications SET attempts = attempts + 1, delivered_at = ?, "
                    "last_error = '' WHERE id = ?",
                    (_now(), row["id"]),
                )


def ntfy(url: str, token: str = "") -> Send:
    """A topic of an ntfy server, ``https://HOST/TOPIC``; ``token`` is the value itself.

    Published as JSON to the address above the topic, which is UTF-8 all through: a header
    would have to be ASCII. Fields: https://docs.ntfy.sh/publish/#publish-as-json
    """
    base, topic = split_topic(url)

    def send(message: Notification) -> None:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        _post(base, json.dumps(published(message, topic), ensure_ascii=False).encode(), headers)

    return send


def split_topic(url: str) -> tuple[str, str]:
    """The address to publish to and the topic, of a topic's URL."""
    address, mark, query = url.partition("?")
    base, _, topic = address.rstrip("/").rpartition("/")
    return f"{base}/{mark}{query}", topic


def published(message: Notification, topic: str) -> dict[str, object]:
    """ntfy's JSON of a message; what is empty is left out."""
    fields = {
        "topic": topic,
        "title": " ".join(message.title.split()),
        "message": message.body,
        "priority": message.priority,
        "tags": list(message.tags),
        "click": message.click,
    }
    return {name: value for name, value in fields.items() if value}


def webhook(url: str) -> Send:
    """Slack's incoming webhooks, and whatever understands them (Mattermost, Discord's /slack)."""

    def send(message: Notification) -> None:
        # Slack's three: what somebody gave as a reason mentions nobody and links nowhere.
        lines = [f"*{message.title}*", message.body, *([message.click] if message.click else [])]
        payload = json.dumps({"text": html.escape("\n".join(lines), quote=False)}).encode()
        _post(url, payload, {"Content-Type": "application/json"})

    return send


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises OSError for anything but success within TIMEOUT_S."""
    outcome: queue.SimpleQueue[str] = queue.SimpleQueue()
    # Of its own thread: a name that does not resolve, or an answer that drips, has no timeout.
    threading.Thread(target=lambda: outcome.put(_failure(url, body, headers)), daemon=True).start()
    try:
        failed = outcome.get(timeout=TIMEOUT_S)
    except queue.Empty:
        failed = f"no answer within {TIMEOUT_S:g} s"
    if failed:
        raise OSError(failed)


def _failure(url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """What went wrong, "" for nothing. Never the URL, which for a webhook is the secret."""
    try:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            return "" if response.status < 300 else f"HTTP {response.status}"
    except urllib.error.HTTPError as exc:
        return f"HTTP {exc.code}"
    except urllib.error.URLError as exc:
        if isinstance(exc.reason, OSError):
            return exc.reason.strerror or type(exc.reason).__name__
        return "the address cannot be used"
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return type(exc).__name__


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and nothing else, and no redirects: a redirected POST would lose its body, and take
    the token to somebody else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _row(message: Notification) -> tuple[str, str, str, int, str, str]:
    tags = ",".join(message.tags)
    return message.key, message.title, message.body, message.priority, tags, message.click


def _message(row: sqlite3.Row) -> Notification:
    tags = tuple(tag for tag in row["tags"].split(",") if tag)
    return Notification(row["key"], row["title"], row["body"], row["priority"], tags, row["click"])


def _waiting(db: sqlite3.Connection) -> list[sqlite3.Row]:
    return db.execute("SELECT * FROM notifications WHERE delivered_at = '' ORDER BY id").fetchall()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
