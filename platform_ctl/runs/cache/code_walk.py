"""Follows names from a component through the modules below a project root."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

from platform_ctl.runs.cache import distributions
from platform_ctl.runs.cache.key import CodeDigest
from platform_ctl.runs.cache.module_facts import (
    DATA_REFERENCE,
    MODULE_REFERENCE,
    Import,
    ModuleFacts,
    Unit,
)

BODY = ""
"""Name of a module's body among its units."""
COMPONENT = ""
"""Name of the component's own source among the modules; it counts elsewhere in the key."""

Signature = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode; zeros where nothing is."""


def signature(path: str) -> Signature:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return (0, 0, 0, 0)
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class CodeReach:
    """One component's reach. ``seen`` holds every path that was looked at."""

    def __init__(self, root: Path, facts: Callable[[str, str, Signature], ModuleFacts]) -> None:
        self._root = str(root)
        self._read = facts
        self.seen: dict[str, Signature] = {}
        self._modules: dict[str, ModuleFacts] = {}
        self._paths: dict[str, str | None] = {}
        self._reached: dict[str, set[str]] = defaultdict(set)
        self._uses: dict[str, set[str]] = defaultdict(set)
        self._pending: deque[tuple[str, str]] = deque()
        self._followed: set[tuple[Import, tuple[str, ...]]] = set()
        self._attributes: set[str] = set()
        self._waiting: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._foreign: set[str] = set()
        self._data: dict[str, str] = {}
        self._listings: dict[str, list[str]] = {}

    def run(self, component: ModuleFacts) -> CodeDigest:
        """Everything that ``component`` reaches."""
        self._modules[COMPONENT] = component
        self._reach_whole(COMPONENT)
        while self._pending:
            module, name = self._pending.popleft()
            facts = self._modules[module]
            self._visit(module, facts.definitions[name] if name else facts.body)
        return CodeDigest(
            modules={m: self._module_digest(m) for m in sorted(self._reached) if m},
            data=dict(sorted(self._data.items())),
            packages=distributions.versions(self._foreign),
        )

    # ---- units ------------------------------------------------------------

    def _visit(self, module: str, unit: Unit) -> None:
        for imported in unit.imports:
            self._enter_import(imported)
        for name in unit.names:
            self._resolve(module, unit, name)
        for attribute in unit.attributes:
            if attribute not in self._attributes:
                self._attributes.add(attribute)
                for holder, text in self._waiting.pop(attribute, ()):
                    self._follow_string(holder, text)
        for text, keyword in unit.strings:
            if keyword and keyword not in self._attributes:
                self._waiting[keyword].append((module, text))
            else:
                self._follow_string(module, text)

    def _reach(self, module: str, name: str) -> None:
        if name not in self._reached[module]:
            self._reached[module].add(name)
            self._pending.append((module, name))

    def _reach_whole(self, module: str) -> None:
        for name in (BODY, *self._modules[module].definitions):
            self._reach(module, name)

    def units(self, module: str) -> dict[str, str]:
        """What is reached of a module -> its digest; ``BODY`` is its top level."""
        facts = self._modules[module]
        return {
            name: (facts.definitions[name] if name else facts.body).digest
            for name in sorted(self._reached[module])
        }

    def _module_digest(self, module: str) -> str:
        lines = [f"use {u}" for u in self._uses[module]]
        lines += [f"unit {name} {digest}" for name, digest in self.units(module).items()]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:32]

    # ---- names ------------------------------------------------------------

    def _enter_import(self, imported: Import) -> None:
        """What the import statement runs: bodies of the module and of the packages around it."""
        module, attribute = imported
        if not self._is_ours(module):
            self._foreign.add(module.partition(".")[0])
            return
        self._enter(module)
        if attribute and self._find(f"{module}.{attribute}"):
            self._enter(f"{module}.{attribute}")

    def _enter(self, module: str) -> None:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if self._load(name):
                self._reach(name, BODY)

    def _resolve(self, module: str, unit: Unit, dotted: str) -> None:
        head, *rest = dotted.split(".")
        facts = self._modules[module]
        imported = unit.bindings.get(head) or facts.body.bindings.get(head)
        if imported:
            self._uses[module].add(f"{head} {imported[0]}:{imported[1]}")
            self._follow(imported, tuple(rest))
        elif head in facts.definitions:
            self._reach(module, head)
        else:
            for star in facts.stars:
                exporter = self._load(star)
                if exporter and (head in exporter.definitions or head in exporter.body.bindings):
                    self._follow((star, head), tuple(rest))

    def _follow(self, imported: Import, rest: tuple[str, ...]) -> None:
        """Reach what ``imported.rest`` means: a function, a class, or all of a module."""
        if (imported, rest) in self._followed:
            return
        self._followed.add((imported, rest))
        module, attribute = imported
        if not self._is_ours(module):
            return
        parts = deque([attribute, *rest] if attribute else rest)
        while parts:
            part = parts.popleft()
            facts = self._load(module)
            if facts is None:
                return
            self._enter(module)
            if part in facts.definitions:
                return self._reach(module, part)
            if part in facts.body.bindings:
                return self._resolve(module, facts.body, ".".join([part, *parts]))
            if self._find(f"{module}.{part}"):
                module = f"{module}.{part}"
            elif part in facts.body.names:
                return None
            else:
                return self._reach_whole(module)
        if self._load(module):
            self._enter(module)
            self._reach_whole(module)
        return None

    def _follow_string(self, module: str, text: str) -> None:
        if MODULE_REFERENCE.fullmatch(text):
            target, _, attribute = text.partition(":")
            if self._is_ours(target) and self._find(target):
                self._follow((target, attribute), ())
        if DATA_REFERENCE.fullmatch(text) and (module or "/" in text):
            self._add_data(module, text)

    # ---- files ------------------------------------------------------------

    def _is_ours(self, module: str) -> bool:
        return bool(module) and self._find(module.partition(".")[0]) is not None

    def _find(self, module: str) -> str | None:
        """The file of a module below the root; a package comes before a module, as in Python."""
        if module not in self._paths:
            stem = os.path.join(self._root, *module.split("."))
            candidates = (os.path.join(stem, "__init__.py"), f"{stem}.py")
            self._paths[module] = next((c for c in candidates if self._look(c) != (0,) * 4), None)
        return self._paths[module]

    def _load(self, module: str) -> ModuleFacts | None:
        path = self._find(module)
        if path and module not in self._modules:
            self._modules[module] = self._read(path, module, self._look(path))
        return self._modules.get(module)

    def _look(self, path: str) -> Signature:
        if path not in self.seen:
            self.seen[path] = signature(path)
        return self.seen[path]

    def _add_data(self, module: str, text: str) -> None:
        """Files below the module's folder that ``text`` names or matches; of the component
        itself, the file below the root."""
        folder = os.path.dirname(str(self._find(module))) if module else self._root
        direct = os.path.join(folder, text)
        if self._look(direct) != (0,) * 4 and os.path.isfile(direct):
            paths = [direct]
        elif not module:
            return
        else:
            pattern = f"*{text}" if text.startswith(".") else f"*/{text}"
            paths = [f for f in self._listing(folder) if fnmatch.fnmatchcase(f, pattern)]
        for path in paths:
            real = os.path.realpath(path)
            if real.startswith(self._root + os.sep):
                self._look(path)
                content = Path(real).read_bytes()
                name = os.path.relpath(real, self._root).replace(os.sep, "/")
                self._data[name] = hashlib.sha256(content).hexdigest()[:32]

    def _listing(self, folder: str) -> list[str]:
        if folder not in self._listings:
            files = []
            for parent, folders, names in os.walk(folder):
                folders[:] = [f for f in folders if f != "__pycache__" and not f.startswith(".")]
                self._look(parent)
                files += [os.path.join(parent, n) for n in names]
            self._listings[folder] = files
        return self._listings[folder]
