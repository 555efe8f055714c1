"""For ``doctor``: registered models and their evidence packs, against their recorded digests."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.evidence.verify import verify_pack
from platform_ctl.evidence.write import PARTS, pack_file, registered_problems
from platform_ctl.models.model import ModelVersion
from platform_ctl.models.port import Part, Registry

QUICK_BYTES = 256 * 2**20
"""Above this a version's files are hashed by ``--deep`` only (about 1 GB/s)."""


def check_versions(registry: Registry, packs: Path, *, deep: bool) -> Iterator[Check]:
    """The files and the pack of every version that has a stage; ``deep``: of every version.

    ``packs``: the folder of the evidence packs. Executes nothing of a model, changes nothing.
    """
    versions = [v for m in registry.models() for v in m.versions if deep or v.aliases]
    left_out = 0
    for version in versions:
        if not deep and _size_bytes(registry, version) > QUICK_BYTES:
            left_out += 1
            continue
        yield from _check_version(registry, version, packs)
    if left_out:
        detail = f"{left_out} with more than {QUICK_BYTES >> 20} MiB not hashed"
        yield Check("models", Health.OK, detail, "platform-ctl doctor --deep")


def _check_version(registry: Registry, version: ModelVersion, packs: Path) -> Iterator[Check]:
    altered = registered_problems(registry, version)
    of_pack = verify_pack(version, packs).problems
    pack = pack_file(packs, version)
    if altered:
        sound = pack.is_file() and not of_pack
        detail = f"{version}: {'; '.join(altered)}"
        if not sound:
            detail += "; only a backup, or a new run, brings a sound model back"
        fix = _from_pack(registry, version, pack) if sound else f"platform-ctl model show {version}"
        yield Check("models", Health.FAIL, detail, fix)
    for problem in of_pack:
        detail = f"{version}: {problem}; only a backup has the pack as it was"
        yield Check("evidence", Health.FAIL, detail, f"platform-ctl model verify {version}")
    if not altered and not of_pack:
        yield Check("models", Health.OK, f"{version}: model, evaluation and pack as recorded")


def _from_pack(registry: Registry, version: ModelVersion, pack: Path) -> str:
    """The command that puts the files of the sound pack in the place of the altered ones."""
    commands = []
    for part in ("model", "evaluation"):
        folder = _folder(registry, version, part)
        if folder is None:
            return f"platform-ctl model verify {version}"
        new = ["tar", "-xf", str(pack), "-C", str(folder), "--strip-components=1"]
        commands += [
            ["mv", str(folder), f"{folder}.altered"],
            ["mkdir", str(folder)],
            [*new, PARTS[part].rstrip("/")],
        ]
    return " && ".join(map(shlex.join, commands))


def _folder(registry: Registry, version: ModelVersion, part: Part) -> Path | None:
    try:
        return registry.local_dir(version, part)
    except EvidenceMismatch:
        return None


def _size_bytes(registry: Registry, version: ModelVersion) -> int:
    folder = _folder(registry, version, "model")
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder else 0
