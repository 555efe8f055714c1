"""What ``release show`` says of an event."""

from __future__ import annotations

import pytest

from platform_ctl.releases.release import ReleaseEvent, in_short


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ({"reasons": ["skew of a", "skew of b"]}, "skew of a; skew of b"),
        ({"weight_percent": 10, "step": 1}, "10 % of the traffic, step 1"),
    ],
)
def test_details_are_words_and_no_lists_of_the_language(detail, shown):
    assert in_short(ReleaseEvent("2026-01-05T00:00:00", "failed", detail)) == shown
