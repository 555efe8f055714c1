"""Requests and predictions as JSON lines, so that labels can be joined later.

One file per process (a promoted revision and its predecessor overlap for a
moment), rotated and bounded. Lines are written in batches a few times a
second: the log costs a request no system call.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson

from platform_ctl.folders import make_private
from platform_ctl.serving.server.service_clock import Elapsed
from platform_ctl.serving.service import KEY_HEADER, REPLAY_HEADER, RequestObservation

FLUSH_S = 0.2
_FILES = 4
_KEPT_BYTES = 64 * 1024
"""Larger bodies are counted, not kept."""


class RequestLog:
    """Written by one process, from its event loop."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        make_private(path.parent)
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=max_bytes // _FILES, backupCount=_FILES - 1, encoding="utf-8"
        )
        self._lines: list[tuple] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(
        self,
        revision: str,
        status: int,
        elapsed: Elapsed,
        headers: dict[bytes, bytes],
        request: bytes,
        response: bytes,
        *,
        failure: str = "",
    ) -> None:
        """Note one request; it is encoded and written at the next flush."""
        line = (time.time(), revision, status, elapsed, headers, request, response)
        self._lines.append((*line, failure))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        text = "\n".join(_line(*fields) for fields in lines)
        self._handler.emit(logging.LogRecord("requests", 0, "", 0, text, None, None))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        self._handler.close()


def _line(
    at: float,
    revision: str,
    status: int,
    elapsed: Elapsed,
    headers: dict[bytes, bytes],
    request: bytes,
    response: bytes,
    failure: str,
) -> str:
    document = _decoded(request)
    observation = RequestObservation(
        at=at,
        id=str(document.get("id", "") if document else "") or uuid.uuid4().hex,
        revision=revision,
        status=status,
        latency_ms=elapsed.wall_ms,
        cpu_wait_ms=elapsed.cpu_wait_ms,
        source="replay" if headers.get(REPLAY_HEADER.encode()) else "traffic",
        failure=failure,
        key=headers.get(KEY_HEADER.encode(), b"").decode("latin-1"),
        request=document,
        predictions=_predictions(response) if status == 200 else [],
    )
    try:
        return orjson.dumps(observation).decode()
    except orjson.JSONEncodeError:  # nested deeper than it writes, though it was read
        return orjson.dumps(replace(observation, request=None, predictions=[])).decode()


def _decoded(body: bytes) -> dict | None:
    if len(body) > _KEPT_BYTES:
        return None
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None


def _predictions(body: bytes) -> list[float]:
    decoded = _decoded(body)
    if decoded is None:  # large, or V2's binary tensors
        return []
    if "predictions" in decoded:
        return decoded["predictions"]
    outputs = decoded.get("outputs") or [{}]
    return outputs[0].get("data", [])


def read(folder: Path, *, since: float) -> list[RequestObservation]:
    """Every kept observation from ``since`` on, oldest first."""
    observations = [o for path in folder.glob("*.jsonl*") for o in _read_file(path, since)]
    return sorted(observations, key=lambda o: o.at)


def _read_file(path: Path, since: float) -> Iterator[RequestObservation]:
    decoder = msgspec.json.Decoder(RequestObservation)
    try:
        if path.stat().st_mtime < since:
            return
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # rotated away between listing and reading
        return
    for line in lines:
        try:
            observation = decoder.decode(line)
        except msgspec.DecodeError:  # empty, or cut short by a kill
            continue
        if observation.at >= since:
            yield observation
