"""What one Python file defines and refers to, found without importing it.

The unit is a top-level function, class or constant (a name that the module's
top level binds once), or the module's body: every other top-level statement. A
unit's digest is that of its syntax tree, so comments, blank lines, layout and
docstrings do not count.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter

import msgspec

MODULE_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:[A-Za-z_]\w*)?")
"""``package.module`` or ``package.module:function`` in a string."""
DATA_SUFFIXES = (
    r"ya?ml|json|jsonl|sql|toml|csv|tsv|txt|html|md|parquet|ini|cfg|j2|proto|safetensors|npz"
)
DATA_REFERENCE = re.compile(rf"[\w./*\[\]?-]*\.({DATA_SUFFIXES})")
"""A file name, a path or a glob that ends like data."""

Import = tuple[str, str]
"""(module, attribute); the attribute is '' for the module itself."""


class Unit(msgspec.Struct, frozen=True):
    """A function, a class, a constant or a module's body."""

    digest: str
    names: tuple[str, ...] = ()
    """Dotted names that it uses, as far as they are plain: ``train.fit``."""
    attributes: tuple[str, ...] = ()
    """Every attribute name that it uses, on whatever object."""
    strings: tuple[tuple[str, str], ...] = ()
    """(text, keyword) of strings that look like a module or a data file; the keyword is
    the call's argument that holds it (``Recipe(trial="…")``), '' elsewhere."""
    bindings: dict[str, Import] = {}
    """Local name -> what it was imported from, inside this unit."""
    imports: tuple[Import, ...] = ()
    """What executing the unit imports."""


class ModuleFacts(msgspec.Struct, frozen=True):
    """One module."""

    body: Unit
    definitions: dict[str, Unit]
    stars: tuple[str, ...] = ()
    """Modules of ``from m import *``."""


def parse(source: bytes, module: str, *, is_package: bool) -> ModuleFacts:
    """The facts of a module. What is not Python counts by its bytes and refers to nothing."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ModuleFacts(Unit(hashlib.sha256(source).hexdigest()), {})
    _drop_docstrings(tree)
    package = module if is_package else module.rpartition(".")[0]
    definitions: dict[str, Unit] = {}
    statements: list[ast.stmt] = []
    constants = _constants(tree)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions[statement.name] = _unit([statement], package, keywords=False)
        elif statement in constants:
            definitions[constants[statement]] = _unit([statement], package, keywords=True)
        elif not _is_type_checking(statement):
            statements.append(statement)
    stars = tuple(
        _absolute(s, package)
        for s in statements
        if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"
    )
    return ModuleFacts(_unit(statements, package, keywords=True), definitions, stars)


def _constants(tree: ast.Module) -> dict[ast.stmt, str]:
    """``NAME = …`` statements of the top level whose name is bound nowhere else there."""
    constants: dict[ast.stmt, str] = {}
    bound: Counter[str] = Counter()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound[statement.name] += 1
            continue
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ):
                constants[statement] = name
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound[node.id] += 1
    return {s: name for s, name in constants.items() if bound[name] == 1 and name != "__all__"}


def _unit(statements: list[ast.stmt], package: str, *, keywords: bool) -> Unit:
    references = _References(package, keywords)
    for statement in statements:
        references.visit(statement)
    dumped = "\n".join(
        ast.dump(s) for s in statements if not isinstance(s, ast.Import | ast.ImportFrom)
    )
    return Unit(
        digest=hashlib.sha256(dumped.encode("utf-8", "surrogatepass")).hexdigest(),
        names=tuple(sorted(references.names)),
        attributes=tuple(sorted(references.attributes)),
        strings=tuple(sorted(references.strings)),
        bindings=references.bindings,
        imports=tuple(dict.fromkeys(references.imports)),
    )


class _References(ast.NodeVisitor):
    """Collects what the nodes it visits refer to."""

    def __init__(self, package: str, keywords: bool) -> None:
        self.package = package
        self.keywords = keywords
        self.keyword = ""
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.strings: set[tuple[str, str]] = set()
        self.bindings: dict[str, Import] = {}
        self.imports: list[Import] = []

    def visit_If(self, node: ast.If) -> None:
        for child in node.orelse if _is_type_checking(node) else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self.bindings[bound] = (alias.name if alias.asname else bound, "")
            self.imports.append((alias.name, ""))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = _absolute(node, self.package)
        for alias in node.names:
            if alias.name == "*":
                self.imports.append((module, ""))
            else:
                self.bindings[alias.asname or alias.name] = (module, alias.name)
                self.imports.append((module, alias.name))

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        self.attributes.update(chain)
        if isinstance(inner, ast.Name):
            self.names.add(".".join([inner.id, *reversed(chain)]))
        else:
            self.visit(inner)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "attrgetter"):
            constants = (a.value for a in node.args if isinstance(a, ast.Constant))
            self.attributes.update(c for c in constants if isinstance(c, str))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        outer, self.keyword = self.keyword, self.keyword or (node.arg or "")
        self.generic_visit(node)
        self.keyword = outer

    def visit_Constant(self, node: ast.Constant) -> None:
        text = node.value
        if not isinstance(text, str) or len(text) > 200:
            return
        if MODULE_REFERENCE.fullmatch(text) or DATA_REFERENCE.fullmatch(text):
            self.strings.add((text, self.keyword if self.keywords else ""))


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Module(body=body) | ast.ClassDef(body=body):
                # Strings below attributes document as well, and do nothing either.
                node.body = [s for s in body if not _is_string(s)]
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
                node.body = [s for s in body if not _is_string(s)]


def _is_string(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _is_type_checking(statement: ast.stmt) -> bool:
    match statement:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return not statement.orelse
    return False


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
