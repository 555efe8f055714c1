"""Start a project: copy the recipes, pipelines and runbooks that the platform comes with."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from platform_ctl.errors import PreconditionMissing, UsageError
from platform_ctl.settings import TOML_NAME

PARTS = ("recipes", "pipelines", "runbooks", TOML_NAME)
"""What a project consists of. An installed package holds them under ``TEMPLATE``."""
TEMPLATE = "template"
IGNORED = "# State of platform-ctl, and what Python writes.\n/.platform/\n__pycache__/\n.venv/\n"
"""The ``.gitignore`` of a new project; one that is there stays as it is."""
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


def start(folder: Path) -> list[Path]:
    """Make a project in ``folder``, which may exist and hold none of ``PARTS``; what was made.

    Whole or not at all. Raises UsageError where something is in the way,
    PreconditionMissing where this installation holds no template.
    """
    source = _source()
    taken = [part for part in PARTS if (folder / part).exists()]
    if taken:
        raise UsageError(
            f"{folder} holds {', '.join(taken)} already",
            where="platform-ctl init",
            fix=f"platform-ctl init {folder / 'platform'}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for part in PARTS:
            target = folder / part
            written.append(target)
            if (source / part).is_dir():
                shutil.copytree(source / part, target, ignore=_NOT_COPIED)
            else:
                shutil.copy(source / part, target)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            written.append(ignored)
            ignored.write_text(IGNORED, encoding="utf-8")
    except OSError:
        for target in written:
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
        raise
    return written


def _source() -> Path:
    """The template of an installed package, or the checkout that this package is part of."""
    package = Path(str(resources.files(__package__)))
    for place in (package / TEMPLATE, package.parents[1]):
        if all((place / part).exists() for part in PARTS):
            return place
    raise PreconditionMissing(
        "this installation holds no project to copy",
        where=str(package / TEMPLATE),
        fix="pip install --force-reinstall 'platform-ctl[ml]'",
    )
