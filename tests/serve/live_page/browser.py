"""A real headless Chromium, driven over a pipe by the Chrome DevTools Protocol.

https://chromedevtools.github.io/devtools-protocol/; messages on the pipe end with a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_FLAGS += ["--disable-background-networking", "--no-first-run", "--remote-debugging-pipe"]
# The browser reads at the descriptor 3 and writes at 4. This starts it with a pipe at each.
_STARTER = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
# A page that shows something else than expected is looked at this often before that is an error.
_LOOKS = 600


class Browser:
    """A browser with a single tab.

    Attributes:
        problems: what its console has said: errors, and violations of the page's policy.
    """

    def __init__(self, commands: int, replies: int) -> None:
        self._commands = commands
        self._replies = open(replies, "rb", buffering=0)  # noqa: SIM115
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.problems: list[str] = []
        made = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Close this end of the pipe, after which the browser ends."""
        os.close(self._commands)
        self._replies.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._number:
                assert "error" not in reply, (method, reply)
                result: dict[str, Any] = reply["result"]
                return result
            self._hear(reply)

    def look(
        self, *, width: int, height: int = 900, dark: bool = False, calm: bool = False
    ) -> None:
        """Set the size of the screen, the colours, and whether motion is unwelcome."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        wanted = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if calm else "no-preference",
        }
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def forget(self) -> None:
        """Forget cookies, the page, and what its console has said."""
        self.open("about:blank")
        self.call("Network.clearBrowserCookies")
        self.problems.clear()

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        ran = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in ran, (script, ran["exceptionDetails"])
        return ran["result"].get("value")

    def until(self, script: str) -> Any:
        """The first true value of an expression, which is looked at again and again."""
        pause = "new Promise((done) => setTimeout(done, 100))"
        for _ in range(_LOOKS):
            try:
                if value := self.run(script):
                    return value
                self.run(pause)
            except AssertionError:  # the page is being replaced by another
                continue
        text = self.run("document.documentElement.innerText")
        raise AssertionError(f"never true: {script}\n{text}\n{self.problems}")

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = self._replies.read(65_536)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def _hear(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"]))


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A running browser with an empty profile; skipped where there is none."""
    if BROWSER is None:
        pytest.skip("no chromium here")
    to_browser, commands = os.pipe()
    replies, from_browser = os.pipe()
    arguments = [BROWSER, *_FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(to_browser), str(from_browser), *arguments],
        pass_fds=(to_browser, from_browser),
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        browser = Browser(commands, replies)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.kill()
        process.wait()
