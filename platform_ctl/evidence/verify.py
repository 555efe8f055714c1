"""Verifies an evidence pack offline: its bytes, its own digests, and the registry's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.errors import EvidenceMismatch, UsageError
from platform_ctl.evidence import pack as evidence
from platform_ctl.evidence.lineage import GATE_FILE, LINEAGE_FILE
from platform_ctl.evidence.lineage import problems as lineage_problems
from platform_ctl.evidence.write import (
    APPROVAL_FILE,
    EVALUATION,
    PARTS,
    VERSION_FILE,
    pack_file,
    read_checksum,
    registered_problems,
)
from platform_ctl.models.model import (
    DIGEST_TAG,
    EVALUATION_TAG,
    WEIGHTS_DIR,
    ModelVersion,
    content_digest,
)
from platform_ctl.models.port import Registry
from platform_ctl.models.stored import stored_digest

_MODEL = PARTS["model"]


@dataclass
class Verification:
    """Sentences each: what was checked, what is wrong, what the pack does not hold."""

    model: str
    checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def verify_version(registry: Registry, version: ModelVersion, folder: Path) -> Verification:
    """The registered files of a version, its pack, and the one against the other.

    A version that is in production has a pack, and one that a run made has
    everything in it.
    """
    verification = verify_pack(version, folder)
    verification.checked.insert(0, f"the registered files of {version}, by their digests")
    verification.problems = [*registered_problems(registry, version), *verification.problems]
    return verification


def verify_pack(version: ModelVersion, folder: Path) -> Verification:
    """The pack of a version alone, in itself and against what was registered; no file of the
    registry is read."""
    verification = Verification(str(version))
    target = pack_file(folder, version)
    if not target.is_file():
        if version.stage == "Production":
            verification.problems.append(f"there is no evidence pack at {target}")
        return verification
    files = _check_file(target, verification)
    if files is None:
        return verification
    verification.checked.append(f"the {len(files)} files of the pack, against the registry")
    verification.problems += _against_registry(files, version)
    if version.stage == "Production" and version.tags.get("run_id"):
        verification.problems += [f"{target.name} lacks {what}" for what in evidence.lacking(files)]
    return verification


def verify_file(path: Path) -> Verification:
    """A pack alone: needs no home, no registry and no network. Raises UsageError."""
    verification = Verification(path.name)
    if not path.is_file():
        raise UsageError(
            f"there is no evidence pack {path}", where=str(path), fix="platform-ctl model list"
        )
    _check_file(path, verification)
    return verification


def _check_file(path: Path, verification: Verification) -> dict[str, bytes] | None:
    """Check a pack byte for byte, then what it says of itself; its files when they can be used."""
    content = path.read_bytes()
    verification.checked.append(f"the evidence pack {path.name}, file by file")
    wrong = evidence.check(content, read_checksum(path))
    if wrong:
        verification.problems += [f"{path.name}: {sentence}" for sentence in wrong]
        return None
    files = evidence.unpack(content)
    verification.absent = evidence.absent(files)
    verification.checked.append(
        "model, evaluation, approval and lineage in the pack, by its digests"
    )
    try:
        verification.problems += [f"{path.name}: {sentence}" for sentence in _in_itself(files)]
    except (ValueError, KeyError, TypeError, msgspec.DecodeError) as exc:
        verification.problems.append(
            f"{path.name}: {VERSION_FILE} or what it names cannot be read: {exc}"
        )
        return None
    return files


def _in_itself(files: Mapping[str, bytes]) -> Iterator[str]:
    """What in the pack is not what its version was registered with."""
    version = msgspec.json.decode(files[VERSION_FILE])
    tags = version["tags"]
    if content_digest(_below(files, EVALUATION)) != tags.get(EVALUATION_TAG):
        yield "the packed evaluation is not the one that was registered"
    try:
        model = _packed_model(files)
    except EvidenceMismatch as exc:
        model = exc.what
    if model != tags.get(DIGEST_TAG):
        yield f"the packed model is not the one that was registered ({model})"
    if APPROVAL_FILE in files:
        yield from _approval_problems(msgspec.json.decode(files[APPROVAL_FILE]), tags)
    if LINEAGE_FILE in files:
        events = msgspec.json.decode(files[LINEAGE_FILE])
        gate = msgspec.json.decode(files[GATE_FILE]) if GATE_FILE in files else None
        yield from lineage_problems(events, version["name"], version["version"], tags, gate)


def _approval_problems(approval: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[str]:
    subject = approval["subject"]
    if approval["state"] != "approved":
        yield f"its approval {approval['id']} is {approval['state']}"
    for name, tag in (("model", DIGEST_TAG), ("evaluation", EVALUATION_TAG)):
        if subject[name] != tags.get(tag):
            yield f"its approval {approval['id']} is about another {name}"


def _packed_model(files: Mapping[str, bytes]) -> str:
    """The model digest of what is packed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, content in _below(files, _MODEL).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return stored_digest(folder, folder / WEIGHTS_DIR)


def _against_registry(files: Mapping[str, bytes], version: ModelVersion) -> Iterator[str]:
    """Tags that were added since say nothing about what was packed."""
    packed = msgspec.json.decode(files[VERSION_FILE])
    if (packed["name"], str(packed["version"])) != (version.name, version.version):
        yield f"the pack is of {packed['name']}/{packed['version']}"
        return
    changed = sorted(
        k for k, packed_value in packed["tags"].items() if version.tags.get(k) != packed_value
    )
    if changed:
        yield f"tags changed in the registry since the pack was written: {', '.join(changed)}"


def _below(files: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {n.removeprefix(prefix): c for n, c in files.items() if n.startswith(prefix)}
