"""Named files in a folder and in an object store behave alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.common.files import files_at


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "golden" / "recipe"
    return str(folder) if request.param == "folder" else f"memory:/{folder}"


def test_what_was_written_is_read_and_replaced(place: str) -> None:
    files = files_at(place)
    files.write("pin.json", b"one")
    files.write("pin.json", b"two")
    assert files_at(place).read("pin.json") == b"two"
    assert files.where("pin.json") == f"{place}/pin.json"


def test_a_file_that_is_not_there_is_named_by_its_error(place: str) -> None:
    with pytest.raises(FileNotFoundError):
        files_at(place).read("absent.json")
