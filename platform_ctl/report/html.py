"""The environment of our HTML pages: escaping is on, and the policy allows one style sheet."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from platform_ctl.report.plots import metric, money, number
from platform_ctl.text import moment, visible_lines

_MOST_CHARACTERS = 400
"""Of a parameter's value; the records hold the whole."""


@dataclass(frozen=True)
class StateStyle:
    """How a state or verdict is shown: never by colour alone."""

    tone: str
    icon: str
    words: str


_LOOKS = {
    "SUCCEEDED": StateStyle("good", "ok", "succeeded"),
    "CACHED": StateStyle("info", "cached", "cached"),
    "FAILED": StateStyle("bad", "failed", "failed"),
    "SKIPPED": StateStyle("idle", "skipped", "skipped"),
    "CANCELED": StateStyle("waiting", "canceled", "cancelled"),
    "RUNNING": StateStyle("waiting", "running", "running"),
    "PENDING": StateStyle("idle", "waiting", "pending"),
    "NOT_REACHED": StateStyle("idle", "none", "not reached"),
    "successful": StateStyle("good", "ok", "successful"),
    "failed": StateStyle("bad", "failed", "failed"),
    "inconclusive": StateStyle("waiting", "question", "inconclusive"),
    "ok": StateStyle("good", "ok", "ok"),
    "waiting": StateStyle("waiting", "waiting", "waiting"),
    "broken": StateStyle("bad", "failed", "broken"),
    "not reached": StateStyle("idle", "none", "not reached"),
    "pending": StateStyle("waiting", "waiting", "pending"),
    "approved": StateStyle("good", "ok", "approved"),
    "rejected": StateStyle("bad", "failed", "rejected"),
    "expired": StateStyle("idle", "waiting", "expired"),
    "void": StateStyle("bad", "canceled", "void"),
    "running": StateStyle("waiting", "running", "running"),
    "serving": StateStyle("good", "ok", "running"),
    "degraded": StateStyle("bad", "failed", "degraded"),
    "stopped": StateStyle("idle", "none", "stopped"),
    "held": StateStyle("waiting", "question", "held"),
    "promoted": StateStyle("good", "ok", "promoted"),
    "rolled back": StateStyle("bad", "canceled", "rolled back"),
}


def look(state: object) -> StateStyle:
    """The look of a state; an unknown one is shown as it is."""
    return _LOOKS.get(str(state), StateStyle("idle", "none", str(state)))


@functools.cache
def environment() -> jinja2.Environment:
    """Templates of this package and of the pages beside it; what they are given is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("platform_ctl.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for shown in (look, when, figure, metric, money, plain, sentence):
        templates.filters[shown.__name__] = shown
    return templates


def _readable(value: object) -> object:
    """Text of people with its control characters written out; markup of ours as it is."""
    return (
        visible_lines(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
    )


def style(*names: str) -> Markup:
    """Our own style sheets, one after the other, for a ``style`` element."""
    folder = resources.files(__package__)
    return Markup("\n".join(folder.joinpath(n).read_text(encoding="utf-8") for n in names))


def policy(sheet: str, *more: str) -> str:
    """A Content-Security-Policy: no script, nothing from elsewhere, this style sheet only."""
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    rules = ("default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", *more)
    return "; ".join(rules)


def when(at: str) -> str:
    """``2026-11-21 13:31:16Z`` of an ISO time; as ``platform_ctl.text.moment``."""
    return moment(at)


def figure(value: float | None) -> str:
    """A number for people; nothing for zero."""
    return number(value) if value else "–"


def plain(value: Any) -> str:
    """A parameter's value as it would be typed."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = len(text) > _MOST_CHARACTERS
    return text[:_MOST_CHARACTERS] + "…" if cut else text or "(empty)"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
