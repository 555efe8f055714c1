"""Kubeconfigs and pods' accounts that need no library, and those that are left to it."""

from __future__ import annotations

import base64
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from platform_ctl.cluster.access import LibraryClient, PlainClient, plain_client
from platform_ctl.cluster.api import connect
from platform_ctl.errors import ConfigError

SERVER = "https://api.example.org:6443"


def pair() -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def written(folder: Path, user: dict[str, Any], **cluster: Any) -> str:
    document = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "there", "context": {"cluster": "d", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": f"{SERVER}/", **cluster}},
            {"name": "d", "cluster": {"server": "http://127.0.0.1:8080"}},
        ],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def headers(client: PlainClient) -> dict[str, str]:
    found: dict[str, str] = {}
    client.authorize(found)
    return found


def test_a_token_and_a_context(tmp_path: Path) -> None:
    path = written(tmp_path, {"token": "t"})
    here, there = (plain_client(path, context, {}) for context in ("", "there"))
    assert here and there
    assert (here.host, there.host) == (SERVER, "http://127.0.0.1:8080")
    assert headers(here) == {"Authorization": "Bearer t"}
    assert here.context and here.context.verify_mode is ssl.CERT_REQUIRED
    assert "t" not in repr(here).split("token")[1][:1]


def test_certificates_in_the_file_and_beside_it(tmp_path: Path) -> None:
    certificate, key = pair()
    (tmp_path / "ca.crt").write_bytes(certificate)
    inline = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    client = plain_client(written(tmp_path, inline, **{"certificate-authority": "ca.crt"}), "", {})
    assert client and client.context and client.context.cert_store_stats()["x509"] == 1
    assert headers(client) == {}
    (tmp_path / "u.crt").write_bytes(certificate)
    (tmp_path / "u.key").write_bytes(key)
    beside = {"client-certificate": "u.crt", "client-key": "u.key"}
    assert plain_client(written(tmp_path, beside), "", {})


def test_nothing_is_verified_only_where_the_file_says_so(tmp_path: Path) -> None:
    client = plain_client(written(tmp_path, {}, **{"insecure-skip-tls-verify": True}), "", {})
    assert client and client.context and client.context.verify_mode is ssl.CERT_NONE


def test_a_pod_reads_its_token_again(tmp_path: Path) -> None:
    certificate, _ = pair()
    (tmp_path / "ca.crt").write_bytes(certificate)
    (tmp_path / "token").write_text("first\n")
    pod = {
        "KUBECONFIG": str(tmp_path / "none"),
        "KUBERNETES_SERVICE_HOST": "fd00::1",
        "KUBERNETES_SERVICE_PORT": "443",
    }
    client = plain_client("", "", pod, account=tmp_path)
    assert client and client.host == "https://[fd00::1]:443"
    (tmp_path / "token").write_text("second")
    assert headers(client) == {"Authorization": "Bearer first"}
    client._read_at = float("-inf")
    assert headers(client) == {"Authorization": "Bearer second"}
    assert plain_client("", "", {**pod, "KUBERNETES_SERVICE_HOST": ""}, account=tmp_path) is None
    several = {**pod, "KUBECONFIG": f"{tmp_path / 'none'}{os.pathsep}{tmp_path / 'other'}"}
    assert plain_client("", "", several, account=tmp_path) is None


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"exec": {"command": "get-token"}}, {}),
        ({"auth-provider": {"name": "oidc"}}, {}),
        ({"username": "me", "password": "pass"}, {}),
        ({"as": "somebody"}, {}),
        ({}, {"proxy-url": "http://proxy:3128"}),
        ({}, {"tls-server-name": "other"}),
        ({}, {"certificate-authority": "is-not-there"}),
        ({"client-certificate-data": "no base64!", "client-key-data": "no base64!"}, {}),
    ],
)
def test_other_cases_are_left_to_the_library(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    assert plain_client(written(tmp_path, user, **cluster), "", {}) is None


def test_a_proxy_and_a_damaged_file_are_left_to_the_library(tmp_path: Path) -> None:
    path = written(tmp_path, {"token": "t"})
    assert plain_client(path, "", {"HTTPS_PROXY": "http://proxy:3128"}) is None
    assert plain_client(path, "nowhere", {}) is None
    Path(path).write_text("clusters: [")
    assert plain_client(path, "", {}) is None
    with pytest.raises(ConfigError):
        connect(kubeconfig=path, namespace="n")


def test_the_library_still_serves_what_only_it_knows(tmp_path: Path) -> None:
    path = written(tmp_path, {"username": "me", "password": "pass"})
    cluster = connect(kubeconfig=path, namespace="n")
    assert isinstance(cluster.client, LibraryClient) and cluster.server == SERVER
