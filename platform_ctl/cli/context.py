"""What a command knows of its call: the settings, loaded once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from platform_ctl.errors import HomeNotUsable


def on_path(project_root: Path) -> None:
    """Let this process import the project's recipes and pipelines, as its steps do."""
    if str(project_root) not in sys.path:
        sys.path.insert(0, str(project_root))


def load_settings(ctx: click.Context) -> Any:
    """The Settings of this call, from the cascade; loaded once and kept on the context."""
    root = ctx.find_root()
    if "settings" not in root.obj:
        from platform_ctl import settings

        flags = {k: root.obj.get(k) for k in ("home", "target")}
        loaded = settings.load(cwd=Path.cwd(), env=os.environ, flags=flags).settings
        home = Path(loaded.home)
        if home.exists() and not home.is_dir():
            raise HomeNotUsable(
                f"the home {home} is a file, not a folder",
                where="PLATFORM_HOME or setting home",
                fix="export PLATFORM_HOME=$HOME/.platform",
            )
        on_path(Path(loaded.project_root))
        root.obj["settings"] = loaded
    return root.obj["settings"]
