"""The estimate for a different size is based on the timing of the job's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from problem_asserts import NOBODY, problem

from impasto.planning.schedule import plan_scales
from impasto.planning.time_budget import StepCost, seconds_for
from impasto.studio.http.estimate import estimate
from impasto.studio.store.database import Store
from impasto.studio.store.lease import Lease, claim
from impasto.studio.store.records import Job

Submit = Callable[..., Job]


def paint(store: Store, clock: Any, lease: Lease, side: int, seconds: float, steps: int = 3) -> None:
    """Log a scale and its steps."""
    lease.append([("scale", {"height": side, "width": side, "steps": steps})])
    for step in range(1, steps + 1):
        clock.now += seconds
        lease.append([("step", {"step": step})])


@pytest.fixture
def lease(store: Store, submit: Submit) -> Lease:
    submit()
    lease = claim(store, "w", 1e6)
    assert lease is not None
    return lease


def test_the_finest_scale_determines_the_speed(store: Store, clock: Any, lease: Lease) -> None:
    paint(store, clock, lease, 10, 7.0)
    paint(store, clock, lease, 100, 2.0)
    found = estimate(store, store.job(lease.job.id), 600)
    scales = plan_scales(400, 600, quality="standard")
    assert (found.width, found.height, found.steps) == (600, 400, sum(scale.steps for scale in scales))
    assert found.seconds == pytest.approx(seconds_for(scales, StepCost(2.0 / 100**2)), abs=0.0501)


def test_a_pause_does_not_count(store: Store, clock: Any, lease: Lease) -> None:
    paint(store, clock, lease, 100, 2.0)
    before = estimate(store, store.job(lease.job.id), 600)
    lease.pause()
    clock.now += 1e5
    lease.resume()
    lease.append([("step", {"step": 4})])
    assert estimate(store, store.job(lease.job.id), 600) == before


def test_no_estimate_without_timing(client: TestClient, submit: Submit) -> None:
    assert client.get(f"/api/v1/jobs/{submit().id}/estimate", params={"long_side": 60}).json()["seconds"] is None
    fast = client.get(f"/api/v1/jobs/{submit(fast=True).id}/estimate", params={"long_side": 30})
    assert fast.json() == {"width": 30, "height": 20, "steps": 0, "seconds": None}
    problem(client.get(f"/api/v1/jobs/{NOBODY}/estimate", params={"long_side": 600}), 404)
    problem(client.get(f"/api/v1/jobs/{submit().id}/estimate", params={"long_side": 5}), 422, "long_side")
