"""Carries decisions out that were made on the cluster: by kubectl, a page or a command.

A decision is in etcd before anybody acts on it, so the controller may be down: when it is back
it finds every approval without a run. The promote run has a name made from the approval, so a
command that was quicker has started the same one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from platform_ctl.approvals.kubernetes.approvals import ClusterApprovals
from platform_ctl.approvals.kubernetes.resource import APPROVAL
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.cluster.api import Cluster
from platform_ctl.errors import PlatformError
from platform_ctl.runs.record import Run

WATCH_S = 60
"""A watch lasts as long; then everything is read again, also what expired meanwhile."""
log = logging.getLogger("platform_ctl.approvals")


@dataclass(frozen=True)
class Controller:
    """``start`` submits the promote run of an approved request, or returns the one there is."""

    cluster: Cluster
    approvals: ClusterApprovals
    start: Callable[[ApprovalRequest], Run]
    pause_s: float = 5.0
    """Between two attempts to reach an API server that is down."""

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Act on every change until told to stop. An API server that is down is asked again."""
        while not until():
            try:
                self.once()
                for _ in self.cluster.watch(APPROVAL, seconds=WATCH_S):
                    self.once()
                    if until():
                        return
            except PlatformError as exc:
                log.warning("%s", exc.what)
                time.sleep(self.pause_s)

    def once(self) -> list[Run]:
        """Start what is approved and has no run, and show each request's state in its status.

        One request that cannot be carried out does not keep the others waiting.
        """
        started = []
        for request in self.approvals.list():
            try:
                if request.state is ApprovalState.APPROVED and not request.promotion_id:
                    run = self.start(request)
                    self.approvals.started(request.id, run.id)
                    log.info("%s is approved: run %s", request.reference, run.id)
                    started.append(run)
                self.approvals.publish(request)
            except PlatformError as exc:
                log.warning("approval %s: %s", request.id, exc.what)
        return started
