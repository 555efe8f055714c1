"""What ``doctor`` says about releases: each open one has a run at work, or waits for a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.releases.port import Releases
from platform_ctl.releases.release import Release, ReleaseState
from platform_ctl.serving.service import InferenceService, ServiceState


def check_releases(
    services: Sequence[InferenceService], releases: Releases, at_work: Collection[str]
) -> Iterator[Check]:
    """Open releases that nothing carries on, each with the command that does.

    ``at_work``: ids of the approvals whose ``promote`` run has not ended; what such a run does is
    its own business, also that its service is not started yet.
    """
    checks = [
        _checked(service, release)
        for service in services
        if (release := releases.latest(service.name)) is not None
        and release.state.is_open
        and release.approval_id not in at_work
    ]
    yield from checks or [Check("releases", Health.OK, "none is open, or its run is at work")]


def _checked(service: InferenceService, release: Release) -> Check:
    name = service.name
    named = f"the release of version {release.version} of {name}"
    if problem := _problem(service, release):
        going_on = f"platform-ctl release continue {name}"
        fix = "platform-ctl doctor --repair" if release.intent else going_on
        return Check("releases", Health.WARN, f"{named} {problem}", fix)
    return Check("releases", Health.OK, f"{named} waits for `release continue` or `abort`")


def _problem(service: InferenceService, release: Release) -> str:
    """Empty for a canary that is held while its service runs: that is for a person to decide."""
    if release.intent:
        return f"was left while it was about to {release.intent}"
    if service.state is ServiceState.STOPPED:
        return f"is {release.state} while the service is stopped"
    if release.state is ReleaseState.RUNNING:
        return f"has {release.weight_percent} % of the traffic, and no run carries it on"
    return ""
