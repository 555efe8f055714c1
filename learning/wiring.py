"""The fault lab and the exit test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.home import require_local
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import recipes
from platform_ctl.targets.runs import run_reader, step_cache

if TYPE_CHECKING:
    from learning.exit_test import ExitTestRecords
    from learning.sandbox import Sandbox


def lab(settings: Settings, folder: Path | None = None) -> Sandbox:
    """The fault lab in ``folder``, else in the home; inside a lab's own home, that lab."""
    require_local(settings, "fault lab")
    from learning.sandbox import MARKER, Sandbox

    root = settings.layout.root
    inside = root.name == "home" and (root.parent / MARKER).is_file()
    default = root.parent if inside else root / "lab"
    return Sandbox((folder or default).resolve(), settings)


def exit_test_records(settings: Settings) -> ExitTestRecords:
    """What the exit test checks: the records of the recipe that was run last."""
    from learning.exit_test import ExitTestRecords

    runs = run_reader(settings)
    known = {r.pipeline: r for r in recipes(settings).values() if r.pipeline}
    newest = next((r.pipeline for r in runs.list(-1) if r.pipeline in known), next(iter(known)))
    folder = settings.layout.root / "exit-test"
    return ExitTestRecords(runs, step_cache(settings), registry(settings), known[newest], folder)
