"""Traffic and alias together back to what was."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.releases.steps import rollback_release
from platform_ctl.text import visible


def run(release_id: str) -> tuple[str]:
    """-> one line."""
    ports = targets.releasing(targets.current_settings())
    reason = ports.releases.get(release_id).reason or "the canary failed its analysis"
    release = rollback_release(ports, release_id, actor="promote", reason=reason)
    return (f"rolled back {release.target.model}/{release.version}: {visible(release.reason)}",)
