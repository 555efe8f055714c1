"""Predict the commits of next week, for every repository. Read this file first.

What the recipe reads, what it may spend, what a model must reach and how a
release steps up; what it is called is in ``names.py``. The code behind each
name is imported only when it is called: importing this file is cheap.
"""

from platform_ctl.ir.parameters import Allowed
from platform_ctl.recipe.recipe import Budget, CanaryPlan, GateThresholds, Recipe
from recipes.train_deploy import names
from recipes.train_deploy.features import FEATURE_NAMES

EXPERIMENT_FILE = "experiment.yaml"

BUDGET = Budget(trials=20, wall_s=900.0, cpu_s=1800.0)
"""What one search may spend."""

GATE = GateThresholds(
    # 1.0 is the last-week forecast on the training weeks. Busy weeks may lift every
    # forecast, so the ceiling is loose; the comparison with the baselines is the judge.
    max_mase=1.5,
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

PARAMETERS = {
    "max_trials": Allowed(minimum=1, maximum=1000),
    "epochs": Allowed(minimum=1, maximum=10_000),
    # Workers share a batch evenly, and the smallest batch of the search is 64.
    "num_workers": Allowed(choices=(1, 2, 4, 8, 16, 32, 64), workers=True),
    "seed": Allowed(minimum=0, maximum=2**32 - 1),
}
"""What the pipeline's parameters may be; said before anything runs."""

RECIPE = Recipe(
    name=names.RECIPE,
    title="Commits of the next seven days, for each repository",
    model_name=names.MODEL,
    inference_service=names.MODEL,
    sources={
        "git": "recipes.train_deploy.data:ingest_git",
        "sample": "recipes.train_deploy.data:ingest_sample",
    },
    data="recipes.train_deploy.data",
    trial="recipes.train_deploy.train:run_trial",
    experiment_file=EXPERIMENT_FILE,
    predictor="recipes.train_deploy.predict",
    features=FEATURE_NAMES,
    feature_service=names.FEATURE_SERVICE,
    budget=BUDGET,
    gate=GATE,
    canary=CANARY,
    entity="repo",
    online_features="recipes.train_deploy.features.online:online_features",
    live_features="recipes.train_deploy.features.live",
    labels="recipes.train_deploy.labels:labels",
    pipeline=names.PIPELINE,
    parameters=PARAMETERS,
    table=names.COMMITS,
    newest="recipes.train_deploy.freshness:newest_commit",
    feature_project=names.NAMESPACE,
    feature_views=(names.FEATURE_VIEW,),
    columns="recipes.train_deploy.features.columns:columns",
)
