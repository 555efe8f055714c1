"""What the project declares: its recipes, their data, its pipelines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import (
    BadParameter,
    ConfigError,
    PlatformError,
    PreconditionMissing,
    unknown,
)
from platform_ctl.home.extras import missing_extra
from platform_ctl.recipe.recipe import PSEUDONYM_KEY, DataAccess, Recipe
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from platform_ctl.ir.catalogue import Pipelines
    from platform_ctl.ir.parameters import Allowed
    from platform_ctl.ir.pipeline import Pipeline
    from platform_ctl.models.model import ModelVersion
    from platform_ctl.recipe.recipe_name import RecipeName


def data_access(settings: Settings) -> DataAccess:
    """Where the recipe's data lives on this target."""
    layout = settings.layout
    catalog = _with_secrets(settings.iceberg_catalog) or {
        "name": "local",
        "type": "sql",
        "uri": f"sqlite:///{layout.iceberg}/catalog.db",
        "warehouse": f"file://{layout.iceberg}/warehouse",
    }
    shared = settings.storage.artifacts_uri
    return DataAccess(
        catalog=catalog,
        feast_dir=layout.feast,
        golden_dir=layout.golden,
        pseudonym_key_file=_pseudonym_key_file(settings),
        pseudonym_key=os.environ.get(PSEUDONYM_KEY, ""),
        lock_dir=layout.locks,
        golden_uri=f"{shared.rstrip('/')}/golden" if shared else "",
        feast_registry=settings.feast.registry,
        feast_online_store=settings.feast.online_store,
    )


def _pseudonym_key_file(settings: Settings) -> Path | None:
    if settings.pseudonym_key_file:
        return Path(settings.pseudonym_key_file)
    return None if settings.target == "kubernetes" else settings.layout.secrets / "author-key"


def current_data_access() -> DataAccess:
    """The same by the settings of this process: for a predictor, which is told by reference."""
    from platform_ctl.targets.home import current_settings

    return data_access(current_settings())


def _with_secrets(catalog: Mapping[str, str]) -> dict[str, str]:
    """A catalog's properties with the values of secrets that are references."""
    from platform_ctl.home.secrets import read_secret
    from platform_ctl.settings import is_secret_property
    from platform_ctl.text import is_reference

    return {
        name: read_secret(value, os.environ)
        if is_secret_property(name) and is_reference(value)
        else value
        for name, value in catalog.items()
    }


def recipes(settings: Settings) -> dict[str, Recipe]:
    """Every recipe of the project, by name: folders that hold a recipe.py.

    Empty for a project without a package of recipes; raises ConfigError for a recipe that cannot
    be imported.
    """
    import importlib
    import importlib.util

    if importlib.util.find_spec(settings.recipes_package) is None:
        return {}
    package = importlib.import_module(settings.recipes_package)
    names = sorted(
        p.parent.name for root in package.__path__ for p in Path(root).glob("*/recipe.py")
    )
    return {name: _imported_recipe(f"{package.__name__}.{name}.recipe") for name in names}


def _imported_recipe(module: str) -> Recipe:
    import importlib

    try:
        return importlib.import_module(module).RECIPE
    except PlatformError:
        raise
    except ModuleNotFoundError as exc:
        raise missing_extra(exc.name or "", module) or _broken(module, exc) from exc
    except Exception as exc:  # whatever somebody's code does when it is imported
        raise _broken(module, exc) from exc


def _broken(module: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"recipe {module} cannot be imported: {type(exc).__name__}: {exc}",
        where=module.replace(".", "/") + ".py",
        fix=f"python -c 'import {module}'",
    )


def allowed_parameters(settings: Settings, pipeline: str) -> Mapping[str, Allowed]:
    """What the recipe of this pipeline says of its parameters; empty when it has none.

    No more workers than this machine holds where they run here. Raises BadParameter where it does
    not hold one of them: a search would have been computed before its fit is refused.
    """
    return {
        name: _that_fits(settings, allowed)
        for recipe in recipes(settings).values()
        if recipe.pipeline == pipeline
        for name, allowed in recipe.parameters.items()
    }


def _that_fits(settings: Settings, allowed: Allowed) -> Allowed:
    elsewhere = settings.target != "local" or settings.training.ray_address
    if not allowed.workers or elsewhere:
        return allowed
    from platform_ctl.training.local.capacity import (
        held_cpus,
        most_workers,
        most_workers_with_gpus,
    )

    if gpus := settings.training.worker_gpus:
        reason = f"each has {gpus} of the GPUs of this machine"
        return allowed.at_most(most_workers_with_gpus(gpus), reason)
    reason = f"no more workers fit on the {held_cpus()} cores of this machine"
    return allowed.at_most(most_workers(), reason)


def recipe(settings: Settings, name: str | None, *, command: str) -> Recipe:
    """The recipe that is meant: the one of that name, the project's default, or the only one.

    ``command`` is what was typed up to where it names one. Raises UnknownName, BadParameter.
    """
    known = recipes(settings)
    wanted = (name or settings.default_recipe).replace("-", "_")
    if not wanted and len(known) == 1:
        return next(iter(known.values()))
    if not known:
        raise PreconditionMissing(
            "this folder has no recipe: it is not a project, or an empty one",
            where=settings.project_root,
            fix="platform-ctl init my-project",
        )
    if not wanted:
        raise BadParameter(
            f"there is more than one recipe: {', '.join(known)}",
            where="setting default_recipe",
            fix=f"{command} {next(iter(known), 'NAME')}",
        )
    if wanted not in known:
        raise unknown(
            f"there is no recipe {wanted!r}",
            wanted,
            known,
            where=f"package {settings.recipes_package}",
            fix=f"{command} {{}}",
            otherwise="platform-ctl recipe list",
        )
    return known[wanted]


def check_recipe_name(settings: Settings, name: str) -> RecipeName:
    """The name of a recipe to be. Raises BadParameter for one that is none, or that is taken."""
    from platform_ctl.recipe.recipe_name import RecipeName, refuse_taken

    parsed = RecipeName.parse(name)
    refuse_taken(parsed, recipes(settings).values())
    return parsed


def new_recipe(
    settings: Settings,
    name: str,
    *,
    kind: str,
    file: Path,
    label: str = "",
    time: str = "",
    entity: str = "",
) -> tuple[RecipeName, list[str], list[str]]:
    """Make a recipe on a file: its name, the files and folders it is, and what to know of it.

    Raises BadParameter, UnknownName, ConfigError.
    """
    from platform_ctl.recipe.recipe import resolve
    from platform_ctl.recipe.recipe_files import RecipeFiles

    parsed = check_recipe_name(settings, name)
    library = resolve(f"{settings.recipes_package}.common.new_recipe")
    request = library.Asked(parsed.word, parsed.module, kind, file, label, time, entity)
    texts, notes = library.render(request)
    root = Path(settings.project_root)
    files = RecipeFiles(root, settings.recipes_package, settings.pipelines_package)
    return parsed, files.create(parsed, texts), notes


def recipe_of(settings: Settings, version: ModelVersion) -> Recipe:
    """The recipe that made a registered version. Raises ConfigError when it is gone."""
    name = version.tags.get("recipe", "")
    declared = recipes(settings).get(name)
    if declared is None:
        raise ConfigError(
            f"{version} was made by recipe {name!r}, which this project does not have",
            where=f"package {settings.recipes_package}",
            fix=f"platform-ctl model show {version}",
        )
    return declared


def pipelines(settings: Settings) -> Pipelines:
    """The project's pipeline sources and their committed IR."""
    from platform_ctl.ir.catalogue import Pipelines

    return Pipelines(Path(settings.project_root), settings.pipelines_package)


def read_pipeline(file: Path) -> Pipeline:
    """One compiled file, checked. Raises BadPipelineFile."""
    from platform_ctl.ir import file as ir_file

    return ir_file.read(file)


def provenance(settings: Settings) -> dict[str, str]:
    """Commit and environment of this project, as tags of a model."""
    from platform_ctl.models import provenance

    return provenance.provenance(Path(settings.project_root))


def installed_packages() -> str:
    """Every installed distribution as ``name==version``, a line each."""
    from platform_ctl.models import provenance

    return provenance.installed()
