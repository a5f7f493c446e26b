"""The simulated forecast of a batch on a cluster."""

from __future__ import annotations

import pytest

from benchmarks.cluster import ClusterModel, simulate


def test_without_losses_the_time_is_the_work_divided_by_the_workers() -> None:
    model = ClusterModel(workers=10, seconds=10, spread=0, driver=0, start=0, loss_hours=0)
    found = simulate(100, model)
    assert found.hours * 3600 == pytest.approx(100)
    assert (found.use, found.lost, found.failed) == (pytest.approx(1), 0, 0)


def test_the_driver_limits_the_rate() -> None:
    model = ClusterModel(workers=1000, seconds=1, spread=0, driver=0.1, start=0, loss_hours=0)
    assert simulate(1000, model).hours * 3600 == pytest.approx(101, abs=1)


def test_lost_workers_cost_their_images_once_more() -> None:
    model = ClusterModel(workers=10, seconds=60, loss_hours=1)
    found = simulate(1000, model)
    assert 5 < found.lost < 40
    assert found.failed == 0
    assert found.hours > simulate(1000, ClusterModel(workers=10, seconds=60, loss_hours=0)).hours


def test_an_image_is_given_up_after_three_lost_workers() -> None:
    found = simulate(50, ClusterModel(workers=5, seconds=3600, loss_hours=0.01))
    assert found.failed == 50
    assert found.lost == 150
