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
    if away := _outage():
        return StoreUnavailable(away, where=command, fix="platform-ctl config show --origin")
    return PlatformError(
        f"{type(exc).__name__}: {' '.join(str(exc).split())}",
        where=command,
        fix="run it again with --debug and report the traceback",
    )


def _outage() -> str:
    """Which servers of shared state accept no connection now; empty when none was asked for.

    Arrow says that an object store is gone by the words of a bare OSError:
    whether it is gone can only be asked.
    """
    from platform_ctl import settings
    from platform_ctl.installation.stores import outage

    try:
        loaded = settings.load(cwd=Path.cwd(), env=os.environ).settings
    except PlatformError:
        return ""
    return outage(loaded, os.environ)
