"""From data in Iceberg to a model in Staging and a request for approval."""

from kfp import dsl

from pipelines import training
from recipes.train_deploy.recipe import RECIPE


@dsl.pipeline(name=RECIPE.pipeline, description=training.DESCRIPTION)
def flow(max_trials: int = 20, epochs: int = 10, num_workers: int = 2, seed: int = 0):
    """Parameters: trials of the search, epochs and DDP workers of the final fit, seed of both."""
    training.train_and_register(
        RECIPE, max_trials=max_trials, seed=seed, epochs=epochs, num_workers=num_workers
    )
