"""Requests and assertions shared by the API's tests."""

from __future__ import annotations

from typing import Any

import httpx

HOME = "http://127.0.0.1:7860"
NOBODY = "0" * 16


def problem(response: httpx.Response, status: int, *fields: str) -> str:
    """Check a problem document and return its sentence."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert response.status_code == body["status"] == status
    assert body["instance"] == response.request.url.path
    assert body["title"]
    assert [error["field"] for error in body["errors"]] == list(fields)
    return str(body["detail"])


def job_body(asset: Any, **options: Any) -> dict[str, Any]:
    return {"content": asset.id, "styles": [{"asset": asset.id}], "options": options}
