"""A Chromium without a network, with what it logged."""

import json
import time
from pathlib import Path
from typing import Any

from selenium import webdriver

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)

PATIENCE_S = 300
"""Seconds after which a condition is taken to stay false; a machine with much other work is many times slower."""


class Browser:
    """A Chromium without a network, with what it logged."""

    def __init__(self, profile: Path, downloads: Path, chromium: str, driver: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        self.driver.set_script_timeout(PATIENCE_S)
        self.downloads = downloads
        conditions = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.command("Network.enable")
        self.command("Network.emulateNetworkConditions", **conditions)
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def open(
        self,
        page: Path,
        *,
        width: int = 1280,
        height: int = 844,
        dark: bool = False,
        scripts: bool = True,
        media: str = "",
    ) -> None:
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.driver.get(page.as_uri())

    def unfold(self) -> None:
        """Opens every folded part."""
        self.run("for (const one of document.querySelectorAll('details')) one.open = true")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> None:
        """Waits until the script returns true: a link is followed after the click has returned."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(script, *arguments):
            assert time.monotonic() < deadline, f"{script} stays false for {arguments}"
            time.sleep(0.05)

    def hears(self, *words: str) -> None:
        """Waits until each of these texts is in one of the complaints."""
        deadline, heard = time.monotonic() + PATIENCE_S, ""
        while not all(each in heard for each in words):
            assert time.monotonic() < deadline, f"{words} do not appear in {heard}"
            time.sleep(0.02)
            heard += "".join(self.complaints)

    @property
    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]

    def saved(self, name: str) -> bytes:
        path, deadline = self.downloads / name, time.monotonic() + PATIENCE_S
        while not path.exists() or not path.stat().st_size:
            assert time.monotonic() < deadline, f"{name} was not saved; there is {list(self.downloads.iterdir())}"
            time.sleep(0.05)
        return path.read_bytes()
