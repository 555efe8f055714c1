"""The project's pipelines: sources ``*_pipeline.py``, committed IR ``compiled/*.yaml``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import yaml

from platform_ctl.errors import (
    BadPipelineFile,
    BadPipelineSource,
    MissingExtra,
    NotPortable,
    PlatformError,
    StaleCompiledPipeline,
    UnknownName,
    unknown,
)
from platform_ctl.ir import file as ir_file
from platform_ctl.ir import meaning, portability

_COMPILER = "platform_ctl.ir.compile"
_FIX = "platform-ctl pipeline compile"


def require_kfp(where: str) -> None:
    """Raises MissingExtra where the SDK is not installed; it is looked for, not imported."""
    try:
        installed = find_spec("kfp") is not None
    except ModuleNotFoundError:
        installed = False
    if not installed:
        raise MissingExtra(
            "this needs kfp, which the extra ml brings",
            where=where,
            fix="pip install 'platform-ctl[ml]'",
        )


@dataclass(frozen=True)
class Listed:
    """One pipeline of the project. Paths are relative to the project root."""

    name: str
    parameters: tuple[str, ...]
    compiled: str
    problem: str = ""
    """Why its IR cannot be read, if it cannot."""


@dataclass(frozen=True)
class Compiled:
    """What ``compile`` or ``check`` found for one pipeline."""

    name: str
    path: str
    state: Literal["written", "unchanged", "current"]


class Pipelines:
    """Reads and writes under one project root."""

    def __init__(self, root: Path, package: str) -> None:
        self._root = root
        self._package = package
        self._folder = root / package.replace(".", "/")

    def list(self) -> list[Listed]:
        """Every compiled pipeline, by file name."""
        return [self._describe(path) for path in sorted(self._compiled.glob("*.yaml"))]

    def find(self, word: str) -> Path:
        """The IR of a pipeline by name, or of a file. Raises UnknownName with near misses."""
        if word.endswith((".yaml", ".yml", ".json")) or os.sep in word:
            path = Path(word)
            if path.is_file():
                return path
            raise UnknownName(f"no file {word}", where=word, fix="platform-ctl pipeline list")
        direct = self._compiled / f"{word}.yaml"
        if direct.is_file() and direct.parent == self._compiled:
            return direct
        names = {listed.name: listed.compiled for listed in self.list()}
        if word in names:
            return self._root / names[word]
        if not names:
            raise UnknownName(
                f"no pipeline {word!r}: this folder has none at all",
                where=str(self._compiled),
                fix="cd to the project's folder, and the same command again",
            )
        raise unknown(
            f"no pipeline {word!r}",
            word,
            names,
            where=str(self._compiled),
            fix="platform-ctl pipeline list",
        )

    def compile(self) -> Sequence[Compiled]:
        """Write the IR of every source that changed; a file is replaced whole or not at all."""
        results = []
        for name, text in self._render().items():
            path = self._compiled / f"{name}.yaml"
            changed = not path.is_file() or path.read_text(encoding="utf-8") != text
            if changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_suffix(".tmp")
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)
            results.append(
                Compiled(name, self._relative(path), "written" if changed else "unchanged")
            )
        return results

    def check(self, *, release: bool = False) -> Sequence[Compiled]:
        """Raises StaleCompiledPipeline unless the IR is current, NotPortable on what would
        behave differently on the two targets."""
        rendered = self._render()
        for name, text in rendered.items():
            path = self._compiled / f"{name}.yaml"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                raise self._stale(path, text)
        for path in sorted(self._compiled.glob("*.yaml")):
            if path.stem not in rendered:
                raise StaleCompiledPipeline(
                    f"{self._relative(path)} has no source any more",
                    where=self._relative(path),
                    fix=f"git rm {self._relative(path)}",
                )
            problems = portability.problems(ir_file.read(path), release=release)
            if problems:
                raise NotPortable(
                    "; ".join(map(str, problems)),
                    where=self._relative(path),
                    fix=f"change the pipeline, then {_FIX}",
                )
        return [
            Compiled(n, self._relative(self._compiled / f"{n}.yaml"), "current") for n in rendered
        ]

    def _stale(self, path: Path, text: str) -> StaleCompiledPipeline:
        what = f"{self._relative(path)} is not what its source compiles to"
        with contextlib.suppress(OSError, yaml.YAMLError, ValueError):
            if meaning.same(path.read_bytes(), text.encode()):
                what += "; only sdkVersion and comments differ"
        return StaleCompiledPipeline(what, where=self._relative(path), fix=_FIX)

    @property
    def _compiled(self) -> Path:
        return self._folder / "compiled"

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def _describe(self, path: Path) -> Listed:
        try:
            pipeline = ir_file.read(path)
        except PlatformError as exc:
            return Listed(path.stem, (), self._relative(path), exc.what)
        parameters = tuple(pipeline.root.input_definitions.parameters)
        return Listed(pipeline.name, parameters, self._relative(path))

    def _render(self) -> dict[str, str]:
        """Name -> IR of every source, compiled by kfp in a process of its own."""
        sources = sorted(self._folder.glob("*_pipeline.py"))
        if not sources:
            return {}
        modules = [f"{self._package}.{path.stem}" for path in sources]
        require_kfp("pipeline compile")
        done = subprocess.run(
            [sys.executable, "-m", _COMPILER, *modules],
            cwd=self._root,
            capture_output=True,
            text=True,
            check=False,
        )
        again = f"{Path(sys.executable).name} -m {_COMPILER} {' '.join(modules)}"
        try:
            answer = json.loads(done.stdout)
        except ValueError:  # the process was killed, or a module wrote past Python's stdout
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            answer = {"what": last, "where": ""}
        if isinstance(answer, dict):
            raise BadPipelineSource(
                f"the pipelines do not compile: {answer['what']}",
                where=answer["where"] or f"{self._package}/*_pipeline.py",
                fix=again,
            )
        return self._by_name(answer)

    def _by_name(self, compiled: Sequence[Mapping[str, str]]) -> dict[str, str]:
        """Name -> IR. Two sources of one name would replace each other's file."""
        sources: dict[str, str] = {}
        rendered: dict[str, str] = {}
        for item in compiled:
            name, source = item["name"], f"{item['module'].replace('.', '/')}.py"
            if name in sources:
                raise BadPipelineSource(
                    f"two pipelines are called {name!r}",
                    where=f"{sources[name]} and {source}",
                    fix=f"change the name in @dsl.pipeline of {source}",
                )
            try:
                ir_file.parse(item["yaml"].encode(), Path(source))
            except BadPipelineFile as exc:
                raise BadPipelineSource(
                    f"kfp compiles it to IR that cannot be read back: {exc.what}",
                    where=source,
                    fix=f"edit {source}; a default text with newlines is a known cause",
                ) from exc
            sources[name], rendered[name] = source, item["yaml"]
        return rendered
