"""Model directories as they are stored: checked against their digest before any of it is executed.

Every reader that loads a registered model goes through here: a revision, a
prediction from the command line, a champion in an evaluation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

from platform_ctl.errors import EvidenceMismatch
from platform_ctl.models.model import LOADER, WEIGHTS_DIR, model_digest


def check_stored(mlflow_dir: Path, digest: str) -> None:
    """Raise EvidenceMismatch unless the directory holds the model of ``digest``, and no more code.

    Nothing of it is executed. Reads every byte of the weights (about 1 GB/s).
    """
    actual = stored_digest(mlflow_dir, mlflow_dir / WEIGHTS_DIR)
    if actual != digest:
        raise _mismatch(f"the registered model is {digest}, its files are {actual}", mlflow_dir)


def import_source_only(folder: Path) -> None:
    """Let modules of ``folder`` be imported, each from its source.

    A compiled file beside it is in no digest, and Python would prefer it.
    """
    path = str(folder)
    sys.path_importer_cache[path] = FileFinder(path, (_SourceOnly, [".py"]))
    if path not in sys.path:
        sys.path.insert(0, path)


class _SourceOnly(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def stored_digest(mlflow_dir: Path, weights_dir: Path) -> str:
    """The model digest of an MLflow model directory, from its bytes.

    Raises EvidenceMismatch when files are gone, and when other code than the
    predictor's would run.
    """
    predictor = next((mlflow_dir / "code").glob("predictor_*.py"), mlflow_dir / "code")
    described = mlflow_dir / "MLmodel"
    for needed in (predictor, described):
        if not needed.is_file():
            raise _mismatch(f"{needed.name} of the registered model is gone", mlflow_dir)
    try:
        loader, inputs = _described(described.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as exc:
        raise _mismatch("MLmodel of the registered model cannot be read", described) from exc
    _check_code(predictor, loader)
    return model_digest(weights_dir, predictor, inputs)


def _described(mlmodel: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What MLflow would load, and (column name, type) of the signature. Raises ValueError."""
    import yaml

    try:
        document = yaml.safe_load(mlmodel)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
    flavor = document["flavors"]["python_function"]
    loaded = {name: flavor[name] for name in ("loader_module", "code", "data")}
    columns = json.loads(document["signature"]["inputs"])
    return loaded, [(column["name"], column["type"]) for column in columns]


def _check_code(predictor: Path, loaded: Mapping[str, str]) -> None:
    """MLflow runs the loader that MLmodel names, with all of ``code`` in reach: only ours."""
    loader = predictor.with_name(predictor.name.replace("predictor_", "loader_", 1))
    expected = {"loader_module": loader.stem, "code": "code", "data": WEIGHTS_DIR}
    text = LOADER.format(predictor=predictor.stem).encode()
    if loaded != expected or not loader.is_file() or loader.read_bytes() != text:
        raise _mismatch("the code that loads the registered model was altered", loader)
    for path in predictor.parent.rglob("*"):
        compiled = path.parent.name == "__pycache__"
        if path.is_file() and path not in (predictor, loader) and not compiled:
            raise _mismatch(f"{path.name} was added to the registered model", path)


def _mismatch(what: str, where: Path) -> EvidenceMismatch:
    return EvidenceMismatch(what, where=str(where), fix="platform-ctl model list")
