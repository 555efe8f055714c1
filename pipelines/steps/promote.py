"""Traffic and alias together to Production."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.models.model import find_version
from platform_ctl.releases.steps import promote_release


def run(release_id: str) -> tuple[str, str]:
    """-> one line, and what to look at next."""
    settings = targets.current_settings()
    ports = targets.releasing(settings)
    release = promote_release(ports, release_id, actor="promote")
    service = targets.serving(settings).get(release.target.service)
    reference = f"{release.target.model}/{release.version}"
    version = find_version(ports.registry.models(), reference)
    documents = {"release.json": release, "canary.json": list(ports.releases.events(release_id))}
    targets.write_evidence(settings, version, documents)
    return (
        f"{reference} is in Production at {service.url}",
        f"platform-ctl model predict {release.target.model}@production",
    )
