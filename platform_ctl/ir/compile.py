"""``python -m platform_ctl.ir.compile MODULE...``: pipelines to IR on stdout.

Prints a JSON list of {"name", "module", "yaml"}: one for every ``@dsl.pipeline``
defined in the modules. Runs in a process of its own, because importing kfp
costs seconds and the modules are the user's.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
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


def _pipelines(module: ModuleType) -> list[object]:
    from kfp.dsl.graph_component import GraphComponent

    found = (value for value in vars(module).values() if isinstance(value, GraphComponent))
    return [p for p in found if p.pipeline_func.__module__ == module.__name__]


def _compile(pipeline: object) -> str:
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    json.dump(compile_modules(sys.argv[1:]), sys.stdout)
