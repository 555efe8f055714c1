"""Certificates of webhooks: accepted for the Service's name, by their own authority, for years."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster.api import FIELD_MANAGER
from platform_ctl.doctor.doctor import Health
from platform_ctl.installation.certificates import (
    AUTHORITY,
    CERTIFICATE,
    KEY,
    VALID_DAYS,
    days_left,
    made,
    with_authority,
)
from platform_ctl.installation.check import check_certificates
from platform_ctl.installation.components import InstallComponent, WebhookCertificate
from tests.support.served_objects import ServedObjects

NOW = datetime.datetime.now(datetime.UTC)
WANTED = WebhookCertificate("kserve", "server-cert", "webhooks")
HOST = "webhooks.kserve.svc"
COMPONENT = InstallComponent("kserve", "", "1", "", "kserve", certificates=[WANTED])


@pytest.fixture(scope="module")
def data() -> dict[str, str]:
    return made(WANTED, NOW)


def handshake(folder: Path, data: dict[str, str], authority: str, host: str) -> None:
    """A TLS handshake in memory, as the API server and the webhook have it."""
    for name, content in data.items():
        (folder / name).write_bytes(base64.b64decode(content))
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    client_context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)


def test_the_api_server_accepts_it_under_the_name_of_the_service(
    tmp_path: Path, data: dict[str, str]
) -> None:
    handshake(tmp_path, data, data[AUTHORITY], HOST)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, data, data[AUTHORITY], "other.kserve.svc")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, data, made(WANTED, NOW)[AUTHORITY], HOST)


def test_how_long_it_serves(data: dict[str, str]) -> None:
    assert round(days_left(data, WANTED, NOW)) == VALID_DAYS
    assert days_left(data, WebhookCertificate("other", "s", "webhooks"), NOW) < 0
    assert days_left(data | {CERTIFICATE: "bm90aGluZw=="}, WANTED, NOW) < 0
    assert days_left({CERTIFICATE: data[CERTIFICATE]}, WANTED, NOW) < 0


def test_only_webhooks_of_the_service_get_the_authority() -> None:
    def hook(service: str) -> dict[str, Any]:
        return {"clientConfig": {"service": {"namespace": "kserve", "name": service}}}

    url = {"clientConfig": {"url": "https://example.org"}}
    before = [{"kind": "X", "webhooks": [hook("webhooks"), hook("other"), url]}, {"kind": "Y"}]
    changed, other = with_authority(before, WANTED, "Y2E=")
    assert [h["clientConfig"].get("caBundle") for h in changed["webhooks"]] == ["Y2E=", None, None]
    assert other == {"kind": "Y"}
    assert "caBundle" not in str(before)


@pytest.mark.parametrize(
    ("age_days", "manager", "health"),
    [
        (0, FIELD_MANAGER, None),
        (VALID_DAYS - 10, FIELD_MANAGER, Health.WARN),
        (VALID_DAYS + 10, FIELD_MANAGER, Health.FAIL),
        (VALID_DAYS + 10, "cert-manager", None),
    ],
)
def test_a_check_says_when_it_ends(age_days: int, manager: str, health: Health | None) -> None:
    secret = {
        "metadata": {"managedFields": [{"manager": manager}]},
        "data": made(WANTED, NOW - datetime.timedelta(days=age_days)),
    }
    cluster = ServedObjects({"/api/v1/namespaces/kserve/secrets/server-cert": secret})
    found = check_certificates(cluster, COMPONENT)
    assert [c.health for c in found] == ([health] if health else [])
    assert all(c.fix == "platform-ctl target install kserve" for c in found)
