"""A step cache of its own, and runs that use it."""

import os
from pathlib import Path

from platform_ctl.home.state import connect
from platform_ctl.runs.cache.cache import StepCache
from platform_ctl.runs.cache.key import CacheKeyInputs, compute
from platform_ctl.runs.record import Artifact, Outputs

STEP = CacheKeyInputs(
    component="comp-make",
    command=("sh", "-ec", "run", "def make(): pass"),
    args=("--executor_input", "{{$}}", "--function_to_execute", "make"),
    parameters={"n": 1},
)
KEY = compute(STEP)
OLD = 1_000_000_000


class Home:
    """A cache, and runs that use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.db = connect(root / "platform.db")
        self.cache = StepCache(root / "cache", self.db)

    def place(self, run: str) -> Path:
        return self.root / "runs" / run / "out"

    def write(self, run: str, content: bytes = b"bytes") -> Path:
        path = self.place(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (OLD, OLD))
        return path

    def store(self, run: str, key=KEY, parameters=None, path: Path | None = None):
        artifact = Artifact("out", str(path or self.place(run)), metadata={"rows": 3})
        return self.cache.store(
            key,
            Outputs(parameters or {}, {"out": (artifact,)}),
            run_id=run,
            task="make",
            wall_s=2.0,
            cpu_s=1.0,
        )

    def lookup(self, run: str, key=KEY):
        return self.cache.lookup(key, run_id=run, task="make", places={"out": self.place(run)})

    def leftovers(self) -> list[Path]:
        cache = self.root / "cache"
        return [p for f in ("staging", "retired") for p in (cache / f).glob("*")]
