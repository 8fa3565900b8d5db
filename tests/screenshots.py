"""The pictures in docs/images, taken from a running `headrace demo`: `scripts/screenshots USER`."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

import click

from tests.browser import Tab, chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MOST_BYTES = 150_000
PHONE = 390
IS_SHOWN = "document.getElementById('feed').getAttribute('aria-busy') === 'false'"


def show(tab: Tab, width: int, height: int) -> None:
    """Make the tab so large, in pixels; a narrow one is a phone's."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= PHONE}
    tab.call("Emulation.setDeviceMetricsOverride", **size)


def take(tab: Tab, name: str) -> None:
    """Write what the tab shows to docs/images."""
    raw = tab.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"]
    picture = base64.b64decode(raw)
    if len(picture) > MOST_BYTES:
        sys.exit(f"{name}: {len(picture):,} bytes are too many")
    (IMAGES / f"{name}.png").write_bytes(picture)
    click.echo(f"{name}.png: {len(picture):,} bytes")


def take_page(tab: Tab, api: str, user: str) -> None:
    """The page at `/`, of a user, with the first rank explained."""
    tab.open(f"{api}/")
    tab.click("#user")
    tab.type(user)
    tab.press("Enter", 13)
    tab.until("document.getElementById('live').textContent === 'live'")
    tab.until(IS_SHOWN)
    tab.click("input[value=ranked]")
    tab.click("#feed details.why summary")
    tab.until(IS_SHOWN)
    tab.evaluate("scrollTo(0, 0)")
    show(tab, 760, 1100)
    take(tab, "page")


@click.command()
@click.argument("user")
@click.option("--api", default="http://127.0.0.1:8080", show_default=True)
@click.option("--monitor", default="http://127.0.0.1:6066", show_default=True, help="Of the app.")
def screenshots(user: str, api: str, monitor: str) -> None:
    """Take the pictures of a running `headrace demo`: its stages, its topology, Faust's tables, and
    the feed of USER, as the demo has named one."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as tab:
        show(tab, 1100, 1240)
        tab.open(f"{monitor}/stages/")
        take(tab, "stages")
        show(tab, PHONE, 1240)
        tab.open(f"{monitor}/stages/")
        take(tab, "stages-phone")
        show(tab, 1100, 640)
        tab.open(f"{monitor}/topology/")
        take(tab, "topology")
        show(tab, 900, 300)
        tab.open(f"{monitor}/table/")
        take(tab, "faust")
        take_page(tab, api, user)


if __name__ == "__main__":
    screenshots()
