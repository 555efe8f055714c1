"""How an API server is reached: its address, whom to trust, and who calls.

The ``kubernetes`` package knows every kind of kubeconfig; importing it takes longer than most
commands take for everything else, since it has a class for each object of the API. So the plain
cases are read here: certificates and tokens of a kubeconfig, and the account of a pod. Whatever
else there is (exec plug-ins, proxies, several files) is left to the package.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the token and the authority of a pod's account."""
DEFAULT = Path("~/.kube/config")
CONNECTIONS = 8
TOKEN_S = 60.0
"""How long a token of a file is used: Kubernetes writes a new one well before the old one ends."""
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_CLUSTER_KEYS = frozenset(
    {"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"}
)
_USER_KEYS = frozenset(
    {
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "token",
        "tokenFile",
    }
)


class Client(Protocol):
    """What ``Cluster`` needs of one."""

    @property
    def host(self) -> str:
        """``https://HOST:PORT``, without a slash at the end."""
        ...

    @property
    def pool(self) -> Any:
        """A ``urllib3.PoolManager``."""
        ...

    def authorize(self, headers: dict[str, str]) -> None:
        """Add who calls."""
        ...


@dataclass
class PlainClient:
    """A client of ours. ``token_file`` goes before ``token``, and is read again and again."""

    host: str
    context: ssl.SSLContext | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    _read_at: float = field(default=float("-inf"), repr=False)

    @cached_property
    def pool(self) -> Any:
        import urllib3

        return urllib3.PoolManager(maxsize=CONNECTIONS, ssl_context=self.context)

    def authorize(self, headers: dict[str, str]) -> None:
        """Raises OSError where the file of the token is gone."""
        if self.token_file and time.monotonic() - self._read_at > TOKEN_S:
            self.token = self.token_file.read_text(encoding="utf-8").strip()
            self._read_at = time.monotonic()
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"


@dataclass(frozen=True)
class LibraryClient:
    """A ``kubernetes.client.ApiClient``, which refreshes what has to be refreshed."""

    api: Any

    @property
    def host(self) -> str:
        return str(self.api.configuration.host).rstrip("/")

    @property
    def pool(self) -> Any:
        return self.api.rest_client.pool_manager

    def authorize(self, headers: dict[str, str]) -> None:
        self.api.update_params_for_auth(headers, [], ["BearerToken"])


def plain_client(
    kubeconfig: str, context: str, environment: Mapping[str, str], *, account: Path = ACCOUNT
) -> PlainClient | None:
    """The client of a plain case; None for any other, and for whatever is wrong with one."""
    if any(environment.get(name) for name in _PROXIES) or find_spec("urllib3") is None:
        return None
    named = kubeconfig or environment.get("KUBECONFIG", "")
    if os.pathsep in named:
        return None
    path = Path(named).expanduser() if named else DEFAULT.expanduser()
    try:
        if path.is_file():
            return _of_file(path, context)
        if not kubeconfig and not context and environment.get("KUBERNETES_SERVICE_HOST"):
            return _of_pod(environment, account)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None
    return None


def _of_pod(environment: Mapping[str, str], account: Path) -> PlainClient:
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
    client = PlainClient(f"https://{address}:{port}", trusted, token_file=account / "token")
    client.authorize({})
    return client


def _of_file(path: Path, context: str) -> PlainClient | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(path.read_bytes(), Loader=loader)
    wanted = _named(document["contexts"], context or document["current-context"])["context"]
    cluster = _named(document["clusters"], wanted["cluster"])["cluster"]
    user = (_named(document["users"], wanted["user"]).get("user")) or {}
    if not (cluster.keys() <= _CLUSTER_KEYS and user.keys() <= _USER_KEYS):
        return None
    host = str(cluster["server"]).rstrip("/")
    trusted = _trusted(cluster, user, path.parent) if host.startswith("https://") else None
    token_file = path.parent / user["tokenFile"] if user.get("tokenFile") else None
    return PlainClient(host, trusted, user.get("token") or "", token_file)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (only,) = [entry for entry in entries if entry["name"] == name]
    return only


def _trusted(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = _content(user, "client-certificate", folder)
    key = _content(user, "client-key", folder)
    if certificate and key:
        # OpenSSL reads them from files only; the folder is this user's, and gone at once.
        with tempfile.TemporaryDirectory(prefix="kubeconfig-") as own:
            pair = Path(own) / "pair.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(pair)
    return context


def _content(entry: Mapping[str, Any], key: str, folder: Path) -> bytes:
    """Of ``KEY-data`` in base64, else of the file that ``KEY`` names; empty where neither is."""
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as exc:
            raise ValueError(f"{key}-data is not base64") from exc
    return (folder / entry[key]).read_bytes() if entry.get(key) else b""
