"""What a recipe's source says, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.recipe.recipe import Recipe


def line_of(file: Path, *path: str) -> int:
    """Where ``Recipe(argument=…)`` is given; for a longer path, where the call behind it says so.

    A name is followed to where the module assigns it: ``gate=GATE`` is at ``GATE = …``. The call
    itself where something is left out; 0 where the file holds no such call.
    """
    tree = ast.parse(file.read_bytes())
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    call = next((node for node in ast.walk(tree) if _is_call_of(node, Recipe.__name__)), None)
    line = 0
    for argument in path:
        if not isinstance(call, ast.Call):
            break
        line = call.lineno
        value = next((k.value for k in call.keywords if k.arg == argument), None)
        if value is None:
            break
        if isinstance(value, ast.Name):
            value = assigned.get(value.id, value)
        line, call = value.lineno, value
    return line


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == name


def reported_metrics(file: Path) -> frozenset[str] | None:
    """The keys that every ``return`` of ``trial`` in train.py has; None where it cannot be read
    off: only dictionaries that are written out, or made ``for name in`` some texts, count."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "trial"]
    returned = [_keys(node.value) for trial in functions for node in _returns(trial)]
    known = [keys for keys in returned if keys is not None]
    return frozenset.intersection(*known) if known and len(known) == len(returned) else None


def _returns(node: ast.AST) -> Iterator[ast.Return]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from _returns(child)


def _keys(value: ast.expr | None) -> frozenset[str] | None:
    if isinstance(value, ast.Dict):
        return _texts(value.keys)
    if isinstance(value, ast.DictComp) and isinstance(value.key, ast.Name):
        (first, *more) = value.generators
        named = isinstance(first.target, ast.Name) and first.target.id == value.key.id
        if named and not more and not first.ifs and isinstance(first.iter, ast.Tuple | ast.List):
            return _texts(first.iter.elts)
    return None


def _texts(nodes: list[ast.expr | None] | list[ast.expr]) -> frozenset[str] | None:
    texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return frozenset(texts) if len(texts) == len(nodes) else None


def texts_of(file: Path) -> set[str]:
    """Every text that is written in a file, the names of keyword arguments included."""
    nodes = list(ast.walk(ast.parse(file.read_bytes())))
    texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return texts | {n.arg for n in nodes if isinstance(n, ast.keyword) and n.arg}


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import, also of those inside functions; ``.`` for a relative one."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
