"""What a step gave and took when it ran before, from the records and the ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from platform_ctl.explain.impact import Spent
from platform_ctl.runs.record import Outputs

_LOOKED_AT = 50
"""Newest executions of a step among which the most similar one is looked for."""
_EXECUTIONS = (
    "SELECT t.run_id, t.wall_s, t.cpu_s, t.inputs, (SELECT sum(l.cpu_s) FROM ledger l"
    " WHERE l.run_id = t.run_id AND l.task = t.path AND NOT l.saved_by_cache) AS charged_cpu_s"
    " FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.path = ? AND r.pipeline = ?"
    " AND t.state = 'SUCCEEDED' ORDER BY t.ended_at DESC LIMIT ?"
)


_LAST_GOOD = (
    "SELECT t.outputs FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.path = ?"
    " AND r.pipeline = ? AND t.state IN ('SUCCEEDED', 'CACHED') ORDER BY t.ended_at DESC LIMIT 1"
)


def last_outputs(db: sqlite3.Connection, pipeline: str, path: str) -> Outputs | None:
    """Of the newest run in which the step ended well; None when there is none."""
    row = db.execute(_LAST_GOOD, (path, pipeline)).fetchone()
    return msgspec.json.decode(row["outputs"], type=Outputs) if row else None


def last_execution(
    db: sqlite3.Connection, pipeline: str, path: str, parameters: Mapping[str, Any]
) -> Spent:
    """Of the newest execution with most of the parameters as they are now: twenty trials do
    not tell what two would take. CPU includes what the ledger charged the step with beyond
    its own process (its share of the run's Ray, its canary). Zeros when it was never executed.
    """
    rows = db.execute(_EXECUTIONS, (path, pipeline, _LOOKED_AT)).fetchall()
    if not rows:
        return Spent()
    row = max(rows, key=lambda r: _alike(json.loads(r["inputs"]), parameters))
    return Spent(row["wall_s"], max(row["cpu_s"], row["charged_cpu_s"] or 0.0))


def _alike(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> int:
    """``max`` keeps the first of equals, which is the newest."""
    then = inputs.get("parameters", {})
    return sum(name in then and then[name] == value for name, value in parameters.items())
