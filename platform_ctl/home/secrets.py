"""Values behind references: ``env:NAME``, ``file:PATH``; anything else is the value itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platform_ctl.errors import ConfigError


def read_secret(reference: str, env: Mapping[str, str]) -> str:
    """Raises ConfigError naming the reference, never the value."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in env:
            raise ConfigError(
                f"a secret refers to {reference}, which is not set",
                where="settings",
                fix=f"export {name}=…",
            )
        return env[name]
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConfigError(
                f"a secret refers to {reference}, which cannot be read: {exc.strerror}",
                where="settings",
                fix=f"ls -l {name}",
            ) from exc
    return reference
