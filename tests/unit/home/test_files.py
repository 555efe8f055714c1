import os
from pathlib import Path

from platform_ctl.home import files


def test_a_replaced_file_is_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.replace(tmp_path / "token", b"abc")
    finally:
        os.umask(before)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["token"]
