"""Feast's configuration of an online store, from its URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from platform_ctl.errors import ConfigError

EXAMPLE = "redis://HOST:6379/0 or postgresql://USER@HOST:5432/DATABASE"


def online_store_config(url: str, env: Mapping[str, str]) -> dict[str, Any]:
    """``online_store`` of a RepoConfig; empty for no URL. Raises ConfigError for another store.

    Passwords are named, not read: Feast expands ``${NAME}`` of a configuration
    file from the environment when it opens the store, so that no file has one.
    ``env`` says which are set; without one libpq looks into its password file.
    """
    if not url:
        return {}
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss"):
        return _redis(parts, "REDIS_PASSWORD" in env)
    if parts.scheme.partition("+")[0] == "postgresql" and parts.hostname:
        return {
            "type": "postgres",
            "host": parts.hostname,
            "port": parts.port or 5432,
            "database": parts.path.lstrip("/"),
            "user": parts.username or "",
            "password": "${PGPASSWORD}" if "PGPASSWORD" in env else "",
            "sslmode": dict(parse_qsl(parts.query)).get("sslmode", "prefer"),
        }
    raise ConfigError(
        f"no online store of kind {parts.scheme or url!r}",
        where="feast.online_store",
        fix=f"export PLATFORM_CTL_FEAST__ONLINE_STORE='{EXAMPLE}'",
    )


def _redis(parts: SplitResult, has_password: bool) -> dict[str, Any]:
    words = [f"{parts.hostname}:{parts.port or 6379}", f"db={parts.path.strip('/') or '0'}"]
    words += ["ssl=true"] if parts.scheme == "rediss" else []
    words += ["password=${REDIS_PASSWORD}"] if has_password else []
    return {"type": "redis", "connection_string": ",".join(words)}
