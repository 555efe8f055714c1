"""Processes that write one log file, which is rotated under them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from platform_ctl.runs.log_file import FILE

WRITER = """
import sys
from pathlib import Path
from platform_ctl.runs.log_file import JsonLog
log = JsonLog(Path(sys.argv[1]), max_bytes=20_000, keep=100)
for number in range(500):
    log.write({"writer": sys.argv[2], "number": number, "text": "x" * 100})
"""


def test_several_writers_lose_nothing_when_the_file_is_rotated(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(3)
    ]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    files = list(tmp_path.glob(f"{FILE}*"))
    told = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) > 5
    seen = {(line["writer"], line["number"]) for line in told}
    assert seen == {(str(w), n) for w in range(3) for n in range(500)}
    assert len(told) == 1500
