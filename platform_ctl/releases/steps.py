"""Verbs of a release: start, promote, roll back; and the repair of an interrupted one.

Traffic and aliases are two systems. Before either is touched the intent is
recorded; whoever looks at a release next (``settle``) finishes what it says.
Every action may be repeated with the same effect.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid

from platform_ctl.approvals.decide import void_outdated
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalState
from platform_ctl.errors import HomeBusy, NothingYet, PreconditionMissing, UnknownName, unknown
from platform_ctl.models.model import PREVIOUS, PRODUCTION, STAGING, ModelVersion, find_version
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import CanaryPlan, DataAccess
from platform_ctl.releases.port import Releases
from platform_ctl.releases.release import (
    Intent,
    Release,
    ReleaseState,
    Target,
    check_plan,
    revision_name,
)
from platform_ctl.serving.port import Serving
from platform_ctl.serving.service import Revision


@dataclasses.dataclass(frozen=True)
class ReleasePorts:
    """The ports that every verb needs."""

    releases: Releases
    serving: Serving
    registry: Registry
    approvals: Approvals
    data: DataAccess
    """Where the recipes' live features are."""


def revision_of(registry: Registry, version: ModelVersion) -> Revision:
    """The revision that serves a registered version."""
    folder = registry.local_dir(version, "model")
    name = revision_name(version.version, version.digest)
    return Revision(name, str(folder), version.version, version.digest, version.source)


def start_release(
    ports: ReleasePorts, target: Target, plan: CanaryPlan, *, approval_id: str, actor: str
) -> Release:
    """Serve the candidate as a canary at the plan's first weight.

    Idempotent: an open release of the same version is taken up again, one that
    was promoted already is returned. Raises PreconditionMissing while a
    release of another version is open, UsageError for a bad plan, and what
    ``Serving.apply`` raises.
    """
    check_plan(plan)
    open_one = settle(ports, target.service)
    if open_one is not None and open_one.state.is_open:
        if open_one.target.candidate != target.candidate:
            raise _under_way(open_one)
        ports.serving.apply(target.service, open_one.split())
        return _unless_aborted(ports, open_one)
    production = _production(ports, target)
    if production is not None and production.model_version == target.candidate.model_version:
        return _already_there(ports, target, plan, open_one)
    release = ports.releases.create(
        Release(str(uuid.uuid4()), target, plan, production, approval_id),
        "started",
        actor=actor,
        weight_percent=plan.weights_percent[0] if production else 0,
    )
    ports.serving.apply(target.service, release.split())
    return _unless_aborted(ports, release)


def promote_release(ports: ReleasePorts, release_id: str, *, actor: str) -> Release:
    """All traffic and the alias ``production`` to the candidate; ``previous`` to what was.

    Idempotent. Raises PreconditionMissing for a release that was rolled back.
    """
    return _conclude(ports, release_id, Intent.PROMOTE, actor=actor, reason="canary successful")


def rollback_release(ports: ReleasePorts, release_id: str, *, actor: str, reason: str) -> Release:
    """All traffic and the alias ``production`` stay with, or go back to, what was before.

    Idempotent. Raises PreconditionMissing for a release that was promoted:
    that is undone by ``undo_release``.
    """
    return _conclude(ports, release_id, Intent.ROLL_BACK, actor=actor, reason=reason)


def undo_release(ports: ReleasePorts, service: str, *, actor: str, reason: str) -> Release:
    """One command back: abort an open release, or return from a promoted one to ``previous``.

    Raises NothingYet without any release, NoSuchModel or PreconditionMissing
    when there is nothing to return to.
    """
    release = settled(ports, service)
    if release.state.is_open:
        return rollback_release(ports, release.id, actor=actor, reason=reason)
    model = release.target.model
    aliases = ports.registry.aliases(model)
    if PREVIOUS not in aliases:
        raise PreconditionMissing(
            f"{model} has no version with the alias {PREVIOUS!r} to go back to",
            where=f"InferenceService {service}",
            fix=f"platform-ctl model show {model} --history",
        )
    previous = find_version(ports.registry.models(), f"{model}@{PREVIOUS}")
    target = dataclasses.replace(release.target, candidate=revision_of(ports.registry, previous))
    back = Release(
        str(uuid.uuid4()),
        target,
        release.plan,
        _production(ports, target),
        state=ReleaseState.RUNNING,
        intent=Intent.PROMOTE,
        returns=True,
        reason=reason,
    )
    created = ports.releases.create(back, "going back", actor=actor, reason=reason)
    return _finish(ports, created, actor=actor)


def settle(ports: ReleasePorts, service: str) -> Release | None:
    """The newest release, after finishing whatever a killed process left half done."""
    release = ports.releases.latest(service)
    if release is not None and release.intent:
        return _finish(ports, release, actor="repair")
    return release


def settled(ports: ReleasePorts, service: str) -> Release:
    """Like ``settle``. Raises NothingYet when there is no release."""
    release = settle(ports, service)
    if release is None:
        raise _nothing_released(ports, service)
    return release


def newest(ports: ReleasePorts, service: str) -> Release:
    """The newest release of a service, as it stands. Changes nothing; raises NothingYet."""
    release = ports.releases.latest(service)
    if release is None:
        raise _nothing_released(ports, service)
    return release


def open_release(ports: ReleasePorts, service: str) -> Release:
    """The newest release, if it is open. Changes nothing.

    Raises NothingYet without one, PreconditionMissing for one that is over.
    """
    release = newest(ports, service)
    if not release.state.is_open:
        raise PreconditionMissing(
            f"version {release.version} of {service} is {release.state}: nothing is open",
            where=f"InferenceService {service}",
            fix=f"platform-ctl release show {service}",
        )
    return release


def _nothing_released(ports: ReleasePorts, service: str) -> NothingYet:
    what, where, fix = (
        f"nothing was released as {service!r} yet",
        "releases",
        "platform-ctl approval list",
    )
    known = [s.name for s in ports.serving.list() if s.name != service]
    if not known:
        return NothingYet(what, where=where, fix=fix)
    return unknown(what, service, known, where=where, fix=fix, error=NothingYet)


# ---- both systems, to one side ---------------------------------------------------


def _conclude(
    ports: ReleasePorts, release_id: str, intent: Intent, *, actor: str, reason: str
) -> Release:
    release = ports.releases.get(release_id)
    if not release.state.is_open:
        wanted = ReleaseState.PROMOTED if intent is Intent.PROMOTE else ReleaseState.ROLLED_BACK
        if release.state is wanted:
            return release
        raise PreconditionMissing(
            f"release {release_id} is {release.state} already",
            where=f"InferenceService {release.target.service}",
            fix=f"platform-ctl release rollback {release.target.service}",
        )
    if not release.intent:
        decided = dataclasses.replace(release, intent=intent, reason=reason)
        release = ports.releases.update(decided, f"will {intent}", actor=actor, reason=reason)
    return _finish(ports, release, actor=actor)


def _finish(ports: ReleasePorts, release: Release, *, actor: str) -> Release:
    """Do what the intent says. Safe to repeat from any point."""
    target, production = release.target, release.production
    if release.intent is Intent.PROMOTE:
        ports.serving.apply(target.service, release.promoted())
        previous = production.model_version if production and not release.returns else ""
        aliases = {PRODUCTION: release.version, PREVIOUS: previous}
        if ports.registry.aliases(target.model).get(STAGING) == release.version:
            aliases[STAGING] = ""
        state = ReleaseState.PROMOTED
    else:
        _take_back(ports, release)
        aliases = {PRODUCTION: production.model_version if production else ""}
        state = ReleaseState.ROLLED_BACK
    reason = f"release {release.id}: {release.reason}"
    ports.registry.move_aliases(target.model, aliases, actor=actor, reason=reason)
    void_outdated(ports.registry, ports.approvals, target.model)
    if release.intent is Intent.ROLL_BACK:
        _spend_approvals(ports, release, release.version)
    elif release.returns and production is not None:
        _spend_approvals(ports, release, production.model_version)
    done = dataclasses.replace(release, state=state, intent=Intent.NONE)
    try:
        return ports.releases.update(done, state.value, actor=actor)
    except HomeBusy:  # whoever looked meanwhile has finished it
        now = ports.releases.get(release.id)
        if now.state is not state:
            raise
        return now


def _take_back(ports: ReleasePorts, release: Release) -> None:
    """All traffic to what was before; where nothing was, nothing is served."""
    before = release.rolled_back()
    if before is not None:
        ports.serving.apply(release.target.service, before)
        return
    with contextlib.suppress(NothingYet, UnknownName):  # aborted before the service was made
        ports.serving.stop(release.target.service)


def _unless_aborted(ports: ReleasePorts, release: Release) -> Release:
    """Somebody may have aborted it while its traffic was set: then that is undone."""
    now = ports.releases.get(release.id)
    if Intent.ROLL_BACK is now.intent or now.state is ReleaseState.ROLLED_BACK:
        _take_back(ports, now)
    return now


def _spend_approvals(ports: ReleasePorts, release: Release, version: str) -> None:
    """A version that was taken back needs a new answer: the old one was to another question."""
    reference = f"{release.target.model}/{version}"
    for request in ports.approvals.list():
        if request.reference == reference and request.state is ApprovalState.APPROVED:
            why = f"used by release {release.id[:8]}, rolled back: {release.reason}"
            ports.approvals.void(request.id, why, release_id=release.id)


def _production(ports: ReleasePorts, target: Target) -> Revision | None:
    """What the alias ``production`` names: the registry, not the traffic, says what is approved."""
    if PRODUCTION not in ports.registry.aliases(target.model):
        return None
    version = find_version(ports.registry.models(), f"{target.model}@{PRODUCTION}")
    return revision_of(ports.registry, version)


def _already_there(
    ports: ReleasePorts, target: Target, plan: CanaryPlan, latest: Release | None
) -> Release:
    """The version is in production: make sure that it is served, and say so."""
    if latest is not None and latest.version == target.candidate.model_version:
        ports.serving.apply(target.service, latest.promoted())
        return latest
    release = Release(str(uuid.uuid4()), target, plan, None, state=ReleaseState.PROMOTED)
    ports.serving.apply(target.service, release.promoted())
    return ports.releases.create(release, "already in production")


def _under_way(release: Release) -> PreconditionMissing:
    name = release.target.service
    return PreconditionMissing(
        f"version {release.version} is being released ({release.state}): continue or abort it",
        where=f"InferenceService {name}",
        fix=f"platform-ctl release continue {name}",
    )
