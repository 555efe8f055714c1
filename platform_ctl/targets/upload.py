"""The upload of the project's pipelines to KFP's API server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import UnknownName, Unsupported
from platform_ctl.settings import Settings
from platform_ctl.targets.kfp import kfp
from platform_ctl.targets.recipe import pipelines

if TYPE_CHECKING:
    from platform_ctl.upload.project import Uploaded


def upload(
    settings: Settings, names: Sequence[str], *, dry_run: bool = False, run_url: str = ""
) -> Uploaded:
    """Upload the committed IR of ``names`` (empty: of every pipeline); raises Unsupported, and
    what ``ProjectUpload.upload`` raises."""
    if settings.target != "kubernetes":
        raise Unsupported(
            "the local target has no pipeline versions: it runs the committed IR itself",
            where="pipeline upload",
            fix="platform-ctl --target kubernetes pipeline upload --all",
        )
    from platform_ctl.upload.checkout import Checkout
    from platform_ctl.upload.kfp import KfpPipelines
    from platform_ctl.upload.preflight import pinned_kfp
    from platform_ctl.upload.project import ProjectUpload

    root, cluster = Path(settings.project_root), settings.kubernetes
    project = ProjectUpload(
        checkout=Checkout(root),
        server=KfpPipelines(kfp(settings), cluster.namespace),
        compile_check=lambda: pipelines(settings).check(),
        image=cluster.image,
        allow_image_tags=cluster.allow_image_tags,
        pinned_kfp=pinned_kfp(_text(root / "constraints.txt")),
        configured_kfp=cluster.kfp_version,
    )
    return project.upload(_paths(settings, names), dry_run=dry_run, run_url=run_url)


def _paths(settings: Settings, names: Sequence[str]) -> list[Path]:
    """The compiled files, each once. Raises UnknownName for a name, or where there is none."""
    project = pipelines(settings)
    if names:
        return list(dict.fromkeys(project.find(name).resolve() for name in names))
    files = [Path(settings.project_root, listed.compiled) for listed in project.list()]
    if not files:
        raise UnknownName(
            "this project has no compiled pipeline",
            where=settings.pipelines_package,
            fix="platform-ctl pipeline compile",
        )
    return files


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
