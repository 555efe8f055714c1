"""Whether a server of shared state answers as its kind does, before a library waits for it.

MLflow's client retries for minutes and PyIceberg's has no timeout at all. One request
with a deadline decides before them: no answer, a slow one, or one of something else is
``err-store-unavailable`` within ten seconds. Who may do what is left to the library.
"""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from platform_ctl.errors import StoreUnavailable
from platform_ctl.text import without_user

DEADLINE_S = 8.0
"""For all tries together, name look-up and a dripping answer included."""
_PAUSES_S = (0.5, 1.5)
"""Between tries: a server that restarts is no failure."""
_answered: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Question:
    """A request that every server of a kind answers with JSON. ``setting`` names its address."""

    kind: str
    setting: str
    path: str
    body: bytes | None = None
    method: str = "GET"


MLFLOW = Question(
    "an MLflow server",
    "mlflow_tracking_uri",
    "/api/2.0/mlflow/experiments/search",
    b'{"max_results": 1}',
    "POST",
)
ICEBERG = Question("an Iceberg REST catalog", "iceberg_catalog", "/v1/config")


def require_answer(url: str, question: Question, *, deadline_s: float = DEADLINE_S) -> None:
    """Raises StoreUnavailable. What is no http(s) address, and what has answered, is not asked."""
    if not url.startswith(("http://", "https://")) or (url, question.kind) in _answered:
        return
    ends_s, why = time.monotonic() + deadline_s, ""
    for pause_s in (*_PAUSES_S, None):
        why = _within(url, question, max(ends_s - time.monotonic(), 0.1))
        if not why:
            _answered.add((url, question.kind))
            return
        if pause_s is None or time.monotonic() + pause_s >= ends_s:
            break
        time.sleep(pause_s)
    raise StoreUnavailable(
        f"{without_user(url)} does not answer as {question.kind} does: {why}",
        where=f"setting {question.setting}",
        fix="platform-ctl config show --origin",
    )


def _within(url: str, question: Question, limit_s: float) -> str:
    """Of its own thread: neither a look-up of a name nor an answer that drips has a timeout."""
    outcome: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: outcome.put(_problem(url, question, limit_s)), daemon=True
    ).start()
    try:
        return outcome.get(timeout=limit_s)
    except queue.Empty:
        return f"nothing within {limit_s:.0f} s"


def _problem(url: str, question: Question, limit_s: float) -> str:
    """What is wrong with the answer; "" for nothing."""
    try:
        request = urllib.request.Request(
            without_user(url).rstrip("/") + question.path,
            data=question.body,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            method=question.method,
        )
        with urllib.request.urlopen(request, timeout=limit_s) as response:
            return _of_body(response.read(1_000_000))
    except urllib.error.HTTPError as exc:
        if exc.code in (401, 403):
            return ""
        if exc.code >= 500:
            return f"HTTP {exc.code}"
        return f"HTTP {exc.code}" if _of_body(exc.read(1_000_000)) else ""
    except urllib.error.URLError as exc:
        reason = exc.reason
        if isinstance(reason, ssl.SSLError):
            return ""  # something speaks TLS; whom to trust, the library's own settings say
        return (reason.strerror if isinstance(reason, OSError) else "") or type(reason).__name__
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return type(exc).__name__


def _of_body(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return "its answer is not JSON"
    return "" if isinstance(answer, dict) else "its answer is no JSON object"
