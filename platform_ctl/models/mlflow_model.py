"""A candidate as an MLflow pyfunc that runs without this repository, and without pickle.

The recipe's predictor is one self-contained source file with ``load(dir)``. Its
copy, under a name of its own, travels in the model's ``code`` folder beside a
one-line loader module; two versions, or a newer checkout, never see each
other's code.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from shutil import copyfile, copytree
from typing import Any

from platform_ctl.errors import ConfigError
from platform_ctl.models.model import INPUT_TYPE, LOADER, WEIGHTS_DIR, ModelCandidate
from platform_ctl.models.stored import import_source_only

PROJECT_PACKAGES = {"recipes", "pipelines", "platform_ctl"}


def write(candidate: ModelCandidate, folder: Path) -> dict[str, Any]:
    """Lay the model out in ``folder``; returns the arguments for ``mlflow.pyfunc.log_model``.

    Raises ConfigError when the predictor imports from this project.
    """
    imports = _imports(candidate.predictor)
    ours = sorted(imports & PROJECT_PACKAGES)
    if ours:
        raise ConfigError(
            f"the predictor imports {ours[0]}, so it would not run without this repository",
            where=str(candidate.predictor),
            fix=f"edit {candidate.predictor}",
        )
    short = candidate.digest.removeprefix("sha256:")[:12]
    predictor, loader = f"predictor_{short}", f"loader_{short}"
    copyfile(candidate.predictor, folder / f"{predictor}.py")
    (folder / f"{loader}.py").write_text(LOADER.format(predictor=predictor), encoding="utf-8")
    copytree(candidate.model_dir, folder / "model")
    return {
        "loader_module": loader,
        "data_path": str(folder / "model"),
        "code_paths": [str(folder / f"{predictor}.py"), str(folder / f"{loader}.py")],
        "pip_requirements": _requirements(imports),
        "signature": _signature(candidate.inputs),
        "input_example": _example(candidate.inputs),
    }


def load(mlflow_dir: Path) -> Any:
    """The predictor of a model that ``write`` laid out, as MLflow would load it, without MLflow.

    Its module names are its own, so that any number of versions fit in one process.
    """
    code = mlflow_dir / "code"
    loader = next(code.glob("loader_*.py")).stem
    import_source_only(code)
    return importlib.import_module(loader)._load_pyfunc(str(mlflow_dir / WEIGHTS_DIR))


def _imports(source: Path) -> set[str]:
    """Top-level packages a file imports, anywhere in it; "recipes" for a relative import."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add("recipes" if node.level else (node.module or "").split(".")[0])
    return modules - set(sys.stdlib_module_names)


def _requirements(imports: set[str]) -> list[str]:
    """The installed distributions behind ``imports``, pinned."""
    return sorted(f"{name}=={metadata.version(name)}" for name in map(_distribution, imports))


def _distribution(package: str) -> str:
    """Usually the same name; the table of all packages takes half a second to build."""
    try:
        return metadata.distribution(package).name
    except metadata.PackageNotFoundError:
        return metadata.packages_distributions()[package][0]


def _signature(inputs: Sequence[str]) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType[INPUT_TYPE], name) for name in inputs]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(DataType.double)]))


def _example(inputs: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame({name: [1.0, 2.0] for name in inputs})
