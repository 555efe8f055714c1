"""Is a handwritten digit an eight? One in ten is. Read this file first.

A classifier with class imbalance and labels that come later, by LightGBM. What the model must
reach, and for which images.
"""

from platform_ctl.recipe.recipe import (
    Budget,
    CanaryPlan,
    DataSource,
    GateThresholds,
    Loss,
    Option,
    Recipe,
)

FEATURES = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
LOSS = Loss("log_loss", "log loss", "nats")
BUDGET = Budget(trials=20, wall_s=600.0, cpu_s=1200.0)
"""What one search may spend."""
GATE = GateThresholds(
    0.7,
    min_gain_over_baseline=0.2,
    champion_margin=0.05,
    min_rows=200,
    # Thin and thick strokes alike: neither may fall behind the base rate.
    slice_ceiling={"light": 1.0, "heavy": 1.0},
)
"""What a model must reach to be registered; the first figure is the loss it may not exceed."""

RECIPE = Recipe(
    package=__package__,
    title="Probability that a handwritten digit is an eight",
    model_name="eights",
    loss=LOSS,
    features=FEATURES,
    budget=BUDGET,
    gate=GATE,
    canary=CanaryPlan(min_requests=50),
    sources={
        "csv": DataSource("Read CSV or Parquet files at PATH….", takes_paths=True),
        "sample": DataSource(
            "Take the digits that scikit-learn ships.",
            options={"unlabelled": Option("Leave out the labels of the last N images.", int)},
        ),
        "labels": DataSource("Read labels that came later: image and is_eight.", takes_paths=True),
    },
    entity="image",
    entity_title="image",
    records_title="images",
    pipeline="eights",
    table="eights.rows",
)
