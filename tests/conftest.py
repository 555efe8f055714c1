"""What holds for every test."""

from __future__ import annotations

import hypothesis
import pytest

# Time is judged by benchmarks; a busy machine must not fail a property.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

HEAVY = ("tests/e2e/", "tests/docs/test_tutorial", "tests/contract/test_serving")
"""Start services, Ray or whole runs: one at a time, so that they measure themselves."""

LEARNING = ("tests/e2e/test_lab", "tests/e2e/test_exit_test", "tests/docs/test_tutorial")
"""What people learn from, played through: a quarter of an hour, so `make learning` runs it."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker takes the heavy tests, in order; the others share the rest by file."""
    for item in items:
        heavy = item.nodeid.startswith(HEAVY)
        group = "heavy" if heavy else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
        if item.nodeid.startswith(LEARNING):
            item.add_marker(pytest.mark.learning)
