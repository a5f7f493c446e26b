"""A lease has one holder, expires, and is invalid afterwards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from impasto.studio.store.database import Store
from impasto.studio.store.lease import Lease, LeaseLostError, claim, release_dead, worker_name
from impasto.studio.store.records import Job, StoredResult

Submit = Callable[..., Job]
FINAL = StoredResult(3, "final", "f.png", "image/png", 1, 2, 3)


def taken(store: Store, seconds: float = 60.0) -> Lease:
    lease = claim(store, "w", seconds)
    assert lease is not None
    return lease


def test_a_job_is_claimed_once(store: Store, submit: Submit) -> None:
    made = {submit().id for _ in range(12)}
    claimed: list[str] = []

    def grab() -> None:
        while (lease := claim(store, "w", 60)) is not None:
            claimed.append(lease.job.id)
        store.close()

    threads = [threading.Thread(target=grab) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(made)


def test_nothing_to_claim_is_none(store: Store) -> None:
    assert claim(store, "w", 60) is None


def test_an_expired_lease_cannot_write(store: Store, clock: Any, submit: Submit) -> None:
    submit()
    old = taken(store)
    clock.now += 59
    assert claim(store, "other", 60) is None
    clock.now += 2
    new = taken(store)
    assert new.job.id == old.job.id
    assert new.job.failures == 1
    uses: list[Callable[[], object]] = [
        old.heartbeat,
        lambda: old.append([("step", {})]),
        lambda: old.finish({}, FINAL, None, False),
        lambda: old.fail("x", "x"),
        lambda: old.release("queued"),
        lambda: old.requests(0),
        old.pause,
        old.resume,
        lambda: old.delete_results([FINAL]),
    ]
    for use in uses:
        with pytest.raises(LeaseLostError, match="claimed by another worker, or deleted"):
            use()
    new.heartbeat()


def test_a_heartbeat_renews_a_lease(store: Store, clock: Any, submit: Submit) -> None:
    submit()
    lease = taken(store)
    for _ in range(5):
        clock.now += 40
        lease.heartbeat()
    assert claim(store, "other", 60) is None


def test_three_deaths_without_progress_fail_a_job(store: Store, clock: Any, submit: Submit) -> None:
    job = submit()
    for _ in range(3):
        taken(store)
        clock.now += 61
    assert claim(store, "w", 60) is None
    job = store.job(job.id)
    assert (job.state, job.error) == ("failed", "the worker died while it ran this job")


def test_progress_resets_the_failures(store: Store, clock: Any, submit: Submit) -> None:
    job = submit()
    for step, failures in ((5, 0), (9, 0), (9, 1)):
        taken(store).append([], step=step)
        assert store.job(job.id).failures == failures
        clock.now += 61


def test_three_failures_keep_the_traceback(store: Store, submit: Submit) -> None:
    job = submit()
    assert [taken(store).fail("E: no", f"trace {index}") for index in range(3)] == [False, False, True]
    job = store.job(job.id)
    assert (job.state, job.error, job.traceback, job.failures) == ("failed", "E: no", "trace 2", 3)
    assert json.loads(store.events(job.id)[-1].data) == {"state": "failed", "error": "E: no"}


def test_a_final_failure_is_not_retried(store: Store, submit: Submit) -> None:
    job = submit()
    assert taken(store).fail("E: no", "trace", final=True)
    assert store.job(job.id).state == "failed"


def test_finish_is_atomic(store: Store, submit: Submit) -> None:
    job = submit()
    taken(store).finish({"step": 3}, FINAL, {"seed": 1}, True)
    job = store.job(job.id)
    assert (job.state, job.step, job.stopped, job.record, job.worker) == ("done", 3, True, {"seed": 1}, None)
    assert store.results(job.id) == [FINAL]
    assert [event.kind for event in store.events(job.id)][-2:] == ["finished", "state"]


def test_a_paused_job_of_a_dead_worker_is_no_failure(store: Store, clock: Any, submit: Submit) -> None:
    job = submit()
    store.command(job.id, "pause")
    store.command(job.id, "resume")
    lease = taken(store)
    store.command(job.id, "pause")
    lease.pause()
    clock.now += 61
    assert claim(store, "w", 60) is None
    assert (store.job(job.id).state, store.job(job.id).failures) == ("paused", 0)
    store.command(job.id, "resume")
    assert taken(store).job.id == job.id


@pytest.mark.parametrize(("order", "state"), [("pause", "paused"), ("cancel", "canceled"), ("stop", "queued")])
def test_the_target_state_outlives_the_worker(store: Store, clock: Any, submit: Submit, order: Any, state: str) -> None:
    job = submit()
    taken(store)
    store.command(job.id, order)
    clock.now += 61
    with store.transaction():
        pass
    lease = claim(store, "other", 60)
    if state == "queued":
        assert lease is not None
        assert lease.job.target_state == "stop"
    else:
        assert lease is None
        assert store.job(job.id).state == state


def test_resuming_takes_precedence_over_releasing(store: Store, submit: Submit) -> None:
    job = submit()
    lease = taken(store)
    store.command(job.id, "pause")
    lease.pause()
    store.command(job.id, "resume")
    assert not lease.release("paused")
    assert lease.release("queued")
    assert store.job(job.id).state == "queued"


@pytest.mark.slow
def test_a_dead_process_loses_its_lease_immediately(store: Store, submit: Submit) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    submit()
    submit()
    assert claim(store, f"{socket.gethostname()}:{dead.pid}:x", 1e6) is not None
    assert claim(store, worker_name(), 1e6) is not None
    assert claim(store, f"elsewhere.invalid:{dead.pid}:x", 1e6) is None
    assert release_dead(store) == 1
    assert claim(store, f"{socket.gethostname()}:{os.getpid()}:y", 1e6) is not None
