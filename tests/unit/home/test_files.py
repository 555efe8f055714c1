import os
from pathlib import Path

import pytest

from platform_ctl.home import files


def test_a_replaced_file_is_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.replace(tmp_path / "token", b"abc")
    finally:
        os.umask(before)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["token"]


def _lock(path: Path) -> None:
    with files.locked(path, 1.0):
        pass


@pytest.mark.parametrize("write", [_lock, lambda path: files.append_line(path, b"line")])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_written_through_a_planted_link(tmp_path: Path, write, exists: bool) -> None:
    outside, planted = tmp_path / "outside", tmp_path / "lock"
    if exists:
        outside.write_text("precious")
    planted.symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        write(planted)
    assert outside.exists() == exists
    assert not exists or outside.read_text() == "precious"


def test_a_link_where_a_file_belongs_is_replaced_by_the_file(tmp_path: Path) -> None:
    outside, planted = tmp_path / "outside", tmp_path / "token"
    outside.write_text("precious")
    planted.symlink_to(outside)
    files.replace(planted, b"abc")
    assert (planted.is_symlink(), planted.read_bytes()) == (False, b"abc")
    assert outside.read_text() == "precious"
