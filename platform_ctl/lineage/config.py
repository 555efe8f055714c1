"""Reads whether OpenLineage has an endpoint. Runs at the end of every run, so it is cheap."""

from __future__ import annotations

from collections.abc import Mapping

_CONFIGURED = ("OPENLINEAGE_CONFIG", "OPENLINEAGE_URL")
_NESTED = "OPENLINEAGE__TRANSPORT"


def configured(config_file: str, env: Mapping[str, str]) -> bool:
    """Whether events go anywhere but into the home."""
    if env.get("OPENLINEAGE_DISABLED", "").lower() in ("true", "1"):
        return False
    return bool(
        config_file
        or any(env.get(name) for name in _CONFIGURED)
        or any(name.startswith(_NESTED) for name in env)
    )
