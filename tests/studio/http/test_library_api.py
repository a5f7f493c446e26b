"""Uploads are limited and served safely; samples, presets and health."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fake_runner
import numpy as np
import pytest
from fastapi.testclient import TestClient
from problem_asserts import HOME, job_body, problem

import required
from impasto.errors import ImageError
from impasto.imaging import images, samples
from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.http.guard import AccessRules
from impasto.studio.http.uploads import UploadLimits
from impasto.studio.store.database import Store
from impasto.studio.store.records import Job
from impasto.studio.worker.mask_drawer import MaskDrawer


def test_images_cannot_run_scripts(client: TestClient, asset: Any) -> None:
    sent = client.get(f"/api/v1/assets/{asset.id}/file")
    assert sent.headers["content-type"] == "image/png"
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in sent.headers["content-security-policy"]
    assert "default-src 'none'" in sent.headers["content-security-policy"]


def test_assets_are_created_and_deleted(client: TestClient, store: Store, picture: bytes) -> None:
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


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Cat on sofa (1).jpg", "Cat on sofa (1).jpg"),
        ("Gemälde.PNG", "Gemälde.PNG"),
        ("/home/me/..\\cat.png", "cat.png"),
        ("--output.png", "output.png"),
        ("a,b#1=2@c\n.png", "a_b_1_2_c_.png"),
        ("cat", "cat.png"),
        ("x" * 300 + ".jpeg", "x" * 75 + ".jpeg"),
        ("..", ""),
        ("", ""),
    ],
)
def test_an_asset_keeps_its_file_name(client: TestClient, picture: bytes, told: str, kept: str) -> None:
    made = client.post("/api/v1/assets", params={"name": told}, content=picture).json()
    assert made["name"] == kept
    assert len(kept) <= 80


def test_an_asset_in_use_cannot_be_deleted(client: TestClient, asset: Any) -> None:
    client.post("/api/v1/jobs", json=job_body(asset))
    assert "delete the jobs first" in problem(client.delete(f"/api/v1/assets/{asset.id}"), 409)


def test_unused_assets_are_deleted(client: TestClient, store: Store, clock: Any, asset: Any) -> None:
    client.post("/api/v1/jobs", json=job_body(asset))
    other = client.post("/api/v1/assets", content=fake_runner.png(fake_runner.paint("", 0.1))).json()
    assert client.delete("/api/v1/assets").json() == {"removed": 0, "freed_bytes": 0}
    clock.now += 3601
    again = client.post("/api/v1/assets", content=fake_runner.png(fake_runner.paint("", 0.1))).json()
    assert again["id"] == other["id"]
    assert client.delete("/api/v1/assets").json()["removed"] == 0  # it was wanted again just now
    assert client.delete("/api/v1/assets", params={"older_than": 0}).json() == {
        "removed": 1,
        "freed_bytes": other["size"],
    }
    assert [path.name for path in (store.folder / "assets").iterdir()] == [f"{asset.id}.png"]
    problem(client.delete("/api/v1/assets", params={"older_than": -1}), 422, "older_than")


def test_uploads_are_limited_while_they_stream(
    client: TestClient, studio: Studio, store: Store, picture: bytes
) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield picture
        for _ in range(100):
            sent += 1
            yield b"\0" * (1 << 16)

    studio.caps = UploadLimits(bytes=1 << 20)
    assert "more than 1 MiB" in problem(client.post("/api/v1/assets", content=endless()), 413, "body")
    studio.caps = UploadLimits(pixels=2399)
    assert "60x40 pixels" in problem(client.post("/api/v1/assets", content=picture), 413, "body")
    studio.caps = UploadLimits(pixels=2400)
    assert client.post("/api/v1/assets", content=picture).status_code == 201
    assert "empty" in problem(client.post("/api/v1/assets", content=b""), 422, "body")
    assert "accepted formats: PNG, JPEG" in problem(client.post("/api/v1/assets", content=b"<svg>" * 20), 415, "body")
    assert list((store.folder / "incoming").iterdir()) == []


def test_the_whole_body_is_limited(store: Store) -> None:
    app = create_app(Studio(store, AccessRules(body_bytes=1000)))
    with TestClient(app, base_url=HOME) as client:
        problem(client.post("/api/v1/assets", content=b"x" * 1001), 413)
        problem(client.post("/api/v1/assets", content=iter([b"x" * 600, b"x" * 600])), 413)


def test_samples_become_assets(client: TestClient) -> None:
    name = client.get("/api/v1/presets").json()["samples"][0]
    made = client.post(f"/api/v1/samples/{name}").json()
    assert client.get(f"/api/v1/assets/{made['id']}").json() == made
    assert made["name"].startswith(name + ".")
    assert "choose from" in problem(client.post("/api/v1/samples/nothing"), 404)


def test_presets(client: TestClient) -> None:
    presets = client.get("/api/v1/presets").json()
    assert "gatys2016" in [recipe["name"] for recipe in presets["recipes"]]
    options = {option["name"]: option for option in presets["options"]}
    assert options["strength"]["live"]
    assert (options["strength"]["low"], options["strength"]["high"]) == (0.0, 1.0)
    assert options["init"]["choices"] == ["content", "random", "style", "fast"]
    assert "device" not in options
    assert all(option["help"] for option in options.values())


def test_health(client: TestClient, submit: Callable[..., Job]) -> None:
    submit()
    health = client.get("/api/v1/health").json()
    assert health["status"] == "no workers"
    assert health["jobs"]["queued"] == 1
    assert health["memory_bytes"] > 1 << 20
    assert health["disk_bytes"] > 0


class Drawer:
    """Draws white masks without a process, and finds no sky."""

    asked: ClassVar[list[str]] = []

    def draw(self, path: Path, name: str) -> bytes | None:
        self.asked.append(name)
        return None if name == "sky" else fake_runner.png(np.full((40, 60, 3), 255, np.uint8))

    def stop(self) -> None:
        """Do nothing."""


def test_masks_are_drawn_by_name_and_place(store: Store, asset: Any) -> None:
    with TestClient(create_app(Studio(store, masks=Drawer())), base_url=HOME) as client:  # type: ignore[arg-type]
        made = client.post(f"/api/v1/assets/{asset.id}/masks", params={"name": "person"})
        assert made.status_code == 201
        assert (made.json()["width"], made.json()["name"]) == (60, "person.png")
        places = client.post(f"/api/v1/assets/{asset.id}/masks", params={"name": "0.1,0.2-0.3,0.4"})
        assert places.json()["id"] == made.json()["id"]
        assert Drawer.asked == ["person", "0.1,0.2-0.3,0.4"]
        url = f"/api/v1/assets/{asset.id}/masks"
        assert "this image has no sky" in problem(client.post(url, params={"name": "sky"}), 422, "name")
        assert "choose from: person" in problem(client.post(url, params={"name": "tree"}), 422, "name")
        problem(client.post(url, params={"name": "3,0.2"}), 422, "name")
        problem(client.post(f"/api/v1/assets/{'0' * 64}/masks", params={"name": "person"}), 404)


@pytest.mark.slow
@pytest.mark.weights
def test_a_process_draws_masks(tmp_path: Path) -> None:
    required.weights("masks")
    path = tmp_path / "astronaut.png"
    path.write_bytes(fake_runner.png(samples.load("astronaut")))
    drawer = MaskDrawer()
    try:
        mask = images.load(io.BytesIO(drawer.draw(path, "person") or b"")).pixels[..., 0]
        assert mask[300, 150] > 0.9
        assert mask[30, 30] < 0.1
        assert drawer.draw(path, "0.3,0.8") is not None
        with pytest.raises(ImageError):
            drawer.draw(tmp_path / "none.png", "person")
    finally:
        drawer.stop()
