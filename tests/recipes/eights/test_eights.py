"""The recipe keeps its contract, and learns something from rows like its own."""

from pathlib import Path

import numpy as np

from platform_ctl.recipe.check import check
from recipes.eights import losses, predict, train
from recipes.eights.recipe import RECIPE
from recipes.eights.table import TABLE


def test_it_keeps_the_contract():
    assert check(RECIPE, Path(__file__).parents[3]) == []


def test_a_model_is_what_was_saved(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, len(TABLE.features)))
    label = (x[:, 0] + x[:, -1] > 0).astype(float)
    digest = predict.save(train.booster({}, x, label), tmp_path)
    loaded = predict.load(tmp_path)
    assert loaded.digest == digest and loaded.features == TABLE.features
    columns = dict(zip(TABLE.features, x.T, strict=True))
    found = loaded.predict(columns)
    assert found.shape == (200,) and np.array_equal(found, loaded.predict(x))
    assert (
        losses.losses(found, label, label).mean()
        < losses.losses(np.full(200, label.mean()), label, label).mean()
    )
