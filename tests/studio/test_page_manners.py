"""How the page treats a person: it asks before it deletes, hears its keys everywhere, and says what goes on."""

# ruff: noqa: F401, F811  (fixtures of the page's other tests)
from __future__ import annotations

from typing import Any

from test_page import Studio, browser, clear, controls, fill, page, playwright, status, studio


def test_nothing_is_deleted_unasked(page: Any) -> None:
    clear(page)
    fill(page)
    page.click("#start")
    page.wait_for_selector("#cancel:not([disabled])")
    page.click("#cancel")
    status(page, "thrown away")
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
