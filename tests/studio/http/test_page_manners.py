"""Confirmations, keyboard shortcuts and status messages of the page."""

# ruff: noqa: F401, F811  (fixtures of the page's other tests)
from __future__ import annotations

from typing import Any

import pytest
from test_page import Studio, browser, clear, controls, endless, fill, page, playwright, status, studio


def begin(page: Any) -> None:
    """Start a run and wait until it can be paused."""
    page.click("#start")
    page.wait_for_selector("#pause:not([disabled])")


def hold(page: Any) -> None:
    """Start a run and pause it."""
    begin(page)
    page.click("#pause")
    status(page, "paused")


@pytest.mark.usefixtures("endless")
def test_deletion_asks_for_confirmation(page: Any) -> None:
    clear(page)
    fill(page)
    page.click("#start")
    page.wait_for_selector("#cancel:not([disabled])")
    page.click("#cancel")
    status(page, "canceled")
    page.click("#tab-history")
    first = page.locator("#jobs li").first
    first.wait_for()
    asked: list[str] = []

    def answer(yes: bool) -> None:
        def reply(dialog: Any) -> None:
            asked.append(dialog.message)
            dialog.accept() if yes else dialog.dismiss()

        page.once("dialog", reply)

    answer(False)
    first.get_by_role("button", name="Delete").click()
    answer(False)
    with page.expect_event("dialog"):
        page.click("#clean")
    assert page.evaluate("async () => (await (await fetch('/api/v1/jobs')).json()).jobs.length") == 1
    answer(True)
    first.get_by_role("button", name="Delete").click()
    playwright.expect(page.locator("#jobs li")).to_have_count(0)
    assert "Delete run" in asked[0]
    assert "kB" in asked[0]
    assert "1 run " in asked[1]


@pytest.mark.usefixtures("endless")
def test_shortcuts_work_outside_text_fields(page: Any) -> None:
    clear(page)
    fill(page)
    frame = controls(page)
    begin(page)
    page.locator("#stop").focus()
    page.keyboard.press("p")
    status(page, "paused")
    frame.locator("#option-strength input[type=range]").focus()
    page.keyboard.press("p")
    status(page, "painting")
    page.locator("#split").focus()
    page.keyboard.press("p")
    status(page, "paused")
    for field in (frame.locator("#option-size").locator("input, textarea"), page.locator("#theme")):
        field.focus()
        page.keyboard.press("s")
    page.locator("#auto-repaint").focus()
    page.keyboard.press("s")
    status(page, "stopped early")
    assert page.get_attribute("#pause", "aria-keyshortcuts") == "p"
    clear(page)


@pytest.mark.usefixtures("endless")
def test_pausing_is_shown_immediately(page: Any) -> None:
    clear(page)
    fill(page)
    begin(page)
    held: list[Any] = []
    page.route("**/pause", lambda route: held.append(route))  # noqa: PLW0108  (playwright marks what it is given)
    page.click("#pause")
    playwright.expect(page.locator("#pause")).to_be_disabled()
    status(page, "pausing")
    held[0].continue_()
    status(page, "paused")
    playwright.expect(page.locator("#pause")).to_have_text("Resume")
    page.click("#pause")
    status(page, "painting")
    page.unroute("**/pause")
    page.route("**/pause", lambda route: route.abort())
    page.click("#pause")
    playwright.expect(page.locator("#alert")).to_contain_text("does not respond")
    playwright.expect(page.locator("#pause")).to_be_enabled()
    clear(page)


@pytest.mark.usefixtures("endless")
def test_a_new_tab_joins_the_run_that_paints(page: Any, studio: Studio) -> None:
    clear(page)
    fill(page)
    hold(page)
    other = page.context.new_page()
    other.goto(studio.address)
    status(other, "paused")
    other.wait_for_selector("#picture:not([hidden])")
    assert other.locator("#styles li").count() == 1
    clear(page)


@pytest.mark.usefixtures("endless")
def test_changes_that_need_a_new_run_are_listed_and_can_be_undone(page: Any) -> None:
    clear(page)
    fill(page)
    frame = controls(page)
    hold(page)
    size = frame.locator("#option-size").locator("input, textarea")
    before = size.input_value()
    frame.locator("#option-color").get_by_text("match").click()
    playwright.expect(page.locator("#pending span")).to_have_text("A new color needs a new run.")
    size.fill("64")
    playwright.expect(page.locator("#pending span")).to_have_text("A new color and size need a new run.")
    frame.locator("#option-color").get_by_text("style", exact=True).click()
    playwright.expect(page.locator("#pending span")).to_have_text("A new size needs a new run.")
    size.fill(before)
    playwright.expect(page.locator("#pending")).to_be_hidden()
    clear(page)


def test_the_export_message_is_reset_for_the_next_run(page: Any) -> None:
    clear(page)
    fill(page)
    advice = page.inner_text("#export-help")
    page.click("#start")
    status(page, "finished")
    with page.expect_download():
        page.click("#report")
    playwright.expect(page.locator("#export-help")).to_have_text("The report is ready.")
    page.click("#start")
    playwright.expect(page.locator("#export-help")).to_have_text(advice)
    clear(page)


@pytest.mark.usefixtures("endless")
def test_an_unresponsive_server_replaces_the_time_left(page: Any, studio: Studio) -> None:
    clear(page)
    fill(page)
    hold(page)
    studio.stop()
    status(page, "does not respond")
    studio.start()
    status(page, "paused")
    clear(page)
