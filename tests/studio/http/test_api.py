"""The API accepts valid jobs, rejects invalid ones with problem documents, and shows the contents of the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runner
import numpy as np
import pytest
from fastapi.testclient import TestClient
from problem_asserts import NOBODY, job_body, problem

from impasto.studio.http import forms
from impasto.studio.http.dependencies import Studio
from impasto.studio.store.database import Store
from impasto.studio.store.records import Job, QueueLimits
from impasto.studio.worker.loop import Worker


def test_a_job_from_assets(client: TestClient, asset: Any) -> None:
    made = client.post("/api/v1/jobs", json=job_body(asset, strength=0.7))
    assert made.status_code == 201
    job = made.json()
    assert made.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["options"], job["queue_position"]) == ("queued", {"strength": 0.7}, 0)
    assert client.get(made.headers["location"]).json()["content"] == asset.id
    assert [entry["id"] for entry in client.get("/api/v1/jobs").json()["jobs"]] == [job["id"]]


def test_a_request_may_use_the_former_name_of_an_option(client: TestClient, asset: Any) -> None:
    made = client.post("/api/v1/jobs", json=job_body(asset, recolour=0.5, photo_weight=2.0))
    assert made.status_code == 201
    assert made.json()["options"] == {"final_recolor": 0.5, "photorealism_weight": 2.0}


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"strength": 2.0}, "options.strength", "less than or equal to 1"),
        ({"strength": "0.5"}, "options.strength", "valid number"),
        ({"strenght": 0.5}, "options.strenght", "not permitted"),
        ({"device": "cuda"}, "options.device", "not permitted"),
        ({"init": "/etc/passwd"}, "options.init", "'content', 'random', 'style' or 'fast'"),
        ({"tile": 100}, "options.tile", "multiple of 16"),
        ({"recipe": "gatys2061"}, "options.recipe", "did you mean 'gatys2016'"),
        ({"style_layers": "relu1_1=x"}, "options.style_layers", "must be a number"),
        ({"style_layers": "relu9_9=1"}, "options.style_layers", "vgg19 has no layer 'relu9_9'"),
        ({"content_layers": "relu3_4", "network": "vgg16"}, "options.content_layers", "vgg16 has no layer"),
        ({"size": "abc"}, "options.size", "'abc' is invalid"),
        ({"size": "-5"}, "options.size", "'-5' is invalid"),
        ({"size": "99999999"}, "options.size", "outside 1 to 1000000"),
        ({"size": "90cm"}, "options.dpi", "needs dots per inch"),
        ({"size": "12"}, "options.size", "would be 12x8 px, too small"),
        ({"size": "999999"}, "options.size", "more than the 200000000 pixels allowed"),
        ({"strength": 0.5, "content_weight": 1.0}, "options.strength", "both given"),
    ],
)
def test_invalid_options_name_their_field(
    client: TestClient, asset: Any, options: dict[str, Any], field: str, words: str
) -> None:
    assert words in problem(client.post("/api/v1/jobs", json=job_body(asset, **options)), 422, field)


def test_other_invalid_jobs(client: TestClient, asset: Any, picture: bytes) -> None:
    jobs = "/api/v1/jobs"
    assert "no style is given" in problem(client.post(jobs, json={"content": asset.id, "styles": []}), 422, "body")
    assert "no asset" in problem(client.post(jobs, json={**job_body(asset), "content": "f" * 64}), 404)
    problem(client.post(jobs, content=b"x"), 422, "body")
    problem(client.post(jobs, files={"content": ("a", picture), "style": ("b", picture)}), 422, "body")
    problem(client.post(jobs, content=b"{", headers={"content-type": "application/json"}), 422, "body")
    infinite = json.dumps(job_body(asset, strength=float("inf")))
    response = client.post(jobs, content=infinite, headers={"content-type": "application/json"})
    problem(response, 422, "options.strength")


def test_images_that_are_too_small(client: TestClient, asset: Any) -> None:
    dot = client.post("/api/v1/assets", content=fake_runner.png(np.zeros((1, 1, 3), np.uint8))).json()["id"]
    requests: list[tuple[str, dict[str, Any]]] = [
        ("content", {"content": dot}),
        ("styles.1.asset", {"styles": [{"asset": asset.id}, {"asset": dot}]}),
        ("regions.0.asset", {"regions": [{"mask": asset.id, "asset": dot}]}),
    ]
    for field, part in requests:
        detail = problem(client.post("/api/v1/jobs", json={**job_body(asset), **part}), 422, field)
        assert "1x1 px, too small for the layers" in detail
    assert client.get("/api/v1/jobs").json()["jobs"] == []


def test_several_styles_regions_and_protection(client: TestClient, asset: Any) -> None:
    style = client.post("/api/v1/assets", content=fake_runner.png(fake_runner.paint("", 0.9))).json()["id"]
    body = {
        "content": asset.id,
        "styles": [{"asset": asset.id, "weight": 0.25}, {"asset": style, "weight": 0.75}],
        "regions": [{"mask": asset.id, "asset": style}],
        "protect": asset.id,
    }
    job = client.post("/api/v1/jobs", json=body).json()
    assert (job["styles"], job["protect"]) == (body["styles"], asset.id)
    assert job["regions"] == [{"name": "region_1", "mask": asset.id, "asset": style}]
    assert client.delete(f"/api/v1/assets/{style}").status_code == 409


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"styles": [{"asset": "0" * 64, "weight": 0.0}]}, "styles.0.weight", "greater than 0"),
        ({"styles": [{"asset": "0" * 64, "weight": "1"}]}, "styles.0.weight", "valid number"),
        ({"styles": [{"asset": "0" * 64}] * 9}, "styles", "at most 8"),
        ({"styles": [{"asset": "photo.png"}]}, "styles.0.asset", "match pattern"),
    ],
)
def test_invalid_styles(client: TestClient, asset: Any, change: dict[str, Any], field: str, words: str) -> None:
    assert words in problem(client.post("/api/v1/jobs", json={**job_body(asset), **change}), 422, field)


def test_regions_have_their_own_styles(client: TestClient, asset: Any) -> None:
    region = {"mask": asset.id, "asset": asset.id, "strength": 0.8, "color": "match"}
    body = {"content": asset.id, "regions": [region, {**region, "name": "sky"}]}
    job = client.post("/api/v1/jobs", json=body).json()
    assert job["styles"] == []
    assert job["regions"] == [{**region, "name": "region_1"}, {**region, "name": "sky"}]
    again = {**body, "regions": [{**region, "name": "sky"}, {**region, "name": "sky"}]}
    assert "the same name" in problem(client.post("/api/v1/jobs", json=again), 422, "body")
    wrong = {**body, "regions": [{**region, "color": "none"}]}
    problem(client.post("/api/v1/jobs", json=wrong), 422, "regions.0.color")
    missing = {**body, "regions": [{**region, "mask": "f" * 64}]}
    assert "no asset" in problem(client.post("/api/v1/jobs", json=missing), 404)


@pytest.mark.parametrize("options", [{"fast": True}, {"init": "fast"}])
def test_instant_mode_needs_its_weights(
    client: TestClient, asset: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, Any]
) -> None:
    file = tmp_path / "weights"
    monkeypatch.setattr(forms.weights, "stored", lambda name: file)
    refused = client.post("/api/v1/jobs", json=job_body(asset, **options))
    assert "impasto weights fetch adain" in problem(refused, 422, f"options.{next(iter(options))}")
    assert not client.get("/api/v1/presets").json()["instant"]
    file.touch()
    assert client.post("/api/v1/jobs", json=job_body(asset, **options)).status_code == 201
    assert client.get("/api/v1/presets").json()["instant"]


def test_a_full_queue_responds_with_retry_after(client: TestClient, studio: Studio, asset: Any) -> None:
    studio.limits = QueueLimits(client=2, retry_after=17)
    for _ in range(2):
        assert client.post("/api/v1/jobs", json=job_body(asset)).status_code == 201
    refused = client.post("/api/v1/jobs", json=job_body(asset))
    assert "2 of your jobs are waiting" in problem(refused, 429)
    assert refused.headers["retry-after"] == "17"


def test_steering(client: TestClient, asset: Any) -> None:
    path = client.post("/api/v1/jobs", json=job_body(asset)).headers["location"]
    steered = client.patch(path, json={"strength": 0.9, "terms": {"style:sky": 2.0}})
    assert steered.json()["steering"] == {"strength": 0.9, "style:sky": 2.0}
    problem(client.patch(path, json={"strength": -1.0}), 422, "strength")
    problem(client.patch(path, json={"size": "512"}), 422, "size")
    assert "no value is given" in problem(client.patch(path, json={}), 422, "body")
    problem(client.patch(f"/api/v1/jobs/{NOBODY}", json={"strength": 0.9}), 404)


def test_commands_and_conflicts(client: TestClient, asset: Any) -> None:
    path = client.post("/api/v1/jobs", json=job_body(asset)).headers["location"]
    states = [client.post(f"{path}/{order}").json()["state"] for order in ("pause", "resume", "snapshot", "cancel")]
    assert states == ["paused", "queued", "queued", "canceled"]
    assert "accepts no more commands" in problem(client.post(f"{path}/pause"), 409)
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


def test_results_at_every_stored_step(
    client: TestClient, store: Store, worker: Worker, submit: Callable[..., Job]
) -> None:
    job = submit(strength=0.3)
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/results"
    listed = client.get(path).json()
    assert {result["step"] for result in listed} >= {1, 25}
    early = client.get(f"{path}/1")
    assert (early.status_code, early.headers["content-type"]) == (200, "image/png")
    assert early.content.startswith(b"\x89PNG")
    final = client.get(f"{path}/final", params={"download": True})
    assert fake_runner.expected().encode() in final.content
    assert final.headers["content-disposition"] == 'attachment; filename="impasto-1-25.png"'
    assert client.get(f"{path}/latest").content == final.content == client.get(f"{path}/25").content
    assert client.get(f"{path}/25", params={"kind": "preview"}).content != final.content
    assert "has no image at step 99" in problem(client.get(f"{path}/99"), 404)
    problem(client.get(f"{path}/..%2f..%2fstudio.sqlite3"), 404)
    problem(client.get(f"{path}/x"), 422, "step")
    (store.job_folder(job.id) / "0000001-preview.png").unlink()
    assert "was deleted" in problem(client.get(f"{path}/1"), 404)
    detail = client.get(f"/api/v1/jobs/{job.id}").json()
    assert detail["record"] == {"chain": fake_runner.expected()}
    assert detail["disk_bytes"] > 0


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    problem(client.get("/api/v1/nothing"), 404)
    refused = client.put("/api/v1/jobs")
    problem(refused, 405)
    assert "GET" in refused.headers["allow"]


def test_the_openapi_document_describes_every_error(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    names = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in names
