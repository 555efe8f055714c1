"""Katib Experiments on this machine: Optuna suggests, processes or Ray tasks evaluate."""
