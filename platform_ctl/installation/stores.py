"""The shared stores that the settings name: where they are, and whether something listens there.

A library says with words of its own, and late, that a store is gone: Arrow
raises a bare OSError, SQLAlchemy an OperationalError, MLflow retries. So a
command that failed asks here, by a TCP connection, before it calls it a bug.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from platform_ctl.settings import Settings

CONNECT_TIMEOUT_S = 2.0
PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "postgresql": 5432}


@dataclass(frozen=True)
class Store:
    """One server of shared state; ``setting`` is what names it."""

    name: str
    setting: str
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.address} ({self.name}, {self.setting})"


def configured_stores(settings: Settings, env: Mapping[str, str]) -> list[Store]:
    """Servers that these settings and variables name; none for what lives in the home."""
    catalog = settings.iceberg_catalog
    named = [
        ("Iceberg catalog", "iceberg_catalog", catalog.get("uri", "")),
        ("object store of the warehouse", "iceberg_catalog", catalog.get("s3.endpoint", "")),
        ("object store", "AWS_ENDPOINT_URL", env.get("AWS_ENDPOINT_URL", "")),
        ("MLflow", "mlflow_tracking_uri", settings.mlflow_tracking_uri),
        ("Feast's registry", "feast.registry", settings.feast.registry),
        ("Feast's online store", "feast.online_store", settings.feast.online_store),
    ]
    stores = []
    for name, setting, url in named:
        parts = urlsplit(url)
        default = PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and (port := parts.port or default):
            stores.append(Store(name, setting, parts.hostname, port))
    return stores


def unreachable(stores: list[Store]) -> list[Store]:
    """Those where nothing accepts a connection now."""
    return [store for store in stores if not _accepts(store)]


def outage(settings: Settings, env: Mapping[str, str]) -> str:
    """One sentence on the stores of these settings that are away now; empty when all answer."""
    down = unreachable(configured_stores(settings, env))
    return f"nothing answers at {', '.join(map(str, down))}" if down else ""


def _accepts(store: Store) -> bool:
    try:
        socket.create_connection((store.host, store.port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
