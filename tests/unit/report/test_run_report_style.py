"""The pages' colours: every text reaches WCAG's AA contrast, in light, dark and print."""

from __future__ import annotations

import re

import pytest

from platform_ctl.report import html

SCHEMES = ("light", "dark", "print")
TEXT = ("text", "muted", "link", "good", "bad", "wait", "idle", "info")
GROUNDS = ("page", "card", "sunken")
MARKS = ("model", "champion", "baseline")


def colours() -> dict[str, dict[str, str]]:
    """Scheme -> name -> ``#rrggbb``, as the style sheet has them."""
    blocks = re.findall(r":root \{(.*?)\}", str(html.style("tokens.css")), re.S)
    found = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in blocks]
    return dict(zip(SCHEMES, found, strict=True))


def contrast(a: str, b: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        lit = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * lit[0] + 0.7152 * lit[1] + 0.0722 * lit[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_readable_on_every_ground(scheme):
    known = colours()[scheme]
    pairs = [(t, g) for t in TEXT for g in GROUNDS]
    pairs += [(s, f"{s}-soft") for s in ("good", "bad", "wait", "idle", "info")]
    pairs += [("text", f"{s}-soft") for s in ("good", "bad", "wait", "info")]
    pairs += [("muted", f"{s}-soft") for s in ("good", "bad", "wait", "idle", "info")]
    pairs += [("card", "good")]  # the button that says yes
    low = {p: contrast(known[p[0]], known[p[1]]) for p in pairs}
    assert {p: round(c, 2) for p, c in low.items() if c < 4.5} == {}
    assert all(contrast(known[m], known["card"]) >= 3 for m in MARKS)


def test_every_scheme_names_every_colour():
    named = [set(c) for c in colours().values()]
    assert named[0] == named[1] == named[2]


def test_every_state_has_a_look_of_its_own_beside_its_colour():
    states = ("SUCCEEDED", "CACHED", "FAILED", "SKIPPED", "CANCELED", "RUNNING", "PENDING")
    assert len({(html.look(s).icon, html.look(s).words) for s in states}) == len(states)
    assert html.look("something new").words == "something new"


def test_the_policy_allows_one_style_sheet_and_nothing_else():
    policy = html.policy("body{}")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert policy != html.policy("body{ }")
