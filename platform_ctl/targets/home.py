"""The home of this installation: settings inside a step, the database, who is at work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import Unsupported
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    import sqlite3

    from platform_ctl.home.state import Database


def current_settings() -> Settings:
    """The Settings of this process, for code that runs inside a step; libraries log less there."""
    from platform_ctl.runs.step_log import quiet_libraries
    from platform_ctl.settings import load

    quiet_libraries()
    settings = load(cwd=Path.cwd(), env=os.environ).settings
    if settings.target == "kubernetes":
        from platform_ctl.targets.step import account_for_step

        account_for_step(settings)
    return settings


def begin_step() -> None:
    """What ``current_settings`` does for the process of a step, for one that needs no settings."""
    current_settings()


def state(settings: Settings) -> sqlite3.Connection:
    """The home's database, migrated."""
    from platform_ctl.home.state import connect

    return connect(settings.layout.database)


def database(settings: Settings) -> Database:
    """The home's database, which a look does not make."""
    from platform_ctl.home.state import Database

    return Database(settings.layout.database)


def state_reading(settings: Settings) -> sqlite3.Connection:
    """The home's database to look at; a home without one reads as an empty one."""
    from platform_ctl.home.state import connect_reading

    return connect_reading(settings.layout.database)


def schema_versions(settings: Settings) -> tuple[int | None, int]:
    """Schema of the home (None: no home yet) and the newest one this version knows."""
    from platform_ctl.home.state import schema_versions

    return schema_versions(settings.layout.database)


def damaged_databases(settings: Settings) -> dict[Path, tuple[str, str]]:
    """Each damaged database of the home, with what is wrong and the command that moves it away."""
    from platform_ctl.home.state import damage, set_aside

    layout = settings.layout
    databases = (layout.database, layout.mlflow / "mlflow.db", layout.iceberg / "catalog.db")
    by_database = {path: damage(path) for path in databases}
    return {path: (message, set_aside(path)) for path, message in by_database.items() if message}


def local_user() -> str:
    """The account this process runs as."""
    from platform_ctl.home import identity

    return identity.local_user()


def require_local(settings: Settings, capability: str) -> None:
    if settings.target != "local":
        raise Unsupported(
            f"the {settings.target} target has no {capability} yet (see docs/architecture.md)",
            where=f"target {settings.target}",
            fix="export PLATFORM_CTL_TARGET=local",
        )
