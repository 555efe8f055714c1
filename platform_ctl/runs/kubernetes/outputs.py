"""What a step put out, from the log of its pod.

KFP 2.17 serves no values of output parameters: they are in ML Metadata alone.
The launcher writes the ``ExecutorOutput`` message (pipeline_spec.proto) as JSON
to the pod's log after the step has ended (``launcher_v2.go``), and the log is
archived; so the last one in a log is the launcher's, whatever the step printed.
"""

from __future__ import annotations

import json
import re
from typing import Any

from platform_ctl.ir.pipeline import Component, plain_numbers
from platform_ctl.runs.record import Artifact, Outputs
from platform_ctl.runs.spent import HEAD as SPENT_HEAD

_HEAD = re.compile(rb"^I\d{4} [\d:.]+ +\d+ launcher_v2\.go:\d+\] ExecutorOutput: ", re.MULTILINE)
_NOT_OF_STEP = re.compile(
    r"[IWEF]\d{4} [\d:.]+ |time=\d{4}-|\[KFP Executor |[{}]$|" + re.escape(SPENT_HEAD)
)
_DECODER = json.JSONDecoder()


def read_outputs(log: bytes, component: Component) -> Outputs:
    """Parameters and artifacts that ``component`` declares; empty where the log has none."""
    heads = list(_HEAD.finditer(log))
    if not heads:
        return Outputs()
    try:
        document, _ = _DECODER.raw_decode(log[heads[-1].end() :].decode("utf-8", "replace"))
    except ValueError:
        return Outputs()
    declared = component.output_definitions
    values = {
        name: plain_numbers(value)
        for name, value in (document.get("parameterValues") or {}).items()
        if name in declared.parameters
    }
    artifacts = {
        name: tuple(
            _artifact(name, one, spec.artifact_type.schema_title)
            for one in (document.get("artifacts") or {}).get(name, {}).get("artifacts", [])
        )
        for name, spec in declared.artifacts.items()
    }
    return Outputs(values, {name: listed for name, listed in artifacts.items() if listed})


def last_line(log: bytes) -> str:
    """The step's own last line that is not indented: an exception's, as a rule; "" if none.

    For people. Lines of the launcher (glog) and of Argo's emissary (``time=…``) are not the step's.
    """
    lines = log.decode("utf-8", "replace").splitlines()
    own = [t for t in lines if t.strip() and not t[0].isspace() and not _NOT_OF_STEP.match(t)]
    return "".join(c for c in own[-1][:500] if c.isprintable()) if own else ""


def _artifact(name: str, document: dict[str, Any], schema_title: str) -> Artifact:
    return Artifact(
        document.get("name") or name,
        document.get("uri", ""),
        schema_title or "system.Artifact",
        metadata=plain_numbers(document.get("metadata") or {}),
    )
