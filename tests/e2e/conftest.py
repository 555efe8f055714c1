"""Fixtures that several end-to-end modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from learning import wiring
from platform_ctl import settings as settings_module

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """The fault lab: a home with a finished small run in seconds, once its base was built."""
    home = tmp_path_factory.mktemp("lab") / "home"
    settings = settings_module.load(cwd=ROOT, env={}, flags={"home": str(home)}).settings
    sandbox = wiring.lab(settings)
    yield sandbox
    sandbox.remove()
