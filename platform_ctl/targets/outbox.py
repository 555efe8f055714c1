"""OpenLineage events on their way out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from platform_ctl.errors import PreconditionMissing, TargetUnavailable
from platform_ctl.settings import Settings
from platform_ctl.targets.runs import record_deaths

if TYPE_CHECKING:
    from platform_ctl.lineage.delivery import Delivered


def deliver_lineage(settings: Settings, *, refused_too: bool = False) -> Delivered:
    """Send what waits, in this process; killed runs get their last events first.

    Raises PreconditionMissing, ConfigError, HomeBusy, TargetUnavailable.
    """
    from platform_ctl.lineage import delivery as lineage_delivery
    from platform_ctl.lineage.config import configured

    config = settings.lineage.config_file
    if not configured(config, os.environ):
        raise PreconditionMissing(
            "OpenLineage has no transport here: events stay in the home",
            where="setting lineage.config_file",
            fix="export OPENLINEAGE_URL=http://localhost:5000",
        )
    record_deaths(settings)
    done = lineage_delivery.deliver(settings.layout.lineage, config, refused_too=refused_too)
    if done.problem:
        raise TargetUnavailable(
            f"delivered {done.delivered}, {done.waiting} events wait: {done.problem}",
            where="OpenLineage transport",
            fix="platform-ctl lineage deliver",
        )
    return done
