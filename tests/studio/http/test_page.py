"""The page in a real browser, from the upload to the history, by mouse and by keyboard."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_runner
import numpy as np
import pytest

import required
from waiting import HANG_SECONDS

playwright = required.module("playwright.sync_api")
CHROMIUM = required.program("chromium", "chromium-browser")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START = """
import sys
from pathlib import Path
from impasto.studio.server import Settings, serve
settings = Settings(Path(sys.argv[1]), port=int(sys.argv[2]), module="fake_runner", browser=False)
serve(settings, lambda line: print(line, flush=True))
"""
PAGE_TIMEOUT_MS = 120_000  # the defaults of Playwright are short for a busy machine
STRENGTH = "#option-strength input[type=range]"


class Studio:
    """A studio in a process of its own, which can be stopped and started again at the same address."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.endless = data.with_name("endless")
        self.port = 0
        self.start()

    def start(self) -> None:
        paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        environment = {**os.environ, "PYTHONPATH": paths, "REHEARSAL_DELAY_MS": "20", "REHEARSAL_STEPS": "40"}
        environment["REHEARSAL_ENDLESS"] = str(self.endless)
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.data), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://[^:]+:(\d+)/", self.process.stdout.readline())
        assert found is not None
        self.address, self.port = found.group(), int(found.group(1))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(HANG_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("page") / "data")
    yield studio
    studio.stop(signal.SIGKILL)


@pytest.fixture
def endless(studio: Studio) -> Iterator[None]:
    """Let the runs of a test go on until they are stopped."""
    studio.endless.touch()
    yield
    studio.endless.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright.expect.set_options(timeout=PAGE_TIMEOUT_MS)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(studio: Studio, browser: Any) -> Iterator[Any]:
    """A page that must neither complain nor ask anybody else for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    for job in context.request.get(f"{studio.address}api/v1/jobs?limit=1000").json()["jobs"]:
        context.request.delete(f"{studio.address}api/v1/jobs/{job['id']}")  # a new page would join it
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(studio.address)
    page.wait_for_selector("#loaded", state="attached")
    yield page
    context.close()
    strangers = [url for url in asked if not url.startswith((studio.address, "data:", "blob:"))]
    assert strangers == []
    # What the server refuses, and that it was restarted, is shown on the page; the browser logs it here as well.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def fill(page: Any) -> None:
    """Add a photo and a painting as files."""
    for part, value in (("content", 90), ("style", 200)):
        body = fake_runner.png(np.full((40, 60, 3), value, np.uint8))
        file = {"name": "any.png", "mimeType": "image/png", "buffer": body}
        page.set_input_files(f"#drop-{part} input[type=file]", file)
        page.wait_for_selector(f"#drop-{part}:not([aria-busy])")
    page.wait_for_selector("#styles li")
    page.wait_for_selector("#drop-content figure:not([hidden])")


def controls(page: Any) -> Any:
    frame = page.frame_locator("#controls")
    frame.locator(STRENGTH).wait_for()
    playwright.expect(page.locator("#settings-state")).to_contain_text("while it paints")
    return frame


def status(page: Any, words: str) -> None:
    playwright.expect(page.locator("#status")).to_contain_text(words)


def clear(page: Any) -> None:
    """Delete all jobs through the API, so that no test waits for another's."""
    page.evaluate(
        """async () => {
            const { jobs } = await (await fetch('/api/v1/jobs?limit=1000')).json();
            for (const job of jobs) await fetch(`/api/v1/jobs/${job.id}`, { method: 'DELETE' });
        }"""
    )


@pytest.mark.usefixtures("endless")
def test_from_upload_to_history(page: Any, studio: Studio) -> None:
    fill(page)
    frame = controls(page)
    frame.locator("#option-size").locator("input, textarea").fill("64")
    page.click("#start")
    page.wait_for_selector("#picture:not([hidden])")
    playwright.expect(page.locator("#scrub")).to_be_enabled()  # two steps are kept
    page.click("#pause")
    status(page, "paused")
    page.fill("#scrub", "0")
    playwright.expect(page.locator("#picture")).to_have_attribute("data-step", "1")
    page.fill("#split", "50")
    assert page.evaluate("document.getElementById('before').style.clipPath") == "inset(0px 50% 0px 0px)"
    slider = frame.locator(STRENGTH)
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    page.click("#stop")
    status(page, "stopped early")
    playwright.expect(page.locator("#curves-text")).to_contain_text("changed")
    assert page.locator("#curves line").count() >= 1
    assert page.locator("#curves polyline").count() == 2
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename.startswith("impasto-")

    studio.stop()
    studio.start()
    page.goto(studio.address)
    page.click("#tab-history")
    first = page.locator("#jobs li").first
    first.wait_for()
    assert "finished early" in first.inner_text()
    assert "strength 0.7" in first.inner_text()
    first.get_by_text("Record").click()
    playwright.expect(first.locator("pre")).to_contain_text("chain")
    first.get_by_role("button", name="Use these settings").click()
    frame = controls(page)
    playwright.expect(frame.locator("#option-strength input[type=number]")).to_have_value("0.7")
    playwright.expect(frame.locator("#option-size").locator("input, textarea")).to_have_value("64")
    assert page.locator("#styles li").count() == 1
    page.click("#tab-history")
    page.locator("#jobs li").first.get_by_role("button", name="Open").click()
    page.wait_for_selector("#picture:not([hidden])")
    page.reload()
    page.wait_for_selector("#picture:not([hidden])")
    playwright.expect(controls(page).locator("#option-size").locator("input, textarea")).to_have_value("64")
    clear(page)


def test_every_part_has_an_empty_state(page: Any) -> None:
    clear(page)
    assert page.is_disabled("#start")
    assert "Add a photo and a painting" in page.inner_text("#canvas")
    page.click("#tab-explore")
    page.click("#sheet-form button")
    assert "need a photo and a painting" in page.inner_text("#sheet-state")
    page.click("#tab-history")
    playwright.expect(page.locator("#history-state")).to_contain_text("Nothing painted yet")


def test_variations(page: Any, studio: Studio) -> None:
    fill(page)
    page.click("#tab-explore")
    page.fill("#sheet-strengths", "0.2, 0.8")
    page.fill("#sheet-scales", "1")
    page.click("#sheet-form button")
    playwright.expect(page.locator("#sheet-state")).to_contain_text("All variations are ready")
    zoom = "image => image.decode().then(() => image.getBoundingClientRect().width / image.naturalWidth)"
    assert all(image.evaluate(zoom) <= 2.01 for image in page.locator("#sheet img").all())
    studio.endless.touch()
    page.locator("#sheet button").nth(1).click()
    page.wait_for_selector("#picture:not([hidden])")
    page.click("#cancel")
    status(page, "canceled")
    studio.endless.unlink()
    page.click("#tab-history")
    page.locator("#jobs li").first.wait_for()
    assert page.locator("#jobs li").count() == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#clean")
    playwright.expect(page.locator("#history-state")).to_contain_text("Nothing painted yet")


def test_two_runs_are_compared(page: Any) -> None:
    clear(page)
    fill(page)
    for _ in range(2):
        page.click("#start")
        status(page, "finished")
        page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#tab-history")
    page.locator("#jobs input[type=checkbox]").nth(1).wait_for()
    for index in range(2):
        page.locator("#jobs input[type=checkbox]").nth(index).check()
    page.click("#compare")
    page.wait_for_selector("#comparison:not([hidden])")
    for image in page.locator("#comparison img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    clear(page)


def test_timelapse_report_and_the_estimate_of_a_larger_run(page: Any) -> None:
    fill(page)
    page.click("#start")
    status(page, "finished")
    for kind, label in (("film", "timelapse"), ("report", "report")):
        with page.expect_download() as download:
            page.click(f"#{kind}")
        assert download.value.suggested_filename.startswith("impasto-")
        playwright.expect(page.locator("#export-help")).to_contain_text(f"{label} is ready")
    page.click("#large")
    playwright.expect(page.locator("#larger-time")).to_contain_text("2048×1365 px, ")
    playwright.expect(page.locator("#larger-time")).to_contain_text("on this computer")
    with page.expect_request(lambda request: request.url.endswith("/jobs") and request.method == "POST") as sent:
        page.click("#larger-go")
    assert sent.value.post_data_json["options"]["size"] == "2048"
    clear(page)


@pytest.mark.usefixtures("endless")
def test_automatic_repainting(page: Any) -> None:
    fill(page)
    frame = controls(page)
    page.click("#start")
    page.click("#pause")
    status(page, "paused")
    frame.locator("#option-color").get_by_text("match").click()
    playwright.expect(page.locator("#pending")).to_contain_text("A new color needs a new run")
    with page.expect_request(lambda request: request.url.endswith("/jobs") and request.method == "POST") as sent:
        page.check("#auto-repaint")
    assert sent.value.post_data_json["options"] == {"color": "match"}
    playwright.expect(page.locator("#pending")).to_be_hidden()
    page.click("#pause")
    status(page, "paused")
    sent_there = lambda answer: answer.url.endswith("/jobs") and answer.request.method == "POST"  # noqa: E731
    with page.expect_response(sent_there) as sent:  # so that the job is there to be cleared
        frame.locator("#option-color").get_by_text("content", exact=True).click()
    assert sent.value.request.post_data_json["options"] == {"color": "content"}
    clear(page)


@pytest.mark.parametrize("there", [True, False], ids=["fetched", "not fetched"])
def test_instant_preview(page: Any, there: bool) -> None:
    def tell(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "instant": there})

    page.route("**/presets", tell)
    page.reload()
    page.wait_for_selector("#loaded", state="attached")
    fill(page)
    assert page.is_enabled("#instant") is there
    if not there:
        assert "impasto weights fetch adain" in page.get_attribute("#instant", "title")
        return
    page.route("**/jobs", lambda route: route.abort())
    with page.expect_request(lambda request: request.url.endswith("/jobs") and request.method == "POST") as sent:
        page.click("#instant")
    assert sent.value.post_data_json["options"] == {"fast": True}
    playwright.expect(page.locator("#alert")).to_contain_text("does not respond")


def test_a_rejected_upload_shows_a_message(page: Any) -> None:
    file = {"name": "a.png", "mimeType": "image/png", "buffer": b"no image at all, only words, and many"}
    page.set_input_files("#drop-content input[type=file]", file)
    playwright.expect(page.locator("#alert")).to_contain_text("not a readable image")


def test_every_control_has_an_accessible_name(page: Any) -> None:
    controls(page)
    for frame in page.frames:
        nameless = frame.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea, iframe, a[href], canvas')]
                .filter((one) => one.offsetParent !== null && !(one.labels && one.labels.length) && !one.title
                    && !one.textContent.trim() && !one.getAttribute('aria-label') && !one.closest('label'))
                .map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert nameless == []
    for control in page.frame_locator("#controls").locator("[id^=option-]").all():
        assert control.locator("[data-testid=block-info], .label-text, span").count() > 0
