"""From rows in Iceberg to a model in Staging and a request for approval."""

from kfp import dsl

from pipelines import training
from recipes.eights.recipe import RECIPE


@dsl.pipeline(name=RECIPE.pipeline, description=training.DESCRIPTION)
def flow(max_trials: int = 10, seed: int = 0):
    """Parameters: trials of the search, seed of search and fit."""
    training.train_and_register(RECIPE, max_trials=max_trials, seed=seed)
