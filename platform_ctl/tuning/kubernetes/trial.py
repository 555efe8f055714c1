"""One trial in its pod: ``python -m platform_ctl.tuning.kubernetes.trial``.

``--function=module:function``, ``--input=NAME=URI`` and ``--parameter=NAME=VALUE`` (each
any number of times). Reports and the result are printed as ``name=value``, which
Katib's StdOut collector reads. Ends with 1 when the function raises.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.cluster.store import RemoteStore
from platform_ctl.training.call import resolve

COLLECTOR = b"metricscollector"
COLLECTOR_WAIT_S = 60.0
"""How long a trial that is done waits for the sidecar that reads its metrics."""
LOOK_S = 2.0
"""The collector looks for the trial's process once a second; a trial that ends first fails."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m platform_ctl.tuning.kubernetes.trial")
    parser.add_argument("--function", required=True)
    parser.add_argument("--input", action="append", default=[])
    parser.add_argument("--parameter", action="append", default=[])
    arguments = parser.parse_args(argv)
    parameters = dict(pair.split("=", 1) for pair in arguments.parameter)
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        inputs = {}
        for name, uri in (pair.split("=", 1) for pair in arguments.input):
            inputs[name] = str(Path(folder) / name)
            RemoteStore(uri).download(uri, Path(inputs[name]))
        result = resolve(arguments.function)(parameters, report=write, **inputs)
    write(result)
    wait_for_collector(Path("/proc"))
    return 0


def write(metrics: Mapping[str, float]) -> None:
    """One line, in the form of Katib's default filter, the time first: it orders the reports."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = " ".join(f"{name}={float(value)!r}" for name, value in metrics.items())
    sys.stdout.write(f"{at} {line}\n")
    sys.stdout.flush()


def wait_for_collector(proc: Path, wait_s: float = COLLECTOR_WAIT_S) -> None:
    """Stay until Katib's sidecar has had the time to find this process.

    The pod shares its process namespace; where it does not, nobody looks.
    """
    if os.getpid() == 1:
        return
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if any(COLLECTOR in _command(folder) for folder in proc.glob("[0-9]*")):
            time.sleep(LOOK_S)
            return
        time.sleep(LOOK_S / 10)


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
