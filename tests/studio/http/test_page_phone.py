"""The page on a phone."""

# ruff: noqa: F401, F811  (fixtures of the page's other tests)
from __future__ import annotations

from typing import Any

import pytest
from test_page import PAGE_TIMEOUT_MS, Studio, browser, controls, page, playwright, studio


def test_the_canvas_stays_visible_on_a_phone(studio: Studio, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(studio.address)
    page.wait_for_selector("#loaded", state="attached")
    controls(page)
    page.evaluate("document.getElementById('settings').scrollIntoView()")
    page.evaluate("window.scrollBy(0, 300)")
    box = page.locator("#canvas").bounding_box()
    assert 0 <= box["y"] < 20
    assert box["height"] < 0.45 * 844
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_on_a_phone(studio: Studio, browser: Any, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(studio.address)
    page.wait_for_selector("#loaded", state="attached")
    for tab in ("paint", "explore", "history"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(18, 20, 27)") is (scheme == "dark")
    context.close()
