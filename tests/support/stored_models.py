"""A model directory as the registry stores it, and the ways to alter it."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from platform_ctl.models.model import LOADER, WEIGHTS_DIR
from platform_ctl.models.stored import stored_digest

_PREDICTOR = """
from pathlib import Path

class Sum:
    def predict(self, rows):
        return rows.to_numpy().sum(axis=1) * FACTOR

def load(folder):
    Path(folder, "weights.bin").read_bytes()
    return Sum()
"""
_RUNS = "\nimport pathlib\npathlib.Path({folder!r}, 'ran').touch()\n"

Undo = Callable[[], object]


def write(folder: Path, *, factor: float = 1.0) -> tuple[Path, str]:
    """The directory and its digest. The model sums its two columns, times a factor."""
    (folder / "code").mkdir(parents=True)
    (folder / WEIGHTS_DIR).mkdir(parents=True)
    (folder / WEIGHTS_DIR / "weights.bin").write_bytes(bytes(range(64)))
    (folder / "code" / "predictor_stored.py").write_text(f"FACTOR = {factor}\n{_PREDICTOR}")
    (folder / "code" / "loader_stored.py").write_text(LOADER.format(predictor="predictor_stored"))
    columns = [{"name": n, "type": "double"} for n in ("a", "b")]
    flavor = {"loader_module": "loader_stored", "code": "code", "data": WEIGHTS_DIR}
    described = {
        "flavors": {"python_function": flavor},
        "signature": {"inputs": json.dumps(columns)},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    return folder, stored_digest(folder, folder / WEIGHTS_DIR)


def remove(folder: Path) -> None:
    """What the tests made in a checkout goes with them."""
    shutil.rmtree(folder)


def _rewrite(path: Path, content: bytes) -> Undo:
    before = path.read_bytes()
    path.write_bytes(content)
    return lambda: path.write_bytes(before)


def flip_a_bit_of_the_weights(folder: Path) -> Undo:
    path = folder / WEIGHTS_DIR / "weights.bin"
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    return _rewrite(path, bytes(content))


def append_to_the_code(folder: Path) -> Undo:
    path = folder / "code" / "predictor_stored.py"
    return _rewrite(path, path.read_bytes() + _RUNS.format(folder=str(folder)).encode())


def name_another_loader(folder: Path) -> Undo:
    path = folder / "MLmodel"
    return _rewrite(path, path.read_bytes().replace(b"loader_stored", b"antigravity"))


def add_a_module(folder: Path) -> Undo:
    path = folder / "code" / "yaml.py"
    path.write_text(_RUNS.format(folder=str(folder)))
    return path.unlink


ALTERATIONS = (flip_a_bit_of_the_weights, append_to_the_code, name_another_loader, add_a_module)


def plant_compiled_code(folder: Path) -> None:
    """A compiled file that passes for the predictor's: its source has the same time and size."""
    source = folder / "code" / "predictor_stored.py"
    other = folder / "other.py"
    other.write_text("FACTOR = 1.0\n" + _PREDICTOR + _RUNS.format(folder=str(folder)))
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir(exist_ok=True)
    py_compile.compile(str(other), cfile=str(compiled))
    content = bytearray(compiled.read_bytes())
    stat = source.stat()
    content[8:12] = (int(stat.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
    content[12:16] = (stat.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    compiled.write_bytes(content)
    other.unlink()
