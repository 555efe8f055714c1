"""Schedules: the files of the teams, and where they are applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.recipe import allowed_parameters, pipelines, recipes

if TYPE_CHECKING:
    from platform_ctl.schedules.document import Documents


def schedule_documents(settings: Settings) -> Documents:
    """The teams' schedule files, checked for this target. Raises BadSchedule."""
    from platform_ctl.schedules.read import FOLDER, Project, documents

    root = Path(settings.project_root)
    return documents(
        Project(
            root=root,
            folder=root / settings.pipelines_package.replace(".", "/") / FOLDER,
            find=pipelines(settings).find,
            allowed=lambda pipeline: allowed_parameters(settings, pipeline),
            recipes=lambda: list(recipes(settings)),
            kubernetes=settings.target == "kubernetes",
        )
    )
