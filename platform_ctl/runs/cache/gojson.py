"""JSON as Go's ``encoding/json`` writes it, byte for byte.

The KFP driver hashes a cache key after a round trip through
``map[string]interface{}``: keys sorted, no white space, ``& < >`` and
U+2028/9 escaped, every number a float64 in its shortest form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\N{LINE SEPARATOR}": "\\u2028",
        "\N{PARAGRAPH SEPARATOR}": "\\u2029",
    }
)


def encode(value: Any) -> bytes:
    """``value`` (None, bool, number, str, list, mapping with str keys) as Go's bytes.

    Differences in dict order never show. NaN and infinities, which Go refuses,
    are written as the strings protojson has for them. A lone surrogate, which
    Go cannot hold, keeps its own bytes so that two of them differ.
    """
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return encode_basestring(value).translate(_ESCAPES)
        case int() | float():
            return _number(value)
        case Mapping():
            pairs = (f"{_text(k)}:{_text(value[k])}" for k in sorted(value))
            return "{" + ",".join(pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_text, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: float) -> str:
    """Go's float64: ES6 layout, exponent form below 1e-6 and from 1e21 on."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isnan(number):
        return '"NaN"'
    if math.isinf(number):
        return '"Infinity"' if number > 0 else '"-Infinity"'
    digits = repr(number).removesuffix(".0")
    if "e" not in digits and abs(number) < 1e21:
        return digits
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        return format(Decimal(digits), "f")
    mantissa, _, exponent = digits.partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
