"""KServe's V1 and V2 protocols as an ASGI application for one model.

Built from KServe's own endpoints, data plane and errors. What its 0.21 server
gets wrong is put right here: any content type but a CloudEvent's is read as
JSON on V1, malformed V2 bodies are the caller's fault (400), models are not
unloaded over HTTP, and a refused request leaves one line in the log, not a
traceback.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import JSONResponse
from kserve import Model, ModelRepository
from kserve.errors import (
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotLive,
    ServerNotReady,
    UnsupportedProtocol,
)
from kserve.logging import logger
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from platform_ctl.errors import PlatformError

# KServe 0.21 answers through FastAPI's ORJSONResponse, which FastAPI has deprecated.
warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning)

_STATUS: dict[type[Exception], int] = {
    InvalidInput: 400,
    ModelNotFound: 404,
    InferenceError: 500,
    ModelNotReady: 503,
    ServerNotReady: 503,
    ServerNotLive: 503,
    # What KServe answers 501: versions in the path, explanations. There is no such thing here.
    NotImplementedError: 404,
    UnsupportedProtocol: 404,
    ClientDisconnect: 413,
    PlatformError: 503,
}


_SAID = {404: "there is nothing of this kind here", 413: "the body is too large, or ended early"}
"""For what upstream raises without a word."""


class OneModelRepository(ModelRepository):
    """Holds the revision's model; loading and unloading belong to the supervisor."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.update(model)

    def load(self, name: str) -> bool:
        return name in self.models

    def unload(self, name: str) -> None:
        if name not in self.models:
            raise KeyError(name)
        raise InvalidInput(
            f"{name} belongs to its InferenceService: platform-ctl service stop {name}"
        )


class OneModelExtension(ModelRepositoryExtension):
    """For a model that does not exist, KServe says that it is not ready."""

    async def load(self, model_name: str) -> None:
        if not self._model_registry.load(model_name):
            raise ModelNotFound(model_name)


class StrictDataPlane(DataPlane):
    """KServe's data plane, for which a body that cannot be decoded is invalid input."""

    def decode(
        self,
        body: Any,
        headers: dict[str, str],
        protocol_version: str = "v1",
        model_name: str | None = None,
    ) -> tuple[Any, dict]:
        if not _is_cloud_event(headers):
            headers = {**headers, "content-type": "application/json"}
        try:
            return super().decode(body, headers, protocol_version, model_name)
        except (
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            IndexError,
            RecursionError,
            InferenceError,
            struct.error,
        ) as exc:
            if isinstance(exc, InvalidInput):
                raise
            raise InvalidInput(f"the body cannot be decoded: {exc}") from exc


def _is_cloud_event(headers: dict[str, str]) -> bool:
    return "ce-specversion" in headers or headers.get("content-type", "").startswith(
        "application/cloudevents"
    )


def build_application(model: Model, version: str) -> FastAPI:
    """The application that serves ``model`` under its name."""
    app = FastAPI(title="KServe ModelServer", version=version, docs_url=None, redoc_url=None)
    repository = OneModelRepository(model)
    plane = StrictDataPlane(model_registry=repository)
    extension = OneModelExtension(model_registry=repository)
    app.add_api_route("/", plane.live)
    app.add_api_route("/metrics", metrics_handler, methods=["GET"])
    register_v1_endpoints(app, plane, extension)
    register_v2_endpoints(app, plane, extension)
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _answer(status))
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _internal_error)
    return app


def _answer(status: int) -> Callable[[Request, Exception], Any]:
    async def handler(request: Request, exc: Exception) -> JSONResponse:
        level = logger.error if status >= 500 else logger.info
        level("%s %s: %d %s", request.method, request.url.path, status, exc)
        return JSONResponse(status_code=status, content={"error": str(exc) or _SAID[status]})

    return handler


async def _no_such_route(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)  # what it is registered for
    error = f"{request.method} {request.url.path}: {exc.detail}"
    return JSONResponse({"error": error}, status_code=exc.status_code, headers=exc.headers)


async def _malformed(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # what it is registered for
    faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()[:5]]
    return JSONResponse(status_code=400, content={"error": "; ".join(faults)})


async def _internal_error(request: Request, exc: Exception) -> JSONResponse:
    logger.error("%s %s", request.method, request.url.path, exc_info=exc)
    return JSONResponse(status_code=500, content={"error": f"{type(exc).__name__}: {exc}"})
