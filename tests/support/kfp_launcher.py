"""What KFP's launcher does around a step (2.17.0, ``backend/src/v2/component/launcher_v2.go``).

``python -m tests.support.kfp_launcher COMMAND ARGS...`` in the step's pod: fetches the input
artifacts, runs the command with the executor input in place of ``{{$}}``, puts the output artifacts
into the object store, and writes the line by which KFP's readers know what the step put out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import s3fs

from tests.fakes.kfp_runs import EXECUTOR_OUTPUT

Json = dict[str, Any]
SCHEME = "s3://"


def main(words: list[str]) -> int:
    given = json.loads(os.environ["KFP_EXECUTOR_INPUT"])
    store = s3fs.S3FileSystem()
    for artifact in _artifacts(given["inputs"]["artifacts"]):
        _fetch(store, artifact["uri"])
    outputs = given["outputs"]
    for artifact in _artifacts(outputs["artifacts"]):
        _local(artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
    result = Path(outputs["outputFile"])
    result.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(given)
    ended = subprocess.run([w.replace("{{$}}", text) for w in words], check=False)
    if ended.returncode:
        return ended.returncode
    put_out = json.loads(result.read_text()) if result.exists() else {}
    for name, declared in outputs["artifacts"].items():
        put_out.setdefault("artifacts", {}).setdefault(name, declared)
    for artifact in _artifacts(put_out.get("artifacts", {})):
        if _local(artifact["uri"]).exists():
            store.put(str(_local(artifact["uri"])), artifact["uri"], recursive=True)
    print(EXECUTOR_OUTPUT + json.dumps(put_out, indent=2), flush=True)
    return 0


def _artifacts(named: Json) -> Iterator[Json]:
    for listed in named.values():
        yield from listed["artifacts"]


def _local(uri: str) -> Path:
    """Where KFP's SDK looks for an artifact."""
    return Path("/s3", uri.removeprefix(SCHEME))


def _fetch(store: s3fs.S3FileSystem, uri: str) -> None:
    if uri.startswith(SCHEME) and store.exists(uri):
        local = _local(uri)
        local.parent.mkdir(parents=True, exist_ok=True)
        store.get(uri, str(local), recursive=store.isdir(uri))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
