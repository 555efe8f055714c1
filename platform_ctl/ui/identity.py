"""Identifies the reader of a page: the holder of this process's token, or an OIDC token's name.

A header alone names nobody. On a cluster a proxy passes the person's ID token
on (oauth2-proxy: ``X-Forwarded-Access-Token`` or ``Authorization: Bearer``); it
counts when its signature, issuer, audience and expiry hold (OpenID Connect
Core 1.0, section 3.1.3.7).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol

COOKIE = "platform"
ALGORITHMS = ("RS256", "ES256")
TOKEN_HEADERS = ("x-forwarded-access-token", "authorization")
LEEWAY_S = 30


@dataclass(frozen=True)
class Person:
    name: str
    groups: frozenset[str] = frozenset()
    may_decide: bool = False


class Identity(Protocol):
    """Decides who asks."""

    how: str
    """What somebody who is refused should do."""

    def person(self, headers: Mapping[str, str]) -> Person | None:
        """Who sent a request with these headers (lower-case names); None for nobody."""


@dataclass
class LocalToken:
    """One person at this machine: whoever has the address with its token."""

    user: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    how: str = "Open the address that platform-ctl printed."

    def person(self, headers: Mapping[str, str]) -> Person | None:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        if cookie is None or not self.holds(cookie.value):
            return None
        return Person(self.user, may_decide=True)

    def holds(self, offered: str) -> bool:
        return hmac.compare_digest(offered.encode(), self.token.encode())


class OidcTokens:
    """People as an OpenID provider names them.

    ``keys`` is a ``jwt.PyJWKClient`` over the provider's keys; ``approvers`` the
    group whose members may decide.
    """

    how = "Sign in through the platform's address."

    def __init__(self, *, issuer: str, audience: str, approvers: str, keys: Any) -> None:
        self._issuer, self._audience, self._approvers = issuer, audience, approvers
        self._keys = keys

    def person(self, headers: Mapping[str, str]) -> Person | None:
        for header in TOKEN_HEADERS:
            scheme, _, rest = headers.get(header, "").rpartition(" ")
            if rest and scheme.lower() in ("", "bearer"):
                return self._verified(rest)
        return None

    def _verified(self, token: str) -> Person | None:
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token).key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        if claims.get("email_verified") is False:
            return None
        groups = claims.get("groups")
        of = frozenset(g for g in groups if isinstance(g, str)) if isinstance(groups, list) else ()
        name = claims.get("email") or claims["sub"]
        return Person(str(name), frozenset(of), self._approvers in of)


def provider(*, issuer: str, audience: str, approvers: str) -> OidcTokens:
    """Tokens of a provider whose keys are found by its discovery document.

    The document is read with the first token. Raises nothing here.
    """
    return OidcTokens(
        issuer=issuer, audience=audience, approvers=approvers, keys=_DiscoveredKeys(issuer)
    )


class _DiscoveredKeys:
    """Keys at the ``jwks_uri`` of the issuer (OpenID Connect Discovery 1.0)."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._client: Any = None

    def get_signing_key_from_jwt(self, token: str) -> Any:
        import json
        import urllib.request

        import jwt

        if self._client is None:
            address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    keys_url = json.load(answer)["jwks_uri"]
            except (OSError, ValueError, KeyError) as exc:
                raise jwt.PyJWKClientError(f"{address} does not answer: {exc}") from exc
            self._client = jwt.PyJWKClient(keys_url, cache_keys=True, timeout=5)
        return self._client.get_signing_key_from_jwt(token)
