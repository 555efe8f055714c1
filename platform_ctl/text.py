"""What a log, an event or a name may not hold: credentials."""

from __future__ import annotations

import functools
import re

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


def _hidden(found: re.Match[str]) -> str:
    if found["uri"]:
        return f"{found['uri']}***@"
    return f"{found['name']}{found['quote']}{found['scheme'] or ''}***"
