"""Two processes that store, read and prune one step cache."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

from platform_ctl.runs.cache.key import compute
from platform_ctl.runs.cache.values import Miss
from tests.support.step_cache import STEP, Home


def _store_many(root: str, worker: int, begin) -> None:
    home = Home(Path(root))
    begin.wait()
    for n in range(20):
        key = compute(replace(STEP, parameters={"n": n}))
        run = f"{worker}-{n}"
        found = home.lookup(run, key)
        if isinstance(found, Miss):
            home.write(run, bytes([n]) * 5000)
            assert home.store(run, key).warning == ""
        assert home.place(run).read_bytes() == bytes([n]) * 5000
        if n % 5 == 4:
            home.cache.prune(older_than=None, max_size_bytes=20_000)


def test_two_processes_share_a_cache(tmp_path):
    Home(tmp_path)
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(2)
    workers = [
        context.Process(target=_store_many, args=(str(tmp_path), w, begin)) for w in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0, 0]
    home = Home(tmp_path)
    report = home.cache.verify()
    assert report.quarantined == ()
    assert report.entries > 0
    on_disk = {p.parent.name for p in (tmp_path / "cache" / "objects").rglob("data")}
    recorded = {row[0] for row in home.db.execute("SELECT digest FROM cache_objects")}
    assert on_disk == recorded
    home.db.close()
