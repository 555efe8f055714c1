"""The request log is bounded, and what a kill leaves of a line is passed over."""

from __future__ import annotations

import asyncio
import json

from platform_ctl.serving.server.request_log import RequestLog, read
from platform_ctl.serving.server.service_clock import Elapsed

HEADERS = {b"x-request-key": b"caller"}
REQUEST = json.dumps({"instances": [[1, 2]]}).encode()
ANSWER = json.dumps({"predictions": [3.5]}).encode()


def write(path, count, *, max_bytes=1_000_000, request=REQUEST, answer=ANSWER):
    async def work():
        log = RequestLog(path, max_bytes=max_bytes)
        for _ in range(count):
            log.write("v1", 200, Elapsed(1.5, 0.5), HEADERS, request, answer)
            if count > 100:
                log.flush()
        log.close()

    asyncio.run(work())


def test_what_was_written_is_read_back(tmp_path):
    write(tmp_path / "v1.jsonl", 2)
    seen = read(tmp_path, since=0)
    assert len(seen) == 2
    assert (seen[0].key, seen[0].predictions, seen[0].source) == ("caller", [3.5], "traffic")
    assert read(tmp_path, since=seen[-1].at + 1) == []


def test_it_is_bounded(tmp_path):
    write(tmp_path / "v1.jsonl", 2000, max_bytes=40_000)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 42_000
    assert 10 < len(read(tmp_path, since=0)) < 2000


def test_large_and_binary_bodies_are_counted_not_kept(tmp_path):
    write(tmp_path / "v1.jsonl", 1, request=b"x" * 100_000, answer=b"\x00\x01")
    (seen,) = read(tmp_path, since=0)
    assert seen.request is None and seen.predictions == []


def test_a_request_that_cannot_be_written_takes_no_other_with_it(tmp_path):
    nested = b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}"

    async def work():
        log = RequestLog(tmp_path / "v1.jsonl", max_bytes=1_000_000)
        for request in (REQUEST, nested, REQUEST):
            log.write("v1", 200, Elapsed(1.5, 0.5), HEADERS, request, ANSWER)
        log.close()

    asyncio.run(work())
    seen = read(tmp_path, since=0)
    assert [o.request is None for o in seen] == [False, True, False]


def test_a_line_cut_short_is_passed_over(tmp_path):
    path = tmp_path / "v1.jsonl"
    write(path, 2)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read(tmp_path, since=0)) == 1
