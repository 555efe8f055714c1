"""The MLflow model of a revision, as a KServe Model.

MLflow's directory format stays the contract. Importing MLflow itself costs as
much as importing KServe, so a pyfunc whose loader is the model's own module is
loaded the way ``mlflow.pyfunc.load_model`` does it (put ``code`` on the path,
import ``loader_module``, call ``_load_pyfunc(data)``); any other flavour goes
through MLflow.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InferenceError, InvalidInput
from kserve.logging import logger

from platform_ctl.errors import FeaturesUnavailable, PlatformError
from platform_ctl.models.stored import import_source_only
from platform_ctl.recipe.recipe import DataAccess, resolve
from platform_ctl.serving.service import REPLAY_HEADER

_OUTPUT = "output-0"
_LARGEST = float(np.finfo(np.float32).max)

Lookup = Callable[[Sequence[str]], Awaitable[Mapping[str, Mapping[str, float]]]]

_DTYPES = {
    "float": np.float32,
    "double": np.float64,
    "integer": np.int32,
    "long": np.int64,
    "boolean": np.bool_,
}
_DATATYPES = {
    np.float32: "FP32",
    np.float64: "FP64",
    np.int32: "INT32",
    np.int64: "INT64",
    np.bool_: "BOOL",
}


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model and the columns of its signature, in order."""

    columns: tuple[str, ...]
    dtypes: tuple[type, ...]
    function: Callable[[Any], Any]
    tensor: bool
    """The signature is one tensor, not named columns."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` float64 [n, columns] -> float64 [n]. Raises InferenceError."""
        if self.tensor:
            data: Any = rows.astype(self.dtypes[0])
        elif len(set(self.dtypes)) == 1:
            import pandas as pd

            data = pd.DataFrame(rows.astype(self.dtypes[0]), columns=list(self.columns))
        else:
            import pandas as pd

            typed = zip(self.columns, self.dtypes, strict=True)
            data = pd.DataFrame({c: rows[:, i].astype(t) for i, (c, t) in enumerate(typed)})
        try:
            answer = np.asarray(self.function(data), dtype=np.float64).reshape(-1)
        except Exception as exc:  # the model's code may raise anything
            logger.exception("the model failed")
            raise InferenceError(f"the model failed: {type(exc).__name__}: {exc}") from exc
        if len(answer) != len(rows):
            raise InferenceError(f"the model gave {len(answer)} predictions for {len(rows)} rows")
        if not np.isfinite(answer).all():
            raise InferenceError("the model predicted a number that is not finite")
        return answer


def load_predictor(model_dir: Path) -> LoadedModel:
    """Load an MLflow model directory. Raises OSError, ValueError or what the model raises."""
    described = yaml.safe_load((model_dir / "MLmodel").read_text(encoding="utf-8"))
    flavor = described.get("flavors", {}).get("python_function")
    inputs = (described.get("signature") or {}).get("inputs")
    if not flavor or not inputs:
        raise ValueError(f"{model_dir} has no python_function flavor with an input signature")
    columns, dtypes, tensor = _signature(json.loads(inputs))
    return LoadedModel(columns, dtypes, _load(model_dir, flavor).predict, tensor)


def read_example(model_dir: Path) -> bytes:
    """The model's input example as a V1 request; empty when it was saved without one.

    MLflow keeps a table as ``{"columns": [...], "data": [[...]]}`` in the file that MLmodel names.
    """
    described = yaml.safe_load((model_dir / "MLmodel").read_text(encoding="utf-8"))
    about = described.get("saved_input_example_info") or {}
    path = model_dir / str(about.get("artifact_path", ""))
    if about.get("type") != "dataframe" or not path.is_file():
        return b""
    example = json.loads(path.read_bytes())
    if not isinstance(example, dict) or not example.get("data"):
        return b""
    row = dict(zip(example["columns"], example["data"][0], strict=True))
    return json.dumps({"instances": [row]}).encode()


def _signature(inputs: list[dict]) -> tuple[tuple[str, ...], tuple[type, ...], bool]:
    if len(inputs) == 1 and inputs[0]["type"] == "tensor":
        spec = inputs[0]["tensor-spec"]
        width = spec["shape"][-1]
        dtype = np.dtype(spec["dtype"]).type
        return tuple(f"x{i}" for i in range(width)), (dtype,) * width, True
    unsupported = [c["type"] for c in inputs if c["type"] not in _DTYPES]
    if unsupported:
        raise ValueError(f"the signature has columns of type {unsupported[0]}; numbers only")
    names = tuple(c["name"] for c in inputs)
    return names, tuple(_DTYPES[c["type"]] for c in inputs), False


def _load(model_dir: Path, flavor: Mapping[str, Any]) -> Any:
    loader = flavor["loader_module"]
    if loader.startswith("mlflow."):
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(model_dir))
    if flavor.get("code"):
        import_source_only(model_dir / flavor["code"])
    data = model_dir / flavor["data"] if flavor.get("data") else model_dir
    return importlib.import_module(loader)._load_pyfunc(str(data))


class RevisionModel(Model):
    """Answers V1 and V2; whatever is wrong with a request is an InvalidInput with a reason."""

    def __init__(
        self,
        name: str,
        predictor: LoadedModel,
        *,
        entity: str,
        lookup: Lookup | None,
        max_rows: int,
    ) -> None:
        super().__init__(name)
        self._predictor = predictor
        self._index = {c: i for i, c in enumerate(predictor.columns)}
        self._entity = entity
        self._lookup = lookup
        self._max_rows = max_rows
        self.ready = True

    def get_input_types(self) -> list[dict]:
        """One of these is sent: the features, or the names whose features are looked up."""
        datatype = _DATATYPES[self._predictor.dtypes[0]]
        inputs = [{"name": "input-0", "datatype": datatype, "shape": [-1, len(self._index)]}]
        if self._lookup is not None:
            inputs.append({"name": self._entity, "datatype": "BYTES", "shape": [-1]})
        return inputs

    def get_output_types(self) -> list[dict]:
        return [{"name": _OUTPUT, "datatype": "FP64", "shape": [-1]}]

    def stop(self) -> None:
        """Stay ready while draining: KServe would answer 404 to what was accepted already."""

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None
    ) -> dict | InferResponse:
        if isinstance(payload, InferRequest):
            return await self._predict_v2(payload)
        rows = await self._rows_v1(payload, replayed=REPLAY_HEADER in (headers or {}))
        return {"predictions": self._predictor.predict(rows).tolist()}

    async def _predict_v2(self, request: InferRequest) -> InferResponse:
        """With the binary tensor extension, where the caller asks for it."""
        for wanted in request.request_outputs or ():
            if wanted.name != _OUTPUT:
                raise InvalidInput(f"there is no output {wanted.name!r}, only {_OUTPUT!r}")
        answer = self._predictor.predict(await self._rows_v2(request))
        return InferResponse(
            # KServe 0.21 answers 500 when a request has no id and the response gets none.
            request.id or uuid.uuid4().hex,
            self.name,
            [InferOutput(_OUTPUT, [len(answer)], "FP64", data=answer.tolist())],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    # ---- V1 ---------------------------------------------------------------

    async def _rows_v1(self, payload: Any, *, replayed: bool) -> np.ndarray:
        if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
            raise InvalidInput('expected {"instances": [...]}')
        instances = payload["instances"]
        self._check_count(len(instances))
        if all(isinstance(i, dict) for i in instances):
            if any(self._entity and self._entity in i for i in instances):
                return await self._rows_of_entities([self._entity_of(i) for i in instances])
            instances = [self._by_name(i, replayed=replayed) for i in instances]
        return self._matrix(instances)

    def _entity_of(self, instance: dict) -> str:
        name = instance.get(self._entity)
        if not isinstance(name, str) or len(instance) != 1:
            raise InvalidInput(
                f"an instance names a {self._entity} or gives the features, not both or other"
            )
        return name

    def _by_name(self, instance: dict, *, replayed: bool) -> list:
        """In the model's order. A replayed row may hold features that only another revision takes;
        a caller's may not, since a name that is nearly right would be passed over in silence."""
        if instance.keys() != self._index.keys() and not (
            replayed and instance.keys() >= self._index.keys()
        ):
            missing = sorted(self._index.keys() - instance.keys())
            unknown = sorted(map(str, instance.keys() - self._index.keys()))
            raise InvalidInput(f"features missing: {missing}; unknown: {unknown}")
        return [instance[c] for c in self._predictor.columns]

    def _check_count(self, rows: int) -> None:
        if not 1 <= rows <= self._max_rows:
            raise InvalidInput(f"a request has 1 to {self._max_rows} instances, not {rows}")

    def _matrix(self, instances: list) -> np.ndarray:
        width = len(self._index)
        for instance in instances:
            if not isinstance(instance, list) or len(instance) != width:
                raise InvalidInput(f"an instance has {width} features: {list(self._index)}")
            for value in instance:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise InvalidInput(f"features are numbers, not {type(value).__name__}")
        return _finite(instances)

    async def _rows_of_entities(self, names: list[str]) -> np.ndarray:
        if self._lookup is None:
            raise InvalidInput("this service looks no features up: give them in the request")
        features = await self._lookup(names)
        unknown = sorted({n for n in names if n not in features})
        if unknown:
            raise InvalidInput(f"no features for {self._entity} {', '.join(unknown[:5])}")
        rows = [[features[n].get(c) for c in self._predictor.columns] for n in names]
        for name, row in zip(names, rows, strict=True):
            for column, value in zip(self._predictor.columns, row, strict=True):
                if value is None or not math.isfinite(value):
                    raise _no_features(f"{column} of {self._entity} {name} is {value}")
        return _finite(rows)

    # ---- V2 ---------------------------------------------------------------

    async def _rows_v2(self, request: InferRequest) -> np.ndarray:
        inputs = request.inputs
        if len(inputs) == 1 and inputs[0].datatype == "BYTES":
            return await self._rows_of_entities(self._entities_v2(inputs[0]))
        if len(inputs) == 1 and len(inputs[0].shape) == 2:
            array = _as_numpy(inputs[0])
            if array.shape[1] != len(self._index):
                raise InvalidInput(
                    f"expected shape [n, {len(self._index)}], got {list(array.shape)}"
                )
        else:
            array = self._columns_v2(inputs)
        self._check_count(len(array))
        return _finite(array)

    def _entities_v2(self, tensor: InferInput) -> list[str]:
        if tensor.name != self._entity:
            raise InvalidInput(f"a BYTES input is named {self._entity!r}, not {tensor.name!r}")
        values = _as_numpy(tensor).reshape(-1).tolist()
        self._check_count(len(values))
        return [_text(v) for v in values]

    def _columns_v2(self, inputs: list[InferInput]) -> np.ndarray:
        columns = {i.name: _as_numpy(i).reshape(-1) for i in inputs}
        if columns.keys() != self._index.keys() or len({len(a) for a in columns.values()}) != 1:
            raise InvalidInput(
                f"expected one input [n, {len(self._index)}], or one [n] for each of "
                f"{list(self._index)}"
            )
        return np.stack([columns[c] for c in self._predictor.columns], axis=1)


def _text(value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value.encode(), "utf-8")
    except (AttributeError, UnicodeError) as exc:
        raise InvalidInput(f"BYTES are text in UTF-8, not {value!r:.80}") from exc


def _as_numpy(tensor: InferInput) -> np.ndarray:
    """Raises InvalidInput, also for what KServe would take for another number: 1.7 as INT32."""
    try:
        array = tensor.as_numpy()
        sent = np.asarray(tensor.data if tensor.data is not None else array)
        if tensor.datatype not in ("BYTES", "BOOL") and sent.dtype.kind not in "iuf":
            raise ValueError("numbers only")
        if array.dtype.kind in "iu" and (sent.reshape(-1) != array.reshape(-1)).any():
            raise ValueError("fractions")
        return array
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidInput(f"input {tensor.name!r} is not {tensor.datatype}: {exc}") from exc


def _finite(rows: Any) -> np.ndarray:
    try:
        array = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidInput(f"features are numbers: {exc}") from exc
    if array.ndim != 2:
        raise InvalidInput(f"expected rows of features, got shape {list(array.shape)}")
    if not (np.abs(array) <= _LARGEST).all():
        raise InvalidInput("a feature is missing, NaN, infinite or too large")
    return array


class EntityLookup:
    """The recipe's blocking feature lookup, one at a time beside the event loop.

    Feast takes a second to import, ten on a busy machine: ``warm`` has that over
    beside what else a start does.
    """

    def __init__(self, reference: str, data: DataAccess) -> None:
        self._reference = reference
        self._data = data
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="features")

    def warm(self) -> Future[Mapping[str, Mapping[str, float]]]:
        """Looks nothing up; done, in whatever way, once the next lookup is a fast one."""
        return self._executor.submit(self._find, [])

    async def __call__(self, entities: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        wanted = list(dict.fromkeys(entities))
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._find, wanted)

    def _find(self, entities: list[str]) -> Mapping[str, Mapping[str, float]]:
        try:
            return resolve(self._reference)(self._data, entities)
        except PlatformError:
            raise
        except Exception as exc:  # the recipe's code and its store may raise anything
            logger.exception("%s", self._reference)
            raise _no_features(f"{type(exc).__name__}: {exc}") from exc


def _no_features(why: str) -> FeaturesUnavailable:
    return FeaturesUnavailable(
        f"the feature store does not answer as it should: {why}",
        where="online store",
        fix="platform-ctl pipeline run train-deploy",
    )
