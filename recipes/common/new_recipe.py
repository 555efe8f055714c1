"""The files of a new recipe on a CSV or Parquet file: ``platform-ctl recipe new``.

Looks at the file once: which column is the label, which are features. The templates beside this
file become modules of the recipe; a test makes one of each kind and trains it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import BadParameter
from recipes.common.tabular import FORECAST_FEATURES

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("classification", "regression", "forecast")
TEMPLATES = Path(__file__).with_name("templates")
LOOKED_AT_ROWS = 100_000
RECIPE_FILES = (
    "recipe.py",
    "data.py",
    "extract.py",
    "train.py",
    "predict.py",
    "losses.py",
    "evaluate.py",
    "experiment.yaml",
)


@dataclass(frozen=True)
class Asked:
    """What somebody typed; "" where they left the choice to the file."""

    word: str
    """``energy-load``: pipeline, model and service."""
    module: str
    """``energy_load``: folder and Iceberg namespace."""
    kind: str
    file: Path
    label: str = ""
    time: str = ""
    entity: str = ""


def render(asked: Asked) -> tuple[dict[str, str], list[str]]:
    """Path in the project -> text, and what the reader should know. Raises BadParameter."""
    frame = _read(asked)
    chosen = _Chosen.of(asked, frame)
    values = {**chosen.values(), **_KIND_VALUES[asked.kind]}
    folder, tests = f"recipes/{asked.module}", f"tests/recipes/{asked.module}"
    files = {f"{folder}/{name}": _fill(name, values) for name in RECIPE_FILES}
    files[f"{folder}/__init__.py"] = f'"""{chosen.title}."""\n'
    files[f"pipelines/{asked.module}_pipeline.py"] = _fill("pipeline.py", values)
    files[f"{tests}/test_{asked.module}.py"] = _fill("test_recipe.py", values)
    return files, chosen.notes


def _read(asked: Asked) -> pd.DataFrame:
    import pandas as pd

    try:
        if asked.file.suffix in (".parquet", ".pq"):
            return pd.read_parquet(asked.file).head(LOOKED_AT_ROWS)
        return pd.read_csv(asked.file, nrows=LOOKED_AT_ROWS)
    except FileNotFoundError as exc:
        raise _bad(asked, f"{asked.file} does not exist") from exc
    except (OSError, ValueError) as exc:
        raise _bad(asked, f"{asked.file} cannot be read: {exc}") from exc


@dataclass(frozen=True)
class _Chosen:
    asked: Asked
    title: str
    label: str
    features: tuple[str, ...]
    positive: str
    time: str
    entity: str
    ceiling: float
    """Loss of knowing nothing: no model may be worse."""
    notes: list[str]

    @classmethod
    def of(cls, asked: Asked, frame: pd.DataFrame) -> _Chosen:
        for column in (asked.label, asked.time, asked.entity):
            if column and column not in frame.columns:
                raise _bad(asked, f"{asked.file} has no column {column!r}; it has: {_list(frame)}")
        if len(frame.columns) < 2:
            raise _bad(asked, f"{asked.file} has one column; a label and a feature are needed")
        time = asked.time or (_first_time(frame) if asked.kind == "forecast" else "")
        label = asked.label or [c for c in frame.columns if c not in (time, asked.entity)][-1]
        if asked.kind == "forecast" and not time:
            raise _bad(asked, f"{asked.file} has no column of times, which a forecast needs")
        rest = [c for c in frame.columns if c not in (label, time, asked.entity)]
        numeric = [c for c in rest if frame[c].dtype.kind in "iufb"]
        forecast = asked.kind == "forecast"
        features = FORECAST_FEATURES if forecast else tuple(numeric)
        if not features:
            raise _bad(asked, f"{asked.file} has no column of numbers beside {label!r}")
        left_out = rest if forecast else [c for c in rest if c not in numeric]
        notes = [f"label: {label}; {len(features)} features"]
        if left_out:
            notes.append(
                f"left out (not a number, or not used by a forecast): {', '.join(left_out)}"
            )
        positive, ceiling = cls._label(asked, frame, label)
        title = f"{label}, from {asked.file.name}"
        return cls(asked, title, label, features, positive, time, asked.entity, ceiling, notes)

    @staticmethod
    def _label(asked: Asked, frame: pd.DataFrame, label: str) -> tuple[str, float]:
        """The value that counts as 1 (the rarer one), and the loss of knowing nothing."""
        values = frame[label].dropna()
        if asked.kind != "classification":
            if values.dtype.kind not in "iuf":
                raise _bad(asked, f"column {label!r} does not hold numbers")
            return "", max(float((values - values.median()).abs().mean()) * 1.5, 1e-9)
        counts = values.value_counts()
        if len(counts) != 2:
            raise _bad(
                asked,
                f"column {label!r} has {len(counts)} values; a classification has two classes",
            )
        return str(counts.index[-1]), 0.7

    def values(self) -> dict[str, str]:
        listed = "\n    ".join(_wrapped(", ".join(map(_text, self.features)) + ","))
        extra = {"positive": self.positive, "time": self.time, "entity": self.entity}
        lines = [f"\n    {name}={_text(v)}," for name, v in extra.items() if v]
        forecast = self.asked.kind == "forecast"
        return {
            "word": self.asked.word,
            "module": self.asked.module,
            "title": _one_line(self.title),
            "label": _text(self.label)[1:-1],
            "features": "FORECAST_FEATURES" if forecast else f"(\n    {listed}\n)  # fmt: skip",
            "import": "FORECAST_FEATURES, Table" if forecast else "Table",
            "table_extra": "".join([*lines, *(["\n    forecast=True,"] if forecast else [])]),
            "max_loss": f"{self.ceiling:.4g}",
        }


_REGRESSION = {
    "loss": 'Loss("mae", "MAE")',
    "estimator": "HistGradientBoostingRegressor",
    "estimator_extra": '\n        loss="absolute_error",',
    "predicts": "Predicted values",
    "predict": "self.model.predict(self._matrix(inputs))",
    "losses_import": "",
    "loss_doc": "Absolute error of each row (n,), in the label's unit.",
    "loss_code": "np.abs(prediction - label)",
    "evaluate_import": "judge",
    "figures": 'return {"rmse": float(np.sqrt(((prediction - label) ** 2).mean()))}',
    "evaluate_more": "",
    "test_label": "x[:, 0] * 3 + x[:, -1]",
}
_KIND_VALUES: Mapping[str, Mapping[str, str]] = {
    "classification": {
        "loss": 'Loss("log_loss", "log loss", "nats")',
        "estimator": "HistGradientBoostingClassifier",
        "estimator_extra": "",
        "predicts": "Probabilities of the positive class",
        "predict": "self.model.predict_proba(self._matrix(inputs))[:, 1]",
        "losses_import": "\nfrom recipes.common.metrics import log_loss\n",
        "loss_doc": "Log loss of each row (n,), in nats.",
        "loss_code": "log_loss(prediction, label)",
        "evaluate_import": "judge, metrics",
        "baselines": 'return {"base_rate": np.full(len(golden.label), seen.label.mean())}',
        "figures": """return {
        "auroc": metrics.auroc(prediction, label),
        "calibration_error": metrics.calibration_error(prediction, label),
    }""",
        "evaluate_more": """
    more=lambda p, y: {"intervals": {"auroc": metrics.interval(metrics.auroc, p, y)}},""",
        "test_label": "(x[:, 0] + x[:, -1] > 0).astype(float)",
    },
    "regression": {
        **_REGRESSION,
        "baselines": 'return {"median": np.full(len(golden.label), np.median(seen.label))}',
    },
    "forecast": {
        **_REGRESSION,
        "baselines": """names = ("lag_1", "mean_4", "mean_8")
    return {name: golden.column(name) for name in names}""",
    },
}


def _wrapped(names: str, width: int = 88) -> Iterator[str]:
    """Lines of whole quoted names, whatever spaces are in them."""
    line = ""
    for name in re.findall(r'"(?:[^"\\]|\\.)*",', names):
        if line and len(line) + len(name) + 1 > width:
            yield line
            line = ""
        line = f"{line} {name}".strip()
    yield line


def _fill(name: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _first_time(frame: pd.DataFrame) -> str:
    import pandas as pd

    for column in frame.columns:
        if frame[column].dtype.kind == "M":
            return str(column)
        if (
            frame[column].dtype.kind in "OUS"
            or str(frame[column].dtype) == "string"
            or str(frame[column].dtype) == "str"
        ):
            parsed = pd.to_datetime(frame[column].head(100), errors="coerce", utc=True)
            if len(parsed) and parsed.notna().all():
                return str(column)
    return ""


def _text(value: str) -> str:
    """A Python literal in double quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _one_line(text: str) -> str:
    return " ".join(text.replace('"', "'").replace("\\", "/").split())


def _list(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns))


def _bad(asked: Asked, what: str) -> BadParameter:
    return BadParameter(
        what,
        where=str(asked.file),
        fix=f"platform-ctl recipe new {asked.word} --kind {asked.kind} --csv FILE --label COLUMN",
    )
