"""What holds for every test."""

from __future__ import annotations

import hypothesis
import pytest

# Time is judged by benchmarks; a busy machine must not fail a property.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

SLOW = (
    "tests/ci/test_compile_upload",
    "tests/cli/test_damaged_home",
    "tests/cli/test_outside",
    "tests/cli/test_pipeline_upload",
    "tests/contract/test_orchestrator_faults",
    "tests/contract/test_registry.py::test_the_model_runs_where_the_repository_is_not",
    "tests/contract/test_registry_creation",
    "tests/contract/test_serving_hostile",
    "tests/contract/test_serving_revisions",
    "tests/contract/test_training",
    "tests/contract/test_trial_executors",
    "tests/docs/test_tutorial",
    "tests/e2e/",
)
"""Suites that kill processes, drive a browser or Prometheus, or take minutes each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
