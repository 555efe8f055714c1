"""``{{$…}}`` in constants of the IR. Values are inserted as they are and never scanned again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from platform_ctl.errors import StepFailed
from platform_ctl.runs.local.conditions import as_text

WORKSPACE_MOUNT = "/kfp-workspace"
_PLACEHOLDER = re.compile(r"\{\{\$\.?(.*?)\}\}|" + WORKSPACE_MOUNT)
_PARAMETER = re.compile(r"inputs\.parameters\[''?([^']+)''?\]")


def fill(template: Any, words: Mapping[str, str], inputs: Mapping[str, Any]) -> Any:
    """``template`` with every placeholder in its strings (also nested ones) replaced.

    ``words`` are what the run and the task are called, ``inputs`` the task's parameters.
    Raises StepFailed for a placeholder that nobody knows.
    """
    return expand(template, lambda word: _value(word, words, inputs))


def expand(template: Any, value: Callable[[str], str]) -> Any:
    """Replace placeholders all the way down; ``value`` gets what is between the braces."""
    if isinstance(template, str):
        if "{{$" not in template and WORKSPACE_MOUNT not in template:
            return template
        return _PLACEHOLDER.sub(lambda match: value(match[1] or "workspace_path"), template)
    if isinstance(template, list):
        return [expand(item, value) for item in template]
    if isinstance(template, dict):
        return {expand(key, value): expand(item, value) for key, item in template.items()}
    return template


def _value(word: str, words: Mapping[str, str], inputs: Mapping[str, Any]) -> str:
    parameter = _PARAMETER.fullmatch(word)
    if parameter:
        return as_text(inputs.get(parameter[1]))
    if word not in words:
        raise StepFailed(f"unknown placeholder {{{{$.{word}}}}}")
    return words[word]
