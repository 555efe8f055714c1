"""Aliases that are not where the platform put them: found, and put back."""

from __future__ import annotations

from collections.abc import Iterator

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import PlatformError, UsageError
from platform_ctl.models.model import broken_link, find_model, unrecorded_moves
from platform_ctl.models.port import Registry

Moved = tuple[str, str, str]
"""Alias, the version where the platform put it, the version where it was found; "" is none."""


def check_registry(changed: str) -> Iterator[Check]:
    """``changed``: what is to be said of a home whose registry is another one now."""
    if changed:
        yield Check("registry", Health.WARN, changed, "platform-ctl config show")


def check_aliases(registry: Registry) -> Iterator[Check]:
    """For ``doctor``: every alias of every model, and the record of their moves."""
    try:
        models, history = registry.models(), registry.history()
    except PlatformError as exc:
        yield Check("aliases", Health.FAIL, exc.what, exc.fix)
        return
    broken = broken_link(history)
    if broken:
        fix = f"platform-ctl model show {broken.model} --history"
        yield Check("aliases", Health.FAIL, f"the record of moves was altered: {broken.seq}", fix)
    moved = [(m.name, one) for m in models for one in unrecorded_moves(history, m.name, m.aliases)]
    for name, one in moved:
        yield Check("aliases", Health.WARN, sentence(name, one), fix_of(name))
    if not moved and not broken:
        detail = f"{sum(len(m.aliases) for m in models)} where the platform put them"
        yield Check("aliases", Health.OK, detail)


def sentence(name: str, moved: Moved) -> str:
    alias, recorded, found = moved
    return (
        f"{name}@{alias} is at {found or 'nothing'}, but the platform put it at "
        f"{recorded or 'nothing'}: it was moved outside the platform, or a move was cut short"
    )


def fix_of(name: str) -> str:
    return f"platform-ctl model restore {name} --reason 'moved by mistake'"


def restore(registry: Registry, name: str, *, actor: str, reason: str) -> list[Moved]:
    """Put every alias of a model back, on the record; what was moved, as it was found.

    A version that is gone cannot get its alias back: that is NoSuchModel, and
    nothing is moved. Raises UsageError without a reason.
    """
    if not reason.strip():
        raise UsageError("it needs a reason", where=f"model {name}", fix=fix_of(name))
    model = find_model(registry.models(), name)
    moved = unrecorded_moves(registry.history(), name, model.aliases)
    if moved:
        targets = {alias: recorded for alias, recorded, _ in moved}
        registry.move_aliases(name, targets, actor=actor, reason=reason.strip())
    return moved
