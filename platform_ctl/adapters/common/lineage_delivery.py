"""Delivers the spool to where OpenLineage's own configuration says, in order, in its own process.

``python -m platform_ctl.adapters.common.lineage_delivery FOLDER [CONFIG_FILE]``. One delivers at a
time. What is delivered is noted after each event, so that a kill repeats at
most one. An endpoint that is down stops the delivery: the next one goes on
there. An event that the endpoint refuses as malformed is set aside.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from filelock import FileLock, Timeout

from platform_ctl.adapters.common.lineage_spool import Position, Spool

if TYPE_CHECKING:
    from openlineage.client.transport import Transport

_REFUSED = {400, 413, 422}
"""HTTP status of an endpoint that will never take this event."""
REFUSED_FILE = "refused.jsonl"
"""Events that the endpoint refused, each with why."""
_LOCK_TIMEOUT_S = 60.0
_CONFIGURED = ("OPENLINEAGE_CONFIG", "OPENLINEAGE_URL")
_NESTED = "OPENLINEAGE__TRANSPORT"


@dataclass(frozen=True)
class Delivered:
    """``problem`` says why the rest waits; "" when nothing does."""

    delivered: int
    refused: int
    waiting: int
    problem: str = ""


def configured(config_file: str, env: Mapping[str, str]) -> bool:
    """Whether events go anywhere but into the home."""
    return bool(
        config_file
        or any(env.get(name) for name in _CONFIGURED)
        or any(name.startswith(_NESTED) for name in env)
    )


def deliver(folder: Path, config_file: str = "") -> Delivered:
    """Deliver what waits, until something stops it. Raises filelock.Timeout while another does."""
    spool = Spool(folder)
    with FileLock(folder / "delivery.lock", timeout=_LOCK_TIMEOUT_S):
        transport = _transport(config_file)
        delivered = refused = 0
        problem = ""
        for position, event in spool.lines(since=position_in(folder)):
            problem, taken = _emit(transport, event)
            if problem and not taken:
                break
            if problem:
                _set_aside(folder, event, problem)
                refused += 1
                problem = ""
            delivered += 1
            _note(folder, position)
        transport.close()
        return Delivered(delivered - refused, refused, waiting(folder), problem)


def waiting(folder: Path) -> int:
    """Events that were not delivered yet."""
    return sum(1 for _ in Spool(folder).lines(since=position_in(folder)))


def _emit(transport: Transport, event: dict[str, Any]) -> tuple[str, bool]:
    """(what went wrong or "", whether this event is dealt with)."""
    import requests

    try:
        transport.emit(event)  # a plain dict: Serde writes it as it is
    except requests.HTTPError as exc:
        status = exc.response.status_code if exc.response is not None else 0
        return f"status {status}", status in _REFUSED
    except (OSError, RuntimeError) as exc:
        return f"{type(exc).__name__}: {exc}"[:300], False
    return "", True


def _transport(config_file: str) -> Transport:
    from openlineage.client import OpenLineageClient

    logging.getLogger("openlineage").setLevel(logging.ERROR)
    if config_file:
        os.environ["OPENLINEAGE_CONFIG"] = config_file
    return OpenLineageClient().transport


def position_in(folder: Path) -> Position:
    """How far the spool in ``folder`` has been delivered."""
    note = folder / "delivered.json"
    if not note.is_file():
        return Position()
    return msgspec.json.decode(note.read_bytes(), type=Position)


def _note(folder: Path, position: Position) -> None:
    scratch = folder / "delivered.json.tmp"
    scratch.write_bytes(msgspec.json.encode(asdict(position)))
    os.replace(scratch, folder / "delivered.json")


def _set_aside(folder: Path, event: dict[str, Any], why: str) -> None:
    with (folder / REFUSED_FILE).open("ab") as file:
        file.write(msgspec.json.encode({"why": why, "event": event}) + b"\n")


def main(words: list[str]) -> int:
    try:
        return 0 if not deliver(Path(words[0]), *words[1:]).problem else 1
    except Timeout:
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
