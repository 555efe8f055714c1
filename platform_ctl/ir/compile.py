"""``python -m platform_ctl.ir.compile MODULE...``: pipelines to IR on stdout.

Prints a JSON list of {"name", "module", "yaml"}: one for every ``@dsl.pipeline``
defined in the modules; or {"what", "where"} of the first that does not compile.
Runs in a process of its own, because importing kfp costs seconds and the
modules are the user's.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from types import ModuleType


def compile_modules(names: list[str]) -> list[dict[str, str]]:
    """Raises whatever the modules or kfp's compiler raise."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    compiled = []
    for name in names:
        module = importlib.import_module(name)
        for pipeline in _pipelines(module):
            compiled.append(
                {"name": pipeline.name, "module": name, "yaml": _compile(pipeline)}  # type: ignore[attr-defined]
            )
    return compiled


def _failure(exc: BaseException, folder: Path) -> dict[str, str]:
    """What stopped the compilation, and the newest line of the project that led to it."""
    where = ""
    if isinstance(exc, SyntaxError) and exc.filename:
        where = f"{exc.filename}:{exc.lineno or 1}"
    else:
        for frame in traceback.extract_tb(exc.__traceback__):
            path = Path(frame.filename)
            if path.is_relative_to(folder) and "site-packages" not in path.parts:
                where = f"{frame.filename}:{frame.lineno}"
    message = " ".join(str(exc).split())
    if isinstance(exc, SystemExit):
        message = "it calls sys.exit"
    return {"what": f"{type(exc).__name__}: {message}"[:500], "where": where}


def main(names: list[str]) -> int:
    """Writes the result to the real stdout; what the modules print goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            result: object = compile_modules(names)
        except BaseException as exc:  # noqa: BLE001 - the modules are the user's
            result = _failure(exc, Path.cwd())
    json.dump(result, sys.stdout)
    return int(isinstance(result, dict))


def _pipelines(module: ModuleType) -> list[object]:
    from kfp.dsl.graph_component import GraphComponent

    components = (value for value in vars(module).values() if isinstance(value, GraphComponent))
    return [p for p in components if p.pipeline_func.__module__ == module.__name__]


def _compile(pipeline: object) -> str:
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
