"""Held-out rows, asked of a service at its own address and marked as replayed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from platform_ctl.errors import ServiceUnavailable
from platform_ctl.recipe.scores import ERRORS_FILE
from platform_ctl.serving.service import (
    KEY_HEADER,
    REPLAY_HEADER,
    REVISION_HEADER,
    SERVED_BY_HEADER,
)

_TIMEOUT_S = 30.0
_BATCH = 250
GOLDEN_ATTEMPTS = 5
"""Each takes the canary's timeout when it does not answer."""


@dataclass(frozen=True)
class HeldOut:
    """Feature rows with what came true. Entry i of each belongs to row i."""

    keys: tuple[str, ...] = ()
    """Names of the rows: ``entity@period``, or whatever the recipe calls them."""
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0))
    scales: np.ndarray = field(default_factory=lambda: np.empty(0))
    names: tuple[str, ...] = ()
    """Of the columns of ``features``."""
    scaled: bool = True
    """Whether each entity's loss has a unit of its own; else ``scales`` are ones."""

    def take(self, rows: Sequence[int]) -> HeldOut:
        columns = (self.features[rows], self.labels[rows], self.scales[rows])
        return HeldOut(tuple(self.keys[i] for i in rows), *columns, self.names, self.scaled)

    def instance(self, row: int) -> dict[str, float]:
        """By name: revisions of one service may take different features."""
        return dict(zip(self.names, self.features[row].tolist(), strict=True))


def read_rows(path: str, features: Sequence[str], split: str) -> HeldOut:
    """One split of the rows that ``extract`` wrote; empty when there is no such file.

    With those of ``features`` that the file has.
    """
    if not path or not Path(path).is_file():
        return HeldOut()
    import pyarrow.parquet as pq

    table = pq.read_table(path, filters=[("split", "=", split)])
    names = tuple(name for name in features if name in table.column_names)
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    return HeldOut(
        tuple(table["row"].to_pylist()),
        np.stack(columns, axis=1) if len(table) else np.empty((0, len(names))),
        table["label"].to_numpy().astype(np.float64),
        table["scale"].to_numpy().astype(np.float64)
        if "scale" in table.column_names
        else np.ones(len(table)),
        names,
        "scale" in table.column_names,
    )


def read_replayed(path: str, features: Sequence[str]) -> HeldOut:
    """Rows to ask when traffic is short: recent ones; of an evaluation without any, golden ones.

    No model has learnt from either.
    """
    recent = read_rows(path, features, "recent")
    return recent if recent.keys else read_rows(path, features, "golden")


@dataclass(frozen=True)
class ApprovedPredictions:
    """What the evaluation that was approved says: row key -> prediction of candidate, champion."""

    predictions: dict[str, float] = field(default_factory=dict)
    champion: dict[str, float] = field(default_factory=dict)


def read_approved(evaluation: str) -> ApprovedPredictions:
    """Predictions from ``errors.parquet``; empty when there is no evaluation."""
    path = Path(evaluation, ERRORS_FILE)
    if not evaluation or not path.is_file():
        return ApprovedPredictions()
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    rows = table["row"].to_pylist()

    def known(column: str) -> dict[str, float]:
        values = zip(rows, table[column].to_pylist(), strict=True)
        return {row: value for row, value in values if value is not None}

    return ApprovedPredictions(known("prediction"), known("champion_prediction"))


class Caller:
    """One kept-alive connection to a service. Loopback or not: the url says."""

    def __init__(self, url: str, service: str, host: str = "") -> None:
        self._url = url
        self._host = {"host": host} if host else {}
        self._path = f"/v1/models/{service}:predict"
        self._connection = http.client.HTTPConnection(
            url.removeprefix("http://"), timeout=_TIMEOUT_S
        )

    def ask(self, instances: list, *, key: str, revision: str) -> tuple[list[float], str]:
        """(predictions, who answered). Raises ServiceUnavailable unless the answer is 200."""
        headers = {
            "content-type": "application/json",
            KEY_HEADER: key,
            REPLAY_HEADER: "1",
            REVISION_HEADER: revision,
            **self._host,
        }
        request = json.dumps({"instances": instances})
        try:
            response, body = self._post(request, headers)
        except (OSError, http.client.HTTPException):  # kept alive, and closed by a restart
            try:
                response, body = self._post(request, headers)
            except (OSError, http.client.HTTPException) as exc:
                raise self._unavailable(str(exc) or type(exc).__name__) from exc
        if response.status != 200:
            raise self._unavailable(f"status {response.status}: {body[:200].decode()}")
        return json.loads(body)["predictions"], response.getheader(SERVED_BY_HEADER) or ""

    def _post(self, body: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            return response, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens another
            raise

    def close(self) -> None:
        self._connection.close()

    def _unavailable(self, why: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the service does not answer a replayed request: {why}",
            where=self._url + self._path,
            fix="platform-ctl service list",
        )


def ask_all(caller: Caller, rows: HeldOut, *, revision: str, candidate: str) -> np.ndarray | None:
    """Predictions of ``candidate`` for every row, a batch at a time; None when it does not answer.

    When it is late, another revision answers in its place. Such a batch is asked again, so
    that one stall decides nothing, and never compared.
    """
    answers: list[float] = []
    for start in range(0, len(rows.keys), _BATCH):
        batch = [rows.instance(i) for i in range(start, min(start + _BATCH, len(rows.keys)))]
        for _ in range(GOLDEN_ATTEMPTS):
            predictions, served_by = caller.ask(batch, key=f"batch-{start}", revision=revision)
            if served_by == candidate:
                break
        else:
            return None
        answers += predictions
    return np.array(answers)


def in_turn(
    rows: HeldOut, count: int, *, last: Collection[str] = ()
) -> Iterator[tuple[str, dict[str, float]]]:
    """``count`` (key, instance) pairs, round and round the rows; those of ``last`` come last."""
    order = sorted(range(len(rows.keys)), key=lambda i: rows.keys[i] in last)
    for i in range(count if order else 0):
        at = order[i % len(order)]
        yield rows.keys[at], rows.instance(at)
