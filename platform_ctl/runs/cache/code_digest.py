"""Digest of the code that a thin component reaches in this project.

Followed from the component's source: imports of modules below the project
root, by name. A reached module counts by its body (module-level statements,
whose imports run whenever it is imported) and by the functions, classes and
constants that reached code names; what a function imports when it is called is followed
only if the function is reached. A class counts whole.

Also followed: an input of the step that is such a reference, or the path of a data file below the
root; a string ``"package.module"`` or ``"package.module:function"``
that names a module of the project, and a string that names (or, with ``*``,
matches) a data file in the folder of the module that holds it or below. In a
module-level call such as ``Recipe(trial="recipes.x.train:run_trial")`` such a
string is followed where reached code uses an attribute of that keyword's name
(``.trial``). Other distributions count by their version; the standard library
by Python's minor version.

Not seen: names put together at run time (``import_module(f"…{x}")``).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from platform_ctl.home.state import transaction
from platform_ctl.runs.cache import distributions
from platform_ctl.runs.cache.code_walk import CodeReach, Signature, signature
from platform_ctl.runs.cache.fingerprint import CLOCK_TICK_NS
from platform_ctl.runs.cache.key import CodeDigest
from platform_ctl.runs.cache.module_facts import (
    DATA_REFERENCE,
    MODULE_REFERENCE,
    ModuleFacts,
    parse,
)

M = TypeVar("M", bound=msgspec.Struct)


class _DigestMemo(msgspec.Struct, frozen=True):
    """A digest, and every path that was looked at to compute it."""

    at_ns: int
    seen: dict[str, Signature]
    modules: dict[str, str]
    data: dict[str, str]
    packages: dict[str, str]


class _FileMemo(msgspec.Struct, frozen=True):
    at_ns: int
    signature: Signature
    facts: ModuleFacts


class _UnitsMemo(msgspec.Struct, frozen=True):
    """What a module's digest was made of: name of a unit -> its digest."""

    units: dict[str, str]


def units(db: sqlite3.Connection, module_digest: str) -> Mapping[str, str]:
    """Functions, classes and constants behind a module's digest ("" is its top level), with
    theirs; empty when it is not remembered."""
    memo = _recall(db, _units_key(module_digest), _UnitsMemo)
    return memo.units if memo else {}


class CodeDigester:
    """Computes CodeDigests and, unless it only looks, remembers them in the home's database.

    A remembered digest stands while no path that went into it has changed (one
    ``stat`` each), a remembered file while it is the same file.
    """

    def __init__(
        self, project_root: Path, db: sqlite3.Connection, *, remember: bool = True
    ) -> None:
        self._root = project_root.resolve()
        self._db = db
        self._is_remembering = remember
        self._new: dict[str, msgspec.Struct] = {}

    def digest(self, source: str, inputs: Iterable[object] = ()) -> CodeDigest:
        """What the component with this embedded source reaches; '' reaches nothing.

        ``inputs``: values of its parameters; those that are references are followed.
        """
        if not source:
            return CodeDigest()
        named = sorted({v for v in inputs if isinstance(v, str) and _is_reference(v)})
        text = f"{source}\n_ = {named!r}\n" if named else source
        code = text.encode("utf-8", "surrogatepass")
        places = "\0".join([str(self._root), sys.version, *distributions.folders()])
        key = hashlib.sha256(f"{places}\0".encode() + code).hexdigest()
        memo = _recall(self._db, key, _DigestMemo)
        if memo and all(_is_same(p, then, memo.at_ns) for p, then in memo.seen.items()):
            return CodeDigest(modules=memo.modules, data=memo.data, packages=memo.packages)
        begun = time.time_ns()
        walk = CodeReach(self._root, self._facts)
        reach = walk.run(parse(code, "", is_package=True))
        seen = walk.seen | {p: signature(p) for p in distributions.folders()}
        memo = _DigestMemo(begun, seen, dict(reach.modules), dict(reach.data), dict(reach.packages))
        made_of = {_units_key(d): _UnitsMemo(walk.units(m)) for m, d in reach.modules.items()}
        self._remember({**self._new, **made_of, key: memo})
        self._new.clear()
        return reach

    def _facts(self, path: str, module: str, current: Signature) -> ModuleFacts:
        memo = _recall(self._db, path, _FileMemo)
        if memo and memo.signature == current and _is_old(current, memo.at_ns):
            return memo.facts
        begun = time.time_ns()
        source = Path(path).read_bytes()
        facts = parse(source, module, is_package=os.path.basename(path) == "__init__.py")
        self._new[path] = _FileMemo(begun, current, facts)
        return facts

    def _remember(self, memos: Mapping[str, msgspec.Struct]) -> None:
        if not self._is_remembering:
            return
        with transaction(self._db):
            self._db.executemany(
                "INSERT OR REPLACE INTO code_memo (key, memo, remembered_at)"
                " VALUES (?, ?, unixepoch())",
                [(key, msgspec.msgpack.encode(memo)) for key, memo in memos.items()],
            )


def _recall(db: sqlite3.Connection, key: str, kind: type[M]) -> M | None:
    row = db.execute("SELECT memo FROM code_memo WHERE key = ?", (key,)).fetchone()
    return msgspec.msgpack.decode(row[0], type=kind) if row else None


def _units_key(module_digest: str) -> str:
    return f"units {module_digest}"


def _is_same(path: str, then: Signature, at_ns: int) -> bool:
    return signature(path) == then and _is_old(then, at_ns)


def _is_old(then: Signature, at_ns: int) -> bool:
    """Whether a later write would have changed the signature: see CLOCK_TICK_NS."""
    return max(then[1], then[2]) + CLOCK_TICK_NS < at_ns


def _is_reference(value: str) -> bool:
    """``package.module:name``, or a path with folders of a file that ends like data."""
    if MODULE_REFERENCE.fullmatch(value):
        return ":" in value
    return "/" in value and bool(DATA_REFERENCE.fullmatch(value))
