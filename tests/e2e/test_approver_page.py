"""The approver's page in Chromium, with real records behind it: who gets in, and what an answer
does."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.runs.record import Run
from platform_ctl.ui.server import LocalPages
from tests.support import chain as support
from tests.support.browser import DESKTOP, PHONE, Browser, chromium
from tests.support.chain import Chain
from tests.support.programs import needs

pytestmark = [pytest.mark.e2e, needs("chromedriver")]


@dataclass
class Desk:
    """A home with a request that waits, its page, and what became of it."""

    chain: Chain
    page: LocalPages
    request_id: str

    @property
    def address(self) -> str:
        return f"{self.page.origin}/approvals/{self.request_id}"

    @property
    def request(self) -> ApprovalRequest:
        return targets.approvals(self.chain.settings).get(self.request_id)

    @property
    def promotions(self) -> list[Run]:
        """Runs that the request's answer has started."""
        runs = targets.orchestrator(self.chain.settings).list(-1)
        return [r for r in runs if r.parameters.get("approval_id") == self.request_id]

    def sql(self, statement: str, *values: object) -> None:
        self.chain.sql(statement, *values)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return support.build(tmp_path_factory.mktemp("chain") / "home")


@pytest.fixture
def desk(template: Chain, tmp_path: Path) -> Iterator[Desk]:
    """A copy of the home, and the page as ``approval serve`` serves it."""
    shutil.copytree(template.home, tmp_path / "home")
    chain = Chain(tmp_path / "home", template.snapshot)
    reading = targets.pages(chain.settings)
    page = LocalPages(reading, targets.local_user())
    page.start()
    waiting = next(
        r for r in targets.approvals(chain.settings).list() if r.state is ApprovalState.PENDING
    )
    made = Desk(chain, page, waiting.id)
    yield made
    page.stop()
    for run in made.promotions:
        targets.orchestrator(chain.settings).cancel(run.id)
    for service in targets.serving(chain.settings).list():
        targets.serving(chain.settings).stop(service.name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def log_in(browser: Browser, desk: Desk) -> None:
    """By the link that the command printed."""
    browser.screen(DESKTOP)
    browser.driver.delete_all_cookies()
    browser.open(desk.page.address("/approvals"))


def answer(browser: Browser, what: str, reason: str) -> None:
    browser.find("#reason").send_keys(reason)
    browser.follow(f"button[value={what}]")


def test_the_link_logs_in_and_the_comparison_is_there(browser, desk):
    log_in(browser, desk)
    assert "token" not in browser.driver.current_url
    browser.follow("tbody a")
    browser.console(), browser.requests()
    browser.open(desk.address)
    for words in (
        "May weekly-commits/2 go to production?",
        "best baseline",
        "interval",
        "by slice",
    ):
        assert words in browser.text
    assert len(browser.all("#quality .chart circle")) > 50
    assert len(browser.all("#quality .forest .row")) >= 5
    assert browser.console() == []
    assert browser.requests() == [desk.address]
    for size, dark in ((PHONE, False), (PHONE, True), (DESKTOP, True)):
        browser.screen(size, dark=dark)
        assert browser.overflow_px() == 0
        assert browser.find("button[value=approve]").is_displayed()


def test_yes_with_a_reason_starts_one_promotion_however_often_it_is_clicked(browser, desk):
    log_in(browser, desk)
    browser.open(desk.address)
    browser.find("#reason").send_keys("better on every slice")
    browser.double_click("button[value=approve]")
    assert "weekly-commits/2 is approved" in browser.find("h1").text
    (run,) = desk.promotions
    assert f"its promotion is run {run.id[:8]}" in browser.find("[role=status]").text
    assert [v.reason for v in desk.request.votes] == ["better on every slice"]
    browser.driver.refresh()
    assert browser.all("form") == [] and len(desk.promotions) == 1


def test_no_with_a_reason_stays_no_and_starts_nothing(browser, desk):
    log_in(browser, desk)
    browser.open(desk.address)
    answer(browser, "reject", "the champion is fine")
    assert "is rejected" in browser.find("h1").text
    assert "the champion is fine" in browser.text
    assert desk.request.state is ApprovalState.REJECTED and desk.promotions == []


def test_without_a_reason_nothing_is_sent_and_blanks_are_refused(browser, desk):
    log_in(browser, desk)
    browser.open(desk.address)
    browser.find("button[value=approve]").click()
    assert browser.ask("document.querySelector('#reason').validity.valueMissing")
    assert browser.all("[role=alert]") == []
    answer(browser, "approve", "   ")
    assert "a decision needs a reason" in browser.find("[role=alert]").text
    assert browser.all("form") != []
    assert desk.request.state is ApprovalState.PENDING and desk.promotions == []


def test_another_sites_form_and_a_wrong_token_get_nowhere(browser, desk, tmp_path):
    log_in(browser, desk)
    site = tmp_path / "evil"
    site.mkdir()
    (site / "index.html").write_text(
        f'<form method="post" action="{desk.address}"><input name="reason" value="x">'
        '<input name="csrf" value="guess"><button name="answer" value="approve">win</button>'
    )

    def handler(*arguments: object) -> Quiet:
        return Quiet(*arguments, directory=str(site))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as evil:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        for host in ("localhost", "127.0.0.1"):
            browser.open(f"http://{host}:{evil.server_address[1]}/")
            browser.follow("button")
            assert browser.driver.current_url.startswith(desk.page.origin)
            assert browser.find("h1").text in ("Unauthorized", "Forbidden")
        evil.shutdown()
    browser.driver.delete_all_cookies()
    browser.open(f"{desk.page.origin}/?token=wrong")
    assert browser.find("h1").text == "Unauthorized" and "weekly-commits" not in browser.text
    assert desk.request.state is ApprovalState.PENDING and desk.promotions == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_what_expired_or_changed_says_so_and_takes_no_answer(browser, desk):
    log_in(browser, desk)
    browser.open(desk.address)
    desk.sql("UPDATE approvals SET expires_at = '2020-01-01T00:00:00.000+00:00'")
    answer(browser, "approve", "too late")
    assert "Not taken" in browser.find("[role=alert]").text
    assert "is expired" in browser.find("h1").text and browser.all("form") == []
    assert "approval request weekly-commits/2" in browser.text
    assert desk.promotions == []


def test_a_champion_that_moved_voids_what_was_asked(browser, desk):
    log_in(browser, desk)
    targets.registry(desk.chain.settings).move_aliases(
        support.NAME, {"production": ""}, actor="ann", reason="taken out"
    )
    browser.open(desk.address)
    assert "is not what was asked about" in browser.find("h1").text
    assert "champion was 1" in browser.text and browser.all("form") == []


def test_it_works_without_javascript(desk):
    with chromium(javascript=False) as browser:
        browser.open("data:text/html,<title>off</title><script>document.title='on'</script>")
        assert browser.driver.title == "off"
        browser.open(desk.page.address("/approvals"))
        browser.follow("tbody a")
        answer(browser, "reject", "read without scripts")
        assert "is rejected" in browser.find("h1").text
    assert desk.request.state is ApprovalState.REJECTED
