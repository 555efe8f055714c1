"""What a command knows of its call: the settings, loaded once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from platform_ctl.cli.printing import print_line
from platform_ctl.errors import HomeNotUsable
from platform_ctl.text import without_user


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
        _note_ignored_variable(ctx, loaded)
        root.obj["settings"] = loaded
    return root.obj["settings"]


def _note_ignored_variable(ctx: click.Context, settings: Any) -> None:
    """MLflow's own variable names a server, and is not where this project's models are."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    same = named.rstrip("/") == settings.mlflow_tracking_uri.rstrip("/")
    # MLflow sets the variable itself, to a database: only a server was named by a person.
    if same or not named.startswith(("http://", "https://")):
        return
    if ctx.params.get("output") != "json":
        used = without_user(settings.mlflow_tracking_uri) or "the home's own registry"
        print_line(
            f"note: MLFLOW_TRACKING_URI is ignored, models are in {used}; to use it: "
            "export PLATFORM_CTL_MLFLOW_TRACKING_URI=$MLFLOW_TRACKING_URI",
            err=True,
        )
