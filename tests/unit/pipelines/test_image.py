"""One image runs a recipe's steps and its trials: the name is written in one way everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.components import IMAGE

ROOT = Path(__file__).parents[3]
FILES = [
    *sorted(ROOT.glob("recipes/*/experiment.yaml")),
    *sorted(ROOT.glob("pipelines/compiled/*.yaml")),
]


def images(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from images(value)
    elif isinstance(node, list):
        for item in node:
            yield from images(item)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_steps_and_trials_run_in_the_image_that_components_name(file: Path) -> None:
    found = {
        image for document in yaml.safe_load_all(file.read_text()) for image in images(document)
    }
    assert found == {IMAGE}
