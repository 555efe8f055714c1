"""Registered models: versions, aliases, evaluation, prediction; MLflow is the registry."""
