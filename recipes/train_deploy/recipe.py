"""Predict the commits of next week, for every repository. Read this file first.

What the recipe reads, what it may spend, what a model must reach and how a
release steps up; what it is called is in ``names.py``. Its code lies in the
modules beside it that ``platform_ctl/recipe/contract.py`` lists.
"""

from typing import Literal

from platform_ctl.ir.parameters import Allowed
from platform_ctl.recipe.recipe import (
    Budget,
    CanaryPlan,
    DataSource,
    GateThresholds,
    Loss,
    Option,
    Recipe,
)
from recipes.train_deploy import names
from recipes.train_deploy.features import FEATURE_NAMES

EXPERIMENT_FILE = "experiment.yaml"

MASE = Loss("mase", "MASE")
"""Absolute error over the repository's own training-period error of the last-week forecast
(Hyndman and Koehler, 2006): 1.0 is as good as last week."""

BUDGET = Budget(trials=20, wall_s=900.0, cpu_s=1800.0)
"""What one search may spend."""

GATE = GateThresholds(
    # 1.0 is the last-week forecast on the training weeks. Busy weeks may lift every
    # forecast, so the ceiling is loose; the comparison with the baselines is the judge.
    max_loss=1.5,
    min_gain_over_baseline=0.02,
    # Retraining the same data with another seed moves the MASE by less than this
    # (docs/decisions/0032-model-quality.md).
    champion_margin=0.02,
    # No slice may be worse than its better naive forecast by more than a tenth.
    slice_ceiling={"small": 1.10, "bursty": 1.10, "steady": 1.10},
    min_rows=60,
)
"""What a model must reach to be registered."""

CANARY = CanaryPlan(weights_percent=(10, 25, 50, 100), min_requests=200)
"""How a release steps up; an approval is bound to it."""

GOLDEN: Literal["rolling", "frozen"] = "rolling"
"""Each run is judged on the newest twelve complete weeks."""

MAX_TRAINING_AGE_DAYS = 196
"""Training ends 20 weeks before the newest complete week (validation and golden weeks follow);
eight weeks without a retrain are too many."""

PARAMETERS = {
    "max_trials": Allowed(minimum=1, maximum=1000),
    "epochs": Allowed(minimum=1, maximum=10_000),
    # Workers share a batch evenly, and the smallest batch of the search is 64.
    "num_workers": Allowed(choices=(1, 2, 4, 8, 16, 32, 64), workers=True),
    "seed": Allowed(minimum=0, maximum=2**32 - 1),
}
"""What the pipeline's parameters may be; said before anything runs."""

RECIPE = Recipe(
    package=__package__,
    title="Commits of the next seven days, for each repository",
    model_name=names.MODEL,
    loss=MASE,
    features=FEATURE_NAMES,
    budget=BUDGET,
    gate=GATE,
    canary=CANARY,
    sources={
        "git": DataSource("Read the histories of the git clones at PATH….", takes_paths=True),
        "sample": DataSource(
            "Write the deterministic sample.",
            options={"seed": Option("Seed of another sample than the default one.", int)},
        ),
    },
    golden=GOLDEN,
    max_training_age_days=MAX_TRAINING_AGE_DAYS,
    entity="repo",
    entity_title="repository",
    records_title="commits",
    pipeline=names.PIPELINE,
    parameters=PARAMETERS,
    table=names.COMMITS,
    feature_service=names.FEATURE_SERVICE,
    feature_project=names.NAMESPACE,
    feature_views=(names.FEATURE_VIEW,),
)
