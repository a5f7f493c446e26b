"""Workers are killed a hundred times, and no job is lost or done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_runner
import pytest

from impasto.studio.store.database import Store
from impasto.studio.store.lease import release_dead
from impasto.studio.worker.loop import Intervals, Worker
from waiting import HANG_SECONDS

KILLS = 220
HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def crashed_workers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A data folder after the killing, and what the deaths interrupted."""
    folder = tmp_path_factory.mktemp("kills") / "data"
    paths = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "crash_workers.py"), str(folder), str(KILLS), "11"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    store = Store(folder)
    release_dead(store)
    pace = Intervals(poll=0.01)
    worker = Worker(store, fake_runner.run, fake_runner.writers, fake_runner.exporters, pace, max_failures=10_000)
    while worker.work_once():
        pass
    store.close()
    return folder, json.loads(done.stdout)


def test_workers_were_killed_in_every_phase(crashed_workers: tuple[Path, dict[str, int]]) -> None:
    _, interrupted = crashed_workers
    assert sum(interrupted.values()) >= 200
    for phase in ("claim", "checkpoint", "finish", "pen", "anywhere", "outside"):
        assert interrupted[phase] >= 5, interrupted


def test_no_job_is_lost(crashed_workers: tuple[Path, dict[str, int]]) -> None:
    folder, _ = crashed_workers
    store = Store(folder)
    ordered = (folder / "ordered.txt").read_text().split()
    states = {job.id: job.state for job in store.jobs(limit=10_000)}
    assert set(ordered) <= set(states)
    assert set(states.values()) == {"done"}
    assert len(ordered) >= 10


def test_every_job_and_every_step_is_done_once(crashed_workers: tuple[Path, dict[str, int]]) -> None:
    folder, _ = crashed_workers
    store = Store(folder)
    for job in store.jobs(limit=10_000):
        events = store.events(job.id, limit=100_000)
        assert [event.number for event in events] == list(range(1, job.last_event + 1))
        assert [event.kind for event in events].count("finished") == 1
        assert events[-2].kind == "finished"
        assert json.loads(events[-1].data) == {"state": "done"}
        assert fake_runner.steps_told(events) == fake_runner.STEPS
        assert job.record == {"chain": fake_runner.expected()}


def test_results_are_complete_and_no_files_are_left(crashed_workers: tuple[Path, dict[str, int]]) -> None:
    folder, _ = crashed_workers
    store = Store(folder)
    for job in store.jobs(limit=10_000):
        files = {path.name for path in store.job_folder(job.id).iterdir()}
        results = store.results(job.id)
        assert {result.file for result in results} <= files
        assert not [name for name in files if ".part" in name or ".tmp" in name]
        finals = [result for result in results if result.kind == "final"]
        assert [result.step for result in finals] == [fake_runner.STEPS]
        body = (store.job_folder(job.id) / finals[0].file).read_bytes()
        assert len(body) == finals[0].size
        assert fake_runner.expected().encode() in body
