"""KFP's API server (v2beta1), as every room speaks to it.

One connection over the generated ``kfp_server_api``, never ``kfp.Client``,
which prints to stdout and reads another tool's context file. A call has one
deadline for everything: name look-up, TLS, an answer that drips. What the
server refuses comes back as ``Refusal`` with its status, for the room to judge;
a server that does not answer, or does not know the caller, is an error of ours.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import urlsplit

from platform_ctl.errors import ConfigError, KfpUnavailable, MissingExtra

T = TypeVar("T")

TIMEOUT_S = 8.0
"""For one call, from the name look-up to the last byte."""
CONNECTIONS = 16
"""Calls at the same time that a connection is kept open for."""


class Refusal(Exception):
    """The API server answered with an HTTP status that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status} {message}".strip())
        self.status = status
        self.message = message


@dataclass(frozen=True)
class KfpHealth:
    """Raw answer of ``/apis/v2beta1/healthz``; the generated model drops the version."""

    version: str
    """As the server was built, ``2.17.0``; "" where it says ``unknown``, or says nothing."""
    multi_user: bool


class Kfp:
    """A connection. ``address`` carries no credentials and stands in messages."""

    def __init__(self, address: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.address = address.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._clock_s = 0

    @cached_property
    def client(self) -> Any:
        """The ``kfp_server_api.ApiClient``; the service classes take it."""
        import kfp_server_api

        configuration = kfp_server_api.Configuration()
        configuration.host = self.address
        # No retry and, with that, no redirect: it would take the token to somebody else.
        configuration.retries = False
        configuration.connection_pool_maxsize = CONNECTIONS
        if self._token:
            configuration.api_key = {"authorization": self._token}
            configuration.api_key_prefix = {"authorization": "Bearer"}
        return kfp_server_api.ApiClient(configuration)

    @cached_property
    def pipelines(self) -> Any:
        import kfp_server_api

        return kfp_server_api.PipelineServiceApi(self.client)

    @cached_property
    def uploads(self) -> Any:
        import kfp_server_api

        return kfp_server_api.PipelineUploadServiceApi(self.client)

    @cached_property
    def runs(self) -> Any:
        import kfp_server_api

        return kfp_server_api.RunServiceApi(self.client)

    @cached_property
    def recurring_runs(self) -> Any:
        import kfp_server_api

        return kfp_server_api.RecurringRunServiceApi(self.client)

    @cached_property
    def experiments(self) -> Any:
        import kfp_server_api

        return kfp_server_api.ExperimentServiceApi(self.client)

    def call(
        self,
        function: Callable[..., T],
        *args: Any,
        deadline_s: float | None = None,
        **kwargs: Any,
    ) -> T:
        """What a method of a service class returns.

        Raises Refusal for an answer that is no success, KfpUnavailable for none
        within ``deadline_s``, for 401, and for 502, 503 and 504, which a proxy says.
        """
        limit_s = deadline_s or self._timeout_s
        outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                # The client ignores a timeout that is a float; a pair may hold floats.
                pair = (limit_s, limit_s)
                outcome.put((function(*args, _request_timeout=pair, **kwargs), None))
            except BaseException as exc:  # noqa: BLE001 - raised again by the caller's thread
                outcome.put((None, exc))

        threading.Thread(target=work, daemon=True).start()
        try:
            value, exc = outcome.get(timeout=limit_s)
        except queue.Empty:
            raise self._unavailable(f"no answer within {limit_s:g} s") from None
        self._note_time()
        if exc is not None:
            raise self._translated(exc) from exc
        return value  # type: ignore[return-value]

    def health(self) -> KfpHealth:
        """The server's version and mode. Raises KfpUnavailable."""
        import kfp_server_api

        service = kfp_server_api.HealthzServiceApi(self.client)
        try:
            response = self.call(service.healthz_service_get_healthz, _preload_content=False)
            answer = json.loads(response.data)
        except Refusal as exc:
            raise self._unavailable(f"its health answer is {exc}") from exc
        except ValueError as exc:
            raise self._unavailable("its health answer is not JSON: not a KFP API server") from exc
        if not isinstance(answer, dict) or "multi_user" not in answer:
            raise self._unavailable("its health answer is not that of a KFP API server")
        version = str(answer.get("tag_name", ""))
        known = version not in ("", "unknown")
        return KfpHealth(version.removeprefix("v") if known else "", bool(answer["multi_user"]))

    def clock_s(self) -> int:
        """The server's own time in whole seconds, of its latest answer; 0 where it says none."""
        return self._clock_s

    def _note_time(self) -> None:
        response = getattr(self.client, "last_response", None)
        text = response.getheader("Date") if response is not None else None
        if text:
            try:
                self._clock_s = int(parsedate_to_datetime(text).timestamp())
            except ValueError:
                self._clock_s = 0

    def _translated(self, exc: BaseException) -> BaseException:
        import kfp_server_api
        import urllib3

        if isinstance(exc, kfp_server_api.ApiException):
            if exc.status == 401:
                return self._unavailable("it does not know who calls (HTTP 401)", _TOKEN_FIX)
            if exc.status in (0, None) or 300 <= exc.status < 400 or exc.status in (502, 503, 504):
                return self._unavailable(f"HTTP {exc.status}" if exc.status else str(exc.reason))
            return Refusal(exc.status, _message(exc.body))
        if isinstance(exc, urllib3.exceptions.NameResolutionError) and self._is_service:
            return self._unavailable("only pods know its name", _FORWARD_FIX)
        if isinstance(exc, urllib3.exceptions.HTTPError | OSError):
            return self._unavailable(_reason(exc))
        if isinstance(exc, ValueError | TypeError | AttributeError):
            return self._unavailable(f"its answer cannot be read ({type(exc).__name__})")
        return exc

    @property
    def _is_service(self) -> bool:
        """Whether the address is the name that KFP's Service has inside the cluster."""
        return (urlsplit(self.address).hostname or "").endswith(".svc.cluster.local")

    def _unavailable(self, why: str, fix: str = "") -> KfpUnavailable:
        return KfpUnavailable(
            f"KFP's API server does not answer as it should: {why}",
            where=self.address,
            fix=fix or f"curl -sS -m 5 {self.address}/apis/v2beta1/healthz",
        )


_FORWARD_FIX = (
    "kubectl -n kubeflow port-forward service/ml-pipeline 8888 & "
    "export PLATFORM_CTL_KUBERNETES__KFP_URL=http://127.0.0.1:8888"
)
_TOKEN_FIX = (
    "kubectl create token platform-ci --audience pipelines.kubeflow.org --duration 1h, "
    "and name it in PLATFORM_CTL_KUBERNETES__KFP_TOKEN=env:NAME"
)


def connect(url: str, *, namespace: str, token: str = "", timeout_s: float = TIMEOUT_S) -> Kfp:
    """A connection; no call is made. ``url`` empty: KFP's Service in ``namespace``.

    ``token`` is the value itself. Raises ConfigError for an address that is none,
    MissingExtra without ``kfp_server_api``.
    """
    if find_spec("kfp_server_api") is None:
        raise MissingExtra(
            "the kfp_server_api package is not installed",
            where="--target kubernetes",
            fix="pip install 'platform-ctl[ml,kubernetes]'",
        )
    address = url or f"http://ml-pipeline.{namespace}.svc.cluster.local:8888"
    if not _usable(address):
        raise ConfigError(
            "kubernetes.kfp_url is not an http(s) address without credentials",
            where="setting kubernetes.kfp_url",
            fix="export PLATFORM_CTL_KUBERNETES__KFP_URL=http://HOST:8888",
        )
    return Kfp(address, token=token, timeout_s=timeout_s)


def _usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and parts.port != 0
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        return False


def _message(body: Any) -> str:
    """The server's sentence: of grpc-gateway's JSON, of the upload endpoints' JSON, or plain."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        answer = json.loads(text)
    except ValueError:
        return text.strip()[:500]
    if isinstance(answer, dict):
        for key in ("error_details", "message", "error_message", "error"):
            if isinstance(answer.get(key), str):
                return answer[key][:500]
    return text[:500]


def _reason(exc: BaseException) -> str:
    """One line about a connection that failed, without the address."""
    cause = getattr(exc, "reason", None)
    while isinstance(cause, BaseException):
        exc, cause = cause, getattr(cause, "reason", None)
    root = exc.__cause__ or exc.__context__
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return type(exc).__name__
