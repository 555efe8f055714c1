"""A small compiled pipeline as a plain document, for tests that change it."""

from __future__ import annotations

from typing import Any

SCRIPT = (
    'program_path=$(mktemp -d)\n\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
    "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main --component_module_path "
    '"$program_path/ephemeral_component.py" "$@"\n'
)


def document() -> dict[str, Any]:
    """Two additions in a row; parameters ``x`` (int), ``rate`` (double), ``tags`` (list)."""
    return {
        "pipelineInfo": {"name": "sample"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {
            "inputDefinitions": {
                "parameters": {
                    "x": {"parameterType": "NUMBER_INTEGER"},
                    "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.5},
                    "tags": {"parameterType": "LIST", "defaultValue": [1.0], "isOptional": True},
                    "dry": {"parameterType": "BOOLEAN", "defaultValue": False},
                    "mode": {
                        "parameterType": "STRING",
                        "defaultValue": "fast",
                        "literals": ["fast", "slow"],
                    },
                }
            },
            "dag": {
                "tasks": {
                    "first": _task({"a": {"componentInputParameter": "x"}}),
                    "second": _task(
                        {
                            "a": {
                                "taskOutputParameter": {
                                    "producerTask": "first",
                                    "outputParameterKey": "Output",
                                }
                            }
                        }
                    ),
                }
            },
        },
        "components": {
            "comp-add": {
                "executorLabel": "exec-add",
                "inputDefinitions": {"parameters": {"a": {"parameterType": "NUMBER_INTEGER"}}},
                "outputDefinitions": {
                    "parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}
                },
            }
        },
        "deploymentSpec": {"executors": {"exec-add": {"container": container()}}},
    }


def container() -> dict[str, Any]:
    """What the SDK writes for a thin component."""
    return {
        "image": "example/image:1.0",
        "command": ["sh", "-ec", SCRIPT, "def add(a: int) -> int:\n    return a + 1\n"],
        "args": ["--executor_input", "{{$}}", "--function_to_execute", "add"],
    }


def _task(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "componentRef": {"name": "comp-add"},
        "inputs": {"parameters": parameters},
        "cachingOptions": {"enableCache": True},
    }
