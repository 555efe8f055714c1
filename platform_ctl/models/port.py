"""The model registry: versions with provenance, and aliases whose every move is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from platform_ctl.models.model import AliasMove, ModelCandidate, ModelVersion, RegisteredModel

Part = Literal["model", "weights", "evaluation", "evidence"]
"""``model``: the MLflow model directory. ``weights``: what the trainer wrote. ``evaluation``.
``evidence``: the candidate's attachments."""


class Registry(Protocol):
    """MLflow's registry, of this home or of a server. Methods raise StoreUnavailable for a
    server that does not answer as MLflow does."""

    def models(self) -> Sequence[RegisteredModel]:
        """Every registered model with its versions, by name. Quick."""
        ...

    def aliases(self, name: str) -> dict[str, str]:
        """Alias -> version; empty when there is no such model. Quick."""
        ...

    def register(self, candidate: ModelCandidate) -> ModelVersion:
        """Idempotent by ``candidate.digest``: what is there is returned, what was deleted is
        made again, and a registration that was interrupted is finished."""
        ...

    def move_aliases(
        self, name: str, targets: Mapping[str, str], *, actor: str, reason: str
    ) -> None:
        """Point each alias at a version ("" removes it), and record who moved it and why.

        Aliases that are there already are not touched. Safe to repeat after an
        interruption. Raises NoSuchModel for a version that does not exist.
        """
        ...

    def history(self) -> Sequence[AliasMove]:
        """Every recorded alias move of every model, oldest first."""
        ...

    def local_dir(self, version: ModelVersion, part: Part = "model") -> Path:
        """A directory on this machine with that part. Raises EvidenceMismatch when it is gone."""
        ...
