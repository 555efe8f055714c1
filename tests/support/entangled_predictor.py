"""A predictor that imports from the project, which a registered model must not."""

from recipes.train_deploy.predict import load, model_digest

__all__ = ["load", "model_digest"]
