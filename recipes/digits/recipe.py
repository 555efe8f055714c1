"""Is a handwritten digit odd? Read this file first.

An image classifier: a convolutional network in PyTorch, data-parallel through Ray Train. Workers,
their CPUs and GPUs and an existing Ray cluster are settings (``training.*``), not code.
"""

from platform_ctl.ir.parameters import Allowed
from platform_ctl.recipe.recipe import Budget, CanaryPlan, DataSource, GateThresholds, Loss, Recipe

SIDE = 8
"""Of an image, in pixels; a pixel is a number from 0 (paper) to 16 (ink)."""
FEATURES = tuple(f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE))
LOSS = Loss("log_loss", "log loss", "nats")
BUDGET = Budget(trials=20, wall_s=900.0, cpu_s=1800.0)
"""What one search may spend."""
GATE = GateThresholds(
    0.7,
    # A convolution has to be worth it: the best baseline is a logistic regression on the pixels.
    min_gain_over_baseline=0.3,
    # Another seed moves the loss by a third (docs/decisions/0295-fits-on-workers-and-clusters.md).
    champion_margin=0.35,
    min_rows=200,
    slice_ceiling={"light": 1.0, "heavy": 1.0},
)
"""What a model must reach to be registered; the first figure is the loss it may not exceed."""

RECIPE = Recipe(
    package=__package__,
    title="Probability that a handwritten digit is odd",
    model_name="digits",
    loss=LOSS,
    features=FEATURES,
    budget=BUDGET,
    gate=GATE,
    canary=CanaryPlan(min_requests=50),
    sources={
        "csv": DataSource("Read CSV or Parquet files at PATH….", takes_paths=True),
        "sample": DataSource("Take the digits that scikit-learn ships."),
    },
    records_title="images",
    pipeline="digits",
    parameters={
        "epochs": Allowed(minimum=1, maximum=10_000),
        # Workers share a batch evenly, and the smallest batch of the search is 32.
        "num_workers": Allowed(choices=(1, 2, 4, 8, 16, 32), workers=True),
    },
    table="digits.rows",
)
