"""Errors that another process of a service reports."""

from __future__ import annotations

from platform_ctl import errors


def as_raised(document: dict[str, str]) -> errors.PlatformError:
    """The error that a supervisor or a predictor raised, as the same class here."""
    known = (
        errors.UsageError,
        errors.PortInUse,
        errors.ServiceUnavailable,
        errors.HomeBusy,
        errors.HomeDamaged,
        errors.EvidenceMismatch,
    )
    kind = next((c for c in known if c.id == document["id"]), errors.ServiceUnavailable)
    return kind(document["what"], where=document["where"], fix=document["fix"])
