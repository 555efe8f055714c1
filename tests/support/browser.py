"""A headless Chromium, driven by selenium; tests that use it need ``needs("chromedriver")``."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_PATIENCE_S = 30
PHONE, DESKTOP = (360, 740), (1280, 900)


@contextlib.contextmanager
def chromium(*, javascript: bool = True) -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards."""
    from selenium import webdriver

    profile = tempfile.mkdtemp(prefix="chromium-")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if not javascript:
        options.add_experimental_option(
            "prefs", {"profile.managed_default_content_settings.javascript": 2}
        )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver") or "/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


class Browser:
    """What the tests ask of a browser; ``driver`` is selenium's, for the rest."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        self.driver.get(address)

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements("css selector", css)

    def follow(self, css: str) -> None:
        """Click what leads to another page, and wait until that is there."""
        left = self.find("html")
        self.find(css).click()
        self.wait_to_leave(left)

    def double_click(self, css: str) -> None:
        """The same, by an impatient person: two clicks before the first has an answer."""
        left = self.find("html")
        self.driver.execute_script("arguments[0].click(); arguments[0].click();", self.find(css))
        self.wait_to_leave(left)

    def wait_to_leave(self, page: Any) -> None:
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.expected_conditions import staleness_of
        from selenium.webdriver.support.wait import WebDriverWait

        # In the middle of a navigation the driver has errors of its own: it is asked again.
        wait = WebDriverWait(self.driver, _PATIENCE_S, ignored_exceptions=(WebDriverException,))
        wait.until(staleness_of(page))

    @property
    def text(self) -> str:
        return self.find("body").text

    def screen(self, size: tuple[int, int], *, dark: bool = False, media: str = "") -> None:
        """Emulate a screen; ``media`` ``print`` shows the page as on paper."""
        width, height = size
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def ask(self, script: str, *arguments: Any) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def overflow_px(self) -> int:
        """By how much the page is wider than the screen."""
        root = "document.documentElement"
        return int(self.ask(f"{root}.scrollWidth - {root}.clientWidth"))

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        logged = self.driver.get_log("browser")
        return [e["message"] for e in logged if e["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, without the browser's own pages."""
        import json

        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [a for a in found if not a.startswith(("chrome:", "chrome-", "data:"))]

    def screenshot(self, path: Path) -> None:
        """The whole page, not only what is on the screen."""
        size = self._tell("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self._tell(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it prints."""
        printed = self._tell("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(printed["data"])

    def _tell(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)
