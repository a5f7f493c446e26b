"""Regions and the protected area on the page: brushed, and drawn by name and by clicks."""

# ruff: noqa: F401, F811  (fixtures of the page's other tests)
from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fake_runner
import httpx
import numpy as np
import pytest
from test_page import browser, clear, endless, fill, page, playwright, status, studio


def open_canvas(page: Any) -> Any:
    """Return the canvas of the brush, which opens once the photo has been loaded."""
    page.wait_for_selector("#brush[open]")
    canvas = page.locator("#brush canvas")
    canvas.focus()
    return canvas


@pytest.mark.usefixtures("endless")
def test_an_area_is_protected_by_keyboard(page: Any) -> None:
    fill(page)
    page.click("#protect")
    canvas = open_canvas(page)
    for key in ("Space", "ArrowLeft", "Space"):
        canvas.press(key)
    page.click("#brush-save")
    page.wait_for_selector("#unprotect:not([hidden])")
    assert page.locator("#protect-mask").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    with page.expect_request(lambda request: request.url.endswith("/jobs") and request.method == "POST") as sent:
        page.click("#start")
    assert re.fullmatch("[0-9a-f]{64}", sent.value.post_data_json["protect"])
    status(page, "painting")
    clear(page)
    playwright.expect(page.locator("#canvas-empty")).to_contain_text("deleted")


def test_masks_are_drawn_by_name_and_by_clicks(page: Any) -> None:
    fill(page)
    asked: list[str] = []

    def answer(route: Any) -> None:
        """Draw a white mask, and find no sky."""
        name = parse_qs(urlsplit(route.request.url).query)["name"][0]
        asked.append(name)
        if name == "sky":
            route.fulfill(status=422, json={"detail": "this image has no sky; brush the mask instead", "errors": []})
            return
        body = fake_runner.png(np.full((40, 60, 3), 255, np.uint8))
        made = httpx.post(f"{page.url.split('?')[0]}api/v1/assets", content=body)
        route.fulfill(status=201, json=made.json())

    page.route("**/masks?name=*", answer)
    page.click("#protect")
    canvas = open_canvas(page)
    state = page.locator("#brush-state")
    page.click("#brush-names [data-mask=sky]")
    playwright.expect(state).to_contain_text("no sky")
    page.click("#brush-names [data-mask=person]")
    playwright.expect(state).to_be_empty()
    page.select_option("#brush-tool", "remove")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    playwright.expect(state).to_contain_text("Select something first")
    page.select_option("#brush-tool", "add")
    canvas.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    playwright.expect(state).to_be_empty()
    page.select_option("#brush-tool", "remove")
    canvas.click(position={"x": box["width"] * 3 / 4, "y": box["height"] / 2})
    playwright.expect(state).to_be_empty()
    assert asked[:2] == ["sky", "person"]
    assert re.fullmatch(r"0\.2[45]\d*,0\.(49|50)\d*", asked[2])
    assert re.fullmatch(re.escape(asked[2]) + r"-0\.7[45]\d*,0\.(49|50)\d*", asked[3])
    page.click("#brush-save")
    page.wait_for_selector("#unprotect:not([hidden])")


@pytest.mark.usefixtures("endless")
def test_a_region_is_brushed_and_its_weight_changed_during_the_run(page: Any) -> None:
    fill(page)
    page.click("#add-region")
    canvas = open_canvas(page)
    page.click("#brush-save")
    playwright.expect(page.locator("#brush-state")).to_contain_text("The mask is empty")
    canvas.press("Space")
    page.select_option("#brush-style", index=1)
    page.click("#brush-save")
    page.wait_for_selector("#regions li")
    with page.expect_request(lambda request: request.url.endswith("/jobs") and request.method == "POST") as sent:
        page.click("#start")
    body = sent.value.post_data_json
    assert [region["name"] for region in body["regions"]] == ["region_1"]
    assert body["regions"][0]["asset"] != body["styles"][0]["asset"]
    page.wait_for_selector("#pause:not([disabled])")
    page.click("#pause")
    status(page, "paused")
    with page.expect_request(lambda request: request.method == "PATCH") as steered:
        page.fill("#regions input", "2")
    assert steered.value.post_data_json == {"terms": {"style:region_1": 2}}
    page.click("#stop")
    status(page, "stopped early")
    page.click("#tab-history")
    page.locator("#jobs li").first.get_by_role("button", name="Use these settings").click()
    assert page.locator("#regions input").input_value() == "2"
    page.locator("#regions li").get_by_role("button", name="Edit").click()
    page.wait_for_selector("#brush[open]")
    page.click("#brush-save")  # the earlier strokes are there again
    page.wait_for_selector("#brush", state="hidden")
    page.locator("#regions li").get_by_role("button", name="Remove").click()
    playwright.expect(page.locator("#regions li")).to_have_count(0)
    clear(page)
