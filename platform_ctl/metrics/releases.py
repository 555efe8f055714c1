"""Metrics of approvals and of releases with their canaries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import msgspec

from platform_ctl.approvals.request import ApprovalState
from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import MetricFamily, Sample
from platform_ctl.metrics.home import reading, seconds
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.release import Release, ReleaseState

_OUTCOMES = {ReleaseState.PROMOTED: "promoted", ReleaseState.ROLLED_BACK: "rolled_back"}


class ReleaseMetrics:
    """Implements ``metrics.port.Metrics``."""

    name = "releases"

    def __init__(self, database: Path) -> None:
        self._database = database

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises sqlite3.Error."""
        with reading(self._database) as db:
            if db is None:
                return
            yield from _approvals(db, now)
            yield from _promotions(db)
            yield from _releases(db)
            yield from _canaries(db)


def _approvals(db: sqlite3.Connection, now: float) -> Iterator[Sample]:
    """A pending request past its expiry has expired, whether anybody has looked or not."""
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    rows = db.execute(
        "SELECT model, CASE WHEN state = 'pending' AND expires_at <= ? THEN 'expired'"
        " ELSE state END AS state, count(*), min(requested_at), min(expires_at)"
        " FROM approvals GROUP BY 1, 2",
        (moment,),
    ).fetchall()
    by_state = {(row[0], row[1]): row for row in rows}
    models = sorted({model for model, _ in by_state})
    for model, state in product(models, ApprovalState):
        row = by_state.get((model, state.value))
        yield metrics.APPROVALS.of(model, state.value, value=row[2] if row else 0)
        if row and state is ApprovalState.PENDING:
            yield metrics.APPROVAL_OLDEST.of(model, value=seconds(row[3]))
            yield metrics.APPROVAL_EXPIRY.of(model, value=seconds(row[4]))


def _promotions(db: sqlite3.Connection) -> Iterator[Sample]:
    """The newest approval of each model, unless its release was promoted, or its version is what
    was promoted last."""
    for row in db.execute(
        "SELECT model, version, max(decided_at) AS decided_at, id FROM approvals"
        " WHERE state = 'approved' GROUP BY model"
        " HAVING id NOT IN (SELECT json_extract(record, '$.approval_id') FROM releases"
        " WHERE state = 'promoted') AND version IS NOT (SELECT r.version FROM releases r"
        " WHERE r.model = approvals.model AND r.state = 'promoted' ORDER BY r.seq DESC LIMIT 1)"
    ):
        yield metrics.PROMOTION_SINCE.of(row["model"], value=seconds(row["decided_at"]))


def _releases(db: sqlite3.Connection) -> Iterator[Sample]:
    rows = db.execute("SELECT service, state, count(*) FROM releases GROUP BY 1, 2").fetchall()
    by_state = {(row[0], row[1]): row[2] for row in rows}
    services = sorted({service for service, _ in by_state})
    for service, (state, outcome) in product(services, _OUTCOMES.items()):
        count = by_state.get((service, state.value), 0)
        yield metrics.RELEASES.of(service, outcome, value=count)
    yield from _last_event(db, "rolled back", metrics.CANARY_ROLLBACK)
    yield from _last_event(db, "held", metrics.CANARY_HELD, of_state="held")


def _canaries(db: sqlite3.Connection) -> Iterator[Sample]:
    weights = {service: 0.0 for (service,) in db.execute("SELECT DISTINCT service FROM releases")}
    for service, record in db.execute(
        "SELECT service, record FROM releases WHERE state IN ('running', 'held')"
    ):
        release = msgspec.json.decode(record, type=Release)
        weights[service] = release.split().weight_percent / 100
    counts = dict.fromkeys(product(weights, (v.value for v in Verdict)), 0)
    for service, verdict, count in db.execute(
        "SELECT r.service, json_extract(e.detail, '$.verdict') AS verdict, count(*)"
        " FROM release_events e JOIN releases r ON r.id = e.release_id"
        " WHERE e.kind = 'analysed' GROUP BY 1, 2"
    ):
        counts[service, verdict] = count
    for service, weight in weights.items():
        yield metrics.CANARY_WEIGHT.of(service, value=weight)
    for key, count in counts.items():
        yield metrics.CANARY_VERDICTS.of(*key, value=count)


def _last_event(
    db: sqlite3.Connection, kind: str, metric: MetricFamily, of_state: str = ""
) -> Iterator[Sample]:
    """When it last happened to each service; with ``of_state`` only while a release is in it."""
    for service, at in db.execute(
        "SELECT r.service, max(e.at) FROM release_events e JOIN releases r ON r.id = e.release_id"
        " WHERE e.kind = ? AND (? = '' OR r.state = ?) GROUP BY 1",
        (kind, of_state, of_state),
    ):
        yield metric.of(service, value=seconds(at))
