"""Every name under which this recipe keeps something. Two recipes share none of them.

All recipes of a project live in one home: one Iceberg catalog, one MLflow, one
fleet of services. Whatever a recipe writes there is found by these names only.
The first four are chosen; the others live inside them.
"""

RECIPE = "train_deploy"
"""The folder, and the folders and locks of the home that are this recipe's own."""
PIPELINE = "train-deploy"
MODEL = "weekly-commits"
"""Registered model, its MLflow experiment and its InferenceService."""
NAMESPACE = "abukix"
"""Of the Iceberg tables, and the Feast project over them."""

COMMITS = f"{NAMESPACE}.commits"
FEATURES = f"{NAMESPACE}.repo_weekly_features"
REPO_WEEKS = f"{NAMESPACE}.repo_weeks"
FEATURE_VIEW = "repo_weekly"
FEATURE_SERVICE = "commit_forecast_v1"
