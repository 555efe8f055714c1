"""Texts of the smallest recipe that keeps the contract, for tests that break it."""

RECIPE = '''"""A recipe."""
from platform_ctl.recipe.recipe import Budget, CanaryPlan, DataSource, GateThresholds, Loss, Recipe

RECIPE = Recipe(
    package=__package__,
    title="T",
    model_name="m",
    loss=Loss("error"),
    features=("a",),
    budget=Budget(),
    gate=GateThresholds(1.0, 0.0, 0.02),
    canary=CanaryPlan(),
    sources={"csv": DataSource("CSV.", takes_paths=True)},
    pipeline="p",
)
'''
MODULES = {
    "__init__": "",
    "data": "def resolve(access): ...\ndef show(access): ...\ndef golden_show(access): ...\n"
    "def foresee(access): ...\ndef ingest_csv(access, *, paths, now, progress): ...\n",
    "extract": "def extract(access, snapshot_id, as_of, golden_digest, out_path): ...\n",
    "train": "def trial(params, rows_path, report=None): ...\n"
    "def fit(rows_path, params, out_dir, *, seed=0): ...\n",
    "predict": "def load(model_dir): ...\n",
    "evaluate": "def evaluate(model_dir, rows_path, out_dir, champion_dir=None): ...\n",
}
EXPERIMENT = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: one}
spec:
  objective: {type: minimize, objectiveMetricName: val_loss}
  algorithm: {algorithmName: tpe, algorithmSettings: [{name: random_state, value: "42"}]}
  maxTrialCount: 4
  parallelTrialCount: 2
  parameters:
    - {name: rate, parameterType: double,
       feasibleSpace: {min: "0.01", max: "0.3"}}
    - {name: leaves, parameterType: int, feasibleSpace: {min: "4", max: "31"}}
  trialTemplate:
    primaryContainerName: trainer
    trialParameters:
      - {name: rate, reference: rate}
      - {name: leaves, reference: leaves}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            containers:
              - name: trainer
                command: [python, -m, recipes.one.train,
                  "--rate=${trialParameters.rate}", "--leaves=${trialParameters.leaves}"]
"""
"""Of a recipe whose package is ``recipes.one``."""
