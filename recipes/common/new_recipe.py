"""The files of a new recipe on a CSV or Parquet file: ``platform-ctl recipe new``.

Looks at the file once: which column is the label, which are features. The templates beside this
file become modules of the recipe; a test makes one of each kind and trains it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from platform_ctl.errors import BadParameter
from recipes.common import table_file
from recipes.common.tabular import FORECAST_FEATURES, GOLDEN_SHARE, MIN_ROWS

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("classification", "regression", "forecast")
TEMPLATES = Path(__file__).with_name("templates")
_UNNAMED = re.compile(r"|Unnamed: \d+")
"""What pandas calls a column without a name: mostly the numbers of the rows, which would be a
feature that says when a row was written."""
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


def render(request: Asked) -> tuple[dict[str, str], list[str]]:
    """Path in the project -> text, and what the reader should know. Raises BadParameter."""
    frame = _read(request)
    chosen = _Chosen.of(request, frame)
    values = {**chosen.values(), **_KIND_VALUES[request.kind]}
    folder, tests = f"recipes/{request.module}", f"tests/recipes/{request.module}"
    files = {f"{folder}/{name}": _fill(name, values) for name in RECIPE_FILES}
    files[f"{folder}/__init__.py"] = f'"""{chosen.title}."""\n'
    files[f"pipelines/{request.module}_pipeline.py"] = _fill("pipeline.py", values)
    files[f"{tests}/test_{request.module}.py"] = _fill("test_recipe.py", values)
    return files, chosen.notes


def _read(request: Asked) -> pd.DataFrame:
    try:
        return table_file.read(request.file, LOOKED_AT_ROWS)
    except table_file.UnreadableFile as exc:
        raise _bad(request, f"{request.file} {exc}", exc.fix) from exc


@dataclass(frozen=True)
class _Chosen:
    request: Asked
    title: str
    label: str
    features: tuple[str, ...]
    classes: tuple[str, str] | None
    """Of a classification: the one that counts as 1, and the other."""
    time: str
    entity: str
    ceiling: float
    """Loss of knowing nothing: no model may be worse."""
    notes: list[str]

    @classmethod
    def of(cls, request: Asked, frame: pd.DataFrame) -> _Chosen:
        _refuse_columns(request, frame)
        forecast = request.kind == "forecast"
        time = request.time or (_first_time(frame) if forecast else "")
        if forecast and not time:
            raise _bad(request, f"{request.file} has no column of times, which a forecast needs")
        _check_times(request, frame, time)
        label = request.label or [c for c in frame.columns if c not in (time, request.entity)][-1]
        rest = [c for c in frame.columns if c not in (label, time, request.entity)]
        reasons = {} if forecast else {c: why for c in rest if (why := _unfit(frame[c]))}
        features = FORECAST_FEATURES if forecast else tuple(c for c in rest if c not in reasons)
        if not features:
            raise _bad(request, f"{request.file} has no column of numbers beside {label!r}")
        if name := "" if forecast else table_file.reserved(features):
            raise _bad(request, f"{request.file}: a feature cannot be called {name!r}; rename it")
        for name in (label, time, request.entity):
            if name in table_file.OF_THE_TABLE:
                raise _bad(
                    request, f"{request.file}: the table has a column {name!r} too; rename it"
                )
        notes = [f"label: {label}; {len(features)} features"]
        notes += [f"left out: {column} ({why})" for column, why in reasons.items()]
        if forecast and rest:
            notes.append(f"left out, not used by a forecast: {', '.join(rest)}")
        wanted = round(MIN_ROWS["golden"] / GOLDEN_SHARE)
        if len(frame) < wanted:
            notes.append(f"{len(frame)} rows: a run needs about {wanted}, or it is refused")
        classes, ceiling = cls._label(request, frame, label)
        title = f"{label}, from {request.file.name}"
        return cls(request, title, label, features, classes, time, request.entity, ceiling, notes)

    @staticmethod
    def _label(
        request: Asked, frame: pd.DataFrame, label: str
    ) -> tuple[tuple[str, str] | None, float]:
        """Both classes, the rarer one first, and the loss of knowing nothing."""
        values = frame[label].dropna()
        if not len(values):
            raise _bad(request, f"column {label!r}, the label, is empty")
        if request.kind != "classification":
            if values.dtype.kind not in "iuf":
                raise _bad(request, f"column {label!r} does not hold numbers")
            if values.nunique() < 2:
                raise _bad(request, f"column {label!r} has one value: there is nothing to learn")
            return None, max(float((values - values.median()).abs().mean()) * 1.5, 1e-9)
        if not all(isinstance(value, Hashable) for value in values):
            raise _bad(request, f"column {label!r} does not hold classes: {values.iloc[0]}")
        counts = table_file.classes(values).value_counts()
        if len(counts) != 2:
            number = "one value" if len(counts) == 1 else f"{len(counts)} values"
            raise _bad(request, f"column {label!r} has {number}; a classification has two classes")
        return (str(counts.index[-1]), str(counts.index[0])), 0.7

    def values(self) -> dict[str, str]:
        listed = "\n    ".join(_wrapped(", ".join(map(_text, self.features)) + ","))
        positive, negative = self.classes or ("", "")
        extra = {"positive": positive, "negative": negative, "time": self.time}
        extra["entity"] = self.entity
        lines = [f"\n    {name}={_text(v)}," for name, v in extra.items() if v]
        forecast = self.request.kind == "forecast"
        return {
            "word": self.request.word,
            "module": self.request.module,
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
    "predict": "return np.asarray(self.model.predict(self._matrix(inputs)), np.float64)",
    "learn_doc": "A fitted model.",
    "learn": "return estimator(params, seed).fit(rows.x, rows.label)",
    "loss_unit": "in the label's unit",
    "loss_function": "absolute_error",
    "metrics": '\n    metrics={"rmse": metrics.rmse},',
    "test_label": "x[:, 0] * 3 + x[:, -1]",
}
_KIND_VALUES: Mapping[str, Mapping[str, str]] = {
    "classification": {
        "loss": 'Loss("log_loss", "log loss", "nats")',
        "estimator": "HistGradientBoostingClassifier",
        "estimator_extra": "",
        "predicts": "Probabilities of the positive class",
        "predict": """matrix = self._matrix(inputs)
        return np.asarray(self.model.predict_proba(matrix)[:, 1], np.float64)""",
        "learn_doc": _REGRESSION["learn_doc"],
        "learn": _REGRESSION["learn"],
        "loss_unit": "in nats",
        "loss_function": "log_loss",
        "baselines": 'return {"base_rate": np.full(len(golden.label), seen.label.mean())}',
        "metrics": """
    metrics={"auroc": metrics.auroc, "calibration_error": metrics.calibration_error},
    intervals=("auroc",),""",
        "test_label": "(x[:, 0] + x[:, -1] > 0).astype(float)",
    },
    "regression": {
        **_REGRESSION,
        "baselines": 'return {"median": np.full(len(golden.label), np.median(seen.label))}',
    },
    "forecast": {
        **_REGRESSION,
        "predict": """matrix = self._matrix(inputs)
        newest = matrix[:, 0]
        changes = self.model.predict(matrix - newest[:, None])
        return np.asarray(newest + changes, np.float64)""",
        "learn_doc": "Fitted on changes from lag_1: trees do not follow a series beyond its past.",
        "learn": """newest = rows.x[:, 0]
    return estimator(params, seed).fit(rows.x - newest[:, None], rows.label - newest)""",
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
    """In one pass: what a column is called may look like a placeholder itself."""
    text = (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)


def _refuse_columns(request: Asked, frame: pd.DataFrame) -> None:
    """Raises BadParameter for columns that are not there, or are asked to be two things."""
    named = [column for column in (request.label, request.time, request.entity) if column]
    for column in named:
        if column not in frame.columns:
            raise _bad(request, f"{request.file} has no column {column!r}; it has: {_list(frame)}")
        if named.count(column) > 1:
            raise _bad(request, f"column {column!r} cannot be two of label, time and entity")
    if not len(frame):
        raise _bad(request, f"{request.file} has no rows below its header")
    if len(frame.columns) < 2:
        raise _bad(request, f"{request.file} has one column; a label and a feature are needed")


def _check_times(request: Asked, frame: pd.DataFrame, column: str) -> None:
    """Raises BadParameter for a column that cannot be read as times, or in two ways."""
    if not column:
        return
    try:
        table_file.times(frame[column])
    except ValueError as exc:
        raise _bad(request, f"column {column!r} does not hold times: {exc}") from exc


def _unfit(values: pd.Series) -> str:
    """Why a column is no feature; "" when it is one."""
    import pandas as pd

    if _UNNAMED.fullmatch(str(values.name)):
        return "it has no name"
    if not values.notna().any():
        return "it is empty"
    if values.dtype.kind not in "iufb":
        numbers = pd.to_numeric(values, errors="coerce")
        first = values[numbers.isna() & values.notna()].head(1)
        if len(first):
            return f"{str(first.iloc[0])!r} is no number"
        if not isinstance(values.dropna().iloc[0], Decimal):
            return f"it holds {values.dtype}"
        values = numbers.astype("float64")
    infinite = values.dtype.kind == "f" and np.isinf(values).any()
    return "it has a value that is not finite" if infinite else ""


def _first_time(frame: pd.DataFrame) -> str:
    """The first column of timestamps or dates; whole numbers may be anything."""
    import pandas as pd

    for column in frame.columns:
        kind = frame[column].dtype.kind
        if kind == "M" or isinstance(frame[column].dtype, pd.DatetimeTZDtype):
            return str(column)
        if kind not in "iufbc" and frame[column].notna().any():
            read = pd.to_datetime(
                frame[column].head(100), errors="coerce", utc=True, format="mixed"
            )
            if read.notna().all():
                return str(column)
    return ""


def _text(value: str) -> str:
    """A Python literal in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.replace('"', "'").replace("\\", "/").split())


def _list(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns))


def _bad(request: Asked, what: str, fix: str = "") -> BadParameter:
    again = (
        f"platform-ctl recipe new {request.word} --kind {request.kind} --csv FILE --label COLUMN"
    )
    return BadParameter(what, where=str(request.file), fix=fix or again)
