"""Text of people on one line, with nothing in it that a terminal obeys."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.text import visible, visible_lines

OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("looks right", "looks right"),
        ("größer, 予測, 👩\u200d🔬", "größer, 予測, 👩\u200d🔬"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("yes\u202eon", "yes\\u202eon"),
        ("a\u2028b\u200b\ufeff", "a\\u2028b\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("hard\u00a0space", "hard\u00a0space"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_nothing_that_is_obeyed_is_left(text):
    shown = visible(text)
    left = [c for c in shown if unicodedata.category(c) in OBEYED]
    assert set(left) <= {"\u200c", "\u200d"}
    assert visible(shown) == shown
    shown.encode()  # no lone surrogate


def test_lines_stay_lines_where_several_are_meant():
    assert visible_lines("a\nb\x1b") == "a\nb\\x1b"
