"""The evidence pack of a model version: one tar with a list of digests, checkable offline.

The tar is deterministic: the same contents give the same bytes, so that packing
what was read again shows every header and every byte of padding that differs.
Its own digest lies beside it in the format of ``sha256sum``.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
SCHEMA = 2
"""From 2 on the manifest holds a digest of itself."""
MEMBERS = {
    "pipeline.yaml": "the compiled pipeline",
    "run.json": "the run and its parameters",
    "constraints.txt": "the environment lock",
    "version.json": "the version and its data snapshot",
    "search.json": "the search history",
    "evaluation/evaluation.json": "the evaluation with slices",
    "gate.json": "the gate's verdict and figures",
    "approval.json": "the approval",
    "canary.json": "the canary's log",
    "lineage.json": "the lineage",
}
"""What a pack of a version in production holds beside the model, and what it is."""
_SINCE = {"lineage.json": 2}
"""Schema from which on packs hold a member; the others were there from the first."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of ``files`` and their manifest."""
    listed = {"schema": SCHEMA, "files": {n: _sha256(c) for n, c in sorted(files.items())}}
    manifest = json.dumps({**listed, "digest": _own_digest(listed)}, indent=1).encode()
    return _tar([(MANIFEST, manifest), *sorted(files.items())])


def checksum_line(content: bytes, name: str) -> str:
    return f"{_sha256(content)}  {name}\n"


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of a pack, its manifest included. Raises ValueError for what ``pack`` never makes:
    no tar, or members that are no files, are there twice, or lead out of the archive."""
    files, problems = _read(content)
    if problems:
        raise ValueError("; ".join(problems))
    return files


def check(content: bytes, checksum: str) -> list[str]:
    """Sentences that name whatever is not as it was packed; empty when everything is."""
    files, problems = _read(content)
    manifest = files.pop(MANIFEST, None)
    if manifest is None:
        return [*problems, f"{MANIFEST} is missing"]
    listed = _listed(manifest)
    if listed is None:
        return [*problems, f"{MANIFEST} was altered"]
    broken = {n for n in listed if n in files and _sha256(files[n]) != listed[n]}
    problems += [f"{name} was altered" for name in sorted(broken)]
    problems += [f"{name} is missing" for name in listed if name not in files]
    problems += [f"{name} was added" for name in files if name not in listed]
    if not problems and _tar([(MANIFEST, manifest), *sorted(files.items())]) != content:
        problems.append("a header or the padding of the archive was altered")
    if not problems and checksum.split(" ", maxsplit=1)[0].strip() != _sha256(content):
        problems.append("the archive is not the one that its .sha256 file is about")
    return problems


def absent(files: Mapping[str, bytes]) -> list[str]:
    """What of MEMBERS is not there, in words."""
    return [f"{what} ({name})" for name, what in MEMBERS.items() if name not in files]


def lacking(files: Mapping[str, bytes]) -> list[str]:
    """What of MEMBERS is not there and was, when packs of this schema were written, in words."""
    schema = json.loads(files[MANIFEST])["schema"]
    old = {name for name, since in _SINCE.items() if since > schema}
    return absent({**dict.fromkeys(old, b""), **files})


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _read(content: bytes) -> tuple[dict[str, bytes], list[str]]:
    """What can be read of an archive, and what is wrong with it. Nothing is written anywhere."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                problems += _strange(member, files)
                if member.isreg() and (opened := tar.extractfile(member)):
                    files.setdefault(member.name, opened.read())
    except (tarfile.TarError, ValueError, EOFError) as exc:
        last = f" after {list(files)[-1]}" if files else ""
        problems.append(f"the archive is cut short or damaged{last}: {exc}")
    return files, problems


def _strange(member: tarfile.TarInfo, known: Mapping[str, bytes]) -> Iterator[str]:
    path = PurePosixPath(member.name)
    if not member.isreg():
        yield f"{member.name} was added, and is no file"
    elif path.is_absolute() or ".." in path.parts or "\\" in member.name:
        yield f"{member.name} was added, and leads out of the archive"
    elif member.name in known:
        yield f"{member.name} is there twice"


def _listed(manifest: bytes) -> dict[str, str] | None:
    """Name -> digest; None when the manifest is not as it was written."""
    try:
        document = json.loads(manifest)
        schema, files = document["schema"], dict(document["files"])
    except (ValueError, KeyError, TypeError):
        return None
    digest = document.get("digest")
    if digest is None and schema == 1:
        return files
    return files if digest == _own_digest({"schema": schema, "files": files}) else None


def _own_digest(listed: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(listed, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
