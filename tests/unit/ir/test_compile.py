"""Sources that cannot be compiled, and two that would be one file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from platform_ctl.errors import BadPipelineSource
from platform_ctl.ir import compile as compiler
from platform_ctl.ir.catalogue import Pipelines
from tests.support import ir

GOOD = """
from kfp import dsl
print("hello from the source")
@dsl.component(base_image="example/python:1")
def add(): pass
@dsl.pipeline(name="noisy")
def flow(): add()
"""


@pytest.mark.parametrize(
    ("name", "source", "what", "line"),
    [
        ("syntax", "\n\ndef :\n", "SyntaxError", 3),
        ("exits", "import sys\nsys.exit(3)\n", "calls sys.exit", 2),
        ("raises", "\n1 / 0\n", "ZeroDivisionError", 2),
    ],
)
def test_what_does_not_compile_is_named_with_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    source: str,
    what: str,
    line: int,
) -> None:
    module = f"bad_{name}_pipeline"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert compiler.main([module]) == 1
    said = json.loads(capsys.readouterr().out)
    assert what in said["what"] and said["where"].endswith(f"{module}.py:{line}")


def test_what_a_source_prints_is_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noisy_source_pipeline.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert compiler.main(["noisy_source_pipeline"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["name"] == "noisy"
    assert "hello from the source" in printed.err


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    text = yaml.safe_dump(ir.document())
    found = [{"name": "same", "module": f"pipelines.{m}", "yaml": text} for m in ("a", "b")]
    with pytest.raises(BadPipelineSource, match="two pipelines") as refused:
        Pipelines(tmp_path, "pipelines")._by_name(found)
    assert refused.value.where == "pipelines/a.py and pipelines/b.py"


def test_ir_that_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    found = [
        {"name": "same", "module": "pipelines.a", "yaml": "#  sql: str [Default: 'a\nb']\n- x"}
    ]
    with pytest.raises(BadPipelineSource, match="read back"):
        Pipelines(tmp_path, "pipelines")._by_name(found)
