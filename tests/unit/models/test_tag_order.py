"""MLflow's page of a run shows tags as they were written: people's first, digests last."""

from __future__ import annotations

from platform_ctl.models.register import _people_first


def test_digests_are_last_and_nothing_else_moves() -> None:
    tags = {
        "weights_digest": "a",
        "recipe": "r",
        "golden_digest": "b",
        "gate_verdict": "successful",
    }
    assert list(_people_first(tags)) == [
        "recipe",
        "gate_verdict",
        "weights_digest",
        "golden_digest",
    ]
