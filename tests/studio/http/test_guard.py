"""Access control: hosts, origins and tokens."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from problem_asserts import HOME, job_body, problem

from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.http.guard import AccessRules
from impasto.studio.store.database import Store

SECRET = "s3cret"  # noqa: S105


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "192.168.0.7"])
def test_other_hosts_are_rejected(client: TestClient, host: str) -> None:
    assert "is not allowed" in problem(client.get("/api/v1/health", headers={"host": host}), 400)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "127.0.0.2:1", "[::1]:7860", "LOCALHOST"])
def test_own_hosts_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/health", headers={"host": host}).status_code == 200


def test_any_address_but_not_any_name_when_bound_to_all(store: Store) -> None:
    app = create_app(Studio(store, AccessRules(any_address=True, names=("painter.local",))))
    with TestClient(app, base_url=HOME) as client:
        for host, status in (("10.0.0.5:80", 200), ("painter.local", 200), ("evil.example", 400)):
            assert client.get("/api/v1/health", headers={"host": host}).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"])
def test_other_origins_are_rejected(client: TestClient, asset: Any, origin: str) -> None:
    refused = client.post("/api/v1/jobs", json=job_body(asset), headers={"origin": origin})
    assert "are not allowed" in problem(refused, 403)


def test_another_site_may_link_but_not_load(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    problem(client.get("/api/v1/health", headers=headers), 403)
    assert client.get("/api/v1/health", headers={**headers, "sec-fetch-mode": "navigate"}).status_code == 200
    assert client.get("/api/v1/health", headers={"origin": HOME}).status_code == 200


def test_only_the_token_gives_access(store: Store) -> None:
    app = create_app(Studio(store, AccessRules(token=SECRET)))
    with TestClient(app, base_url=HOME) as client:
        paths = [
            "/api/v1/health",
            "/api/v1/jobs",
            "/api/v1/openapi.json",
            "/",
            "/anything",
            "/api/v1/health?token=s3cret",
        ]
        for path in paths:
            refused = client.get(path)
            assert "a token is required" in problem(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer wrong", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cré"):
            problem(client.get("/api/v1/health", headers={"authorization": wrong.encode()}), 401)
        problem(client.get("/api/v1/health", headers={"cookie": "impasto_token=wrong; a=\x01;;"}), 401)
        assert client.get("/api/v1/health", headers={"authorization": "Bearer s3cret"}).status_code == 200


def test_the_token_moves_from_the_address_to_a_cookie(store: Store) -> None:
    app = create_app(Studio(store, AccessRules(token=SECRET)))
    with TestClient(app, base_url=HOME, follow_redirects=False) as client:
        sent = client.get(f"{HOME}//evil.example/?token=s3cret&job=1")
        assert (sent.status_code, sent.headers["location"]) == (303, "/evil.example/?job=1")
        for part in ("HttpOnly", "SameSite=Strict"):
            assert part in sent.headers["set-cookie"]
        problem(client.get("/?token=wrong", headers={"cookie": ""}), 401)
        client.cookies.set("impasto_token", "s3cret")
        assert client.get("/api/v1/health").status_code == 200
        for others in ('prefs={"a":1}', "a=b c"):  # of other programs on the same host
            headers = {"cookie": f"{others}; impasto_token=s3cret"}
            assert client.get("/api/v1/health", headers=headers).status_code == 200


def test_an_invalid_content_length(client: TestClient) -> None:
    assert "not a number" in problem(client.get("/api/v1/health", headers={"content-length": "x"}), 400)
