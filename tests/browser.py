"""A headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
START_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
_EVENTS = ("Page", "Runtime", "Log", "Network")


def find_chromium() -> str | None:
    """The Chromium or Chrome of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page of a browser; `events` are what the protocol has told of it, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in _EVENTS:
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command.

        Raises:
            AssertionError: it failed.
        """
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            said: dict[str, Any] = json.loads(self._socket.recv(PATIENCE_SECONDS))
            if said.get("id") == self._number:
                assert "error" not in said, (method, said["error"])
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def open(self, url: str) -> None:
        """Load a page anew, and wait until it is there."""
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page.

        Raises:
            AssertionError: it threw.
        """
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """The value of an expression as soon as it is true.

        Raises:
            AssertionError: it was not in time.
        """
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, (expression, self.text())
            time.sleep(0.05)
        return value

    def text(self) -> str:
        """All that is to be read."""
        return str(self.evaluate("document.body.innerText"))

    def click(self, selector: str) -> None:
        """Press with the mouse upon the middle of an element."""
        found = json.dumps(selector)
        self.until(f"document.querySelector({found})?.getClientRects().length > 0")
        x, y = self.evaluate(
            f"(() => {{ const each = document.querySelector({found}); each.scrollIntoView("
            "{block: 'center'}); const at = each.getBoundingClientRect();"
            "return [at.x + at.width / 2, at.y + at.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """Press a key, of which Windows has the code."""
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **more,
            )


@contextmanager
def chromium(directory: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, whose profile is in the directory."""
    path = find_chromium()
    assert path is not None, f"no browser: none of {', '.join(NAMES)} is installed"
    command = [
        path,
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={directory}",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "about:blank",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            with connect(_address(process, directory), max_size=None, proxy=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], directory: Path) -> str:
    """Where the first tab is driven, once the browser says."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, IndexError, StopIteration):
            port = (directory / "DevToolsActivePort").read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                tabs = json.load(answer)
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            return str(address)
        time.sleep(0.1)
    raise AssertionError((directory / "log").read_text(errors="replace")[-2_000:])
