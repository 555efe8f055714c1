"""Features: defined once in ``definitions.py``, used for training and for serving.

``weekly.py`` computes them from the commits table into their own Iceberg
table, ``store.py`` serves that table through Feast, ``rows.py`` extracts
training rows, ``online.py`` reads the online store, ``live.py`` compares the two.
"""

from recipes.train_deploy.features.definitions import (
    FEATURE_NAMES,
    FEATURES,
    LOG_FEATURES,
)

__all__ = ["FEATURES", "FEATURE_NAMES", "LOG_FEATURES"]
