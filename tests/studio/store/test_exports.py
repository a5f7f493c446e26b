"""Timelapses and reports of finished jobs are written once, on request, also if a worker dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_runner
import pytest
from fastapi.testclient import TestClient
from problem_asserts import NOBODY, problem

from impasto.studio.store import exports
from impasto.studio.store.database import Store
from impasto.studio.store.exports import ExportInput
from impasto.studio.store.lease import MAX_FAILURES, LeaseLostError, claim, release_dead
from impasto.studio.store.records import ExportKind, Job, QueueLimits, StoredResult
from impasto.studio.worker.loop import Worker
from waiting import wait_until

Submit = Callable[..., Job]


@pytest.fixture
def done(worker: Worker, submit: Submit) -> Job:
    job = submit()
    worker.work_once()
    return job


def state(store: Store, job: Job, kind: ExportKind = "film") -> str:
    return exports.get(store, job.id, kind).state


def test_a_timelapse_from_the_request_to_the_file(client: TestClient, store: Store, worker: Worker, done: Job) -> None:
    path = f"/api/v1/jobs/{done.id}/exports/film"
    assert "POST to this address first" in problem(client.get(path), 404)
    wished = client.post(path)
    assert (wished.status_code, wished.json()["state"]) == (202, "waiting")
    assert "it is waiting" in problem(client.get(f"{path}/file"), 409)
    assert worker.work_once()
    assert not worker.work_once()
    assert client.get(path).json()["state"] == "ready"
    film = client.get(f"{path}/file")
    assert film.headers["content-type"] == "video/mp4"
    assert film.headers["content-disposition"] == f'attachment; filename="impasto-{done.number}-film.mp4"'
    assert film.content.startswith(b"film of [1, ")
    assert client.post(path).json()["state"] == "ready"  # not made again
    assert not worker.work_once()
    (store.job_folder(done.id) / "film.mp4").unlink()
    assert "was deleted" in problem(client.get(f"{path}/file"), 404)


def test_a_paused_job_is_released_for_a_timelapse(client: TestClient, store: Store, done: Job, submit: Submit) -> None:
    paused = submit()
    lease = claim(store, "w", 1e6)
    assert lease is not None
    store.command(paused.id, "pause")
    assert not lease.requests(0).others_wait
    client.post(f"/api/v1/jobs/{done.id}/exports/film")
    assert lease.requests(0).others_wait


def test_a_report_counts_toward_the_disk_usage(client: TestClient, worker: Worker, done: Job) -> None:
    path = f"/api/v1/jobs/{done.id}"
    before = client.get(path).json()["disk_bytes"]
    client.post(f"{path}/exports/report")
    worker.work_once()
    report = client.get(f"{path}/exports/report/file")
    assert report.headers["content-type"].startswith("text/html")
    assert "attachment" in report.headers["content-disposition"]
    assert "sandbox" in report.headers["content-security-policy"]
    assert client.get(path).json()["disk_bytes"] == before + len(report.content)
    listed = client.get("/api/v1/jobs").json()["jobs"][0]
    assert listed["disk_bytes"] == before + len(report.content)


def test_only_finished_jobs_have_exports(client: TestClient, submit: Submit) -> None:
    job = submit()
    assert "this one is queued" in problem(client.post(f"/api/v1/jobs/{job.id}/exports/film"), 409)
    problem(client.post(f"/api/v1/jobs/{NOBODY}/exports/film"), 404)
    problem(client.get(f"/api/v1/jobs/{NOBODY}/exports/film"), 404)
    problem(client.post(f"/api/v1/jobs/{job.id}/exports/poster"), 422, "kind")


def test_a_failed_export_has_a_reason_and_can_be_retried(
    client: TestClient, store: Store, worker: Worker, submit: Submit
) -> None:
    job = submit(seed=fake_runner.SPOILT)
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/exports/report"
    client.post(path)
    worker.work_once()
    assert client.get(path).json() == {
        "kind": "report", "state": "failed", "error": "RuntimeError: the ink is dry", "size": 0,
    }  # fmt: skip
    assert client.post(path).json()["state"] == "waiting"
    assert client.get(path).json()["error"] is None
    assert [file.name for file in store.job_folder(job.id).iterdir() if ".part" in file.name] == []


def test_an_export_comes_before_images(store: Store, done: Job, submit: Submit) -> None:
    started, waiting = submit(), submit()
    lease = claim(store, "w", 60)
    assert lease is not None
    lease.release("queued")
    report, film = exports.request(store, done.id, "report"), exports.request(store, done.id, "film")
    claimed = [lease.job.id for _ in range(4) if (lease := claim(store, "w", 60))]
    assert claimed == [report.id, film.id, started.id, waiting.id]


def test_an_export_does_not_count_as_a_turn_of_its_client(
    store: Store, clock: Any, worker: Worker, submit: Submit
) -> None:
    done = submit("one")
    worker.work_once()
    clock.now += 1
    submit("two")
    worker.work_once()
    clock.now += 1
    exports.request(store, done.id, "film")
    worker.work_once()
    second, first = submit("two"), submit("one")
    claimed = [lease.job.id for _ in range(2) if (lease := claim(store, "w", 60))]
    assert claimed == [first.id, second.id]


def test_the_lists_of_jobs_do_not_show_exports(client: TestClient, store: Store, done: Job, submit: Submit) -> None:
    queued = submit()
    counts, waiting = store.counts(), store.waiting()
    exports.request(store, done.id, "film")
    assert [job["id"] for job in client.get("/api/v1/jobs").json()["jobs"]] == [queued.id, done.id]
    assert (store.counts(), store.waiting()) == (counts, waiting)
    problem(client.get(f"/api/v1/jobs/{done.id}-film"), 422, "job_id")
    problem(client.get("/api/v1/jobs?purpose=film"), 422, "purpose")
    limits = QueueLimits(queue=2, client=2)
    assert store.create_job("two", {}, [], {}, limits).state == "queued"


def test_an_export_of_a_dead_worker_is_claimed_again(store: Store, clock: Any, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    for _ in range(MAX_FAILURES):
        assert claim(store, "w", 60) is not None
        assert claim(store, "other", 60) is None
        assert state(store, done) == "running"
        clock.now += 61
    assert claim(store, "other", 60) is None
    assert state(store, done) == "failed"
    assert exports.request(store, done.id, "film").state == "queued"
    assert worker.work_once()
    assert (state(store, done), exports.get(store, done.id, "film").error) == ("done", None)


def test_an_export_whose_worker_died_is_written_by_the_next(
    client: TestClient, store: Store, clock: Any, worker: Worker, done: Job
) -> None:
    exports.request(store, done.id, "film")
    write = worker.exporters["film"]

    def die(export_input: ExportInput, path: Path) -> str:
        path.write_bytes(b"half a fi")
        raise SystemExit

    worker.exporters = {"film": die}
    with pytest.raises(SystemExit):
        worker.work_once()
    worker.exporters = {"film": write}
    assert not worker.work_once()  # the lease has not expired yet
    clock.now += worker.intervals.lease + 1
    assert worker.work_once()
    path = f"/api/v1/jobs/{done.id}/exports/film"
    assert client.get(path).json()["state"] == "ready"
    assert client.get(f"{path}/file").content.startswith(b"film of [1, ")
    assert exports.get(store, done.id, "film").failures == 1


def test_a_long_export_keeps_its_lease(store: Store, clock: Any, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    worker.intervals = replace(worker.intervals, lease=0.03)

    def lease_until() -> float:
        row = store.connection().execute("SELECT lease_until FROM jobs WHERE purpose = 'film'").fetchone()
        return float(row[0])

    def film(export_input: ExportInput, path: Path) -> str:
        clock.now += 1000
        wait_until(lambda: lease_until() >= clock.now, "the heartbeat")
        assert claim(store, "other", 60) is None
        path.write_bytes(b"film")
        return "video/mp4"

    worker.exporters = {"film": film}
    assert worker.work_once()
    assert (state(store, done), exports.get(store, done.id, "film").error) == ("done", None)


def test_a_worker_considered_dead_changes_nothing(store: Store, clock: Any, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    late = claim(store, "w", 60)
    assert late is not None
    clock.now += 61
    assert worker.work_once()
    with pytest.raises(LeaseLostError):
        late.finish({}, StoredResult(0, "final", "stale.mp4", "video/mp4", 1, 0, 0), None, False)
    with pytest.raises(LeaseLostError):
        late.fail("too late", "")
    assert [result.file for result in store.results(late.job.id)] == ["film.mp4"]


@pytest.mark.slow
def test_a_dead_process_is_detected_immediately(store: Store, worker: Worker, done: Job) -> None:
    import socket
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    exports.request(store, done.id, "film")
    claim(store, f"{socket.gethostname()}:{gone.pid}:abc", 1e6)
    assert release_dead(store) == 1
    assert worker.work_once()


def test_a_job_deleted_during_its_export_leaves_nothing(store: Store, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")

    def deleting(export_input: ExportInput, path: Path) -> str:
        store.delete_job(done.id)
        path.parent.mkdir()
        path.write_bytes(b"film")
        return "video/mp4"

    worker.exporters = {"film": deleting}
    assert worker.work_once()
    assert not store.job_folder(done.id).exists()
    assert store.connection().execute("SELECT COUNT(*) FROM jobs").fetchone()[0] == 0


def test_exports_of_a_deleted_job_are_deleted(client: TestClient, store: Store, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    worker.work_once()
    exports.request(store, done.id, "report")
    assert client.delete(f"/api/v1/jobs/{done.id}").status_code == 204
    problem(client.get(f"/api/v1/jobs/{done.id}/exports/film"), 404)
    problem(client.get(f"/api/v1/jobs/{done.id}/exports/film/file"), 404)
    for table in ("jobs", "events", "results"):
        assert store.connection().execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
    assert not worker.work_once()
    assert not store.job_folder(done.id).exists()


def test_a_worker_writes_exports_between_jobs(store: Store, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    thread = threading.Thread(target=lambda: (worker.work(), store.close()))
    thread.start()
    wait_until(lambda: state(store, done) == "done", "the film")
    worker.stopping.set()
    thread.join()
    assert state(store, done) == "done"
