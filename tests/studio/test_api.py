"""The API takes what is right, refuses what is wrong in problem documents, and shows what the store knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import rehearsal
from fastapi.testclient import TestClient

from impasto.studio.api import create_app
from impasto.studio.context import Studio
from impasto.studio.guard import Rules
from impasto.studio.lease import claim
from impasto.studio.rows import Job, Limits
from impasto.studio.store import Store
from impasto.studio.uploads import Caps
from impasto.studio.worker import Worker

HOME = "http://127.0.0.1:7860"
NOBODY = "0" * 16
SECRET = "s3cret"  # noqa: S105


@pytest.fixture
def studio(store: Store) -> Studio:
    return Studio(store)


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_app(studio), base_url=HOME) as client:
        yield client


def problem(response: httpx.Response, status: int, *fields: str) -> str:
    """Check a problem document and return its sentence."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert response.status_code == body["status"] == status
    assert body["instance"] == response.request.url.path
    assert body["title"]
    assert [error["field"] for error in body["errors"]] == list(fields)
    return str(body["detail"])


def wish(asset: Any, **options: Any) -> dict[str, Any]:
    return {"content": asset.id, "styles": [{"asset": asset.id}], "options": options}


def test_a_job_from_assets(client: TestClient, asset: Any) -> None:
    made = client.post("/api/v1/jobs", json=wish(asset, strength=0.7))
    assert made.status_code == 201
    job = made.json()
    assert made.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["options"], job["queue_position"]) == ("queued", {"strength": 0.7}, 0)
    assert client.get(made.headers["location"]).json()["content"] == asset.id
    assert [entry["id"] for entry in client.get("/api/v1/jobs").json()["jobs"]] == [job["id"]]


def test_a_job_from_a_form(client: TestClient, store: Store, picture: bytes, asset: Any) -> None:
    files = {"content": ("../../etc/passwd", picture), "style": ("b.png", picture)}
    made = client.post("/api/v1/jobs", files=files, data={"options": '{"strength": 0.2}'})
    assert made.status_code == 201, made.text
    assert made.json()["styles"] == [{"asset": asset.id, "weight": 1.0}]
    assert [path.name for path in (store.folder / "assets").iterdir()] == [f"{asset.id}.png"]
    mixed = client.post("/api/v1/jobs", files={"style": ("b.png", picture)}, data={"content": asset.id})
    assert mixed.status_code == 201, mixed.text
    assert list((store.folder / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"strength": 2.0}, "options.strength", "less than or equal to 1"),
        ({"strength": "0.5"}, "options.strength", "valid number"),
        ({"strenght": 0.5}, "options.strenght", "not permitted"),
        ({"device": "cuda"}, "options.device", "not permitted"),
        ({"init": "/etc/passwd"}, "options.init", "'content', 'random' or 'style'"),
        ({"tile": 100}, "options.tile", "multiple of 16"),
        ({"recipe": "gatys2061"}, "options.recipe", "did you mean 'gatys2016'"),
        ({"style_layers": "relu1_1=x"}, "options.style_layers", "give a number"),
        ({"strength": 0.5, "content_weight": 1.0}, "options.strength", "both given"),
    ],
)
def test_options_are_checked_by_name(
    client: TestClient, asset: Any, options: dict[str, Any], field: str, words: str
) -> None:
    assert words in problem(client.post("/api/v1/jobs", json=wish(asset, **options)), 422, field)


def test_what_else_can_be_wrong_with_a_job(client: TestClient, asset: Any, picture: bytes) -> None:
    jobs = "/api/v1/jobs"
    problem(client.post(jobs, json={"content": asset.id, "styles": []}), 422, "styles")
    assert "no asset" in problem(client.post(jobs, json={**wish(asset), "content": "f" * 64}), 404)
    assert "send application/json or" in problem(client.post(jobs, content=b"x"), 415)
    problem(client.post(jobs, content=b"{", headers={"content-type": "application/json"}), 422, "body")
    infinite = json.dumps(wish(asset, strength=float("inf")))
    response = client.post(jobs, content=infinite, headers={"content-type": "application/json"})
    problem(response, 422, "options.strength")
    form = {"content": ("a", picture)}
    assert problem(client.post(jobs, files=form), 422, "style") == "the form has no style"
    files = [("content", ("a", picture)), ("content", ("a", picture)), ("style", ("a", picture))]
    assert "one content" in problem(client.post(jobs, files=files), 422, "style")
    both = {"content": ("a", picture), "style": ("b", picture)}
    assert "not JSON" in problem(client.post(jobs, files=both, data={"options": "{"}), 422, "options")
    assert "no picture" in problem(client.post(jobs, files={**both, "style": ("b", b"text " * 20)}), 415, "style")


def test_a_flood_is_told_when_to_come_back(client: TestClient, studio: Studio, asset: Any) -> None:
    studio.limits = Limits(client=2, retry_after=17)
    for _ in range(2):
        assert client.post("/api/v1/jobs", json=wish(asset)).status_code == 201
    refused = client.post("/api/v1/jobs", json=wish(asset))
    assert "2 of your jobs wait already" in problem(refused, 429)
    assert refused.headers["retry-after"] == "17"


def test_steering(client: TestClient, asset: Any) -> None:
    path = client.post("/api/v1/jobs", json=wish(asset)).headers["location"]
    steered = client.patch(path, json={"strength": 0.9, "terms": {"style:sky": 2.0}})
    assert steered.json()["steering"] == {"strength": 0.9, "style:sky": 2.0}
    problem(client.patch(path, json={"strength": -1.0}), 422, "strength")
    problem(client.patch(path, json={"size": "512"}), 422, "size")
    assert "nothing to steer" in problem(client.patch(path, json={}), 422, "body")
    problem(client.patch(f"/api/v1/jobs/{NOBODY}", json={"strength": 0.9}), 404)


def test_orders_and_conflicts(client: TestClient, asset: Any) -> None:
    path = client.post("/api/v1/jobs", json=wish(asset)).headers["location"]
    states = [client.post(f"{path}/{order}").json()["state"] for order in ("pause", "resume", "snapshot", "cancel")]
    assert states == ["paused", "queued", "queued", "cancelled"]
    assert "takes no more commands" in problem(client.post(f"{path}/pause"), 409)
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404)
    problem(client.delete(path), 404)


def test_pages_of_the_history(client: TestClient, submit: Callable[..., Job]) -> None:
    made = [submit().id for _ in range(5)][::-1]
    first = client.get("/api/v1/jobs", params={"limit": 3}).json()
    second = client.get("/api/v1/jobs", params={"limit": 3, "before": first["next_before"]}).json()
    assert [job["id"] for page in (first, second) for job in page["jobs"]] == made
    assert second["next_before"] is None
    assert client.get("/api/v1/jobs", params={"state": "done"}).json()["jobs"] == []
    problem(client.get("/api/v1/jobs", params={"limit": 0}), 422, "limit")


def test_results_at_any_kept_step(client: TestClient, store: Store, worker: Worker, submit: Callable[..., Job]) -> None:
    job = submit(strength=0.3)
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/results"
    listed = client.get(path).json()
    assert {result["step"] for result in listed} >= {1, 25}
    early = client.get(f"{path}/1")
    assert (early.status_code, early.headers["content-type"]) == (200, "image/png")
    assert early.content.startswith(b"\x89PNG")
    final = client.get(f"{path}/final", params={"download": True})
    assert rehearsal.expected().encode() in final.content
    assert final.headers["content-disposition"] == 'attachment; filename="impasto-1-25.png"'
    assert client.get(f"{path}/latest").content == final.content == client.get(f"{path}/25").content
    assert client.get(f"{path}/25", params={"kind": "preview"}).content != final.content
    assert "kept no picture at step 99" in problem(client.get(f"{path}/99"), 404)
    problem(client.get(f"{path}/..%2f..%2fstudio.sqlite3"), 404)
    problem(client.get(f"{path}/x"), 422, "step")
    (store.job_folder(job.id) / "0000001-preview.png").unlink()
    assert "cleared away" in problem(client.get(f"{path}/1"), 404)
    detail = client.get(f"/api/v1/jobs/{job.id}").json()
    assert detail["record"] == {"chain": rehearsal.expected()}
    assert detail["disk_bytes"] > 0


def test_pictures_cannot_act(client: TestClient, asset: Any) -> None:
    sent = client.get(f"/api/v1/assets/{asset.id}/file")
    assert sent.headers["content-type"] == "image/png"
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in sent.headers["content-security-policy"]
    assert "default-src 'none'" in sent.headers["content-security-policy"]


def test_assets_come_and_go(client: TestClient, store: Store, picture: bytes) -> None:
    made = client.post("/api/v1/assets", content=picture)
    assert made.status_code == 201
    asset = made.json()
    assert (asset["width"], asset["height"], asset["size"]) == (60, 40, len(picture))
    assert client.get("/api/v1/assets").json() == [asset]
    assert client.get(f"/api/v1/assets/{asset['id']}").json() == asset
    assert client.get(f"/api/v1/assets/{asset['id']}/file").content == picture
    assert client.delete(f"/api/v1/assets/{asset['id']}").status_code == 204
    problem(client.get(f"/api/v1/assets/{asset['id']}"), 404)
    problem(client.get("/api/v1/assets/x"), 422, "asset_id")


def test_an_asset_in_use_stays(client: TestClient, asset: Any) -> None:
    client.post("/api/v1/jobs", json=wish(asset))
    assert "delete them first" in problem(client.delete(f"/api/v1/assets/{asset.id}"), 409)


def test_uploads_are_capped_while_they_stream(client: TestClient, studio: Studio, store: Store, picture: bytes) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield picture
        for _ in range(100):
            sent += 1
            yield b"\0" * (1 << 16)

    studio.caps = Caps(bytes=1 << 20)
    assert "more than 1 MiB" in problem(client.post("/api/v1/assets", content=endless()), 413, "body")
    studio.caps = Caps(pixels=2399)
    assert "60x40 pixels" in problem(client.post("/api/v1/assets", content=picture), 413, "body")
    studio.caps = Caps(pixels=2400)
    assert client.post("/api/v1/assets", content=picture).status_code == 201
    assert "empty" in problem(client.post("/api/v1/assets", content=b""), 422, "body")
    assert "give PNG, JPEG" in problem(client.post("/api/v1/assets", content=b"<svg>" * 20), 415, "body")
    assert list((store.folder / "incoming").iterdir()) == []


def test_the_body_as_a_whole_is_capped(store: Store) -> None:
    app = create_app(Studio(store, Rules(body_bytes=1000)))
    with TestClient(app, base_url=HOME) as client:
        problem(client.post("/api/v1/assets", content=b"x" * 1001), 413)
        problem(client.post("/api/v1/assets", content=iter([b"x" * 600, b"x" * 600])), 413)


def test_samples_become_assets(client: TestClient) -> None:
    name = client.get("/api/v1/presets").json()["samples"][0]
    made = client.post(f"/api/v1/samples/{name}").json()
    assert client.get(f"/api/v1/assets/{made['id']}").json() == made
    assert "choose from" in problem(client.post("/api/v1/samples/nothing"), 404)


def test_presets_tell_all_that_a_form_needs(client: TestClient) -> None:
    presets = client.get("/api/v1/presets").json()
    assert "gatys2016" in [recipe["name"] for recipe in presets["recipes"]]
    options = {option["name"]: option for option in presets["options"]}
    assert options["strength"]["live"]
    assert (options["strength"]["low"], options["strength"]["high"]) == (0.0, 1.0)
    assert options["init"]["choices"] == ["content", "random", "style"]
    assert "device" not in options
    assert all(option["help"] for option in options.values())


def test_health(client: TestClient, submit: Callable[..., Job]) -> None:
    submit()
    health = client.get("/api/v1/health").json()
    assert health["status"] == "no workers"
    assert health["jobs"]["queued"] == 1
    assert health["memory_bytes"] > 1 << 20
    assert health["disk_bytes"] > 0


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    problem(client.get("/api/v1/nothing"), 404)
    refused = client.put("/api/v1/jobs")
    problem(refused, 405)
    assert "GET" in refused.headers["allow"]


def test_the_document_describes_every_error(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    names = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in names


# Events --------------------------------------------------------------------------------------------------------------


def told(response: httpx.Response) -> list[tuple[int, str, dict[str, Any]]]:
    """Read a stream of events to its end."""
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in response.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "id" in lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def test_events_from_the_first_to_the_last(client: TestClient, worker: Worker, submit: Callable[..., Job]) -> None:
    job = submit()
    worker.work_once()
    events = told(client.get(f"/api/v1/jobs/{job.id}/events"))
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [data["step"] for _, kind, data in events if kind == "step"] == list(range(1, 26))
    assert events[-1][1:] == ("state", {"state": "done"})


@pytest.mark.parametrize("how", ["header", "query"])
def test_events_go_on_where_they_were_lost(
    client: TestClient, worker: Worker, submit: Callable[..., Job], how: str
) -> None:
    job = submit()
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/events"
    whole = told(client.get(path))
    for cut in (1, 7, len(whole) - 1):
        known: dict[str, Any] = (
            {"headers": {"Last-Event-ID": str(cut)}} if how == "header" else {"params": {"after": cut}}
        )
        assert told(client.get(path, **known)) == whole[cut:]
    known = {"headers": {"Last-Event-ID": str(len(whole))}}
    assert client.get(path, **known).status_code == 204


def test_the_header_wins_over_the_address(client: TestClient, worker: Worker, submit: Callable[..., Job]) -> None:
    job = submit()
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/events"
    assert told(client.get(path, params={"after": 2}, headers={"Last-Event-ID": "9"}))[0][0] == 10
    problem(client.get(path, headers={"Last-Event-ID": "x"}), 422, "last-event-id")
    problem(client.get(f"/api/v1/jobs/{NOBODY}/events"), 404)


def test_a_stream_hears_what_happens_later(client: TestClient, store: Store, submit: Callable[..., Job]) -> None:
    import threading

    job = submit()
    lease = claim(store, "w", 60)
    assert lease is not None

    def later() -> None:
        for step in range(1, 4):
            lease.append([("step", {"step": step})])
        store.command(job.id, "cancel")
        lease.release("cancelled")
        store.close()

    timer = threading.Timer(0.2, later)
    timer.start()
    events = told(client.get(f"/api/v1/jobs/{job.id}/events", params={"after": job.last_event}))
    timer.join()
    assert [data["step"] for _, kind, data in events if kind == "step"] == [1, 2, 3]
    assert events[-1][2] == {"state": "cancelled"}


# Who may come in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "192.168.0.7"])
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    assert "does not answer to the name" in problem(client.get("/api/v1/health", headers={"host": host}), 400)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "127.0.0.2:1", "[::1]:7860", "LOCALHOST"])
def test_own_hosts_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/health", headers={"host": host}).status_code == 200


def test_any_address_but_not_any_name_when_bound_to_all(store: Store) -> None:
    app = create_app(Studio(store, Rules(any_address=True, names=("painter.local",))))
    with TestClient(app, base_url=HOME) as client:
        for host, status in (("10.0.0.5:80", 200), ("painter.local", 200), ("evil.example", 400)):
            assert client.get("/api/v1/health", headers={"host": host}).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"])
def test_other_pages_are_refused(client: TestClient, asset: Any, origin: str) -> None:
    refused = client.post("/api/v1/jobs", json=wish(asset), headers={"origin": origin})
    assert "may not talk to this server" in problem(refused, 403)


def test_another_site_may_link_but_not_load(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    problem(client.get("/api/v1/health", headers=headers), 403)
    assert client.get("/api/v1/health", headers={**headers, "sec-fetch-mode": "navigate"}).status_code == 200
    assert client.get("/api/v1/health", headers={"origin": HOME}).status_code == 200


def test_the_token_opens_and_nothing_else_does(store: Store) -> None:
    app = create_app(Studio(store, Rules(token=SECRET)))
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
            assert "wants its token" in problem(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer wrong", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cré"):
            problem(client.get("/api/v1/health", headers={"authorization": wrong.encode()}), 401)
        problem(client.get("/api/v1/health", headers={"cookie": "impasto_token=wrong; a=\x01;;"}), 401)
        assert client.get("/api/v1/health", headers={"authorization": "Bearer s3cret"}).status_code == 200


def test_the_token_leaves_the_address_for_a_cookie(store: Store) -> None:
    app = create_app(Studio(store, Rules(token=SECRET)))
    with TestClient(app, base_url=HOME, follow_redirects=False) as client:
        sent = client.get(f"{HOME}//evil.example/?token=s3cret&job=1")
        assert (sent.status_code, sent.headers["location"]) == (303, "/evil.example/?job=1")
        for part in ("HttpOnly", "SameSite=Strict"):
            assert part in sent.headers["set-cookie"]
        problem(client.get("/?token=wrong", headers={"cookie": ""}), 401)
        client.cookies.set("impasto_token", "s3cret")
        assert client.get("/api/v1/health").status_code == 200


def test_a_length_that_is_no_number(client: TestClient) -> None:
    assert "not a number" in problem(client.get("/api/v1/health", headers={"content-length": "x"}), 400)
