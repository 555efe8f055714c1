"""Evidence packs of registered models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl.settings import Settings
from platform_ctl.targets.approvals import approvals
from platform_ctl.targets.models import registry
from platform_ctl.targets.runs import run_lineage

if TYPE_CHECKING:
    from platform_ctl.models.model import ModelVersion


def evidence_dir(settings: Settings) -> Path:
    """Where the evidence packs of this home are."""
    return settings.layout.root / "evidence"


def write_evidence(
    settings: Settings, version: ModelVersion, records: Mapping[str, Any] | None = None
) -> Path:
    """(Re)write the evidence pack of a version; ``records`` adds the canary's log."""
    from platform_ctl.evidence.lineage import LINEAGE_FILE
    from platform_ctl.evidence.write import write_pack

    ports = registry(settings), approvals(settings)
    documents = {
        LINEAGE_FILE: run_lineage(settings, version.tags.get("run_id", "")),
        **(records or {}),
    }
    return write_pack(*ports, version, evidence_dir(settings), records=documents)
