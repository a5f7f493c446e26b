"""Photograph the studio for its documentation: python scripts/photograph_studio.py FOLDER [paint] [explore]

``paint`` makes light, dark, phone and regions, ``explore`` the variations; all from the samples, in Chromium.
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
DESK = {"viewport": {"width": 1360, "height": 1150}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "is_mobile": True, "has_touch": True}
STRENGTH = "#option-strength input[type=range]"
ENOUGH = 25  # steps until a setting is changed
PATIENCE = 140  # half seconds


def opened(browser: Any, address: str, **settings: Any) -> Any:
    """Open the page and wait for all of it."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector("#loaded", state="attached")
    page.frame_locator("#controls").locator(STRENGTH).wait_for()
    page.wait_for_timeout(1500)
    return page


def photograph(page: Any, path: Path, width: int = 1100, **how: Any) -> None:
    """Save what the page shows as a JPEG, at most ``width`` px wide."""
    picture = Image.open(io.BytesIO(page.screenshot(**how))).convert("RGB")
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    picture.save(path, quality=86)
    print(path, path.stat().st_size)


def choose_samples(page: Any) -> None:
    """Choose the two samples."""
    page.select_option("#drop-content select", "coffee")
    page.wait_for_selector("#drop-content figure:not([hidden])")
    page.select_option("#drop-style select", "blue_swirls")
    page.wait_for_selector("#styles li")


def brush(page: Any, path: Path) -> None:
    """Brush a region over the upper part."""
    page.click("#add-region")
    page.wait_for_selector("#brush[open]")
    box = page.locator("#brush canvas").bounding_box()
    page.fill("#brush-size", "70")

    def move(x: float, y: float) -> None:
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)

    move(0.06, 0.07)
    page.mouse.down()
    for row in range(5):
        side = 0.94 if row % 2 == 0 else 0.06
        move(side, 0.07 + 0.09 * row)
        move(side, 0.07 + 0.09 * (row + 1))
    page.mouse.up()
    page.select_option("#brush-style", "sample:ember_dabs")
    photograph(page, path, 900)
    page.click("#brush-save")
    page.wait_for_selector("#regions li")


def paint(browser: Any, address: str, folder: Path) -> None:
    """Photograph a run after a setting was changed, in the light and dark themes and on a phone."""
    page = opened(browser, address, **DESK)
    choose_samples(page)
    brush(page, folder / "regions.jpg")
    frame = page.frame_locator("#controls")
    frame.locator("#option-size").locator("input, textarea").first.fill("256")
    frame.locator("#option-quality").get_by_text("draft").click()
    page.click("#start")
    for _ in range(PATIENCE):
        page.wait_for_timeout(500)
        found = re.search(r"step (\d+)", page.inner_text("#status"))
        if found is not None and int(found.group(1)) >= ENOUGH:
            break
    frame.locator(STRENGTH).focus()
    for _ in range(20):
        frame.locator(STRENGTH).press("ArrowRight")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(4000)
    photograph(page, folder / "light.jpg")
    if page.get_attribute("#status", "data-state") != "done":
        page.click("#stop")
    page.wait_for_selector("#status[data-state=done]")
    run = page.evaluate("location.hash")
    for name, settings, width in (("dark.jpg", {**DESK, "color_scheme": "dark"}, 1100), ("phone.jpg", PHONE, 480)):
        other = opened(browser, address + run, **settings)
        other.wait_for_selector("#picture:not([hidden])")
        if settings is PHONE:
            other.evaluate("document.getElementById('settings').scrollIntoView(); window.scrollBy(0, -340)")
        other.wait_for_timeout(1000)
        photograph(other, folder / name, width)


def explore(browser: Any, address: str, folder: Path) -> None:
    """Photograph the variations."""
    page = opened(browser, address, **DESK)
    choose_samples(page)
    page.click("#tab-explore")
    page.click("#sheet-form button")
    page.get_by_text("All variations are ready").wait_for(timeout=230_000)
    page.wait_for_timeout(1000)
    photograph(page, folder / "explore.jpg", full_page=True)


def main(folder: Path, wanted: list[str]) -> None:
    """Start a studio in a temporary folder and photograph it."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as data, sync_playwright() as started:
        command = [sys.executable, "-m", "impasto", "studio", "--no-browser", "--port", "0", "--data", data]
        studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert studio.stdout is not None
        address = re.findall(r"http://\S+", studio.stdout.readline())[0]
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            for part in wanted or ["paint", "explore"]:
                {"paint": paint, "explore": explore}[part](browser, address, folder)
        finally:
            browser.close()
            studio.send_signal(signal.SIGINT)
            studio.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
