"""What the project declares: its recipes, their data, its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.domain.recipe import DataAccess, Recipe
from platform_ctl.errors import ConfigError
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from platform_ctl.adapters.common.pipelines import Pipelines
    from platform_ctl.domain.ir import Pipeline
    from platform_ctl.domain.models import ModelVersion
    from platform_ctl.domain.parameters import Allowed


def data_access(settings: Settings) -> DataAccess:
    """Where the recipe's data lives on this target."""
    layout = settings.layout
    catalog = dict(settings.iceberg_catalog) or {
        "name": "local",
        "type": "sql",
        "uri": f"sqlite:///{layout.iceberg}/catalog.db",
        "warehouse": f"file://{layout.iceberg}/warehouse",
    }
    return DataAccess(
        catalog=catalog,
        feast_dir=layout.feast,
        golden_dir=layout.golden,
        pseudonym_key_file=layout.secrets / "author-key",
        lock_dir=layout.locks,
    )


def recipes(settings: Settings) -> dict[str, Recipe]:
    """Every recipe of the project, by name: folders that hold a recipe.py."""
    import importlib

    package = importlib.import_module(settings.recipes_package)
    names = sorted(
        p.parent.name for root in package.__path__ for p in Path(root).glob("*/recipe.py")
    )
    return {n: importlib.import_module(f"{package.__name__}.{n}.recipe").RECIPE for n in names}


def allowed_parameters(settings: Settings, pipeline: str) -> Mapping[str, Allowed]:
    """What the recipe of this pipeline says of its parameters; empty when it has none."""
    return {
        name: allowed
        for recipe in recipes(settings).values()
        if recipe.pipeline == pipeline
        for name, allowed in recipe.parameters.items()
    }


def recipe_of(settings: Settings, version: ModelVersion) -> Recipe:
    """The recipe that made a registered version. Raises ConfigError when it is gone."""
    name = version.tags.get("recipe", "")
    found = recipes(settings).get(name)
    if found is None:
        raise ConfigError(
            f"{version} was made by recipe {name!r}, which this project does not have",
            where=f"package {settings.recipes_package}",
            fix=f"platform-ctl model show {version}",
        )
    return found


def pipelines(settings: Settings) -> Pipelines:
    """The project's pipeline sources and their committed IR."""
    from platform_ctl.adapters.common.pipelines import Pipelines

    return Pipelines(Path(settings.project_root), settings.pipelines_package)


def read_pipeline(file: Path) -> Pipeline:
    """One compiled file, checked. Raises BadPipelineFile."""
    from platform_ctl.adapters.common import ir_file

    return ir_file.read(file)


def provenance(settings: Settings) -> dict[str, str]:
    """Commit and environment of this project, as tags of a model."""
    from platform_ctl.adapters.common import provenance

    return provenance.provenance(Path(settings.project_root))


def installed_packages() -> str:
    """Every installed distribution as ``name==version``, a line each."""
    from platform_ctl.adapters.common import provenance

    return provenance.installed()
