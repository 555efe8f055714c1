"""Parameters are typed and checked before anything starts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.domain import parameters
from platform_ctl.domain.ir import UNSET, ParameterType, Pipeline
from platform_ctl.errors import BadParameter
from tests.support import ir

PIPELINE = msgspec.convert(ir.document(), Pipeline)


def test_defaults_and_whole_numbers() -> None:
    values = parameters.resolve(PIPELINE, {"x": 3.0})
    assert values == {"x": 3, "rate": 0.5, "tags": [1], "dry": False, "mode": "fast"}
    assert type(values["x"]) is int


def test_text_from_the_command_line() -> None:
    text = {"x": "7", "rate": "1e-3", "tags": '["a"]', "dry": "TRUE", "mode": "slow"}
    values = parameters.resolve(PIPELINE, parameters.parse(PIPELINE, text))
    assert values == {"x": 7, "rate": 0.001, "tags": ["a"], "dry": True, "mode": "slow"}


@pytest.mark.parametrize(
    "text",
    [
        {"x": "seven"},
        {"x": "1.5"},
        {"x": "true"},
        {"tags": "{}"},
        {"dry": "maybe"},
        {"rate": "NaN"},
    ],
)
def test_wrong_text(text: dict[str, str]) -> None:
    with pytest.raises(BadParameter) as caught:
        parameters.parse(PIPELINE, text)
    assert caught.value.fix.startswith("-p ")


def test_an_unknown_name_has_near_misses() -> None:
    with pytest.raises(BadParameter, match="did you mean rate"):
        parameters.resolve(PIPELINE, {"x": 1, "rat": 1})


def test_a_missing_one_is_named() -> None:
    with pytest.raises(BadParameter, match="'x'"):
        parameters.resolve(PIPELINE, {})


def test_literals() -> None:
    with pytest.raises(BadParameter, match="one of 'fast', 'slow'"):
        parameters.resolve(PIPELINE, {"x": 1, "mode": "odd"})


@given(st.integers() | st.floats(allow_nan=True) | st.booleans() | st.text() | st.none())
def test_an_integer_is_an_int_or_refused(value: Any) -> None:
    converted = parameters.convert(value, ParameterType.NUMBER_INTEGER)
    assert converted is UNSET or (type(converted) is int and converted == value)
