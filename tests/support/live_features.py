"""Live features of a stub recipe, whose online store is in the state that ``STORE`` names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_ctl.errors import HomeBusy, MissingTable
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.skew import LiveRow

STORE = "fresh"
_NEWEST = datetime(2024, 1, 8, tzinfo=UTC)


def rows(data: DataAccess, limit: int) -> list[LiveRow]:
    if STORE == "no data":
        raise MissingTable("there is no table stub.rows")
    if STORE == "busy":
        raise HomeBusy("another process has been working on the features")
    offline = {"a": 1.0, "b": 2.0}
    online = {"a": 1.0, "b": 2.5} if STORE == "skewed" else offline
    late = timedelta(weeks=1) if STORE in ("behind", "broken") else timedelta(0)
    return [LiveRow("x", _NEWEST, _NEWEST - late, online, offline)]


def refresh(data: DataAccess) -> None:
    global STORE
    if STORE == "behind":
        STORE = "fresh"
