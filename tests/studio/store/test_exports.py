"""Films and reports are made when asked for, once, of finished jobs, whoever dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runner
import pytest
from fastapi.testclient import TestClient
from problem_asserts import NOBODY, problem

from impasto.studio.store import exports
from impasto.studio.store.database import Store
from impasto.studio.store.exports import LEASE_SECONDS, MAX_DEATHS, ExportInput, export_next
from impasto.studio.store.lease import claim, release_dead
from impasto.studio.store.records import Job
from impasto.studio.worker.loop import Worker
from waiting import wait_until

Submit = Callable[..., Job]


@pytest.fixture
def done(worker: Worker, submit: Submit) -> Job:
    job = submit()
    worker.work_once()
    return job


def make(store: Store) -> bool:
    return export_next(store, "w", fake_runner.exporters)


def test_a_film_from_the_request_to_the_file(client: TestClient, store: Store, done: Job) -> None:
    path = f"/api/v1/jobs/{done.id}/exports/film"
    assert "POST to this address first" in problem(client.get(path), 404)
    wished = client.post(path)
    assert (wished.status_code, wished.json()["state"]) == (202, "waiting")
    assert "it is waiting" in problem(client.get(f"{path}/file"), 409)
    assert make(store)
    assert not make(store)
    assert client.get(path).json()["state"] == "ready"
    film = client.get(f"{path}/file")
    assert film.headers["content-type"] == "video/mp4"
    assert film.headers["content-disposition"] == f'attachment; filename="impasto-{done.number}-film.mp4"'
    assert film.content.startswith(b"film of [1, ")
    assert client.post(path).json()["state"] == "ready"  # not made again
    assert not make(store)
    (store.job_folder(done.id) / "film.mp4").unlink()
    assert "was deleted" in problem(client.get(f"{path}/file"), 404)


def test_a_paused_job_lets_go_for_a_film(client: TestClient, store: Store, done: Job, submit: Submit) -> None:
    paused = submit()
    lease = claim(store, "w", 1e6)
    assert lease is not None
    store.command(paused.id, "pause")
    assert not lease.requests(0).others_wait
    client.post(f"/api/v1/jobs/{done.id}/exports/film")
    assert lease.requests(0).others_wait


def test_a_report_counts_towards_the_disk(client: TestClient, store: Store, done: Job) -> None:
    path = f"/api/v1/jobs/{done.id}"
    before = client.get(path).json()["disk_bytes"]
    client.post(f"{path}/exports/report")
    make(store)
    report = client.get(f"{path}/exports/report/file")
    assert report.headers["content-type"].startswith("text/html")
    assert "attachment" in report.headers["content-disposition"]
    assert "sandbox" in report.headers["content-security-policy"]
    assert client.get(path).json()["disk_bytes"] == before + len(report.content)
    listed = client.get("/api/v1/jobs").json()["jobs"][0]
    assert listed["disk_bytes"] == before + len(report.content)


def test_only_finished_jobs_have_them(client: TestClient, submit: Submit) -> None:
    job = submit()
    assert "this one is queued" in problem(client.post(f"/api/v1/jobs/{job.id}/exports/film"), 409)
    problem(client.post(f"/api/v1/jobs/{NOBODY}/exports/film"), 404)
    problem(client.get(f"/api/v1/jobs/{NOBODY}/exports/film"), 404)
    problem(client.post(f"/api/v1/jobs/{job.id}/exports/poster"), 422, "kind")


def test_what_cannot_be_made_says_why_and_can_be_tried_again(
    client: TestClient, store: Store, worker: Worker, submit: Submit
) -> None:
    job = submit(seed=fake_runner.SPOILT)
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/exports/report"
    client.post(path)
    make(store)
    assert client.get(path).json() == {
        "kind": "report", "state": "failed", "error": "RuntimeError: the ink is dry", "size": 0,
    }  # fmt: skip
    assert client.post(path).json()["state"] == "waiting"
    assert client.get(path).json()["error"] is None
    assert [file.name for file in store.job_folder(job.id).iterdir() if ".part" in file.name] == []


def test_who_dies_while_making_one_is_replaced(store: Store, clock: Any, done: Job) -> None:
    exports.request(store, done.id, "film")
    for _ in range(MAX_DEATHS):
        claimed = exports.claim(store, "w")
        assert claimed is not None
        assert exports.claim(store, "other") is None
        clock.now += LEASE_SECONDS + 1
    assert exports.claim(store, "other") is None
    assert exports.get(store, done.id, "film").state == "failed"


def test_who_was_thought_dead_changes_nothing(store: Store, clock: Any, done: Job) -> None:
    exports.request(store, done.id, "film")
    late = exports.claim(store, "w")
    clock.now += LEASE_SECONDS + 1
    assert make(store)
    assert late is not None
    assert not exports.finish(store, late, "stale.mp4", "video/mp4", 1)
    assert not exports.fail(store, late, "too late", "")
    assert exports.get(store, done.id, "film").file == "film.mp4"


@pytest.mark.slow
def test_a_dead_process_is_not_waited_for(store: Store, done: Job) -> None:
    import socket
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    exports.request(store, done.id, "film")
    exports.claim(store, f"{socket.gethostname()}:{gone.pid}:abc")
    assert release_dead(store) == 1
    assert make(store)


def test_a_job_deleted_meanwhile_leaves_nothing(store: Store, done: Job) -> None:
    exports.request(store, done.id, "film")

    def deleting(export_input: ExportInput, path: Path) -> str:
        store.delete_job(done.id)
        path.parent.mkdir()
        path.write_bytes(b"film")
        return "video/mp4"

    assert export_next(store, "w", {"film": deleting})
    assert not store.job_folder(done.id).exists()


def test_a_worker_makes_them_between_two_jobs(store: Store, worker: Worker, done: Job) -> None:
    exports.request(store, done.id, "film")
    thread = threading.Thread(target=lambda: (worker.work(), store.close()))
    thread.start()
    wait_until(lambda: exports.get(store, done.id, "film").state == "ready", "the film")
    worker.stopping.set()
    thread.join()
    assert exports.get(store, done.id, "film").state == "ready"


def test_without_makers_nothing_is_claimed(store: Store, done: Job) -> None:
    exports.request(store, done.id, "film")
    assert not export_next(store, "w", {})
    assert exports.get(store, done.id, "film").state == "waiting"
