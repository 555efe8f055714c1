"""Lists names for shell completion, in about a millisecond each and without writing a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platform_ctl.settings import Settings


def recorded_names(
    settings: Settings, kind: str, prefix: str = "", about: str = ""
) -> list[tuple[str, str]]:
    """(name, what it is) of what begins with ``prefix``.

    ``kind``: a function of ``home.recorded_names``, or pipelines, parameters, recipes,
    components; two of them joined by ``and``. ``about``: the run of tasks, the pipeline of
    parameters.
    """
    if " and " in kind:
        return [n for one in kind.split(" and ") for n in recorded_names(settings, one, prefix)]
    names = (
        _of_home(settings, kind, prefix, about)
        if kind in _HOME
        else _PROJECT[kind](settings, about)
    )
    return [(name, what) for name, what in names if name.startswith(prefix)]


_HOME = {"runs", "tasks", "approvals", "services", "schedules", "models", "versions"}


def _of_home(settings: Settings, kind: str, prefix: str, about: str) -> list[tuple[str, str]]:
    from platform_ctl.home import recorded_names as names

    layout = settings.layout
    if kind == "tasks":
        return names.tasks(layout.database, prefix, about)
    if kind == "services":
        return names.services(layout.services, layout.database, prefix)
    if kind in ("models", "versions"):
        from platform_ctl.models.mlflow_sqlite import PREFIX, database_of

        home = f"{PREFIX}{layout.mlflow}/mlflow.db"
        database = database_of(settings.mlflow_tracking_uri or home)
        read = names.models if kind == "models" else names.versions
        return read(database, prefix) if database else []
    of_runs = {"runs": names.runs, "approvals": names.approvals, "schedules": names.schedules}
    return of_runs[kind](layout.database, prefix)


def _pipelines(settings: Settings, about: str) -> list[tuple[str, str]]:
    folder = Path(settings.project_root) / settings.pipelines_package / "compiled"
    return [(file.stem, "pipeline") for file in sorted(folder.glob("*.yaml"))]


def _recipes(settings: Settings, about: str) -> list[tuple[str, str]]:
    folder = Path(settings.project_root) / settings.recipes_package
    return [(file.parent.name, "recipe") for file in sorted(folder.glob("*/recipe.py"))]


def _parameters(settings: Settings, pipeline: str) -> list[tuple[str, str]]:
    """``NAME=`` of each parameter of a compiled pipeline, with its type and default."""
    import yaml

    root = Path(settings.project_root)
    named = root / settings.pipelines_package / "compiled" / f"{pipeline}.yaml"
    file = named if named.is_file() else Path(pipeline)
    document = next(yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader))
    declared = document["root"]["inputDefinitions"]["parameters"]
    return [
        (f"{name}=", f"default {one['defaultValue']}" if "defaultValue" in one else "needed")
        for name, one in declared.items()
    ]


def _components(settings: Settings, about: str) -> list[tuple[str, str]]:
    table = Path(settings.project_root) / "infra" / "tier6"
    return [(file.parent.name, "component") for file in sorted(table.glob("*/kustomization.yaml"))]


_PROJECT: dict[str, Callable[[Settings, str], list[tuple[str, str]]]] = {
    "pipelines": _pipelines,
    "recipes": _recipes,
    "parameters": _parameters,
    "components": _components,
}
