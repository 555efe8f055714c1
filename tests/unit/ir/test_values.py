"""Parameter files: JSON as JSON, YAML as Kubernetes reads it, the rest refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_ctl.errors import BadParameter
from platform_ctl.ir.values import read_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"lr": 1e-05, "opts": {"eps": 1e-08}}', {"lr": 1e-05, "opts": {"eps": 1e-08}}),
        ('{"mark": "\\ud83d\\ude80"}', {"mark": "\U0001f680"}),
        ("lr: 1e-05\nn: 10\nbig: 1.5E+3", {"lr": 1e-05, "n": 10, "big": 1500.0}),
        ("since: 2024-01-31\nat: 12:30", {"since": "2024-01-31", "at": "12:30"}),
        ("{lr: 0.5, on: yes}", {"lr": 0.5, True: True}),
        ('\ufeff{"lr": 0.5}', {"lr": 0.5}),
    ],
)
def test_what_a_file_holds(tmp_path: Path, text: str, values: dict[Any, Any]) -> None:
    file = tmp_path / "p"
    file.write_text(text, encoding="utf-8")
    if all(isinstance(name, str) for name in values):
        assert read_values(file) == values
    else:
        with pytest.raises(BadParameter, match="is not text"):
            read_values(file)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"opts: {b: .inf}", "JSON does not have"),
        (b'{"lr": NaN}', "no place in JSON"),
        (b"blob: !!binary aGk=", "JSON does not have"),
        (b"opts: {1: a}", "not text"),
        (b'{"lr": 1' + b"0" * 400 + b"}", "larger"),
        (b'{"mark": "\\ud83d"}', "Unicode"),
        (b"- a", "not a mapping"),
        (b"", "not a mapping"),
        (b"lr: \xff", "cannot read"),
        (b"a: 1\n---\nb: 2", "cannot read"),
        (b"a: " + b"[" * 300 + b"]" * 300, "deep|recursion"),
    ],
)
def test_what_is_no_value_of_kfp_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "p"
    file.write_bytes(data)
    with pytest.raises(BadParameter, match=says):
        read_values(file)
