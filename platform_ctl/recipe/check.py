"""``recipe check``: what a recipe lacks, or has wrong, with file and line."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from platform_ctl.recipe import source
from platform_ctl.recipe.check_values import is_parameter, of_declared_types, values
from platform_ctl.recipe.contract import OPTIONAL, REQUIRED, MoreData
from platform_ctl.recipe.problem import RecipeProblem
from platform_ctl.recipe.recipe import Recipe

EXPERIMENT_FILE = "experiment.yaml"
RECIPE_FILE = "recipe.py"


def check(recipe: Recipe, root: Path) -> list[RecipeProblem]:
    """Everything that keeps a recipe from running; empty when it keeps the contract.

    Imports the recipe's modules. ``root``: the project's folder, to which files are relative.
    """
    return check_folder(recipe, recipe.package, root)


def check_folder(recipe: Recipe | None, package: str, root: Path) -> list[RecipeProblem]:
    """The same of a folder whose recipe.py may not be importable (``recipe`` is None then): what
    the other files lack is said all the same, and its sources are unknown."""
    folder = root / package.replace(".", "/")
    problems = [] if recipe is None else list(_declared(recipe, package, folder, root))
    if recipe is not None and not of_declared_types(recipe):
        recipe = None
    for name, kind in {**REQUIRED, **OPTIONAL}.items():
        file = folder / f"{name}.py"
        if file.is_file():
            problems += _module(recipe, package, root, name, kind)
        elif name in REQUIRED:
            problems.append(_missing(file, root, ", ".join(_functions(kind))))
    if not (folder / EXPERIMENT_FILE).is_file():
        problems.append(_missing(folder / EXPERIMENT_FILE, root, "the hyperparameter search"))
    return list(dict.fromkeys(problems))


def recipe_in(package: str, root: Path) -> tuple[Recipe | None, list[RecipeProblem]]:
    """What recipe.py of a folder declares; None with the reason, where there is none."""
    file = root / package.replace(".", "/") / RECIPE_FILE
    if not file.is_file():
        return None, [_missing(file, root, "RECIPE")]
    module = _imported(f"{package}.{file.stem}", file, root)
    if isinstance(module, RecipeProblem):
        return None, [module]
    declared = getattr(module, "RECIPE", None)
    if isinstance(declared, Recipe):
        return declared, []
    what = "it defines no RECIPE" if declared is None else f"RECIPE is a {type(declared).__name__}"
    return None, [RecipeProblem(_shown(file, root), 0, f"{what}; it is Recipe(…) at its top level")]


def _declared(recipe: Recipe, package: str, folder: Path, root: Path) -> Iterator[RecipeProblem]:
    """What recipe.py says that cannot be so."""
    file = folder / RECIPE_FILE
    for path, what in values(recipe, package, folder):
        yield RecipeProblem(_shown(file, root), source.line_of(file, *path), what)


def _module(
    recipe: Recipe | None, package: str, root: Path, name: str, kind: type
) -> Iterator[RecipeProblem]:
    file = root / package.replace(".", "/") / f"{name}.py"
    module = _imported(f"{package}.{name}", file, root)
    if isinstance(module, RecipeProblem):
        yield module
        return
    wanted = dict(_functions(kind))
    if name == "data":
        optional = {n: f for n, f in _functions(MoreData).items() if hasattr(module, n)}
        wanted = {**wanted, **(_sources(recipe) if recipe else {}), **optional}
    for function, signature in wanted.items():
        yield from _function(module, file, root, function, signature)
    if name == "predict":
        yield from _travels(file, package, root)


def _travels(file: Path, package: str, root: Path) -> Iterator[RecipeProblem]:
    """predict.py is copied beside the model: where it is loaded, there is no repository."""
    repository = {package.partition(".")[0], __package__.partition(".")[0]}
    for line, module in source.imports_of(file):
        if module.startswith(".") or module.partition(".")[0] in repository:
            what = f"it imports {module}, and travels with the model without this repository"
            yield RecipeProblem(_shown(file, root), line, what)


def _imported(name: str, file: Path, root: Path) -> ModuleType | RecipeProblem:
    """The module, or what keeps it from being imported, at the line of the recipe that it is at:
    of the file that is wrong, however many others import it."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except SyntaxError as exc:
        at = Path(exc.filename) if exc.filename else file
        place = at if at.is_relative_to(root) else file
        line = (exc.lineno or 0) if place == at else 0
        return RecipeProblem(_shown(place, root), line, f"it cannot be compiled: {exc.msg}")
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever somebody's code does
        frames = traceback.extract_tb(exc.__traceback__)
        own = [f for f in frames if Path(f.filename).is_relative_to(file.parent)]
        place, line = (Path(own[-1].filename), own[-1].lineno or 0) if own else (file, 0)
        what = f"it cannot be imported: {type(exc).__name__}: {exc}"
        return RecipeProblem(_shown(place, root), line, what)


def _function(
    module: ModuleType, file: Path, root: Path, name: str, wanted: inspect.Signature
) -> Iterator[RecipeProblem]:
    shown = _shown(file, root)
    function = getattr(module, name, None)
    if function is None:
        yield RecipeProblem(shown, 0, f"it does not define {name}{wanted}")
        return
    if not callable(function):
        yield RecipeProblem(shown, 0, f"{name} is no function")
        return
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a compiled module, which does not tell
        return
    parameters = wanted.parameters.values()
    by_position = [None for p in parameters if p.kind is not p.KEYWORD_ONLY]
    by_name = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
    try:
        signature.bind(*by_position, **by_name)
    except TypeError as exc:
        line = (
            inspect.unwrap(function).__code__.co_firstlineno if inspect.isfunction(function) else 0
        )
        wanted_names = ", ".join(wanted.parameters)
        yield RecipeProblem(
            shown, line, f"{name}{_names(signature)} does not take ({wanted_names}): {exc}"
        )


def _missing(file: Path, root: Path, holds: str) -> RecipeProblem:
    return RecipeProblem(_shown(file, root), 0, f"there is no such file; it defines {holds}")


def _shown(file: Path, root: Path) -> str:
    return str(file.relative_to(root))


def _names(signature: inspect.Signature) -> str:
    return f"({', '.join(signature.parameters)})"


def _functions(kind: type) -> Mapping[str, inspect.Signature]:
    """The functions that a class of contract.py declares."""
    return {
        name: inspect.signature(member.__func__)
        for name, member in vars(kind).items()
        if isinstance(member, staticmethod)
    }


def _sources(recipe: Recipe) -> dict[str, inspect.Signature]:
    """``ingest_NAME`` of each source that recipe.py declares."""
    signatures = {}
    for name, declared in recipe.sources.items():
        keywords = {
            **dict.fromkeys(["now", "progress", *(["paths"] if declared.takes_paths else [])]),
            **dict.fromkeys(filter(is_parameter, declared.options)),
        }
        parameters = [
            inspect.Parameter("access", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY) for k in keywords),
        ]
        signatures[f"ingest_{name}"] = inspect.Signature(parameters)
    return signatures
