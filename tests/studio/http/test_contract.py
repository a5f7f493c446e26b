"""Schemathesis tests the API against its OpenAPI document, in process."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_runner
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.http.guard import AccessRules
from impasto.studio.store.database import Store
from impasto.studio.store.records import Asset, QueueLimits
from impasto.studio.worker.loop import Intervals, Worker


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    store = Store(tmp_path_factory.mktemp("contract") / "data")
    body = fake_runner.png(np.zeros((20, 20, 3), np.uint8))
    incoming = store.folder / "incoming" / "a"
    incoming.write_bytes(body)
    asset = Asset(hashlib.sha256(body).hexdigest(), "image/png", ".png", len(body), 20, 20, 0.0)
    store.add_asset(asset, incoming)
    pictures = {"content": asset.id, "styles": [{"asset": asset.id, "weight": 1.0}]}
    store.create_job("one", pictures, [asset.id], {})
    Worker(store, fake_runner.run, fake_runner.writers, fake_runner.exporters, Intervals(poll=0.01)).work_once()
    return Studio(store, AccessRules(names=("testserver",)), limits=QueueLimits(queue=10_000, client=10_000))


@pytest.fixture(scope="module")
def api(studio: Studio) -> Iterator[Any]:
    config = schemathesis.Config.from_dict(
        {
            # What only reading the whole body can tell (a recipe with raw weights and a strength) is no breach.
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "413", "415", "422"]}},
        }
    )
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(studio), config=config)


BOUNDS = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def operations() -> list[tuple[str, str]]:
    """Return every path and method that the document has."""
    with tempfile.TemporaryDirectory() as folder:
        paths = create_app(Studio(Store(Path(folder)))).openapi()["paths"]
    return [(path, method) for path, entry in paths.items() for method in entry]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), operations())
def test_the_api_conforms_to_its_document(
    api: Any, studio: Studio, path: str, method: str, mode: GenerationMode
) -> None:
    operation = api[path][method.upper()]
    done = studio.store.jobs(limit=1, state="done")[0].id

    @BOUNDS
    @given(case=operation.as_strategy(generation_mode=mode))
    def play(case: Any) -> None:
        # Most ids that could be made up are not there; half of the cases meet a job that is.
        if mode is GenerationMode.POSITIVE and method != "delete" and "job_id" in (case.path_parameters or {}):
            case.path_parameters["job_id"] = done
        case.call_and_validate()

    try:
        play()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise
        pytest.skip("nothing about this route can be wrong")
