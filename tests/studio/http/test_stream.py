"""The event stream of a job is complete and resumable."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from problem_asserts import NOBODY, problem

from impasto.studio.store.database import Store
from impasto.studio.store.lease import claim
from impasto.studio.store.records import Job
from impasto.studio.worker.loop import Worker
from waiting import HANG_SECONDS


def told(response: httpx.Response) -> list[tuple[int, str, dict[str, Any]]]:
    """Read a stream of events to its end."""
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in response.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "id" in lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def test_all_events_in_order(client: TestClient, worker: Worker, submit: Callable[..., Job]) -> None:
    job = submit()
    worker.work_once()
    events = told(client.get(f"/api/v1/jobs/{job.id}/events"))
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [data["step"] for _, kind, data in events if kind == "step"] == list(range(1, 26))
    assert events[-1][1:] == ("state", {"state": "done"})


@pytest.mark.parametrize("how", ["header", "query"])
def test_events_resume_after_a_lost_connection(
    client: TestClient, worker: Worker, submit: Callable[..., Job], how: str
) -> None:
    job = submit()
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/events"
    whole = told(client.get(path))
    for cut in (1, 7, len(whole) - 1):
        known: dict[str, Any] = (
            {"headers": {"Last-Event-ID": str(cut)}} if how == "header" else {"params": {"after": cut}}
        )
        assert told(client.get(path, **known)) == whole[cut:]
    known = {"headers": {"Last-Event-ID": str(len(whole))}}
    assert client.get(path, **known).status_code == 204


def test_the_header_takes_precedence_over_the_query(
    client: TestClient, worker: Worker, submit: Callable[..., Job]
) -> None:
    job = submit()
    worker.work_once()
    path = f"/api/v1/jobs/{job.id}/events"
    assert told(client.get(path, params={"after": 2}, headers={"Last-Event-ID": "9"}))[0][0] == 10
    problem(client.get(path, headers={"Last-Event-ID": "x"}), 422, "last-event-id")
    problem(client.get(f"/api/v1/jobs/{NOBODY}/events"), 404)


def test_a_stream_receives_later_events(
    client: TestClient, store: Store, submit: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    lease = claim(store, "w", 60)
    assert lease is not None
    look, in_vain = store.events, threading.Event()

    def watched(*given: Any, **more: Any) -> Any:
        found = look(*given, **more)
        if not found:
            in_vain.set()
        return found

    def later() -> None:
        assert in_vain.wait(HANG_SECONDS)
        for step in range(1, 4):
            lease.append([("step", {"step": step})])
        store.command(job.id, "cancel")
        lease.release("canceled")
        store.close()

    monkeypatch.setattr(store, "events", watched)
    thread = threading.Thread(target=later)
    thread.start()
    events = told(client.get(f"/api/v1/jobs/{job.id}/events", params={"after": job.last_event}))
    thread.join()
    assert [data["step"] for _, kind, data in events if kind == "step"] == [1, 2, 3]
    assert events[-1][2] == {"state": "canceled"}
