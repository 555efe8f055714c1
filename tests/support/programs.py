"""Programs that are no Python packages: tests say what they need, and skip visibly without it."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "PLATFORM_TEST_NO_SKIP"
"""Set by .ci/run, which installs the programs: one that is missing then fails the collection."""

DEBIAN_PACKAGES = {
    "bash": "bash",
    "chromedriver": "chromium-driver",
    "fish": "fish",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "zsh": "zsh",
}


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where ``program`` is not installed, and say what would install it."""
    missing = shutil.which(program) is None
    if missing and os.environ.get(REQUIRED):
        raise RuntimeError(f"{program} is missing, and {REQUIRED} allows no skip")
    return pytest.mark.skipif(
        missing, reason=f"{program} is not installed (apt install {DEBIAN_PACKAGES[program]})"
    )
