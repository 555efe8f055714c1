"""Parameters are typed and checked before anything starts."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.errors import BadParameter
from platform_ctl.ir import parameters
from platform_ctl.ir.parameters import Allowed
from platform_ctl.ir.pipeline import UNSET, ParameterType, Pipeline
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
    assert _typed_again(caught.value.fix)["x"] == 3


def test_an_unknown_name_has_near_misses() -> None:
    with pytest.raises(BadParameter, match="did you mean rate"):
        parameters.resolve(PIPELINE, {"x": 1, "rat": 1})


def test_a_missing_one_is_named() -> None:
    with pytest.raises(BadParameter, match="'x'"):
        parameters.resolve(PIPELINE, {})


_document = ir.document()
_document["root"]["inputDefinitions"]["parameters"]["mode"].pop("literals")
FREE = msgspec.convert(_document, Pipeline)


def test_literals() -> None:
    with pytest.raises(BadParameter, match="one of fast, slow") as caught:
        parameters.resolve(PIPELINE, {"x": 1, "mode": "slo"})
    again = _typed_again(caught.value.fix)
    assert (again["x"], again["mode"]) == (1, "slow")


def _typed_again(fix: str) -> dict[str, Any]:
    """The values of the command that an error proposes: it must be one that runs."""
    program, noun, verb, pipeline, *words = shlex.split(fix)
    assert (program, noun, verb, pipeline) == ("platform-ctl", "pipeline", "run", PIPELINE.name)
    assert words[::2] == ["-p"] * (len(words) // 2)
    text = parameters.split(PIPELINE, words[1::2])
    return parameters.resolve(PIPELINE, {"x": 3} | parameters.parse(PIPELINE, text))


@pytest.mark.parametrize(
    ("given", "name", "allowed", "said", "proposed"),
    [
        ({"x": 0}, "x", Allowed(minimum=1), "x must be 1 or more, not 0", 1),
        ({"x": -1, "rate": 0.25}, "x", Allowed(1, 9), "x must be from 1 to 9, not -1", 1),
        ({"x": 10}, "x", Allowed(1, 9), "x must be from 1 to 9, not 10", 9),
        ({"x": 3}, "x", Allowed(choices=(1, 2, 4)), "x must be one of 1, 2, 4, not 3", 2),
        ({"x": 1, "mode": "slow"}, "mode", Allowed(choices=("fast",)), "mode must be", "fast"),
    ],
)
def test_a_value_outside_what_the_recipe_allows(
    given: dict[str, Any], name: str, allowed: Allowed, said: str, proposed: Any
) -> None:
    with pytest.raises(BadParameter) as caught:
        parameters.resolve(PIPELINE, given, allowed={name: allowed})
    assert caught.value.what.startswith(said)
    again = _typed_again(caught.value.fix)
    assert again == {**again, **given, name: proposed}


def test_a_default_is_held_to_what_the_recipe_allows_too() -> None:
    with pytest.raises(BadParameter, match="rate must be 1 or more"):
        parameters.resolve(PIPELINE, {"x": 1}, allowed={"rate": Allowed(minimum=1)})


SECRET = {"mode": Allowed(secret=True)}


@pytest.mark.parametrize("value", ["hunter2", "https://u:hunter2@host/x", "file://hunter2"])
def test_the_value_of_a_secret_is_refused_and_not_repeated(value: str) -> None:
    ways = (
        lambda: parameters.resolve(FREE, {"x": 1, "mode": value}, allowed=SECRET),
        lambda: parameters.typed(FREE, "mode", value, allowed=SECRET),
        lambda: parameters.check_secrets({"x": "?", "mode": value}, SECRET, called="p"),
    )
    for way in ways:
        with pytest.raises(BadParameter, match="mode is a secret") as caught:
            way()
        assert "hunter2" not in str(caught.value.as_dict())
        assert caught.value.fix.endswith("-p mode=env:MODE")


@pytest.mark.parametrize("value", ["env:TOKEN", "file:/run/secrets/token", ""])
def test_a_secret_is_given_as_a_reference(value: str) -> None:
    assert parameters.resolve(FREE, {"x": 1, "mode": value}, allowed=SECRET)["mode"] == value


@pytest.mark.parametrize(
    "words",
    [["hunter2"], ["mode", "hunter2"], ["mode=hunter2", "x"], ["mdoe=hunter2"], ["mode=hunter2"],
     ["mode=hunter2", "y=1"], ["mode=hunter2", "x=one"]],
)  # fmt: skip
def test_no_error_repeats_what_may_be_a_secret(words: list[str]) -> None:
    """The value of one that is declared, mistyped or right, and a word that is a value alone."""
    with pytest.raises(BadParameter) as caught:
        text = parameters.split(FREE, words, allowed=SECRET)
        parameters.check_secrets(text, SECRET, called="p")
        parameters.parse(FREE, text, allowed=SECRET)
    error = caught.value
    assert "hunter2" not in f"{error.as_dict()}{error.typed}{error.meant}"
    parameters.split(FREE, shlex.split(error.fix)[5::2])


def test_a_word_without_a_value() -> None:
    with pytest.raises(
        BadParameter, match="word 2 of -p is not NAME=VALUE; did you mean x=…"
    ) as caught:
        parameters.split(PIPELINE, ["rate=0.25", "x"])
    assert _typed_again(caught.value.fix)["rate"] == 0.25


@given(st.integers() | st.floats(allow_nan=False), st.integers(), st.integers(min_value=0))
def test_the_nearest_value_is_allowed_and_nearest(value: float, low: int, width: int) -> None:
    allowed = Allowed(low, low + width)
    nearest = allowed.nearest(value)
    assert low <= nearest <= low + width
    assert (nearest == value) == (low <= value <= low + width)


@given(st.integers() | st.floats(allow_nan=True) | st.booleans() | st.text() | st.none())
def test_an_integer_is_an_int_or_refused(value: Any) -> None:
    converted = parameters.convert(value, ParameterType.NUMBER_INTEGER)
    assert converted is UNSET or (type(converted) is int and converted == value)
