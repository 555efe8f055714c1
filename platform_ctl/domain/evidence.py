"""The evidence pack of a model version: one tar with a list of digests, checkable offline.

The tar is deterministic: the same contents give the same bytes. Its own digest
lies beside it in the format of ``sha256sum``.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping

MANIFEST = "manifest.json"
SCHEMA = 1


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of ``files`` and their manifest."""
    digests = {name: _sha256(content) for name, content in sorted(files.items())}
    manifest = json.dumps({"schema": SCHEMA, "files": digests}, indent=1).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in [(MANIFEST, manifest), *sorted(files.items())]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def checksum_line(content: bytes, name: str) -> str:
    return f"{_sha256(content)}  {name}\n"


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of a pack, its manifest included. Raises ValueError for what is no tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    except (tarfile.TarError, UnicodeDecodeError) as exc:
        raise ValueError(f"not a readable tar: {exc}") from exc


def check(content: bytes, checksum: str) -> list[str]:
    """Sentences that name whatever is not as it was packed; empty when everything is."""
    expected = checksum.split(" ", maxsplit=1)[0].strip()
    whole = expected == _sha256(content)
    try:
        files = unpack(content)
        listed = json.loads(files.pop(MANIFEST))["files"]
    except (ValueError, KeyError, TypeError) as exc:
        return [f"the archive or its {MANIFEST} is damaged: {exc}"]
    found = [
        f"{name} was altered" if name in files else f"{name} is missing"
        for name, digest in listed.items()
        if name not in files or _sha256(files[name]) != digest
    ]
    found += [f"{name} was added" for name in files if name not in listed]
    if not whole and not found:
        found.append(f"{MANIFEST}, a header or the padding of the archive was altered")
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
