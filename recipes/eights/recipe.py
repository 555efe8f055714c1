"""Is a handwritten digit an eight? One in ten is. Read this file first.

A classifier with class imbalance, by LightGBM. What the model must reach, and for which images.
"""

from platform_ctl.recipe.recipe import Budget, CanaryPlan, DataSource, GateThresholds, Loss, Recipe

FEATURES = (
    "pixel_0_0", "pixel_0_1", "pixel_0_2", "pixel_0_3", "pixel_0_4", "pixel_0_5",
    "pixel_0_6", "pixel_0_7", "pixel_1_0", "pixel_1_1", "pixel_1_2", "pixel_1_3",
    "pixel_1_4", "pixel_1_5", "pixel_1_6", "pixel_1_7", "pixel_2_0", "pixel_2_1",
    "pixel_2_2", "pixel_2_3", "pixel_2_4", "pixel_2_5", "pixel_2_6", "pixel_2_7",
    "pixel_3_0", "pixel_3_1", "pixel_3_2", "pixel_3_3", "pixel_3_4", "pixel_3_5",
    "pixel_3_6", "pixel_3_7", "pixel_4_0", "pixel_4_1", "pixel_4_2", "pixel_4_3",
    "pixel_4_4", "pixel_4_5", "pixel_4_6", "pixel_4_7", "pixel_5_0", "pixel_5_1",
    "pixel_5_2", "pixel_5_3", "pixel_5_4", "pixel_5_5", "pixel_5_6", "pixel_5_7",
    "pixel_6_0", "pixel_6_1", "pixel_6_2", "pixel_6_3", "pixel_6_4", "pixel_6_5",
    "pixel_6_6", "pixel_6_7", "pixel_7_0", "pixel_7_1", "pixel_7_2", "pixel_7_3",
    "pixel_7_4", "pixel_7_5", "pixel_7_6", "pixel_7_7",
)  # fmt: skip
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
        "sample": DataSource("Take the digits that scikit-learn ships."),
    },
    records_title="images",
    pipeline="eights",
    table="eights.rows",
)
