"""``{{$…}}`` in constants of the IR. Values are inserted as they are and never scanned again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from platform_ctl.adapters.local.orchestrator.conditions import as_text
from platform_ctl.errors import StepFailed

if TYPE_CHECKING:
    from platform_ctl.adapters.local.orchestrator.graph import RunFacts, TaskInstance

WORKSPACE_MOUNT = "/kfp-workspace"
_PLACEHOLDER = re.compile(r"\{\{\$\.?(.*?)\}\}|" + WORKSPACE_MOUNT)
_PARAMETER = re.compile(r"inputs\.parameters\[''?([^']+)''?\]")


def fill(template: Any, task: TaskInstance, facts: RunFacts, values: Mapping[str, Any]) -> Any:
    """``template`` with every placeholder in its strings (also nested ones) replaced.

    Raises StepFailed for a placeholder that nobody knows.
    """
    return expand(template, lambda word: _value(word, task, facts, values))


def expand(template: Any, value: Callable[[str], str]) -> Any:
    """Replace placeholders all the way down; ``value`` gets what is between the braces."""
    if isinstance(template, str):
        if "{{$" not in template and WORKSPACE_MOUNT not in template:
            return template
        return _PLACEHOLDER.sub(lambda found: value(found[1] or "workspace_path"), template)
    if isinstance(template, list):
        return [expand(item, value) for item in template]
    if isinstance(template, dict):
        return {expand(key, value): expand(item, value) for key, item in template.items()}
    return template


def _value(word: str, task: TaskInstance, facts: RunFacts, values: Mapping[str, Any]) -> str:
    parameter = _PARAMETER.fullmatch(word)
    if parameter:
        return as_text(values.get(parameter[1]))
    known = {
        "pipeline_job_name": facts.name,
        "pipeline_job_resource_name": facts.resource_name,
        "pipeline_job_uuid": facts.run_id,
        "pipeline_task_name": task.spec.task_info.name or task.name,
        "pipeline_task_uuid": f"{facts.run_id}/{task.path}",
        "pipeline_root": facts.root,
        "pipeline_job_create_time_utc": facts.created_at,
        "pipeline_job_schedule_time_utc": facts.created_at,
        "workspace_path": facts.workspace,
    }
    if word not in known:
        raise StepFailed(f"unknown placeholder {{{{$.{word}}}}}", where=task.path)
    return known[word]
