"""Experiments for tests, as short as Katib allows."""

from __future__ import annotations

from typing import Any

from platform_ctl.tuning.experiment import Experiment, parse


def double(name: str, low: float, high: float, **space: str) -> dict[str, Any]:
    return _parameter(name, "double", min=repr(low), max=repr(high), **space)


def whole(name: str, low: int, high: int, **space: str) -> dict[str, Any]:
    return _parameter(name, "int", min=str(low), max=str(high), **space)


def choice(name: str, *values: str) -> dict[str, Any]:
    return _parameter(name, "categorical", list=list(values))


def _parameter(name: str, kind: str, **space: Any) -> dict[str, Any]:
    return {"name": name, "parameterType": kind, "feasibleSpace": space}


def document(
    *parameters: dict[str, Any],
    trials: int | None = 10,
    parallel: int = 1,
    algorithm: str = "random",
    settings: dict[str, str] | None = None,
    objective: dict[str, Any] | None = None,
    command: list[str] | None = None,
    job: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A decoded Experiment document; ``command`` gets one argument for each parameter."""
    names = [p["name"] for p in parameters]
    words = command or ["trial", *(f"--{n}=${{trialParameters.{n}}}" for n in names)]
    container = {"name": "main", "image": "none", "command": words}
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": "search"},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss", **(objective or {})},
            "algorithm": {
                "algorithmName": algorithm,
                "algorithmSettings": [{"name": k, "value": v} for k, v in (settings or {}).items()],
            },
            "parallelTrialCount": parallel,
            "parameters": list(parameters),
            "trialTemplate": {
                "primaryContainerName": "main",
                "trialParameters": [{"name": n, "reference": n} for n in names],
                "trialSpec": {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "spec": {
                        **(job or {}),
                        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
                    },
                },
            },
            **({} if trials is None else {"maxTrialCount": trials}),
            **spec,
        },
    }


def experiment(*parameters: dict[str, Any], **options: Any) -> Experiment:
    return parse(document(*parameters, **options))
