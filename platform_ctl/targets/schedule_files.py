"""The teams' schedule files, and what metrics tell of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings
from platform_ctl.targets.recipe import allowed_parameters, pipelines, recipes

if TYPE_CHECKING:
    import sqlite3

    from platform_ctl.schedules.apply import ScheduleSource
    from platform_ctl.schedules.document import Documents
    from platform_ctl.schedules.local.figures import Figure


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


def schedule_source(settings: Settings) -> ScheduleSource:
    """The repository and commit of the files; the folder's name where there is no origin."""
    from platform_ctl.lineage.git_source import source_of
    from platform_ctl.schedules.apply import ScheduleSource
    from platform_ctl.schedules.port import source_id

    root = Path(settings.project_root)
    source = source_of(root, "platform-ctl.toml")
    return ScheduleSource(source_id(source.repo_url or root.name), source.version)


def schedule_figures(settings: Settings) -> Callable[[sqlite3.Connection, float], list[Figure]]:
    """What metrics tell of the schedules of this machine, from its database. Only reads."""
    from platform_ctl.schedules.local.figures import figures

    def read(db: sqlite3.Connection, now: float) -> list[Figure]:
        documents, source = schedule_documents(settings), schedule_source(settings)
        return figures(db, documents, source, int(now))

    return read
