"""A copy of the whole project with a home of its own, in which commands are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAIN = "from platform_ctl.cli.app import main; main()"


class Checkout:
    """A copy of this project, as git would have it, and a home."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "project", folder / "home"
        words = ["git", "ls-files", "-co", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in listed.splitlines():
            if (ROOT / name).is_file():
                target = self.root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PLATFORM_HOME": str(self.home), "PYTHONPATH": str(self.root)}

    def python(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout or done.stderr

    def ctl(self, *words: str, code: int = 0) -> str:
        return self.python("-c", MAIN, *words, code=code)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that runs beside others; its words are on both streams as one."""
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *words],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *words: str) -> Any:
        return json.loads(self.ctl(*words, "-o", "json"))

    def lines_of(self, module: str) -> int:
        patterns = (f"recipes/{module}/*", f"pipelines/{module}_*.py", f"tests/recipes/{module}/*")
        files = [p for pattern in patterns for p in self.root.glob(pattern) if p.is_file()]
        return sum(len(p.read_text().splitlines()) for p in files)
