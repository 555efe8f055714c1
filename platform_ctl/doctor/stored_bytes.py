"""Whether the bytes that a home keeps are what was recorded of them: step cache, runs, golden sets.

Each is compared with the digest that was recorded when it was written. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import PlatformError
from platform_ctl.runs.cache.fingerprint import digest_path, local_path
from platform_ctl.runs.cache.key import ABSENT
from platform_ctl.runs.cache.port import Cache
from platform_ctl.runs.record import Artifact, Run

NEWEST_RUNS = 20
"""Whose artifacts ``--deep`` hashes."""


def check_cache(cache: Cache, *, deep: bool) -> Iterator[Check]:
    """One check for each cached artifact that is not what was stored.

    Without ``deep`` bytes are read where size, time or inode of a file have changed.
    """
    damaged = cache.damaged(deep=deep)
    for one in damaged:
        detail = f"artifact {one.artifact} of {one.task} (run {one.run_id[:8]}) {one.reason}"
        yield Check("cache", Health.WARN, f"{detail}: {one.path}", "platform-ctl cache verify")
    if not damaged:
        how = "hashed" if deep else "unchanged by size and time; --deep hashes them"
        yield Check("cache", Health.OK, f"every object is as it was stored ({how})")


def check_golden_sets(show: Mapping[str, Callable[[], object]]) -> Iterator[Check]:
    """``show``: recipe -> what reads its golden set in force, and raises when it is damaged."""
    for recipe, read in show.items():
        try:
            pinned = read()
        except PlatformError as exc:
            yield Check("golden set", Health.FAIL, f"{recipe}: {exc.what} ({exc.where})", exc.fix)
        else:
            state = "the one that was pinned" if pinned else "none yet"
            yield Check("golden set", Health.OK, f"{recipe}: {state}")


def check_runs(runs: Sequence[Run], pipeline: Callable[[Path], object]) -> Iterator[Check]:
    """Pipeline and artifacts of finished runs, each by its digest (``--deep`` only).

    ``pipeline`` reads a compiled pipeline. Nothing puts a damaged file of a run back: what the
    run found stands in the home's database, its files are in a backup or made anew by another run.
    """
    sound = 0
    for run in runs:
        damage = list(_damage_of(run, pipeline))
        sound += not damage
        for sentence in damage:
            detail = f"run {run.id[:8]}: {sentence}; only a backup has it as it was"
            fix = f"platform-ctl pipeline run {run.pipeline}"
            yield Check("run files", Health.WARN, detail, fix)
    yield Check(
        "run files", Health.OK, f"those of {sound} of the newest {len(runs)} runs are whole"
    )


def _damage_of(run: Run, pipeline: Callable[[Path], object]) -> Iterator[str]:
    compiled = Path(run.directory) / "pipeline.yaml"
    try:
        if compiled.is_file():
            pipeline(compiled)
    except PlatformError:
        yield f"{compiled} cannot be read"
    for task in run.tasks:
        for artifacts in task.outputs.artifacts.values():
            for artifact in artifacts:
                if problem := _unlike(artifact):
                    yield f"artifact {artifact.name} of {task.path} {problem}: {artifact.uri}"


def _unlike(artifact: Artifact) -> str:
    path = local_path(artifact.uri)
    if path is None or not artifact.digest or artifact.digest == ABSENT:
        return ""
    if not path.exists():
        return "is gone"
    return "" if digest_path(path) == artifact.digest else "is not what was written"
