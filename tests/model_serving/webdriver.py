"""A headless Chromium by the WebDriver protocol: chromedriver and plain HTTP, nothing else."""

import base64
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import requests
from service_process import free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window."""

    def __init__(self, profile: Path, *, dark: bool = False, javascript: bool = True) -> None:
        driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        assert driver and chromium, "needs Chromium: apt-get install chromium chromium-driver"
        port = free_port()
        self.process = subprocess.Popen(
            [driver, f"--port={port}", "--allowed-ips=127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.base = f"http://127.0.0.1:{port}"
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000",
            f"--user-data-dir={profile}", "--no-first-run", "--disable-background-networking",
            "--force-prefers-reduced-motion",
        ]  # fmt: skip
        if dark:
            arguments.append("--force-dark-mode")
        preferences = {} if javascript else {"profile.managed_default_content_settings.javascript": 2}
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments, "prefs": preferences},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        end = time.monotonic() + 30
        while True:
            try:
                answer = requests.post(
                    f"{self.base}/session", json={"capabilities": {"alwaysMatch": capabilities}}, timeout=60
                ).json()["value"]
                break
            except requests.ConnectionError:
                assert time.monotonic() < end, "chromedriver did not start"
                time.sleep(0.1)
        assert "sessionId" in answer, answer
        self.session = f"{self.base}/session/{answer['sessionId']}"

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = requests.request(
            method, self.session + path, json=body if method == "POST" else None, timeout=60
        ).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message'][:300]}")
        return answer

    def open(self, url: str) -> None:
        self._call("POST", "/url", url=url)

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    def find(self, css: str) -> str:
        return str(self._call("POST", "/element", using="css selector", value=css)[ELEMENT])

    def all(self, css: str) -> list[str]:
        return [found[ELEMENT] for found in self._call("POST", "/elements", using="css selector", value=css)]

    def text(self, css: str) -> str:
        return str(self._call("GET", f"/element/{self.find(css)}/text"))

    def click(self, css: str) -> None:
        self._call("POST", f"/element/{self.find(css)}/click")

    def type(self, css: str, text: str) -> None:
        self._call("POST", f"/element/{self.find(css)}/value", text=text)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def focused(self, attribute: str) -> str | None:
        element = self._call("GET", "/element/active")[ELEMENT]
        found = self._call("GET", f"/element/{element}/property/{attribute}")
        return None if found is None else str(found)

    def css(self, selector: str, name: str) -> str:
        return str(self._call("GET", f"/element/{self.find(selector)}/css/{name}"))

    def script(self, source: str) -> Any:
        return self._call("POST", "/execute/sync", script=source, args=[])

    def alert(self) -> bool:
        answer = requests.get(self.session + "/alert/text", timeout=30).json()["value"]
        return not (isinstance(answer, dict) and answer.get("error") == "no such alert")

    def console(self) -> list[str]:
        """What the page wrote or was refused: policy violations stand here."""
        return [entry["message"] for entry in self._call("POST", "/se/log", type="browser")]

    def screenshot(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def wait_for(self, css: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not self.all(css):
            assert time.monotonic() < end, f"nothing like {css} on the page"
            time.sleep(0.1)

    def close(self) -> None:
        try:
            requests.delete(self.session, timeout=30)
        finally:
            self.process.terminate()
            self.process.wait(20)
