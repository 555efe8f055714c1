"""What MLflow's own pages show of a model: experiment, description, curves, datasets.

Nothing of the platform reads this back; it is for people who look with ``mlflow ui``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.models.model import ModelCandidate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow 3 opens an experiment in its pages for generative AI."""
_DIGEST_CHARACTERS = 36
_MOST_POINTS = 1000
"""MLflow takes no more metrics in one request."""


def experiment_id(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    """The MLflow experiment of that name; made, unless somebody else makes it meanwhile.

    Its files go below ``artifacts``, or where a server wants them (None).
    """
    from mlflow.exceptions import MlflowException

    if experiment := client.get_experiment_by_name(name):
        return experiment.experiment_id
    place = (artifacts / name).as_uri() if artifacts else None
    try:
        return client.create_experiment(name, artifact_location=place, tags=_EXPERIMENT_TAGS)
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return experiment.experiment_id


def run_tags(candidate: ModelCandidate) -> dict[str, str]:
    """Tags that MLflow's pages show by name: description, source, commit."""
    tags = {
        "mlflow.note.content": candidate.description,
        "mlflow.source.name": candidate.source,
        "mlflow.source.type": "PROJECT" if candidate.source else "",
        "mlflow.source.git.commit": candidate.tags.get("code", "").partition("-")[0],
    }
    return {name: value for name, value in tags.items() if value}


def curves(candidate: ModelCandidate) -> list[Metric]:
    """The metrics of the fit; each epoch is a step."""
    from mlflow.entities import Metric

    now = int(datetime.now(UTC).timestamp() * 1000)
    return [
        Metric(name, value, now, step)
        for name, values in candidate.curves.items()
        for step, value in enumerate(values, 1)
    ][:_MOST_POINTS]


def datasets(candidate: ModelCandidate) -> list[DatasetInput]:
    """What the model learnt from and was judged on."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                use.name,
                use.digest[:_DIGEST_CHARACTERS],
                use.kind,
                json.dumps({"name": use.name, "digest": use.digest}),
            ),
            [InputTag("mlflow.data.context", use.context)],
        )
        for use in candidate.datasets
    ]
