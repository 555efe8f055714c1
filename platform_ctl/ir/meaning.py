"""Equality of compiled IR by what it means: its documents, without ``sdkVersion``.

YAML's comments and line breaks never reach the API server, and ``sdkVersion``
changes no run; a release of the SDK that changes nothing else is no new version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def documents(data: bytes) -> list[dict[str, Any]]:
    """The YAML documents of compiled IR, which ``ir.file.parse`` has checked before."""
    return [d for d in yaml.load_all(data, Loader=_LOADER) if isinstance(d, dict)]


def text(content: Sequence[Mapping[str, Any]]) -> bytes:
    """The documents as YAML, keys sorted: the same documents, the same bytes."""
    dumped = yaml.dump_all(content, Dumper=_DUMPER, sort_keys=True, allow_unicode=True, width=100)
    return dumped.encode()


def digest(content: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 in hex of what the documents mean: canonical JSON without ``sdkVersion``."""
    meant = [{k: v for k, v in document.items() if k != "sdkVersion"} for document in content]
    canonical = json.dumps(meant, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def sdk_version(content: Sequence[Mapping[str, Any]]) -> str:
    """The SDK's version as the IR says it, ``2.17.0``; "" where it says none."""
    return str(content[0].get("sdkVersion", "")).removeprefix("kfp-") if content else ""


def same(one: bytes, other: bytes) -> bool:
    """Whether two compiled files differ in nothing but ``sdkVersion`` and comments."""
    return digest(documents(one)) == digest(documents(other))
