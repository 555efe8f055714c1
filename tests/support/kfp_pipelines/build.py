"""``python -m tests.support.kfp_pipelines.build FOLDER``: IR and the oracle's answers.

Writes ``FOLDER/<name>.yaml`` for every pipeline, and ``FOLDER/oracle.json``:
name -> {"outputs": {...}} or {"error": ...} from kfp.local, with default arguments.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from kfp import compiler, components, local  # noqa: E402

from tests.support.kfp_pipelines import source  # noqa: E402


def main(folder: Path) -> None:
    oracle = {}
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "oracle"),
        raise_on_error=True,
    )
    for pipeline in (*source.CONFORMING, *source.BETTER, *source.OURS):
        name = pipeline.name
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        if pipeline not in source.OURS:
            oracle[name] = answer(path)
    (folder / "oracle.json").write_text(json.dumps(oracle))


def answer(path: Path) -> dict:
    try:
        outputs = components.load_component_from_file(str(path))().outputs
        return {"outputs": dict(outputs)}
    except (RuntimeError, ValueError) as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
