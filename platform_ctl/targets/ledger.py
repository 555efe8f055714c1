"""What runs cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.home import state

if TYPE_CHECKING:
    from platform_ctl.runs.ledger import Ledger


def ledger(settings: Settings) -> Ledger:
    """What runs cost and what the cache saved."""
    from platform_ctl.runs.ledger import Ledger

    return Ledger(state(settings), settings.money_per_cpu_hour)
