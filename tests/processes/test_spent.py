"""A step's process says what it used when it ends."""

from __future__ import annotations

import subprocess
import sys

from platform_ctl.runs.spent import read

BURN = """
from platform_ctl.runs.spent import StepIdentity, write_at_exit
for _ in range(2):
    write_at_exit(StepIdentity("r1", "train", 1))
sum(range(10**6))
raise SystemExit(3)
"""


def test_a_process_says_once_what_it_used_however_it_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BURN], capture_output=True, timeout=60, check=False
    )
    (spent,) = read(done.stdout)
    assert done.returncode == 3
    assert spent.kind == "step" and spent.wall_s >= spent.cpu_s * 0.5 > 0
    assert spent.peak_memory_bytes > 5 * 2**20
    assert b'"task": "train", "attempt": 1' in done.stdout
