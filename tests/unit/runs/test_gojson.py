"""Go's encoding/json, byte for byte. Expected bytes are what Go 1.22 prints."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.runs.cache import gojson


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (True, b"true"),
        (5, b"5"),
        (5.0, b"5"),
        (-0.0, b"-0"),
        (0.1, b"0.1"),
        (1e-6, b"0.000001"),
        (1e-7, b"1e-7"),
        (-2.5e-7, b"-2.5e-7"),
        (1.234e-5, b"0.00001234"),
        (1e20, b"100000000000000000000"),
        (1.2345e18, b"1234500000000000000"),
        (1e21, b"1e+21"),
        (1.25e22, b"1.25e+22"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (2**53 + 1, b"9007199254740992"),
        (10**400, b'"Infinity"'),
        (math.nan, b'"NaN"'),
        (-math.inf, b'"-Infinity"'),
        ("a<b>&c", b'"a\\u003cb\\u003e\\u0026c"'),
        ("\u2028\u2029", b'"\\u2028\\u2029"'),
        ('"\\/', b'"\\"\\\\/"'),
        ("\n\r\t\b\f\x00\x1f\x7f", b'"\\n\\r\\t\\b\\f\\u0000\\u001f\x7f"'),
        ("é😀", '"é😀"'.encode()),
        ({"b": [1, {}], "a": []}, b'{"a":[],"b":[1,{}]}'),
    ],
)
def test_bytes_are_those_of_go(value, expected):
    assert gojson.encode(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_round_trip(number):
    assert float(gojson.encode(number)) == number


@given(st.text(), st.text())
def test_different_texts_have_different_bytes(a, b):
    assert (gojson.encode(a) == gojson.encode(b)) == (a == b)


def test_lone_surrogates_stay_apart():
    assert gojson.encode("\ud800") != gojson.encode("\ud801")


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="set has no JSON form"):
        gojson.encode({1})
