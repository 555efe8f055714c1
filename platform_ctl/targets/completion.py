"""Names for shell completion. Each costs a millisecond or so, and none makes or changes a file."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.settings import Settings


def recorded_names(settings: Settings, kind: str) -> list[tuple[str, str]]:
    """(name, what it is) of runs, tasks, approvals, services, models, pipelines or recipes."""
    from platform_ctl.home import recorded_names as names

    layout, root = settings.layout, Path(settings.project_root)
    if kind == "runs":
        return names.runs(layout.database)
    if kind == "tasks":
        return names.tasks(layout.database)
    if kind == "approvals":
        return names.approvals(layout.database)
    if kind == "services":
        return names.services(layout.services, layout.database)
    if kind == "models":
        from platform_ctl.models.mlflow_sqlite import PREFIX, database_of

        home = f"{PREFIX}{layout.mlflow}/mlflow.db"
        database = database_of(settings.mlflow_tracking_uri or home)
        return names.models(database) if database else []
    if kind == "pipelines":
        folder = root / settings.pipelines_package / "compiled"
        return [(file.stem, "pipeline") for file in sorted(folder.glob("*.yaml"))]
    folder = root / settings.recipes_package
    return [(file.parent.name, "recipe") for file in sorted(folder.glob("*/recipe.py"))]
