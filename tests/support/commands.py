"""The command line from the outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def platform_ctl(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, in a process of its own; any exit code."""
    return subprocess.run(
        [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
