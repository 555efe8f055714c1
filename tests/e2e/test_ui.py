"""The pages of a home in Chromium: any screen, dark, on paper, by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from platform_ctl.ui.views import RunRow
from tests.support.browser import DESKTOP, Browser, chromium
from tests.support.console import RUN, Site
from tests.support.programs import needs

pytestmark = [pytest.mark.e2e, needs("chromedriver")]

PHONE = (390, 844)
PAGES = (
    "/",
    "/runs",
    f"/runs/{RUN.id}",
    "/models",
    "/models/weekly-commits",
    "/services",
    "/services/weekly-commits",
    "/approvals",
    "/approvals/aaaa1111",
    "/lineage",
    "/lineage?of=models/weekly-commits",
    "/cost",
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.page.stop()


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """Somebody who came by the link that ``platform-ctl ui`` prints."""
    with chromium() as made:
        made.open(site.page.address())
        yield made


@pytest.mark.parametrize("path", ["/", "/runs", "/models/weekly-commits", "/approvals", "/cost"])
def test_on_a_phone_a_row_is_a_block_and_nothing_is_cut(
    browser: Browser, site: Site, path: str
) -> None:
    browser.screen(PHONE)
    browser.open(f"{site.page.origin}{path}")
    cells = "[...document.querySelectorAll('.rows td')]"
    assert browser.ask(f"{cells}.length") > 0
    width = PHONE[0]
    assert browser.ask(f"Math.max(...{cells}.map(c => c.getBoundingClientRect().right))") <= width
    assert browser.ask(f"{cells}.every(c => getComputedStyle(c, '::before').content.length > 2)")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_any_screen_light_and_dark(browser: Browser, site: Site, path: str) -> None:
    browser.screen(DESKTOP)
    browser.console(), browser.requests()
    browser.open(f"{site.page.origin}{path}")
    assert browser.console() == []
    assert all(address.startswith(site.page.origin) for address in browser.requests())
    for size, dark in ((DESKTOP, True), (PHONE, False), (PHONE, True)):
        browser.screen(size, dark=dark)
        assert browser.overflow_px() == 0
        assert browser.find("h1").is_displayed() and browser.find("nav a").is_displayed()


def test_a_long_name_stays_in_its_card_and_paper_has_no_buttons(
    browser: Browser, site: Site
) -> None:
    known, site.rows = site.rows, [RunRow(replace(RUN, name="x" * 120))]
    try:
        for size, media in ((DESKTOP, ""), (PHONE, ""), (DESKTOP, "print")):
            browser.screen(size, media=media)
            browser.open(f"{site.page.origin}/runs")
            card = "document.querySelector('.card')"
            assert browser.ask(f"{card}.scrollWidth - {card}.clientWidth") <= 0
            assert browser.find("form.filter").is_displayed() == (media != "print")
    finally:
        site.rows = known
        browser.screen(DESKTOP)


def test_dark_is_dark(browser: Browser, site: Site) -> None:
    browser.open(f"{site.page.origin}/")
    colours = []
    for dark in (False, True):
        browser.screen(DESKTOP, dark=dark)
        colours.append(browser.ask("getComputedStyle(document.body).backgroundColor"))
    light, dark_one = (sum(map(int, c[4:-1].split(","))) for c in colours)
    assert light > 600 and dark_one < 150


def test_a_page_prints(browser: Browser, site: Site) -> None:
    browser.open(f"{site.page.origin}/approvals/aaaa1111")
    browser.screen(DESKTOP, media="print")
    assert browser.pdf().startswith(b"%PDF")
    assert "weekly-commits/4" in browser.text
    browser.screen(DESKTOP)


def test_everything_is_reached_by_keyboard_alone(browser: Browser, site: Site) -> None:
    """Tab from the top: the skip link, every page, every link; each with a visible outline."""
    from selenium.webdriver.common.keys import Keys

    browser.screen(DESKTOP)
    browser.open(f"{site.page.origin}/")
    seen = []
    for _ in range(60):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        here = browser.driver.switch_to.active_element
        if here.tag_name == "body":
            break
        assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") != "none"
        seen.append(here.get_attribute("href") or here.get_attribute("aria-label"))
    assert seen[0].endswith("#content")
    wanted = ("/runs", "/models", "/services", "/approvals", "/lineage", "/cost")
    assert {f"{site.page.origin}{path}" for path in wanted} <= set(seen)


def test_an_answer_is_given_by_keyboard_alone(browser: Browser, site: Site) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.screen(DESKTOP)
    browser.open(f"{site.page.origin}/approvals/aaaa1111")
    for _ in range(80):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        here = browser.driver.switch_to.active_element
        if here.get_attribute("id") == "reason":
            here.send_keys("the champion is fine")
        if here.get_attribute("value") == "reject":
            left = browser.find("html")
            here.send_keys(Keys.ENTER)
            browser.wait_to_leave(left)
            break
    assert [a[1:3] for a in site.answers] == [("reject", "the champion is fine")]
