"""Whom an OIDC token names: only one that is signed, current and meant for us names anybody."""

from __future__ import annotations

import datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from platform_ctl.ui.identity import OidcTokens

ISSUER, AUDIENCE = "https://dex.example", "platform"
OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
THEIRS = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Keys:
    """The provider's keys, without a network."""

    def get_signing_key_from_jwt(self, token: str) -> Any:
        return type("Key", (), {"key": OURS.public_key()})


def token(key: Any = OURS, algorithm: str = "RS256", **changes: Any) -> str:
    now = datetime.datetime.now(datetime.UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "1234",
        "email": "ann@example.org",
        "email_verified": True,
        "groups": ["platform-approvers"],
        "iat": now,
        "exp": now + datetime.timedelta(minutes=5),
        **changes,
    }
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm)


@pytest.fixture
def identity() -> OidcTokens:
    return OidcTokens(issuer=ISSUER, audience=AUDIENCE, approvers="platform-approvers", keys=Keys())


@pytest.mark.parametrize("header", ["x-forwarded-access-token", "authorization"])
def test_a_good_token_names_a_person(identity: OidcTokens, header: str) -> None:
    value = token() if header != "authorization" else f"Bearer {token()}"
    person = identity.person({header: value})
    assert person is not None
    assert (person.name, person.may_decide) == ("ann@example.org", True)


def test_who_is_in_another_group_may_look_and_not_decide(identity: OidcTokens) -> None:
    person = identity.person({"authorization": f"Bearer {token(groups=['platform-viewers'])}"})
    assert person is not None and not person.may_decide


PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "bad",
    [
        token(THEIRS),
        token(iss="https://evil.example"),
        token(aud="another"),
        token(exp=PAST),
        token(exp=None),
        token(sub=None),
        token(email_verified=False),
        jwt.encode({"sub": "1"}, "", "none"),
        token("a secret of at least thirty-two bytes", "HS256"),
        "no.token.atall",
        "",
    ],
    ids=["key", "issuer", "audience", "expired", "no expiry", "no subject", "unverified email",
         "unsigned", "symmetric", "nonsense", "empty"],
)  # fmt: skip
def test_anything_less_names_nobody(identity: OidcTokens, bad: str) -> None:
    assert identity.person({"authorization": f"Bearer {bad}"}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-user": "ann@example.org"},
        {"x-forwarded-email": "ann@example.org", "x-forwarded-groups": "platform-approvers"},
        {"kubeflow-userid": "ann@example.org"},
        {"authorization": f"Basic {token()}"},
        {},
    ],
)
def test_a_bare_header_names_nobody(identity: OidcTokens, headers: dict[str, str]) -> None:
    assert identity.person(headers) is None
