"""An exception that nobody caught, as an error of ours."""

from __future__ import annotations

import os
from pathlib import Path

from platform_ctl import settings
from platform_ctl.errors import PlatformError, StoreRefused, StoreUnavailable
from platform_ctl.home.machine_errors import of_machine
from platform_ctl.installation.stores import configured_stores, outage
from platform_ctl.settings import Settings


def named(exc: BaseException, command: str) -> PlatformError:
    """What happened, by its id; what nobody foresaw is ``err-internal``."""
    if error := of_machine(exc, command):
        return error
    shared = _settings()
    if shared is not None and (away := outage(shared, os.environ)):
        return StoreUnavailable(away, where=command, fix="platform-ctl config show --origin")
    if shared is not None and (refused := _refusal(shared)):
        return StoreRefused(refused, where=command, fix="platform-ctl config show --origin")
    return PlatformError(
        f"{type(exc).__name__}: {' '.join(str(exc).split())}",
        where=command,
        fix="run it again with --debug and report the traceback",
    )


def _settings() -> Settings | None:
    """Those that name servers of shared state; None where they name none, or cannot be read.

    Arrow says that an object store is gone, or lets us not in, by the words of a bare OSError:
    whether it is so can only be asked.
    """
    try:
        loaded = settings.load(cwd=Path.cwd(), env=os.environ).settings
    except PlatformError:
        return None
    return loaded if configured_stores(loaded, os.environ) else None


def _refusal(loaded: Settings) -> str:
    """What the servers of shared state refuse; empty for nothing, or where nobody can be asked."""
    from platform_ctl import targets
    from platform_ctl.installation.store_access import refusals, sentence

    try:
        catalog = targets.data_access(loaded).catalog
        return sentence(refusals(loaded, catalog, os.environ))
    except (PlatformError, ImportError, OSError, ValueError):  # an address that none can be
        return ""
