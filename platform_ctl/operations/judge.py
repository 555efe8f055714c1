"""Put an evaluation before the gate."""

from __future__ import annotations

import json
from pathlib import Path

from platform_ctl.domain.gate import GateDecision, decide
from platform_ctl.domain.recipe import GateThresholds

EVALUATION_FILE = "evaluation.json"
ERRORS_FILE = "errors.parquet"


def decide_from(evaluation_dir: Path, thresholds: GateThresholds) -> GateDecision:
    """The gate's decision on what ``evaluate`` wrote (evaluation.json, errors.parquet)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(evaluation_dir)
    evaluation = json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    table = pq.read_table(folder / ERRORS_FILE)
    timestamps = table["event_timestamp"].cast(pa.timestamp("us"))
    errors = {name: table[name].to_numpy() for name in table.column_names}
    errors["event_timestamp"] = timestamps.to_numpy()
    return decide(evaluation, errors, thresholds)
