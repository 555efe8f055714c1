"""A revision is ready when its feature lookup is."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from platform_ctl.serving.server.front import Front
from platform_ctl.serving.server.request_log import RequestLog
from platform_ctl.serving.service import ServiceLimits


@pytest.mark.parametrize("fails", [False, True])
def test_ready_waits_for_the_feature_lookup_even_if_it_fails(tmp_path, fails):
    warming: Future = Future()

    async def answer(scope, receive, send):
        raise AssertionError("there is no example to ask for")

    async def start():
        front = Front(
            answer,
            service="stub",
            revision="v1",
            log=RequestLog(tmp_path / "v1.jsonl", max_bytes=1000),
            limits=ServiceLimits(),
            warming=warming,
        )
        preparing = asyncio.create_task(front.prepare())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not preparing.done()
        if fails:
            warming.set_exception(RuntimeError("no such table: features"))
        else:
            warming.set_result({})
        await preparing
        await front.finish()

    asyncio.run(start())
