"""Batches in processes: killed drivers, killed workers, signals, and the same bytes for any number of workers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import batch_painters
import impasto
from batch_pictures import write_picture
from impasto.batch.events import BatchFinished, JobDone, JobFailed, JobProgress, JobRetried
from impasto.batch.job import Job
from impasto.batch.journal import read
from impasto.batch.local import LocalExecutor
from waiting import wait_until

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent.parent
JobsFor = Callable[..., list[Job]]
PHOTOS = 40


def paint(jobs: list[Job], folder: Path, workers: int, make_painter: Any) -> list[Any]:
    executor = LocalExecutor(workers, make_painter)
    try:
        return list(impasto.iter_batch(jobs, folder, executor=executor))
    finally:
        executor.close()


def test_a_killed_worker_is_replaced(tmp_path: Path, jobs_for: JobsFor) -> None:
    events = paint(jobs_for("a", "once", "killer", "b"), tmp_path / "out", 2, batch_painters.fake)
    assert events[-1] == BatchFinished(3, 0, 1, stopped=False)
    assert sum(isinstance(event, JobRetried) for event in events) == 3
    (failed,) = (event for event in events if isinstance(event, JobFailed))
    assert "3 workers have died over it; the last time its worker was killed by signal 9" in failed.reason


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, jobs_for: JobsFor) -> None:
    tiny = {"style_layers": "relu1_1+relu2_1", "content_layers": "relu2_2", "steps": 3, "scales": 1, "size": "32"}
    jobs = jobs_for("a", "b", "c", "d", **tiny)
    other = str(write_picture(tmp_path / "other.png", 55))
    jobs += [replace(job, styles=(other,), output=f"other_{job.output}") for job in jobs]
    for name, workers in (("one", 1), ("two", 2)):
        events = paint(jobs, tmp_path / name, workers, batch_painters.tiny)
        assert events[-1].painted == 8
    assert any(isinstance(event, JobDone) for event in events)
    for job in jobs:
        assert (tmp_path / "one" / job.output).read_bytes() == (tmp_path / "two" / job.output).read_bytes()
    # A single run with the same options writes the same file.
    from impasto.run.target_cache import TargetCache
    from random_weights import state_before
    from runs import stylize

    job = jobs[-1]
    cache = TargetCache(state_before("conv3"))
    stylize(job.content, list(job.styles), output=tmp_path / "single.png", cache=cache, **job.options)
    assert (tmp_path / "single.png").read_bytes() == (tmp_path / "two" / job.output).read_bytes()


DRIVER = """
import json, sys
from functools import partial
sys.path[:0] = [{tests!r}, {root!r}]
if __name__ == "__main__":
    import batch_painters, impasto
    from impasto.batch.job import Job
    from impasto.batch.local import LocalExecutor
    folder, jobs = sys.argv[1], [Job(**job) for job in json.load(open(sys.argv[2]))]
    jobs = [Job(j.content, tuple(j.styles), j.output, j.options) for j in jobs]
    executor = LocalExecutor(2, batch_painters.fake)
    for event in impasto.iter_batch(jobs, folder, executor=executor):
        print(type(event).__name__, flush=True)
    executor.close()
"""


@pytest.fixture
def start_driver(tmp_path: Path, jobs_for: JobsFor, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return a function that starts a batch of 40 images in a process of its own."""
    monkeypatch.setenv(batch_painters.PAUSE_SECONDS, "0.3")
    jobs = jobs_for(*(f"photo{number}" for number in range(PHOTOS)))
    data = [{"content": j.content, "styles": j.styles, "output": j.output, "options": j.options} for j in jobs]
    (tmp_path / "jobs.json").write_text(json.dumps(data))
    (tmp_path / "driver.py").write_text(DRIVER.format(tests=str(TESTS), root=str(TESTS.parent / "src")))
    command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "out"), str(tmp_path / "jobs.json")]
    return partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)


def workers_of(driver: Any) -> list[int]:
    """Return the process ids of a driver's workers."""
    found = []
    for task in Path(f"/proc/{driver.pid}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_nothing_is_lost_or_painted_twice_over_ten_kills_of_driver_and_workers(
    tmp_path: Path, start_driver: Callable[[], Any]
) -> None:
    out, rng = tmp_path / "out", random.Random(20)
    for _ in range(10):
        driver = start_driver()
        read_events(driver, rng.randint(1, 3))
        os.kill(rng.choice(wait_until(partial(workers_of, driver), "there are workers")), signal.SIGKILL)
        read_events(driver, rng.randint(1, 2))
        workers = workers_of(driver)
        driver.kill()
        driver.communicate()
        for pid in workers:  # they end by themselves
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}/cmdline").exists() or is_zombie(pid), "the worker ends")
        state = read(out)
        assert [entry.reason for entry in state.failures()] == []
    driver = start_driver()
    driver.communicate()
    assert driver.returncode == 0
    names = (out / "painted.txt").read_text().splitlines()
    assert sorted(names) == sorted(set(names)) == sorted(path.name for path in out.glob("*.png"))
    assert len(names) == PHOTOS
    assert {entry.state for entry in read(out).entries.values()} == {"done"}
    assert not list(out.glob(".impasto-*"))


def read_events(driver: Any, count: int) -> None:
    """Read the output of a driver until so many jobs were started or done."""
    while count:
        line = driver.stdout.readline().strip()
        assert line, "the batch has ended too early"
        count -= line in ("JobStarted", "JobDone")


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_signal_to_all_processes_of_a_batch_costs_no_image(tmp_path: Path, start_driver: Callable[[], Any]) -> None:
    driver = start_driver()
    read_events(driver, 4)
    for pid in workers_of(driver):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(pid, number)
    output, _ = driver.communicate()
    assert "JobFailed" not in output
    assert len((tmp_path / "out" / "painted.txt").read_text().splitlines()) == PHOTOS
    assert "was killed" not in (tmp_path / "out" / "batch.jsonl").read_text()


def test_progress_is_reported(tmp_path: Path, jobs_for: JobsFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.batch.local.REPORT_SECONDS", 0.0)
    from impasto.batch.local import _Reporter

    sent: list[Any] = []

    class Connection:
        def send(self, value: Any) -> None:
            sent.append(value)

    _Reporter(Connection(), 3, "1")(0.5)  # type: ignore[arg-type]
    assert (sent[0].number, sent[0].fraction) == (3, 0.5)
    assert JobProgress(jobs_for("a")[0], "1", 0.5).fraction == 0.5


def test_each_worker_sees_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [LocalExecutor(4, gpus=2)._gpu(number) for number in (1, 2, 3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert LocalExecutor(2, gpus=2)._gpu(2) == "6"
    assert LocalExecutor(2, gpus=1)._gpu(2) is None
