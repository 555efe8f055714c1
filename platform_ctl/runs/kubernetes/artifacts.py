"""Artifacts of KFP's runs: objects in the store of its pipeline root.

The launcher writes an output under ``PIPELINE_ROOT/RUN/TASK/NAME``, and a task that is tried
again writes the same URI; a copy is of a task that has ended.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from platform_ctl.cluster.store import RemoteStore

_MINIO = "minio://"
"""KFP's default pipeline root; for an S3 client it is a bucket like any other."""


@dataclass(frozen=True)
class StoreArtifacts:
    """Implements ``runs.port.Artifacts``. Copies last as long as this object."""

    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="artifacts-")
    )

    def fetch(self, uri: str, part: str = "") -> Path | None:
        whole = f"{uri.rstrip('/')}/{part}" if part else uri
        if whole.startswith(_MINIO):
            whole = f"s3://{whole.removeprefix(_MINIO)}"
        name = whole.rstrip("/").rpartition("/")[2]
        copy = Path(self._folder.name) / hashlib.sha256(whole.encode()).hexdigest()[:16] / name
        if copy.exists():
            return copy
        store = RemoteStore(whole)
        if not store.holds(whole):
            return None
        store.download(whole, copy)
        return copy
