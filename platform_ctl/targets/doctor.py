"""What ``doctor`` looks at beyond databases and processes: the bytes that the home keeps."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import PlatformError
from platform_ctl.settings import Settings
from platform_ctl.targets.evidence import evidence_dir
from platform_ctl.targets.models import registry
from platform_ctl.targets.recipe import data_access, read_pipeline, recipes
from platform_ctl.targets.releases import release_records
from platform_ctl.targets.runs import run_reader, step_cache

if TYPE_CHECKING:
    from platform_ctl.doctor.doctor import Check
    from platform_ctl.serving.service import InferenceService


def stored_bytes(
    settings: Settings, damaged: Collection[Path], *, deep: bool = False
) -> Iterator[Check]:
    """Checks of everything that was recorded with a digest. Changes nothing.

    ``damaged``: databases that cannot be read; what only they know is not looked at.
    """
    from platform_ctl.doctor import stored_bytes as stored
    from platform_ctl.doctor.feature_store import check_feature_stores
    from platform_ctl.evidence.check import check_versions

    layout = settings.layout
    yield from check_feature_stores(layout.feast)
    yield from _service_options(layout.services)
    yield from _golden_sets(settings)
    if layout.database in damaged:
        return
    yield from stored.check_cache(step_cache(settings, reading=True), deep=deep)
    # A registry elsewhere would have to send every byte of every model.
    if layout.mlflow / "mlflow.db" not in damaged and (deep or not settings.mlflow_tracking_uri):
        yield from check_versions(registry(settings), evidence_dir(settings), deep=deep)
    if deep:
        reader = run_reader(settings)
        newest = [reader.get(run.id) for run in reader.list(stored.NEWEST_RUNS) if run.state.final]
        yield from stored.check_runs(newest, read_pipeline)


def _service_options(services: Path) -> Iterator[Check]:
    """What the successor of a killed supervisor reads; every start and restart writes it anew."""
    from platform_ctl.doctor.doctor import Check, Health
    from platform_ctl.errors import HomeDamaged
    from platform_ctl.serving.local import records

    for path in sorted(services.glob("*/options.json")):
        files = records.ServiceFiles(path.parent)
        try:
            records.read_json(files.options, records.SupervisorOptions)
        except HomeDamaged as exc:
            restart = f"platform-ctl service restart {files.name}"
            fix = restart if files.running.exists() else exc.fix
            yield Check("services", Health.WARN, f"{exc.what} ({path})", fix)


def open_releases(settings: Settings, services: Sequence[InferenceService]) -> Iterator[Check]:
    """Releases of the services that wait for somebody."""
    from platform_ctl.approvals.promotion import newest_promotions
    from platform_ctl.releases.check import check_releases

    newest = newest_promotions(run_reader(settings))
    at_work = {approval for approval, run in newest.items() if not run.state.final}
    return check_releases(services, release_records(settings), at_work)


def _golden_sets(settings: Settings) -> Iterator[Check]:
    from platform_ctl.doctor.doctor import Check, Health
    from platform_ctl.doctor.stored_bytes import check_golden_sets
    from platform_ctl.recipe.recipe import resolve

    try:
        known = recipes(settings)
    except PlatformError as exc:
        yield Check("recipes", Health.FAIL, exc.what, exc.fix)
        return
    data = data_access(settings)
    # A recipe without a golden set in this home need not even be imported.
    pinned = [r for r in known.values() if data.golden_uri or (data.golden_dir / r.name).is_dir()]
    shown = {r.name: functools.partial(resolve(r.data).golden_show, data) for r in pinned}
    yield from check_golden_sets(shown)
