"""What an approval of a version is about, recomputed from what is there now."""

from __future__ import annotations

import json
from dataclasses import asdict

from platform_ctl.approvals.request import NO_CHAMPION, SELF, Subject
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.models.model import (
    DIGEST_TAG,
    PRODUCTION,
    SNAPSHOT_TAG,
    ModelVersion,
    content_digest,
    find_version,
)
from platform_ctl.models.port import Registry
from platform_ctl.models.register import evaluation_digest
from platform_ctl.models.stored import stored_digest
from platform_ctl.recipe.recipe import CanaryPlan, Recipe


def current_subject(registry: Registry, recipe: Recipe, version: ModelVersion) -> Subject:
    """Digests of the files themselves, not of what their tags say.

    Raises EvidenceMismatch when files of the version are gone or were altered.
    """
    model = stored_digest(registry.local_dir(version), registry.local_dir(version, "weights"))
    if model != version.digest:
        raise EvidenceMismatch(
            f"the files of {version} are not the ones that were registered",
            where=str(registry.local_dir(version)),
            fix=f"platform-ctl model show {version}",
        )
    return Subject(
        model=model,
        evaluation=evaluation_digest(registry.local_dir(version, "evaluation")),
        data_snapshot=version.tags.get(SNAPSHOT_TAG, ""),
        canary_plan=canary_digest(recipe.canary),
        champion=_champion(registry, version),
    )


def canary_digest(plan: CanaryPlan) -> str:
    return content_digest({"canary": json.dumps(asdict(plan), sort_keys=True).encode()})


def champion_of(registry: Registry, model: str) -> str:
    """The version in production and its digest, as a subject names them; "" without one."""
    number = registry.aliases(model).get(PRODUCTION, "")
    if not number:
        return NO_CHAMPION
    champion = find_version(registry.models(), f"{model}/{number}")
    return f"{number} {champion.tags.get(DIGEST_TAG, '')}"


def _champion(registry: Registry, version: ModelVersion) -> str:
    champion = champion_of(registry, version.name)
    return SELF if champion.partition(" ")[0] == version.version else champion
