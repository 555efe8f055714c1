"""How wrong a prediction is: the loss that gate and canary compare."""

import numpy as np

from recipes.common.metrics import log_loss


def losses(prediction: np.ndarray, label: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log loss of each row (n,), in nats."""
    return log_loss(prediction, label)
