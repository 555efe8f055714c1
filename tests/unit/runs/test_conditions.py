"""CEL conditions: typed, and blind to what values look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.errors import StepFailed
from platform_ctl.runs.local import conditions
from platform_ctl.runs.local.placeholders import expand

X = "inputs.parameter_values['x']"


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        (f"{X} == 'it'", "it's", False),
        (f"{X} == true", True, True),
        (f"int({X}) >= 3", 3, True),
        (f"int({X}) >= 3", "2", False),
        (f"!(int({X}) > 10) && int({X}) > 3", 5, True),
        (f"{X} == 3", 3.0, True),
        (f"{X} == 'successful' || {X} == 'failed'", "failed", True),
    ],
)
def test_conditions(expression: str, value: Any, expected: bool) -> None:
    assert conditions.condition(expression, {"x": value}) is expected


@given(st.text())
def test_no_value_can_change_the_question(text: str) -> None:
    assert conditions.condition(f"{X} == 'approved'", {"x": text}) is (text == "approved")


@pytest.mark.parametrize("expression", [X, f"{X} > 'a' + 1", "inputs.parameter_values['y'] == 1"])
def test_what_is_not_a_boolean_fails_by_name(expression: str) -> None:
    with pytest.raises(StepFailed):
        conditions.condition(expression, {"x": 1})


def test_selectors_read_json() -> None:
    item = {"a": {"b": [1, 2]}, "c": "text"}
    assert conditions.select('parseJson(string_value)["a"]', item) == {"b": [1, 2]}
    assert conditions.select('parseJson(string_value)["c"]', item) == "text"


def test_placeholders_in_values_are_never_expanded_again() -> None:
    value = "{{$.pipeline_job_uuid}}"
    assert expand("<{{$.inputs.x}}>", lambda word: value) == f"<{value}>"
    assert expand([{"{{$.k}}": ["{{$.v}}", 1]}], lambda word: word) == [{"k": ["v", 1]}]
