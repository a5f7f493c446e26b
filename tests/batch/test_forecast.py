"""Forecasts of batches: workers, memory and disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from impasto.batch import forecast
from impasto.batch.forecast import auto_workers, duration, plan_batch
from impasto.batch.job import Job

GIB = 2**30


@pytest.mark.parametrize(
    ("largest", "cores", "free", "workers"),
    [(GIB, 8, 100 * GIB, 8), (GIB, 8, 5 * GIB, 4), (GIB, 8, GIB // 2, 1), (GIB, 4, None, 4), (GIB, 1, 64 * GIB, 1)],
)
def test_workers_fit_cores_and_memory(largest: int, cores: int, free: int | None, workers: int) -> None:
    assert auto_workers(largest, cores, free) == workers


def test_a_batch_is_forecast(
    jobs_for: Callable[..., list[Job]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "cores_here", lambda: 4)
    monkeypatch.setattr(forecast, "gpu_count", lambda jobs: 0)
    monkeypatch.setattr("impasto.planning.memory.free_bytes", lambda: 100 * GIB)
    monkeypatch.setattr(forecast, "_seconds_per_work", lambda sized, threads: 2 / sized.work)
    jobs = jobs_for("a", "b", "c")
    Path(jobs[1].content).write_bytes(b"broken")
    found = plan_batch(jobs, tmp_path / "out", measure=True)
    assert (found.count, found.unreadable, found.workers, found.threads, found.seconds) == (3, 1, 3, 1, 4 / 3)
    assert found.lines()[0] == "3 images, 1 of them from unreadable files"
    assert found.lines()[1] == "about 1 s with 3 at a time"
    assert not (tmp_path / "out").exists()


def test_threads_do_not_depend_on_the_number_of_workers(
    jobs_for: Callable[..., list[Job]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "cores_here", lambda: 8)
    monkeypatch.setattr(forecast, "gpu_count", lambda jobs: 0)
    monkeypatch.setattr("impasto.planning.memory.free_bytes", lambda: 2 * GIB)
    jobs = [Job(job.content, job.styles, job.output, {"size": "64"}) for job in jobs_for(*"abcdefgh")]
    threads = {workers: plan_batch(jobs, tmp_path, workers).threads for workers in (None, 1, 2, 8)}
    assert set(threads.values()) == {4}


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12000, "3 h 20 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
