"""Compiled pipelines that the contract of runs is tested with, on every target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.ir import SCRIPT

JUDGE = """
def judge(x: int) -> NamedTuple("Judged", [("verdict", str), ("reasons", list)]):
    print("judging", x)
    from collections import namedtuple
    judged = namedtuple("Judged", ["verdict", "reasons"])
    return judged("successful" if x > 0 else "failed", [f"x is {x}"])
"""
DOUBLE = "\ndef double(x: int) -> int:\n    return 2 * x\n"
BOOM = "\ndef boom(x: int) -> int:\n    raise ValueError(f'boom {x}')\n"
ABSENT = """
def absent(x: int) -> int:
    from platform_ctl.errors import PreconditionMissing
    raise PreconditionMissing(f"no table {x}", where="the catalog", fix="platform-ctl data show")
"""
WAIT = "\ndef wait(x: int) -> int:\n    import time\n    time.sleep(600)\n    return x\n"
SOURCES = {"judge": JUDGE, "double": DOUBLE, "boom": BOOM, "absent": ABSENT, "wait": WAIT}
INTEGER = {"parameterType": "NUMBER_INTEGER"}


def write(folder: Path, name: str, document: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def judged(image: str) -> dict[str, Any]:
    """``judge``; then ``double`` in the branch that is taken, none in the one that is not."""
    branch = {"verdict": _output("judge", "verdict"), "x": {"componentInputParameter": "x"}}
    components = {
        f"comp-{name}": {
            "inputDefinitions": {
                "parameters": {"verdict": {"parameterType": "STRING"}, "x": INTEGER}
            },
            "dag": {"tasks": {"double": _task("double")}},
        }
        for name in ("passed", "refused")
    }
    return _pipeline(
        "judged",
        image,
        {
            "judge": _task("judge"),
            "passed": _branch("passed", branch, "successful"),
            "refused": _branch("refused", branch, "failed"),
        },
        components,
    )


def chain(image: str, first: str) -> dict[str, Any]:
    """``first`` and, after it, ``double``; both without the cache."""
    after = {**_task("double", cached=False), "dependentTasks": [first]}
    return _pipeline("chain", image, {first: _task(first, cached=False), "double": after}, {})


def _pipeline(
    name: str, image: str, tasks: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    return {
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {"inputDefinitions": {"parameters": {"x": INTEGER}}, "dag": {"tasks": tasks}},
        "components": {**{f"comp-{f}": _component(f) for f in SOURCES}, **components},
        "deploymentSpec": {
            "executors": {
                f"exec-{function}": {
                    "container": {
                        "image": image,
                        "command": ["sh", "-ec", SCRIPT, _HEAD + source],
                        "args": ["--executor_input", "{{$}}", "--function_to_execute", function],
                    }
                }
                for function, source in SOURCES.items()
            }
        },
    }


_HEAD = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n"


def _component(function: str) -> dict[str, Any]:
    outputs = {"Output": INTEGER}
    if function == "judge":
        outputs = {"verdict": {"parameterType": "STRING"}, "reasons": {"parameterType": "LIST"}}
    return {
        "executorLabel": f"exec-{function}",
        "inputDefinitions": {"parameters": {"x": INTEGER}},
        "outputDefinitions": {"parameters": outputs},
    }


def _task(function: str, *, cached: bool = True) -> dict[str, Any]:
    return {
        "componentRef": {"name": f"comp-{function}"},
        "taskInfo": {"name": function},
        "inputs": {"parameters": {"x": {"componentInputParameter": "x"}}},
        "cachingOptions": {"enableCache": True} if cached else {},
    }


def _branch(name: str, inputs: dict[str, Any], verdict: str) -> dict[str, Any]:
    return {
        "componentRef": {"name": f"comp-{name}"},
        "taskInfo": {"name": name},
        "inputs": {"parameters": inputs},
        "dependentTasks": ["judge"],
        "triggerPolicy": {"condition": f"inputs.parameter_values['verdict'] == '{verdict}'"},
    }


def _output(task: str, name: str) -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": name}}
