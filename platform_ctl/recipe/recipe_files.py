"""The files of a project's recipes, and how a new recipe comes among them: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_ctl.errors import BadParameter, ConfigError
from platform_ctl.ir.catalogue import Pipelines
from platform_ctl.recipe.recipe_name import RecipeName

_LEFT_OUT = ("__pycache__", ".*", "*.pyc", "*.egg-info")
_WIRING = ("components", "pipeline")
"""Modules of a recipe among the pipelines: ``<recipe>_<part>.py``."""


class RecipeFiles:
    """Recipes below one project root. ``recipes`` and ``pipelines`` are packages there."""

    def __init__(self, root: Path, recipes: str, pipelines: str) -> None:
        self._root = root
        self._recipes = recipes
        self._pipelines = pipelines
        self._tests = f"tests/{recipes}"

    def create(self, name: RecipeName, files: Mapping[str, str]) -> list[str]:
        """Make the recipe of these files (path -> text); its files and folders, relative.

        Everything is made and tried in a folder beside, then put in place; what is
        there already is never touched. Raises BadParameter when the name is taken,
        ConfigError when the recipe does not work.
        """
        places = self._places(name)
        for place in places:
            if os.path.lexists(self._root / place):
                raise self._taken(place, name)
        with self._workshop() as workshop:
            for path, text in files.items():
                target = workshop / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            self._try(name, workshop)
            self._put(workshop, [p for p in places if (workshop / p).exists()], name)
        return [p for p in places if (self._root / p).exists()]

    def _places(self, name: RecipeName) -> list[str]:
        """In the order in which they are put in place: the recipe is found by its folder."""
        return [
            f"{self._tests}/{name.module}",
            *(f"{self._pipelines}/{name.module}_{part}.py" for part in _WIRING),
            f"{self._pipelines}/compiled/{name.word}.yaml",
            f"{self._recipes}/{name.module}",
        ]

    @contextlib.contextmanager
    def _workshop(self) -> Iterator[Path]:
        """The project's recipes and pipelines in a folder of their own, on the same file system."""
        folder = Path(tempfile.mkdtemp(prefix=".recipe-new-", dir=self._root))
        try:
            for package in (self._recipes, self._pipelines):
                shutil.copytree(
                    self._root / package,
                    folder / package,
                    ignore=shutil.ignore_patterns(*_LEFT_OUT),
                )
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _try(self, name: RecipeName, workshop: Path) -> None:
        """Import the recipe and compile its pipeline, there. Raises ConfigError."""
        command = [sys.executable, "-c", f"import {self._recipes}.{name.module}.recipe"]
        done = subprocess.run(command, cwd=workshop, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ConfigError(
                f"the new recipe {name.word} cannot be imported: {last}",
                where=f"{self._recipes}/",
                fix="platform-ctl recipe list",
            )
        _format([workshop / place for place in self._places(name)], self._root)
        Pipelines(workshop, self._pipelines).compile()
        for folder in list(workshop.rglob("__pycache__")):
            shutil.rmtree(folder)

    def _put(self, workshop: Path, places: list[str], name: RecipeName) -> None:
        done: list[Path] = []
        try:
            for place in places:
                target = self._root / place
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    _move(workshop / place, target)
                except FileExistsError as exc:  # came while this was at work
                    raise self._taken(place, name) from exc
                done.append(target)
        except BaseException:
            for target in reversed(done):
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            raise

    def _taken(self, place: str, name: RecipeName) -> BadParameter:
        return BadParameter(
            f"the name {name.word} is taken: there is {place}",
            where=place,
            fix=f"platform-ctl recipe new {name.word}-2",
        )


def _move(source: Path, target: Path) -> None:
    """Raises FileExistsError rather than replace anything."""
    if source.is_dir():
        target.mkdir()
        source.rename(target)  # over the empty folder that was just made
    else:
        os.link(source, target)


_OURS = 'lint.isort.known-first-party = ["platform_ctl", "recipes", "pipelines", "tests"]'
"""What ruff cannot see of a recipe that is not in its place yet."""


def _format(paths: list[Path], root: Path) -> None:
    """Longer names break lines elsewhere, others come before ``common`` among the imports.

    Without ruff, ``make format`` does it later.
    """
    present = [str(path) for path in paths if path.exists() and path.suffix != ".yaml"]
    for words in (["check", "--select", "I", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *words, "--no-cache"]
        config = ["--config", str(root / "pyproject.toml"), "--config", _OURS]
        subprocess.run([*command, *config, *present], capture_output=True, check=False)
