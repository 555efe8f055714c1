"""Each step accounts for its process: on a cluster nobody else knows what it has spent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

STEPS = Path(__file__).parents[3] / "pipelines" / "steps"
BEGINNINGS = {"current_settings", "begin_step"}


def step_functions() -> list[ast.FunctionDef]:
    found = []
    for file in sorted(STEPS.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("run"):
                node.name = f"{file.stem}.{node.name}"
                found.append(node)
    return found


@pytest.mark.parametrize("function", step_functions(), ids=lambda function: function.name)
def test_a_step_begins_with_the_settings_of_its_process(function: ast.FunctionDef) -> None:
    """In the body itself, and under no condition."""
    before = [s for s in function.body if not isinstance(s, ast.If | ast.For | ast.While | ast.Try)]
    calls = {
        call.func.attr
        for statement in before
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    assert calls & BEGINNINGS
