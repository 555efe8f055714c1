"""What holds for every test."""

from __future__ import annotations

import hypothesis
import pytest

# Time is judged by benchmarks; a busy machine must not fail a property.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

LEARNING = ("tests/e2e/test_lab", "tests/e2e/test_exit_test", "tests/docs/test_tutorial")
"""What people learn from, played through: a quarter of an hour, so `make learning` runs it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(LEARNING):
            item.add_marker(pytest.mark.learning)
