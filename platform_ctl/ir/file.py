"""Compiled pipeline file -> checked ``ir.pipeline.Pipeline``. Hostile input is expected."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import yaml

from platform_ctl.errors import BadPipelineFile
from platform_ctl.ir import check as ir_check
from platform_ctl.ir.pipeline import Pipeline

_MAX_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 200
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_NODES = 2_000_000
"""More than any real pipeline; aliases that multiply stop here."""


def read(path: Path) -> Pipeline:
    """Load and check one compiled file. Raises BadPipelineFile."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise _bad(f"cannot read the pipeline: {exc.strerror}", path) from exc
    return parse(data, path)


def parse(data: bytes, path: Path) -> Pipeline:
    """As ``read``, from bytes; ``path`` is for messages."""
    if len(data) > _MAX_BYTES:
        raise _bad(f"larger than {_MAX_BYTES} bytes", path)
    try:
        documents = _documents(data, path)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise _bad(f"not plain YAML: {_first_line(exc)}", path) from exc
    _check_plain(documents, path)
    first = documents[0] if documents else None
    if not isinstance(first, dict) or "pipelineInfo" not in first:
        raise _bad("not a compiled KFP v2 pipeline (there is no pipelineInfo)", path)
    platforms: dict[str, Any] = {}
    for extra in documents[1:]:
        if not isinstance(extra, dict) or set(extra) != {"platforms"}:
            raise _bad("a second document that is not `platforms`", path)
        platforms = extra["platforms"]
    try:
        pipeline = msgspec.convert({**first, "platforms": platforms}, Pipeline)
    except msgspec.ValidationError as exc:
        raise _bad(f"the IR is malformed: {exc}", path) from exc
    if not pipeline.schema_version.startswith("2."):
        raise _bad(f"schema version {pipeline.schema_version!r} is not 2.x", path)
    ir_check.check(pipeline)
    return pipeline


def _documents(data: bytes, path: Path) -> list[Any]:
    """JSON by JSON's rules (its ``1e-05`` is text for YAML 1.1), everything else as YAML."""
    if data.lstrip()[:1] == b"{":
        with contextlib.suppress(json.JSONDecodeError):
            return [json.loads(data, parse_constant=_not_json)]
    _check_depth(data, path)
    return list(yaml.load_all(data, Loader=_LOADER))


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} has no place in JSON")


def _check_depth(data: bytes, path: Path) -> None:
    """Deep nesting overflows the stack of the C loader; its event parser has none (1 ms)."""
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _bad(f"nested more than {_MAX_DEPTH} deep", path)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_plain(documents: list[Any], path: Path) -> None:
    """Only what JSON has, and not too much of it."""
    todo, count = [(document, 1) for document in documents], 0
    while todo:
        node, depth = todo.pop()
        count += 1
        if depth > _MAX_DEPTH:
            raise _bad(f"nested more than {_MAX_DEPTH} deep", path)
        if count > _MAX_NODES:
            raise _bad("the YAML expands to too much (aliases?)", path)
        if isinstance(node, dict):
            if not all(isinstance(key, str) for key in node):
                raise _bad("a mapping key that is not a string", path)
            todo.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list):
            todo.extend((item, depth + 1) for item in node)
        elif node is not None and not isinstance(node, str | int | float | bool):
            raise _bad(f"a value that JSON does not have: {node!r:.60}", path)


def _bad(what: str, path: Path) -> BadPipelineFile:
    return BadPipelineFile(what, where=str(path), fix="platform-ctl pipeline compile")


def _first_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200] or type(exc).__name__
