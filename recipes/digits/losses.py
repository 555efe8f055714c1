"""How wrong a prediction is: the loss that gate and canary compare, in nats."""

from recipes.common.losses import log_loss as losses

__all__ = ["losses"]
