"""Reading on through a short outage: an API server that restarts, a webhook without endpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from platform_ctl.errors import ClusterUnavailable

OUTAGE_S = 120.0
"""How long the API server may be away from whoever waits for a job of hours."""
PAUSE_S = 2.0

T = TypeVar("T")


def through_outage(
    call: Callable[[], T],
    sleep: Callable[[float], None] = time.sleep,
    *,
    outage_s: float = OUTAGE_S,
) -> T:
    """What ``call``, which must be idempotent, returns once it is answered.

    Raises ClusterUnavailable when it was not for ``outage_s``; anything else at once.
    """
    end = time.monotonic() + outage_s
    while True:
        try:
            return call()
        except ClusterUnavailable:
            if time.monotonic() > end:
                raise
        sleep(PAUSE_S)
