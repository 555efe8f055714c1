"""Where a run's code and packages come from, for the tags of a registered model."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

from platform_ctl.models.model import content_digest

LOCK_FILE = "constraints.txt"


def provenance(project_root: Path) -> dict[str, str]:
    """``code``: the commit, "-dirty" when files differ from it. ``environment``: digest of the
    pinned packages. A key is absent when there is nothing to say."""
    tags = {"code": _commit(project_root)}
    lock = project_root / LOCK_FILE
    if lock.is_file():
        tags["environment"] = content_digest({LOCK_FILE: lock})
    return {name: value for name, value in tags.items() if value}


def installed() -> str:
    """``name==version`` of every installed distribution, a line each: what really ran, beside the
    pins that should have."""
    versions = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def _commit(project_root: Path) -> str:
    git = shutil.which("git")
    if not git:
        return ""
    words = [git, "-C", str(project_root), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run([*words, "--match="], capture_output=True, text=True, check=False)
    return done.stdout.strip()
