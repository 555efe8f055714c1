"""What a fit on a cluster reads and writes in the object store, and where its pods look.

``<root>/training/<name>/``: ``job.json`` (the TrainingJob), ``progress.json`` (the newest
epoch), ``result.json`` (metrics or an error, written once, at the end), ``checkpoints/``
and ``out/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from platform_ctl.cluster.store import RemoteStore
from platform_ctl.progress import Progress
from platform_ctl.training.call import epoch
from platform_ctl.training.port import TrainingJob

INPUTS = "/tmp/platform-inputs"
"""Folder of every pod of a fit in which its inputs lie, under their argument's names."""


class JobResult(msgspec.Struct, frozen=True):
    """How the function ended: ``error`` is an error of ours as ``as_dict`` writes it."""

    metrics: dict[str, Any] | None = None
    error: dict[str, str] | None = None


@dataclass(frozen=True)
class JobFiles:
    """The folder of one fit."""

    uri: str

    @property
    def _store(self) -> RemoteStore:
        return RemoteStore(self.uri)

    @property
    def out(self) -> str:
        return f"{self.uri}/out"

    @property
    def checkpoints(self) -> str:
        return f"{self.uri}/checkpoints"

    def job(self) -> TrainingJob:
        return msgspec.json.decode(
            self._store.read(f"{self.uri}/job.json") or b"", type=TrainingJob
        )

    def write_job(self, job: TrainingJob) -> None:
        self._store.write(f"{self.uri}/job.json", msgspec.json.encode(job))

    def progress(self) -> Progress | None:
        content = self._store.read(f"{self.uri}/progress.json")
        return msgspec.json.decode(content, type=Progress) if content else None

    def result(self) -> JobResult | None:
        content = self._store.read(f"{self.uri}/result.json")
        return msgspec.json.decode(content, type=JobResult) if content else None

    def write_result(self, result: JobResult) -> None:
        self._store.write(f"{self.uri}/result.json", msgspec.json.encode(result))

    def forget_result(self) -> None:
        """So that a new attempt is not taken for the one that failed."""
        self._store.remove(f"{self.uri}/result.json")

    def remove(self) -> None:
        self._store.remove(self.uri)


@dataclass(frozen=True)
class StoreReport:
    """Writes the newest epoch; can be pickled to a worker on any node."""

    uri: str
    job: TrainingJob
    started_at: datetime

    def __call__(self, figures: Mapping[str, float]) -> None:
        newest = msgspec.json.encode(epoch(self.job, figures, self.started_at))
        RemoteStore(self.uri).write(f"{self.uri}/progress.json", newest)
