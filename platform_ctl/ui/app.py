"""The ASGI application of the pages: routes, guards and headers.

Plain HTML; no script; one style sheet, allowed by its digest. A GET changes
nothing. An answer to an approval is a POST from a page of this origin with a
form token. Names that resolve here from elsewhere (DNS rebinding) are refused.
"""

from __future__ import annotations

import functools
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from platform_ctl.approvals.request import Answer
from platform_ctl.errors import PlatformError
from platform_ctl.releases.release import in_short
from platform_ctl.report import html, parts
from platform_ctl.runs.task_name import shown
from platform_ctl.text import duration, minute
from platform_ctl.ui.identity import COOKIE, Identity, LocalToken, Person
from platform_ctl.ui.views import ConsolePorts, attention, costs

RUNS_SHOWN = 50
RUNS_COUNTED = 500
"""Of these the page of costs makes its totals."""
REFRESH_S = 3
"""A page with something running on it loads itself anew."""
MAX_BODY_BYTES = 16_384
HEADERS = {
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
Page = Callable[[Request, Person], Response]


@dataclass
class ConsoleContext:
    """What the routes share. ``hosts``: values of Host that are ours; empty: any."""

    reading: ConsolePorts
    identity: Identity
    hosts: frozenset[str] = frozenset()
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    outcomes: dict[str, str] = field(default_factory=dict)
    """Request id -> what came of the last answer given here."""


def application(site: ConsoleContext) -> Starlette:
    """The pages over ``site``."""
    pages = _Pages(site)
    routes = [
        ("/", pages.overview),
        ("/runs", pages.runs),
        ("/runs/{run}", pages.run),
        ("/runs/{run}/report", pages.report),
        ("/models", pages.models),
        ("/models/{name}", pages.model),
        ("/services", pages.services),
        ("/services/{name}", pages.service),
        ("/approvals", pages.approvals),
        ("/approvals/{request}", pages.approval),
        ("/lineage", pages.lineage),
        ("/cost", pages.cost),
    ]
    page_routes = [Route(path, pages.guarded(page), methods=["GET"]) for path, page in routes]
    page_routes.append(Route("/approvals/{request}", pages.answer, methods=["POST"]))
    return Starlette(
        routes=page_routes,
        exception_handlers={404: pages.not_found, 405: pages.not_found},
    )


class _Pages:
    """One method a page. They run in threads: reading blocks."""

    def __init__(self, site: ConsoleContext) -> None:
        self._site = site
        self._reading = site.reading

    # ---- guards -----------------------------------------------------------------

    def guarded(self, page: Page) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            refused = self._foreign(request)
            if refused is not None:
                return refused
            entered = self._entering(request)
            if entered is not None:
                return entered
            person = self._site.identity.person(request.headers)
            if person is None:
                return self._refuse(HTTPStatus.UNAUTHORIZED, self._site.identity.how)
            try:
                return page(request, person)
            except PlatformError as exc:
                return self._refuse(_STATUS.get(exc.exit_code, HTTPStatus.NOT_FOUND), exc.what)

        return answer

    def _foreign(self, request: Request) -> Response | None:
        hosts = self._site.hosts
        if hosts and request.headers.get("host", "") not in hosts:
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "Unknown host.")
        return None

    def _entering(self, request: Request) -> Response | None:
        """The token becomes a cookie and leaves the address bar."""
        identity, offered = self._site.identity, request.query_params.get("token", "")
        if not offered or not isinstance(identity, LocalToken) or not identity.holds(offered):
            return None
        answer = RedirectResponse(request.url.path, HTTPStatus.SEE_OTHER, HEADERS)
        answer.set_cookie(COOKIE, identity.token, httponly=True, samesite="strict", path="/")
        return answer

    async def answer(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if request.headers.get("content-length", "").isdecimal() is False:
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "The form has no length.")
        if int(request.headers["content-length"]) > MAX_BODY_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The reason is too long.")
        fields = parse_qs((await request.body()).decode("utf-8", "replace"))
        form = {name: values[0] for name, values in fields.items()}
        return await run_in_threadpool(
            self.guarded(lambda passed, person: self._decide(passed, person, form)),
            request,
        )

    def _decide(self, request: Request, person: Person, form: dict[str, str]) -> Response:
        if not self._from_this_page(request, form):
            return self._refuse(HTTPStatus.FORBIDDEN, "This form is not from this page.")
        if not person.may_decide:
            return self._refuse(HTTPStatus.FORBIDDEN, f"{person.name} is not an approver.")
        try:
            answer = Answer(form.get("answer", ""))
        except ValueError:
            return self._refuse(HTTPStatus.BAD_REQUEST, "An answer is approve or reject.")
        request_id, reason = request.path_params["request"], form.get("reason", "")
        try:
            outcome = self._reading.answer(request_id, answer, reason, person.name)
        except PlatformError as exc:
            return self._approval(request_id, person, HTTPStatus.CONFLICT, exc.what, reason)
        self._site.outcomes[request_id] = outcome
        return RedirectResponse(request.url.path, HTTPStatus.SEE_OTHER, HEADERS)

    def _from_this_page(self, request: Request, form: dict[str, str]) -> bool:
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        same = origin is None or urlsplit(origin).netloc == host
        return same and hmac.compare_digest(form.get("csrf", "").encode(), self._site.csrf.encode())

    # ---- pages ------------------------------------------------------------------

    def overview(self, request: Request, person: Person) -> Response:
        runs, services = self._reading.runs(10), self._reading.services()
        waiting = attention(runs, self._reading.approvals(), services)
        return self._page(
            "overview",
            "Overview",
            person,
            attention=waiting,
            runs=runs,
            services=services,
            models=self._reading.models(),
            refresh=_refresh(runs),
        )

    def runs(self, request: Request, person: Person) -> Response:
        wanted = {k: request.query_params.get(k, "") for k in ("pipeline", "state")}
        known = self._reading.runs(RUNS_COUNTED)
        matching = [
            row
            for row in known
            if wanted["pipeline"] in ("", row.run.pipeline)
            and wanted["state"] in ("", str(row.run.state))
        ]
        typed = request.query_params.get("page", "")
        page = int(typed) if typed.isdecimal() and len(typed) < 6 else 0
        begin, end = page * RUNS_SHOWN, (page + 1) * RUNS_SHOWN
        runs = matching[begin:end]
        return self._page(
            "runs",
            "Runs",
            person,
            runs=runs,
            wanted=wanted,
            filtered=any(wanted.values()) or page > 0,
            pipelines=sorted({row.run.pipeline for row in known}),
            first=begin + 1,
            total=len(matching),
            cut=len(known) == RUNS_COUNTED,
            newer=urlencode({**wanted, "page": page - 1}) if page else "",
            older=urlencode({**wanted, "page": page + 1}) if len(matching) > end else "",
            refresh=_refresh(runs),
        )

    def run(self, request: Request, person: Person) -> Response:
        row = self._reading.run(request.path_params["run"])
        title = f"{row.run.pipeline} {row.run.id[:8]}"
        return self._page("run", title, person, row=row, run=row.run, refresh=_refresh([row]))

    def report(self, request: Request, person: Person) -> Response:
        return HTMLResponse(self._reading.report(request.path_params["run"]), headers=HEADERS)

    def models(self, request: Request, person: Person) -> Response:
        return self._page("models", "Models", person, models=self._reading.models())

    def model(self, request: Request, person: Person) -> Response:
        name = request.path_params["name"]
        model = next((m for m in self._reading.models() if m.name == name), None)
        if model is None:
            return self._refuse(HTTPStatus.NOT_FOUND, f"There is no model {name!r}.")
        versions = self._reading.versions(model)
        history = list(reversed(self._reading.history(name)))
        return self._page("model", name, person, model=model, versions=versions, history=history)

    def services(self, request: Request, person: Person) -> Response:
        return self._page("services", "Services", person, services=self._reading.services())

    def service(self, request: Request, person: Person) -> Response:
        name = request.path_params["name"]
        view = next((s for s in self._reading.services() if s.service.name == name), None)
        if view is None:
            return self._refuse(HTTPStatus.NOT_FOUND, f"There is no service {name!r}.")
        refresh = REFRESH_S if view.release is not None and view.release.state.is_open else 0
        return self._page("service", name, person, view=view, refresh=refresh)

    def approvals(self, request: Request, person: Person) -> Response:
        return self._page("approvals", "Approvals", person, requests=self._reading.approvals())

    def approval(self, request: Request, person: Person) -> Response:
        return self._approval(request.path_params["request"], person)

    def lineage(self, request: Request, person: Person) -> Response:
        view = self._reading.lineage(request.query_params.get("of", ""))
        return self._page("lineage", view.subject or "Lineage", person, view=view)

    def cost(self, request: Request, person: Person) -> Response:
        runs = self._reading.runs(RUNS_COUNTED)
        return self._page(
            "cost",
            "Cost",
            person,
            costs=costs(runs),
            counted=len(runs),
            price=self._reading.money_per_cpu_hour,
            runs=runs[:RUNS_SHOWN],
        )

    def _approval(
        self,
        request_id: str,
        person: Person,
        status: HTTPStatus = HTTPStatus.OK,
        problem: str = "",
        reason: str = "",
    ) -> Response:
        view = self._reading.approval(request_id)
        return self._page(
            "approval",
            f"{view.request.reference}: {view.request.state}",
            person,
            status=status,
            view=view,
            quality=parts.quality(view.evaluation) if view.evaluation else None,
            bound=list(parts.bound(view.request)),
            csrf=self._site.csrf,
            outcome=self._site.outcomes.get(view.request.id, ""),
            problem=problem,
            reason=reason,
        )

    def not_found(self, request: Request, exc: Exception) -> Response:
        refused = self._foreign(request)
        status = HTTPStatus(getattr(exc, "status_code", 404))
        return refused or self._refuse(status, "There is no such page.")

    def _refuse(self, status: HTTPStatus, why: str) -> Response:
        return self._page("refused", status.phrase, None, status=status, why=why)

    def _page(
        self,
        template: str,
        title: str,
        person: Person | None,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        refresh: int = 0,
        **shown: Any,
    ) -> Response:
        sheet = _sheet()
        content = (
            _environment()
            .get_template(f"ui/{template}.html")
            .render(
                title=title,
                style=sheet,
                home=self._reading.home,
                person=person,
                refresh=refresh,
                section=template.rstrip("s"),
                **shown,
            )
        )
        policy = html.policy(sheet, "img-src data:", "form-action 'self'", "frame-ancestors 'none'")
        headers = {**HEADERS, "Content-Security-Policy": policy}
        return HTMLResponse(content, int(status), headers)


_STATUS = {
    2: HTTPStatus.NOT_FOUND,
    3: HTTPStatus.NOT_FOUND,
    4: HTTPStatus.SERVICE_UNAVAILABLE,
    6: HTTPStatus.NOT_IMPLEMENTED,
}
"""Exit code of an error -> status of the page that shows it."""


@functools.cache
def _environment() -> jinja2.Environment:
    """The report's environment, with the templates of this package under ``ui/``."""
    shared = html.environment()
    assert shared.loader is not None
    own = jinja2.PrefixLoader({"ui": jinja2.PackageLoader(__package__, ".")})
    templates = shared.overlay(loader=jinja2.ChoiceLoader([own, shared.loader]))
    templates.filters |= {"step": shown, "minute": minute, "in_short": in_short}
    templates.filters["took"] = lambda seconds: "–" if seconds is None else duration(seconds)
    return templates


@functools.cache
def _sheet() -> Markup:
    own = resources.files(__package__).joinpath("ui.css").read_text(encoding="utf-8")
    return html.style("tokens.css", "style.css") + Markup("\n") + Markup(own)


def _refresh(runs: Sequence[Any]) -> int:
    return REFRESH_S if any(not row.run.state.final for row in runs) else 0
