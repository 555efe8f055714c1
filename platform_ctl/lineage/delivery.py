"""Delivers the outbox to where OpenLineage's own configuration says, in order, in its own process.

``python -m platform_ctl.lineage.delivery FOLDER [CONFIG_FILE]``. One delivers at a
time. What is delivered is noted after each event, so that a kill repeats at
most one. An endpoint that is down stops the delivery: the next one goes on
there. An event that the endpoint refuses as malformed is set aside.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from filelock import FileLock, Timeout

from platform_ctl.errors import ConfigError, HomeBusy, PlatformError
from platform_ctl.folders import make_private
from platform_ctl.home import files
from platform_ctl.lineage.outbox import Outbox, Position
from platform_ctl.text import without_user

if TYPE_CHECKING:
    from openlineage.client.transport import Transport

_REFUSED = {400, 413, 422}
"""HTTP status of an endpoint that will never take this event."""
REFUSED_FILE = "refused.jsonl"
"""Events that the endpoint refused, each with why."""
_NOTE_FILE = "delivered.json"
_PATIENCE = 3
"""Deliveries that may stop at one event before the one behind it is tried."""
_NOWHERE = {"console", "noop"}
"""What OpenLineage falls back to when it is told nothing: events would be gone."""
_LOCK_TIMEOUT_S = 60.0
_EMIT_S = 7.0
"""For one event, with whatever its transport tries again."""


@dataclass(frozen=True)
class Delivered:
    """``problem`` says why the rest waits; "" when nothing does."""

    delivered: int
    refused: int
    waiting: int
    problem: str = ""


@dataclass(frozen=True)
class _Note(Position):
    """How far the outbox was delivered, and how many deliveries in a row have stopped there."""

    failures: int = 0


@dataclass(frozen=True)
class _Refused:
    """A line of REFUSED_FILE."""

    why: str
    event: dict[str, Any]


def deliver(folder: Path, config_file: str = "", *, refused_too: bool = False) -> Delivered:
    """Deliver what waits, until something stops it; with ``refused_too`` what was refused first.

    Raises HomeBusy while another process delivers, ConfigError when OpenLineage's
    configuration has no transport that takes events anywhere.
    """
    make_private(folder)
    with _alone(folder):
        transport = _transport(config_file)
        try:
            taken_back = _again(folder, transport) if refused_too else 0
            done = _deliver(folder, transport)
            return replace(done, delivered=done.delivered + taken_back)
        finally:
            transport.close()


def waiting(folder: Path) -> int:
    """Events that were not delivered yet."""
    return sum(1 for _ in Outbox(folder).lines(since=position_in(folder)))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / "delivery.lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as exc:
        raise HomeBusy(
            "another process is delivering lineage events, and its endpoint is slow",
            where=str(folder),
            fix="platform-ctl lineage deliver",
        ) from exc


def _deliver(folder: Path, transport: Transport) -> Delivered:
    delivered = refused = 0
    undelivered = Outbox(folder).lines(since=position_in(folder))
    for position, event in undelivered:
        problem, dealt_with = _emit(transport, event)
        if problem and not dealt_with:
            after = _after_poison(folder, transport, undelivered)
            if after is None:
                return Delivered(delivered, refused, waiting(folder), problem)
            stopped = f"; {_failures(folder)} deliveries stopped here, and the next was taken"
            position, delivered = after, delivered + 1
            problem, _ = _emit(transport, event)  # had the endpoint just come back?
            problem += stopped if problem else ""
        if problem:
            _set_aside(folder, event, problem)
            refused += 1
        else:
            delivered += 1
        _note(folder, position)
    return Delivered(delivered, refused, waiting(folder))


def _after_poison(
    folder: Path, transport: Transport, undelivered: Iterator[tuple[Position, dict[str, Any]]]
) -> Position | None:
    """Position after the next event, when it is this one that the endpoint cannot take.

    Some endpoints answer 500 to what they do not understand, for ever. An event
    at which ``_PATIENCE`` deliveries in a row have stopped is the culprit when
    the one behind it goes through; None while the endpoint itself may be.
    """
    failures = _failures(folder) + 1
    _note(folder, position_in(folder), failures)
    following = next(undelivered, None) if failures >= _PATIENCE else None
    if following is None:
        return None
    position, event = following
    problem, _ = _emit(transport, event)
    return None if problem else position


def _again(folder: Path, transport: Transport) -> int:
    """Send what was refused once more; how many were taken now. The others stay aside."""
    path = folder / REFUSED_FILE
    lines = path.read_bytes().splitlines() if path.is_file() else []
    refused = []
    for line in lines:
        event = _refused_event(line)
        problem = _emit(transport, event)[0] if event is not None else "torn"
        if problem:
            refused.append(line + b"\n")
    files.replace(path, b"".join(refused))
    return len(lines) - len(refused)


def _refused_event(line: bytes) -> dict[str, Any] | None:
    """None for a line that a full disk or a power cut has cut short."""
    try:
        return msgspec.json.decode(line, type=_Refused).event
    except msgspec.MsgspecError:
        return None


def _emit(transport: Transport, event: dict[str, Any]) -> tuple[str, bool]:
    """(what went wrong or "", whether this event is dealt with), after at most ``_EMIT_S``.

    In a thread of its own: a transport tries five times with its own timeout, and an answer
    that drips has none. The event may arrive all the same, and then arrives again.
    """
    outcome: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
    work = threading.Thread(target=lambda: outcome.put(_sent(transport, event)), daemon=True)
    work.start()
    try:
        problem, dealt_with = outcome.get(timeout=_EMIT_S)
    except queue.Empty:
        problem, dealt_with = f"no answer within {_EMIT_S:g} s", False
    address = without_user(getattr(transport, "url", ""))
    return (f"{problem} from {address}" if problem and address else problem), dealt_with


def _sent(transport: Transport, event: dict[str, Any]) -> tuple[str, bool]:
    import requests

    try:
        # A plain dict, which the annotation does not foresee: Serde writes it as it is.
        transport.emit(cast(Any, event))
    except requests.HTTPError as exc:
        status = exc.response.status_code if exc.response is not None else 0
        return f"status {status}", status in _REFUSED
    except requests.ConnectionError:
        return "no connection", False
    except (OSError, RuntimeError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"[:300], False
    return "", True


def _transport(config_file: str) -> Transport:
    """By OpenLineage's own configuration. Raises ConfigError."""
    from openlineage.client import OpenLineageClient

    logging.getLogger("openlineage").setLevel(logging.CRITICAL)
    where = config_file or "OPENLINEAGE_CONFIG, OPENLINEAGE_URL, OPENLINEAGE__TRANSPORT__*"
    file = config_file or os.environ.get("OPENLINEAGE_CONFIG", "")
    if file and not Path(file).is_file():  # the client would print the events instead
        raise _unusable(f"the OpenLineage configuration {file} is not a file", where)
    try:
        with _config_file(config_file):
            transport = OpenLineageClient().transport
    except Exception as exc:  # a transport may be anybody's class
        raise _unusable(f"OpenLineage's configuration cannot be used: {exc}", where) from exc
    if transport.kind in _NOWHERE:
        raise _unusable(
            f"the transport {transport.kind!r} does not send events to an endpoint", where
        )
    return transport


@contextlib.contextmanager
def _config_file(path: str) -> Iterator[None]:
    """The client hears of its configuration by an environment variable only."""
    before = os.environ.get("OPENLINEAGE_CONFIG")
    if path:
        os.environ["OPENLINEAGE_CONFIG"] = path
    try:
        yield
    finally:
        if path and before is None:
            del os.environ["OPENLINEAGE_CONFIG"]
        elif before is not None:
            os.environ["OPENLINEAGE_CONFIG"] = before


def _unusable(what: str, where: str) -> ConfigError:
    return ConfigError(what, where=where, fix="export OPENLINEAGE_URL=http://localhost:5000")


def position_in(folder: Path) -> Position:
    """How far the outbox in ``folder`` has been delivered."""
    note = _noted(folder)
    return Position(note.file, note.offset)


def _failures(folder: Path) -> int:
    return _noted(folder).failures


def _noted(folder: Path) -> _Note:
    """A note that a power cut left empty says nothing: then all of it is sent again."""
    try:
        return msgspec.json.decode((folder / _NOTE_FILE).read_bytes(), type=_Note)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Note()


def _note(folder: Path, position: Position, failures: int = 0) -> None:
    note = _Note(position.file, position.offset, failures)
    files.replace(folder / _NOTE_FILE, msgspec.json.encode(note))


def _set_aside(folder: Path, event: dict[str, Any], why: str) -> None:
    files.append_line(folder / REFUSED_FILE, msgspec.json.encode(_Refused(why, event)))


def main(words: list[str]) -> int:
    try:
        return 0 if not deliver(Path(words[0]), *words[1:]).problem else 1
    except PlatformError:
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
