"""What runs cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.home import state, state_reading
from platform_ctl.targets.kfp import runs_api

if TYPE_CHECKING:
    from platform_ctl.runs.budget import Costs
    from platform_ctl.runs.ledger import Ledger


def costs(settings: Settings) -> Costs:
    """What runs have cost, to be looked at: of the home, or of the logs of a cluster's steps."""
    if settings.target == "kubernetes":
        from platform_ctl.runs.kubernetes.ledger import KfpLedger

        return KfpLedger(runs_api(settings), settings.money_per_cpu_hour)
    from platform_ctl.runs.ledger import Ledger

    return Ledger(state_reading(settings), settings.money_per_cpu_hour)


def ledger(settings: Settings) -> Ledger:
    """What runs cost and what the cache saved."""
    from platform_ctl.runs.ledger import Ledger

    return Ledger(state(settings), settings.money_per_cpu_hour)
