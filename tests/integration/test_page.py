"""The page at `/` in a real browser, over everything that `headrace demo` runs."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.publisher import publish
from connectors.sources import profile_events
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor
from tests.browser import PATIENCE_SECONDS, Tab, chromium

APPS = ("app", "views", "archive", "api")
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
ENTER = ("Enter", 13)
LIVE = "document.getElementById('live').textContent === 'live'"


@pytest.fixture(scope="module")
def supervisor(
    own_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supervisor]:
    """The apps and the API, which gives tokens."""
    logs = tmp_path_factory.mktemp("logs")
    with Supervisor(own_addresses, APPS, log_dir=logs, is_trying_out=True) as supervisor:
        yield supervisor


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One for all tests; needs a Chromium (tests/conftest.py)."""
    with chromium(tmp_path_factory.mktemp("browser")) as tab:
        tab.call("Emulation.setDeviceMetricsOverride", **PHONE)
        yield tab


class Scene:
    """Bob, who looks at the page, and Ann, whom he follows."""

    def __init__(self, supervisor: Supervisor, addresses: Addresses, tab: Tab) -> None:
        self._supervisor = supervisor
        self.tab = tab
        self.url = supervisor.api_url
        name = secrets.token_hex(4)
        self.bob, self.ann = f"bob-{name}", f"ann-{name}"
        at = time.time_ns() // 1_000_000
        publish(addresses.kafka, profile_events((self.bob, self.ann), at, 1))
        deadline = time.monotonic() + 60
        while httpx.get(f"{self.url}/api/v1/users/{self.ann}", trust_env=False).is_error:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.write(self.bob, "POST", f"users/{self.ann}/follow")

    def write(self, user: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What a user does through the API, once the views show it."""
        response = httpx.request(
            method,
            f"{self.url}/api/v1/{path}?wait=view",
            headers={"Authorization": f"Bearer {self._supervisor.token(user)}"},
            json=body,
            trust_env=False,
        )
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def post(self, content: str) -> str:
        """A post by Ann, once Bob's feed has it: the sink may be behind the stream."""
        post = str(self.write(self.ann, "POST", "posts", {"content": content})["post_id"])
        token = self._supervisor.token(self.bob)
        deadline = time.monotonic() + 30
        while True:
            response = httpx.get(
                f"{self.url}/api/v1/feed",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            if post in response.text:
                return post
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def enter(self) -> None:
        """Bob is picked, by the keyboard, and has his feed."""
        self.tab.open(f"{self.url}/")
        self.tab.click("#user")
        self.tab.type(self.bob)
        self.tab.press(*ENTER)
        self.tab.until(LIVE)
        self.tab.until("document.getElementById('feed').getAttribute('aria-busy') === 'false'")

    def card(self, post: str, within: str = "") -> str:
        """What finds a post on the page, or something in it."""
        return f'#feed > li[data-post="{post}"] {within}'.strip()

    def shows(self, post: str, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a post on the page has a text."""
        card = f"document.querySelector('{self.card(post)}')"
        self.tab.until(f"{card}?.innerText.includes({text!r})", seconds)

    def press(self, post: str, label: str) -> None:
        """Press a button of a post."""
        buttons = f"[...document.querySelectorAll('{self.card(post, 'button')}')]"
        wanted = f"{buttons}.find((each) => each.textContent.startsWith({label!r}))"
        self.tab.until(f"{wanted} !== undefined")
        self.tab.evaluate(f"{wanted}.setAttribute('data-pressed', '')")
        self.tab.click("[data-pressed]")
        self.tab.evaluate(
            "document.querySelector('[data-pressed]')?.removeAttribute('data-pressed')"
        )


@pytest.fixture
def scene(supervisor: Supervisor, own_addresses: Addresses, browser: Tab) -> Iterator[Scene]:
    scene = Scene(supervisor, own_addresses, browser)
    yield scene
    assert faults(browser) == []
    assert requested_elsewhere(browser, scene.url) == []


def faults(tab: Tab) -> list[Any]:
    """What the page threw, and what its policy kept from being done."""
    tab.evaluate("0")  # takes what is waiting
    return [
        event
        for event in tab.events
        if event["method"] == "Runtime.exceptionThrown"
        or (
            event["method"] == "Log.entryAdded"
            and event["params"]["entry"]["source"] in ("security", "javascript", "violation")
        )
    ]


def requested_elsewhere(tab: Tab, url: str) -> list[str]:
    """Addresses of requests to others, or with a token in them."""
    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    return [each for each in asked if not each.startswith(f"{url}/") or "eyJ" in each]


def test_a_user_is_picked_and_takes_part_in_a_feed_that_is_live(scene: Scene) -> None:
    tab = scene.tab
    first = scene.post("the first")
    scene.enter()
    scene.shows(first, "the first")

    second = scene.post("the second")
    scene.shows(second, "the second")
    order = "[...document.querySelectorAll('#feed > li')].map((each) => each.dataset.post)"
    assert tab.evaluate(order) == [second, first]

    scene.press(second, "Like")
    scene.shows(second, "Like 1")
    pressed = f"document.querySelector('{scene.card(second, '[aria-pressed=true]')}')"
    tab.until(f"{pressed}?.textContent === 'Like 1'")
    scene.write(f"cy-{scene.bob}", "POST", f"posts/{second}/like")
    scene.shows(second, "Like 2")
    scene.press(second, "Like")
    scene.shows(second, "Like 1")
    scene.press(second, "Share")
    scene.shows(second, "Share 1")

    scene.press(second, "Comments")
    tab.click(scene.card(second, "form input"))
    tab.type("well said")
    tab.press(*ENTER)
    scene.shows(second, "well said")
    scene.shows(second, "Comments 1")

    scene.press(first, "Hide")
    tab.until(f"!document.querySelector('{scene.card(first)}')")

    tab.click("#content")
    tab.type("from the page")
    tab.click("#compose button")
    tab.until("document.querySelector('#feed').innerText.includes('from the page')")
    tab.until("document.getElementById('content').value === ''")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_ranked_post_says_why_it_stands_where_it_does_and_another_why_it_does_not(
    scene: Scene,
) -> None:
    tab = scene.tab
    post = scene.post("ranked")
    unknown = str(scene.write(f"dee-{scene.bob}", "POST", "posts", {"content": "x"})["post_id"])
    scene.enter()
    tab.click("input[value=ranked]")
    tab.click(scene.card(post, "details summary"))
    scene.shows(post, "First pass")
    rows = tab.evaluate(
        f"[...document.querySelectorAll('{scene.card(post, '.why tr')}')].map((row) =>"
        "[row.cells[0].textContent, row.cells[1].textContent])"
    )
    assert len(rows) > 3
    assert all(name and value for name, value in rows)
    scene.post("newer")
    tab.until("!document.getElementById('newer').hidden")
    tab.click("#newer")
    tab.until("document.getElementById('feed').innerText.includes('newer')")

    tab.click("main > div > details summary")
    tab.click("#missing")
    tab.type(unknown)
    tab.press(*ENTER)
    tab.until("document.getElementById('answer').innerText.includes('not_followed')")
    tab.click("#missing")
    tab.evaluate("document.getElementById('missing').value = ''")
    tab.type("no such post")
    tab.press(*ENTER)
    tab.until("!document.getElementById('problem').hidden")
    said = tab.evaluate("document.getElementById('problem').innerText")
    assert "There is no such post." in said
    assert "Read the feed again" in said


def test_who_is_followed_no_longer_goes_from_the_page_and_comes_back(scene: Scene) -> None:
    tab = scene.tab
    post = scene.post("hello")
    scene.enter()
    tab.click(scene.card(post, ".link"))
    tab.until("document.getElementById('profile').open")
    tab.click("#follow[aria-pressed=true]")
    tab.until(f"!document.querySelector('{scene.card(post)}')")
    tab.click("#follow[aria-pressed=false]")
    scene.shows(post, "hello")


def test_what_users_write_stays_text(scene: Scene) -> None:
    written = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    post = scene.post(written)
    scene.enter()
    scene.shows(post, written)
    assert scene.tab.evaluate("document.querySelectorAll('main img, main script').length") == 0


def test_a_stream_goes_on_where_it_was_when_the_api_has_been_away(
    scene: Scene, supervisor: Supervisor
) -> None:
    tab = scene.tab
    scene.enter()
    ended = supervisor.pid("api")
    os.kill(ended, signal.SIGTERM)
    tab.until(f"!({LIVE})")
    deadline = time.monotonic() + 60
    while supervisor.pid("api") == ended or not supervisor.is_ready("api"):
        assert time.monotonic() < deadline
        supervisor.tend()
        time.sleep(0.2)
    post = scene.post("meanwhile")
    scene.shows(post, "meanwhile", 2 * PATIENCE_SECONDS)
    tab.until(LIVE)
    reads = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
        and "/api/v1/feed?mode" in event["params"]["request"]["url"]
    ]
    assert len(reads) == 1, "the feed was read anew"


def test_a_token_is_taken_where_nothing_is_tried_out(
    own_addresses: Addresses, supervisor: Supervisor, browser: Tab, tmp_path: Path
) -> None:
    assert supervisor.is_ready("app")
    with Supervisor(own_addresses, ("api",), log_dir=tmp_path) as other:
        browser.open(f"{other.api_url}/")
        browser.click("#token")
        browser.type("x.y.z")
        browser.press(*ENTER)
        browser.until("document.getElementById('problem').innerText.includes('no token')")
        user = secrets.token_hex(4)
        browser.click("#token")
        browser.type(other.token(user))
        browser.press(*ENTER)
        browser.until(LIVE)
        assert browser.evaluate("document.getElementById('name').textContent") == user
        assert browser.evaluate("document.getElementById('token').value") == ""
        assert faults(browser) == []
        assert requested_elsewhere(browser, other.api_url) == []
