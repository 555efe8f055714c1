"""The pages of a home over fakes, on a free port, with one of everything to show."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urlencode, urlsplit

from platform_ctl.approvals.compare import ComparisonRow
from platform_ctl.approvals.request import Answer, ApprovalRequest, ApprovalState, Subject
from platform_ctl.errors import UnknownName, UsageError
from platform_ctl.lineage.graph import PrintedTree
from platform_ctl.models.model import AliasMove, ModelVersion, RegisteredModel
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.releases.release import Release, ReleaseEvent, Target
from platform_ctl.runs.record import Run, RunState, TaskVerdict
from platform_ctl.serving.service import (
    InferenceService,
    Revision,
    RevisionStatus,
    ServiceSpec,
    ServiceState,
)
from platform_ctl.ui.identity import COOKIE
from platform_ctl.ui.server import LocalPages
from platform_ctl.ui.views import (
    ApprovalView,
    ConsolePorts,
    LineageView,
    RunRow,
    ServiceView,
    VersionRow,
)

REQUEST = ApprovalRequest(
    id="aaaa1111",
    model="weekly-commits",
    version="4",
    recipe="train_deploy",
    subject=Subject("sha256:m", "sha256:e", "4711", "sha256:c", "3 sha256:old"),
    state=ApprovalState.PENDING,
    requested_by="ann <script>",
    requested_at="2026-11-21T07:00:00.000+00:00",
    expires_at="2026-11-24T07:00:00.000+00:00",
)
RUN = Run(
    id="cafe0000-1111",
    name="nightly <b>",
    pipeline="train-deploy",
    state=RunState.SUCCEEDED,
    created_at="2026-11-21T07:00:00.000+00:00",
    directory="/nowhere",
    verdicts=(TaskVerdict("gate", "successful", ("it is better",)),),
)
MODEL = RegisteredModel(
    "weekly-commits",
    (ModelVersion("weekly-commits", "4", RUN.created_at, ("staging",), metrics={"mase": 0.9}),),
)
MOVE = AliasMove(1, "weekly-commits", "staging", "", "4", RUN.created_at, "ann", "new", "")
REVISION = Revision("v4-aaaa", "/nowhere", "4", "sha256:m")
SERVICE = InferenceService(
    "weekly-commits",
    ServiceState.RUNNING,
    "http://127.0.0.1:1",
    ServiceSpec(REVISION),
    (RevisionStatus("v4-aaaa", "production", 1, True),),
)
RELEASE = Release(
    "r1", Target("weekly-commits", "weekly-commits", REVISION, ()), CanaryPlan(), None
)
EVENT = ReleaseEvent(RUN.created_at, "started", {"actor": "ann"})
ROWS = [
    ComparisonRow("mase", 0.9, 0.95, 1.05),
    ComparisonRow("mae", 6.0, 6.5, 7.0),
    ComparisonRow("mase, small (12 rows)", 0.8, None, 1.0),
]


class Site:
    """The pages on a free port, and a browser's worth of HTTP."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Answer, str, str]] = []
        self.request = REQUEST
        self.changes: list[str] = []
        self.rows = [RunRow(RUN, 0.25, 0.1)]
        self.page = LocalPages(self.reading(), "ann")
        self.page.start()
        self.cookie = f"{COOKIE}={self.page.identity.token}"

    def reading(self) -> ConsolePorts:
        return ConsolePorts(
            home="/somewhere/.platform",
            runs=lambda limit: self.rows[:limit],
            run=self._run,
            report=lambda run_id: "<!doctype html><title>report</title>",
            models=lambda: [MODEL],
            versions=lambda model: [
                VersionRow(v, "MASE 0.9", "1.05 mean_4w") for v in model.versions
            ],
            history=lambda name: [MOVE],
            services=lambda: [ServiceView(SERVICE, RELEASE, [EVENT])],
            approvals=lambda: [self.request],
            approval=self._view,
            lineage=self._lineage,
            money_per_cpu_hour=0.05,
            answer=self._answer,
        )

    def _run(self, run_id: str) -> RunRow:
        if run_id != RUN.id:
            raise UnknownName(f"there is no run {run_id!r}")
        return self.rows[0]

    def _lineage(self, name: str) -> LineageView:
        if name not in ("", "abukix.commits", "models/weekly-commits", "models/weekly-commits/4"):
            raise UnknownName(f"no run, dataset or model {name!r} in the lineage of this home")
        names = ["abukix.commits", "models/weekly-commits"]
        if not name:
            return LineageView(names)
        made = PrintedTree("train <b>", [PrintedTree("abukix.commits @ 4711")])
        up = PrintedTree(name, [PrintedTree("register", [made])])
        return LineageView(names, name, f"mlflow {name}", up, PrintedTree(name))

    def _view(self, request_id: str) -> ApprovalView:
        if request_id != self.request.id:
            raise UnknownName(f"there is no approval request {request_id!r}")
        return ApprovalView(
            self.request,
            ROWS,
            self.changes,
            run_id=RUN.id,
            gate=["17 % better than mean_4w"],
            since_champion=["code FEATURES: a → b"],
            plan="The traffic moves in steps of 10 → 100 %.",
        )

    def _answer(self, request_id: str, answer: Answer, reason: str, who: str) -> str:
        if not reason:
            raise UsageError("a decision needs a reason")
        self.answers.append((request_id, answer, reason, who))
        return "noted"

    def ask(self, method: str, path: str, *, form: dict | None = None, **headers: str):
        """(status, headers, text); ``cookie`` is sent unless another one is given."""
        host = urlsplit(self.page.origin).netloc
        connection = http.client.HTTPConnection(host, timeout=10)
        sent = {"Cookie": self.cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
        body = None if form is None else urlencode(form)
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        found = response.status, response.headers, response.read().decode()
        connection.close()
        return found

    def form(self, **changes: str) -> dict[str, str]:
        _, _, text = self.ask("GET", "/approvals/aaaa1111")
        csrf = re.search(r'name="csrf" value="([^"]+)"', text)[1]
        return {"csrf": csrf, "answer": "approve", "reason": "better everywhere", **changes}
