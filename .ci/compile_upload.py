"""Checks that the committed pipelines are current, uploads them, applies schedules where asked.

    python3 .ci/compile_upload.py PLATFORM_CTL

The outputs of the job are written whatever happens. Exit code: that of the first command
that failed. ``SCHEDULES=push`` applies the schedules after the upload; anything else leaves
them to the cluster, which pulls them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import forge


def main(program: str) -> int:
    """The exit code."""
    outputs: dict[str, object] = dict.fromkeys(forge.OUTPUTS, 0)
    outputs.update(failed_names="", version="")
    try:
        return _steps(program, outputs)
    finally:
        forge.write_outputs(outputs, os.environ)


def _steps(program: str, outputs: dict[str, object]) -> int:
    code, checked, error = _call(program, "pipeline", "compile", "--check")
    if code:
        _all_failed(outputs, _named_in(error) or _names(program))
        return code
    names = [item["name"] for item in checked]
    outputs["compiled"] = len(names)
    words = ["pipeline", "upload", "--all", "--run-url", forge.run_url(os.environ)]
    code, done, _ = _call(program, "--target", "kubernetes", *words)
    if isinstance(done, dict):
        outputs.update({name: done[name] for name in forge.OUTPUTS})
        outputs["failed_names"] = ",".join(done["failed_names"])
        for pipeline in done["pipelines"]:
            print(" ".join([pipeline["name"], pipeline["state"], pipeline["version"]]))
    elif code:
        _all_failed(outputs, names)
    if code == 0 and os.environ.get("SCHEDULES") == "push":
        code, _, _ = _call(program, "--target", "kubernetes", "schedule", "apply")
    return code


def _call(program: str, *words: str) -> tuple[int, Any, dict[str, str]]:
    """Exit code, the JSON document of stdout (None without one), the error that was printed."""
    done = subprocess.run(
        [program, *words, "-o", "json"], capture_output=True, text=True, check=False
    )
    error: dict[str, str] = {}
    for line in done.stderr.splitlines():
        try:
            error = json.loads(line)["error"]
        except (ValueError, KeyError, TypeError):
            print(line, file=sys.stderr)
            continue
        for field in ("what", "where", "fix", "see"):
            print(f"{field}: {error[field]}", file=sys.stderr)
    try:
        return done.returncode, json.loads(done.stdout), error
    except ValueError:
        return done.returncode, None, error


def _named_in(error: dict[str, str]) -> list[str]:
    """The pipeline whose compiled file an error is about."""
    where = Path(error.get("where", ""))
    return [where.stem] if where.suffix == ".yaml" else []


def _names(program: str) -> list[str]:
    _, listed, _ = _call(program, "pipeline", "list")
    return [item["name"] for item in listed or []]


def _all_failed(outputs: dict[str, object], names: list[str]) -> None:
    outputs.update(failed=len(names), failed_names=",".join(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
