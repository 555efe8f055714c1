"""What `model verify` asks the lineage in a pack: does it lead from the data to this model?"""

from __future__ import annotations

import copy
from typing import Any

from platform_ctl.evidence.lineage import problems
from tests.support import lineage_flow as flow

TAGS = {"run_id": flow.TRAIN_ID, "data_snapshot": "42"}
GATE = {"verdict": "successful", "reasons": ["better"], "figures": {}}


def events() -> list[dict[str, Any]]:
    """Of the training run."""
    return copy.deepcopy(
        [e for e in flow.events() if flow.TRAIN_ID in (e["run"]["runId"], _root(e))]
    )


def _root(event: dict[str, Any]) -> str:
    parent = event["run"]["facets"].get("parent")
    return parent["root"]["run"]["runId"] if parent else ""


def wrong(found: list[dict[str, Any]], gate: Any = GATE, **tags: str) -> list[str]:
    return list(problems(found, "weekly-commits", "3", {**TAGS, **tags}, gate))


def test_nothing_is_wrong_with_what_happened() -> None:
    assert wrong(events()) == []
    assert wrong(events(), None) == []


def test_another_run() -> None:
    (told,) = wrong(events(), run_id=flow.PROMOTE_ID)
    assert flow.TRAIN_ID in told and f"not of {flow.PROMOTE_ID}" in told


def test_another_version() -> None:
    told = list(problems(events(), "weekly-commits", "4", TAGS, GATE))
    assert told == [f"its lineage does not say that run {flow.TRAIN_ID} made weekly-commits/4"]


def test_other_data() -> None:
    (told,) = wrong(events(), data_snapshot="43")
    assert "leads to snapshot 42" in told and "made from snapshot 43" in told


def test_a_gap() -> None:
    without = [e for e in events() if not e["job"]["name"].endswith(".extract")]
    (told,) = wrong(without)
    assert "to no table" in told


def test_a_run_without_an_end() -> None:
    (told,) = wrong(events()[:-1])
    assert "does not say how" in told


def test_a_gate_that_said_something_else() -> None:
    (told,) = wrong(events(), {**GATE, "verdict": "failed"})
    assert "(successful)" in told and "(failed)" in told
    (told,) = wrong(events(), {**GATE, "reasons": ["luckier"]})
    assert "other reasons" in told


def test_a_gate_that_is_in_no_event() -> None:
    without = [e for e in events() if not e["job"]["name"].endswith(".gate")]
    (told,) = wrong(without)
    assert "(none)" in told
