"""Writes the evidence pack of a model version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalState
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.evidence import pack as evidence
from platform_ctl.folders import make_private
from platform_ctl.home import files
from platform_ctl.models.model import EVALUATION_TAG, ModelVersion
from platform_ctl.models.port import Part, Registry
from platform_ctl.models.register import evaluation_digest
from platform_ctl.models.stored import stored_digest
from platform_ctl.runs.record import Run

EVALUATION = "evaluation/"
RUN_FILE = "run.json"
PIPELINE_FILE = "pipeline.yaml"
VERSION_FILE, APPROVAL_FILE = "version.json", "approval.json"
PARTS: dict[Part, str] = {"model": "model/", "evaluation": EVALUATION, "evidence": ""}
"""Part of the registry -> its folder in the pack."""
REQUIRED = ("model", "evaluation")


def pack_file(folder: Path, version: ModelVersion) -> Path:
    """Where the pack of a version lies under ``folder``."""
    return folder / f"{version.name}-{version.version}.tar"


def read_checksum(pack: Path) -> str:
    """The line that lies beside a pack; "" when there is none."""
    sidecar = Path(f"{pack}.sha256")
    return sidecar.read_text(encoding="utf-8", errors="replace") if sidecar.is_file() else ""


def describe_run(run: Run) -> bytes:
    """What a pack says of the run that made a version: what it was given, what its tasks found."""
    described = {
        "run_id": run.id,
        "pipeline": run.pipeline,
        "parameters": run.parameters,
        "outputs": {task.path: task.outputs.parameters for task in run.tasks if task.state.good},
    }
    return msgspec.json.format(msgspec.json.encode(described), indent=1)


def write_pack(
    registry: Registry,
    approvals: Approvals,
    version: ModelVersion,
    folder: Path,
    *,
    records: Mapping[str, Any] | None = None,
) -> Path:
    """Pack everything that is known about ``version``; writing it again replaces it at once.

    Holds the model with its code, the evaluation with slices, the attachments
    of its registration (IR, search, gate, environment lock), the version with
    its tags, its approval, and ``records`` (name -> JSON-able value: the canary
    log). Raises EvidenceMismatch when files are gone or altered.
    """
    problems = registered_problems(registry, version)
    if problems:
        raise EvidenceMismatch(
            "; ".join(problems), where=str(version), fix=f"platform-ctl model verify {version}"
        )
    contents = dict(_registered_files(registry, version))
    described = {
        "name": version.name,
        "version": version.version,
        "created_at": version.created_at,
        "tags": dict(version.tags),
    }
    documents = {VERSION_FILE: described, APPROVAL_FILE: _approval(approvals, version)}
    for name, value in {**documents, **(records or {})}.items():
        if value is not None:
            contents[name] = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1)
    content = evidence.pack(contents)
    target = pack_file(folder, version)
    make_private(folder)
    line = evidence.checksum_line(content, target.name)
    files.replace(Path(f"{target}.sha256"), line.encode())
    files.replace(target, content)
    return target


def registered_problems(registry: Registry, version: ModelVersion) -> list[str]:
    """What of the version's files is not what its tags say."""
    try:
        model = stored_digest(registry.local_dir(version), registry.local_dir(version, "weights"))
        evaluated = evaluation_digest(registry.local_dir(version, "evaluation"))
    except EvidenceMismatch as exc:
        return [exc.what]
    problems = []
    if model != version.digest:
        problems.append(f"weights, signature or predict code of {version} were altered")
    if evaluated != version.tags.get(EVALUATION_TAG):
        problems.append(f"the evaluation of {version} was altered")
    return problems


def _registered_files(registry: Registry, version: ModelVersion) -> Iterator[tuple[str, bytes]]:
    for part, prefix in PARTS.items():
        try:
            folder = registry.local_dir(version, part)
        except EvidenceMismatch:
            if part in REQUIRED:
                raise
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{prefix}{path.relative_to(folder).as_posix()}", path.read_bytes()


def _approval(approvals: Approvals, version: ModelVersion) -> Any:
    """The newest approved request of the version, or None."""
    requests: Sequence[Any] = approvals.list()
    mine = (r for r in requests if (r.model, r.version) == (version.name, version.version))
    return next((r for r in mine if r.state is ApprovalState.APPROVED), None)
