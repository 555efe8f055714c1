"""Every benchmark, one after the other: ``python -m benchmarks [--only NAME]...`` (make bench).

Each prints its own figures; the summary at the end repeats the last line of
each. ``quality`` is not among them: it needs the rows file of a run on your data.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "train_deploy": (),
    "ray_startup": ("--repeat", "1"),
    "tuning": ("--repeat", "1", "--without-ray-tune"),
    "orchestrator": (),
    "serving": (),
    "ingest": (),
    "pit_join": ("--scale", "0.1"),
    "gate_error_rates": (),
    "metrics": (),
}
"""Name -> arguments that keep it to minutes; ``python -m benchmarks.NAME`` is the whole of it."""


def run(name: str) -> tuple[bool, str]:
    """(whether it ended well, its last line), passing its output on meanwhile."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *BENCHMARKS[name]]
    last = ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return process.returncode == 0, last


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.partition(":")[0])
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="repeatable")
    chosen = parser.parse_args().only or list(BENCHMARKS)
    lines, failed = [], False
    for name in chosen:
        print(f"\n== {name}", flush=True)
        begun = time.perf_counter()
        ok, last = run(name)
        failed |= not ok
        said = last if ok else f"FAILED: {last}"
        lines.append(f"{name:<18}{time.perf_counter() - begun:>6.0f} s  {said}")
    print("\n== summary", *lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
