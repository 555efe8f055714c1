"""Text for people: times and durations in one format, no credentials, no control characters."""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import UTC, datetime

_NAMES = (
    r"password|passwd|passphrase|pwd|secret(?:[_-][\w-]+)?|token|authorization|credentials?"
    r"|(?:api|access|account|private)[_-]?key"
)
_SECRET = (
    r"(?P<uri>://)[^\s/@]+@"
    rf"|(?P<name>\b[\w-]*(?:{_NAMES})\b[\"']?\s*[=:]\s*)(?P<quote>[\"']?)"
    r"(?P<scheme>(?:bearer|basic|digest|token|negotiate)\s+)?"
    r"(?:(?<=\")[^\"]*|(?<=')[^']*|[^\s\"',;&]+)"
)


def moment(value: str | datetime | None) -> str:
    """``2026-11-27 17:03:39Z``: a time in UTC, from ISO text or a datetime. None and "" are ``-``.

    A datetime without a zone is UTC.
    """
    if not value:
        return "-"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (at.astimezone(UTC) if at.tzinfo else at).strftime("%Y-%m-%d %H:%M:%SZ")


def minute(value: str | datetime | None) -> str:
    """``2026-11-27 17:03``: ``moment`` to the minute, for columns whose heading says UTC."""
    return moment(value)[:16]


def duration(seconds: float) -> str:
    """``0.02 s``, ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def redacted(text: str) -> str:
    """Words without credentials in URIs, and without values of what is called a secret."""
    return _secret().sub(_hidden, text)


def without_user(uri: str) -> str:
    """A URI without user and password, so that it names the same place for everybody."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


@functools.cache
def _secret() -> re.Pattern[str]:
    """Compiled when something went wrong: that takes 5 ms, and most runs go well."""
    return re.compile(_SECRET, re.IGNORECASE)


def _hidden(match: re.Match[str]) -> str:
    if match["uri"]:
        return f"{match['uri']}***@"
    return f"{match['name']}{match['quote']}{match['scheme'] or ''}***"


def visible(text: str) -> str:
    """Text of a person or a repository on one line, its control characters written out.

    Line ends, escape sequences and characters that reorder or hide what is beside them could
    otherwise forge a line, a colour or an answer on a terminal, in a log or on a page. Control
    (Cc), format (Cf), surrogate (Cs) and separator (Zl, Zp) characters of Unicode become escapes
    as Python writes them; the joiners inside words and emoji stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else _escape(c) for c in text)


def visible_lines(text: str) -> str:
    """``visible`` for each line of a text that may have several."""
    return "\n".join(map(visible, text.split("\n")))


_JOINERS = "\u200c\u200d"


def _escape(character: str) -> str:
    if unicodedata.category(character) in ("Zs", "Co", "Cn"):
        return character
    return character.encode("unicode_escape").decode("ascii")


_REFERENCE = re.compile(r"env:\w+|file:(?!//).+")


def is_reference(value: str) -> bool:
    """Whether a value says where a secret is, instead of what it is."""
    return bool(_REFERENCE.fullmatch(value))
