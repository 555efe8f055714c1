"""The home's database, where a home cannot be."""

from __future__ import annotations

import os

import pytest

from platform_ctl.errors import HomeNotUsable
from platform_ctl.home.state import connect


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_file_is_no_home(tmp_path, home):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HomeNotUsable, match="cannot be the home"):
        connect(tmp_path / home / "platform.db")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("home", ["closed", "closed/below"])
def test_a_folder_that_may_not_be_written_is_no_home(tmp_path, home):
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(HomeNotUsable):
        connect(tmp_path / home / "platform.db")
