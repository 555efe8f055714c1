"""Aliases against a home's own record of their moves."""

from __future__ import annotations

from platform_ctl.models.model import AliasMove, unrecorded_moves

MOVE = AliasMove(1, "counts", "production", "", "1", "2024-01-01", "ann", "first", "h")


def test_an_alias_that_is_elsewhere_than_recorded_is_named() -> None:
    assert unrecorded_moves([MOVE], "counts", {"production": "2"}) == [("production", "1", "2")]
    assert unrecorded_moves([MOVE], "counts", {"production": "1"}) == []


def test_a_home_that_moved_nothing_of_a_model_accuses_nobody() -> None:
    """A pod has a home of its own, and the registry is everybody's."""
    assert unrecorded_moves([], "counts", {"production": "1"}) == []
    assert unrecorded_moves([MOVE], "other", {"production": "1"}) == []
