"""An exception that nobody caught, as an error of ours."""

from __future__ import annotations

import os
from pathlib import Path

from platform_ctl.errors import PlatformError, StoreUnavailable
from platform_ctl.home.machine_errors import of_machine


def named(exc: BaseException, command: str) -> PlatformError:
    """What happened, by its id; what nobody foresaw is ``err-internal``."""
    if error := of_machine(exc, command):
        return error
    if down := _unreachable_stores():
        return StoreUnavailable(
            f"nothing answers at {', '.join(down)}",
            where=command,
            fix="platform-ctl config show --origin",
        )
    return PlatformError(
        f"{type(exc).__name__}: {' '.join(str(exc).split())}",
        where=command,
        fix="run it again with --debug and report the traceback",
    )


def _unreachable_stores() -> list[str]:
    """Servers of shared state that the settings name and that accept no connection now.

    Arrow says that an object store is gone by the words of a bare OSError:
    whether it is gone can only be asked.
    """
    from platform_ctl import settings
    from platform_ctl.installation.stores import configured_stores, unreachable

    try:
        loaded = settings.load(cwd=Path.cwd(), env=os.environ).settings
    except PlatformError:
        return []
    down = unreachable(configured_stores(loaded, os.environ))
    return [f"{store.address} ({store.name}, {store.setting})" for store in down]
