"""``recipe check``: what a recipe lacks, or has wrong, with file and line."""

from __future__ import annotations

import ast
import importlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from platform_ctl.recipe.contract import OPTIONAL, REQUIRED, MoreData
from platform_ctl.recipe.recipe import Recipe

EXPERIMENT_FILE = "experiment.yaml"
_RECIPE_FILE = "recipe.py"


@dataclass(frozen=True)
class RecipeProblem:
    """``line`` 0: of the file as a whole, or of one that is not there."""

    file: str
    line: int
    what: str


def check(recipe: Recipe, root: Path) -> list[RecipeProblem]:
    """Everything that keeps a recipe from running; empty when it keeps the contract.

    Imports the recipe's modules. ``root``: the project's folder, to which files are relative.
    """
    folder = root / recipe.package.replace(".", "/")
    return [
        *_declared(recipe, root, folder),
        *(p for name, kind in REQUIRED.items() for p in _module(recipe, root, name, kind)),
        *(
            p
            for name, kind in OPTIONAL.items()
            if (folder / f"{name}.py").is_file()
            for p in _module(recipe, root, name, kind)
        ),
    ]


def _declared(recipe: Recipe, root: Path, folder: Path) -> Iterator[RecipeProblem]:
    """What recipe.py says that cannot be so."""
    file = folder / _RECIPE_FILE
    shown = str(file.relative_to(root))

    def problem(argument: str, what: str) -> RecipeProblem:
        return RecipeProblem(shown, _line_of_argument(file, argument), what)

    if not recipe.pipeline:
        yield problem("pipeline", "no pipeline is named: nothing would train the model")
    if not recipe.features:
        yield problem("features", "no feature is named")
    if not recipe.sources:
        yield problem("sources", "no source is named: data ingest would have nothing to offer")
    gate = recipe.gate
    if not gate.max_loss > 0:
        yield problem("gate", f"the gate's max_loss is {gate.max_loss:g}; no model could pass")
    if not 0 < gate.confidence < 1:
        yield problem("gate", f"the gate's confidence is {gate.confidence:g}, not between 0 and 1")
    weights = recipe.canary.weights_percent
    if list(weights) != sorted(set(weights)) or not weights or weights[-1] != 100:
        yield problem("canary", f"the canary's weights {weights} do not rise to 100")
    if not (folder / EXPERIMENT_FILE).is_file():
        yield RecipeProblem(
            str(folder.relative_to(root) / EXPERIMENT_FILE), 0, "there is no such file"
        )


def _module(recipe: Recipe, root: Path, name: str, kind: type) -> Iterator[RecipeProblem]:
    file = root / recipe.package.replace(".", "/") / f"{name}.py"
    shown = str(file.relative_to(root))
    if not file.is_file():
        yield RecipeProblem(
            shown, 0, f"there is no such file; it defines {', '.join(_functions(kind))}"
        )
        return
    module = _imported(f"{recipe.package}.{name}", file, shown)
    if isinstance(module, RecipeProblem):
        yield module
        return
    wanted = dict(_functions(kind))
    if name == "data":
        optional = {n: f for n, f in _functions(MoreData).items() if hasattr(module, n)}
        wanted = {**wanted, **_sources(recipe), **optional}
    for function, signature in wanted.items():
        yield from _function(module, shown, function, signature)


def _imported(name: str, file: Path, shown: str) -> ModuleType | RecipeProblem:
    try:
        return importlib.import_module(name)
    except SyntaxError as exc:
        return RecipeProblem(shown, exc.lineno or 0, f"it cannot be compiled: {exc.msg}")
    except Exception as exc:  # noqa: BLE001 - whatever somebody's code does when it is imported
        frames = traceback.extract_tb(exc.__traceback__)
        lines = [f.lineno or 0 for f in frames if Path(f.filename) == file]
        problem_text = f"it cannot be imported: {type(exc).__name__}: {exc}"
        return RecipeProblem(shown, lines[-1] if lines else 0, problem_text)


def _function(
    module: ModuleType, shown: str, name: str, wanted: inspect.Signature
) -> Iterator[RecipeProblem]:
    found = getattr(module, name, None)
    if found is None:
        yield RecipeProblem(shown, 0, f"it does not define {name}{wanted}")
        return
    if not callable(found):
        yield RecipeProblem(shown, 0, f"{name} is no function")
        return
    given = inspect.signature(found)
    parameters = wanted.parameters.values()
    by_position = [None for p in parameters if p.kind is not p.KEYWORD_ONLY]
    by_name = {p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY}
    try:
        given.bind(*by_position, **by_name)
    except TypeError as exc:
        line = inspect.unwrap(found).__code__.co_firstlineno if inspect.isfunction(found) else 0
        wanted_names = ", ".join(wanted.parameters)
        yield RecipeProblem(
            shown, line, f"{name}{_names(given)} does not take ({wanted_names}): {exc}"
        )


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
    found = {}
    for name, source in recipe.sources.items():
        keywords = [
            "now",
            "progress",
            *(["paths"] if source.takes_paths else []),
            *source.options,
        ]
        parameters = [
            inspect.Parameter("access", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY) for k in keywords),
        ]
        found[f"ingest_{name}"] = inspect.Signature(parameters)
    return found


def _line_of_argument(file: Path, argument: str) -> int:
    """Where ``Recipe(argument=…)`` stands; the call itself where it is left out."""
    line = 0
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == Recipe.__name__:
            line = node.lineno
            named = [k.value.lineno for k in node.keywords if k.arg == argument]
            if named:
                return named[0]
    return line
