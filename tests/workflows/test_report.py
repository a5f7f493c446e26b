"""The report: one page that holds everything, asks for nothing, and works under a hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import required
from impasto.errors import OptionError, WeightsError
from impasto.events import Finished, Planned, Stepped
from impasto.imaging import images
from impasto.options import recipes
from impasto.run import record
from impasto.run.result import Result
from impasto.workflows.report import PAGE, Report, curves, data_uri
from waiting import HANG_SECONDS

STEPS = 12
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tiny_picture: Any, tiny_style: Any) -> Path:
    """Write the report of a run that was made up, with a name that would break a careless page."""
    folder = tmp_path_factory.mktemp("report")
    content = folder / "<b>&coffee.png"
    images.save(content, tiny_picture)
    images.save(folder / "style.png", tiny_style)
    report = Report(folder / "page", content, folder / "style.png")
    report(Planned(({"height": 24, "width": 32, "steps": 6}, {"height": 48, "width": 64, "steps": 6}), STEPS, {}))
    losses = []
    for step in range(1, STEPS + 1):
        terms = {"content": 1.0 / step, "style": 5.0 / step}
        losses.append({"step": step, "scale": (step - 1) // 6, "total": 6.0 / step, **terms})
        report(Stepped(step, 0, step, 6.0 / step, terms, np.full((24, 32, 3), 20 * step, np.uint8)))
    inputs = {"content": images.load(content), "style": images.load(folder / "style.png")}
    decisions = {"scales": [[24, 32, 6, 1.0], [48, 64, 6, 1.0]]}
    about = record.make(recipes.resolve(strength=0.7).flat(), decisions, inputs) | {"steps": STEPS, "losses": {}}
    pixels = np.full((48, 64, 3), 0.9, np.float32)
    result = Result(pixels, None, recipes.resolve(strength=0.7), losses, {"style": 0.4}, STEPS, False, about)
    report(Finished(STEPS, False, result))
    return folder / "page" / PAGE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium; without one the pages cannot be looked at."""
    playwright = required.module("playwright.sync_api")
    chromium = required.program("chromium", "chromium-browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """Open the page from the disk; it must neither complain nor ask anybody for anything."""
    context = browser.new_context(viewport={"width": 900, "height": 1200})
    tab = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    tab.goto(page.as_uri())
    yield tab
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert complaints == []


def slide(tab: Any, name: str, value: int) -> None:
    """Move a slider as a hand would."""
    tab.locator(name).fill(str(value))


def test_the_slider_uncovers_the_content(opened: Any) -> None:
    def covered() -> str:
        return str(opened.locator("#before").evaluate("element => getComputedStyle(element).clipPath"))

    assert covered() == "inset(0px 50% 0px 0px)"
    slide(opened, "#slider", 80)
    assert covered() == "inset(0px 20% 0px 0px)"
    opened.locator("#slider").press("Home")
    assert covered() == "inset(0px 100% 0px 0px)"


def test_the_scrubber_goes_through_the_steps(opened: Any) -> None:
    def shown() -> tuple[str, float]:
        gray = opened.evaluate(
            """async () => {
                const frame = document.getElementById("frame");
                await frame.decode();
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [1, 1];
                canvas.getContext("2d").drawImage(frame, 0, 0, 1, 1);
                return canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0];
            }"""
        )
        return opened.locator("#step").text_content(), gray

    assert shown() == (f"step {STEPS} of {STEPS}", pytest.approx(230, abs=3))
    slide(opened, "#scrubber", 0)
    assert shown() == (f"step 1 of {STEPS}", pytest.approx(20, abs=3))
    opened.locator("#scrubber").press("ArrowRight")
    assert shown() == (f"step 2 of {STEPS}", pytest.approx(40, abs=3))


def test_the_command_can_be_copied(opened: Any, page: Path) -> None:
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.locator("button[data-copy=command]").click()
    opened.locator("button[data-copy=command]", has_text="Copied").wait_for(timeout=1000 * HANG_SECONDS)
    command = opened.locator("#command").text_content()
    assert command == "impasto stylize '<b>&coffee.png' style.png --strength 0.7"
    assert opened.evaluate("navigator.clipboard.readText()") == command


def test_the_pictures_are_there(opened: Any) -> None:
    sizes = opened.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) == 5
    assert all(size > 0 for size in sizes)
    assert opened.locator("svg .curve").count() == 6  # three losses at two scales


def test_the_page_holds_everything_and_names_are_only_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>&coffee" not in text
    assert "&lt;b&gt;&amp;coffee.png in the style of style.png" in text
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", text)
    assert {address[:5] for address in addresses if address} == {"data:"}
    assert "default-src 'none'" in text
    assert [entry.name for entry in page.parent.iterdir()] == [PAGE]


def test_metrics_that_cannot_be_computed_are_explained(
    tmp_path: Path, tiny_picture: Any, tiny_style: Any, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    assert re.search(r"Not evaluated: the \w+ is \d+x\d+ px, too small to evaluate", page.read_text(encoding="utf-8"))

    def absent() -> Any:
        raise WeightsError("evaluation is not here: run impasto weights fetch evaluation")

    monkeypatch.setattr("impasto.network.weights.alexnet_state", absent)
    from impasto.workflows.report import _evaluation

    picture = images.load(tiny_picture)
    shown = _evaluation(picture.pixels, picture, images.load(tiny_style))
    assert shown == "<p>Not evaluated: evaluation is not here: run impasto weights fetch evaluation</p>"


def test_curves_leave_out_what_cannot_be_drawn() -> None:
    losses = [{"step": s, "scale": 0, "total": 1.0 / s, "tv": 0.0, "style": float("nan")} for s in (1, 2, 3)]
    assert len(curves(losses)) == 1
    assert curves(losses[:1]) == []


@pytest.mark.parametrize("shape", [(40, 90, 3), (90, 40, 3)])
def test_pictures_are_made_smaller_and_never_larger(shape: tuple[int, int, int]) -> None:
    import base64
    import io

    def size(uri: str) -> tuple[int, int]:
        return images.load(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size

    pixels: NDArray[np.uint8] = np.zeros(shape, np.uint8)
    assert max(size(data_uri(pixels, 45))) == 45
    assert size(data_uri(pixels, 500)) == shape[:2]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    report = Report(tmp_path / "file" / "page", "a.png", "b.png")
    with pytest.raises(OptionError, match=r"--report .*page: the folder cannot be created \(Not a directory\)"):
        report(Planned((), 1, {}))
