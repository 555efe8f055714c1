"""The predictor as a program of its own, as a pod runs it.

    python -m platform_ctl.serving.server --model-uri URI --name SERVICE --revision NAME

Predictions are answered at ``--port``, with ``/v2/health/ready`` for the
kubelet. What it saw is told at ``--observations-port`` (``GET
/observations?since=SECONDS``, one JSON object a line), which no Service
publishes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from platform_ctl import __version__
from platform_ctl.errors import PlatformError
from platform_ctl.home.log_lines import log_lines
from platform_ctl.models.stored import check_stored
from platform_ctl.recipe.recipe import DataAccess, resolve
from platform_ctl.serving.server import request_log, request_timeout
from platform_ctl.serving.server.application import build_application
from platform_ctl.serving.server.front import Front
from platform_ctl.serving.server.model import (
    EntityLookup,
    RevisionModel,
    load_predictor,
    read_example,
)
from platform_ctl.serving.service import ServiceLimits

_KEEP_ALIVE_S = 65
_TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes' terminationMessagePath, by its default."""
log = logging.getLogger("platform_ctl.predictor")


def arguments() -> argparse.ArgumentParser:
    """What the program is told, all of it on the command line."""
    parser = argparse.ArgumentParser(prog="python -m platform_ctl.serving.server")
    parser.add_argument("--model-uri", required=True, help="an MLflow model directory")
    parser.add_argument("--model-digest", default="", help="refuse a model of any other digest")
    parser.add_argument("--name", required=True, help="the model in V1 and V2")
    parser.add_argument("--revision", default="", help="who answers, for x-served-by and metrics")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--observations-port", type=int, default=8081)
    parser.add_argument("--entity", default="", help="field that names an entity")
    parser.add_argument("--online-features", default="", help="module:function that looks them up")
    parser.add_argument("--data-access", default="", help="module:function that says where data is")
    parser.add_argument("--request-log", default="", help="folder of the request log")
    return parser


def fetch(uri: str, into: Path) -> Path:
    """The model directory of a URI: where it lies, or a copy in ``into`` of what is remote."""
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        return Path(unquote(parsed.path))
    import mlflow.artifacts

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))


def build_front(options: argparse.Namespace, limits: ServiceLimits, workdir: Path) -> Front:
    """Load the model and wrap it. Raises EvidenceMismatch before any code of an altered model."""
    model_dir = fetch(options.model_uri, workdir)
    if options.model_digest:
        check_stored(model_dir, options.model_digest)
    lookup = warming = None
    if options.online_features:
        data_access: Callable[[], DataAccess] = resolve(options.data_access)
        lookup = EntityLookup(options.online_features, data_access())
        warming = lookup.warm()
    model = RevisionModel(
        options.name,
        load_predictor(model_dir),
        entity=options.entity,
        lookup=lookup,
        max_rows=limits.rows,
    )
    revision = options.revision or options.name
    requests = Path(options.request_log or workdir / "requests")
    return Front(
        build_application(model, __version__),
        service=options.name,
        revision=revision,
        log=request_log.RequestLog(requests / f"{revision}.jsonl", max_bytes=limits.log_bytes),
        limits=limits,
        example=read_example(model_dir),
        warming=warming,
    )


def observations(folder: Path) -> Starlette:
    """``GET /observations?since=SECONDS``: the kept observations, one JSON object a line."""

    def tell(request: Request) -> PlainTextResponse:
        since = float(request.query_params.get("since", "0"))
        lines = [orjson.dumps(o).decode() for o in request_log.read(folder, since=since)]
        return PlainTextResponse("\n".join(lines))

    return Starlette(routes=[Route("/observations", tell)])


async def serve(
    options: argparse.Namespace, front: Front, folder: Path, limits: ServiceLimits
) -> None:
    """Answer until SIGTERM, then answer what was accepted."""
    await front.prepare()
    await front.route(production=True, canary=None)
    http = request_timeout.protocol(limits.request_timeout_s)
    predictor = _server(front, options.port, limits, http=http)
    records = _server(observations(folder), options.observations_port, limits)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, (predictor, records), front)
    await asyncio.gather(*(server._serve() for server in (predictor, records)))
    await front.finish()


def _end(servers: tuple[uvicorn.Server, ...], front: Front) -> None:
    front.draining = True
    for server in servers:
        server.should_exit = True


def _server(
    app: Callable[..., Any],
    port: int,
    limits: ServiceLimits,
    *,
    http: type[asyncio.Protocol] | str = "auto",
) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="0.0.0.0",
            port=port,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(limits.drain_s)),
            http=http,
        )
    )


def main() -> None:
    """Exit code 5 for a model that is not the approved one, with the four lines of the error."""
    options = arguments().parse_args()
    log_lines()
    for library in ("httpx", "uvicorn", "feast"):
        logging.getLogger(library).setLevel(logging.WARNING)
    limits = ServiceLimits()
    with tempfile.TemporaryDirectory() as workdir:
        folder = Path(options.request_log or Path(workdir) / "requests")
        options.request_log = str(folder)
        try:
            front = build_front(options, limits, Path(workdir))
            asyncio.run(serve(options, front, folder, limits))
        except PlatformError as exc:
            log.error("%s", exc)
            _report(exc)
            sys.exit(exc.exit_code)


def _report(exc: PlatformError) -> None:
    """Leave the error where the kubelet looks for a container's last words."""
    if _TERMINATION_LOG.exists():
        _TERMINATION_LOG.write_text(json.dumps(exc.as_dict()), encoding="utf-8")


if __name__ == "__main__":
    main()
