"""Fixtures of the studio's tests: a store with a simulated clock and an image, and a worker with a fake runner."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fake_runner
from fastapi.testclient import TestClient
from problem_asserts import HOME

from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.store.database import Store
from impasto.studio.store.records import Asset, Job
from impasto.studio.worker.loop import Intervals, Worker


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(tmp_path / "data", clock)
    yield store
    store.close()


@pytest.fixture
def picture() -> bytes:
    return fake_runner.png(np.full((40, 60, 3), 128, np.uint8))


@pytest.fixture
def asset(store: Store, picture: bytes) -> Asset:
    incoming = store.folder / "incoming" / "one"
    incoming.write_bytes(picture)
    name = hashlib.sha256(picture).hexdigest()
    return store.add_asset(Asset(name, "image/png", ".png", len(picture), 60, 40, store.clock()), incoming)


@pytest.fixture
def submit(store: Store, asset: Asset) -> Callable[..., Job]:
    def submit(client: str = "one", **options: Any) -> Job:
        pictures = {"content": asset.id, "styles": [{"asset": asset.id, "weight": 1.0}]}
        return store.create_job(client, pictures, [asset.id], options)

    return submit


@pytest.fixture
def worker(store: Store) -> Worker:
    intervals = Intervals(poll=0.005, preview=0.0, idle=0.005)
    return Worker(store, fake_runner.run, fake_runner.writers, fake_runner.exporters, intervals)


@pytest.fixture
def studio(store: Store) -> Studio:
    return Studio(store)


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_app(studio), base_url=HOME) as client:
        yield client
