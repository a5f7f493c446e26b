"""The loop of a worker: jobs, commands, pauses and failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import fake_runner
import pytest

from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Steered, Stepped, Warned
from impasto.studio.store.database import Store
from impasto.studio.store.event_codec import encode_event
from impasto.studio.store.records import Job
from impasto.studio.worker import loop as worker_module
from impasto.studio.worker.loop import Task, Worker
from waiting import wait_until

Submit = Callable[..., Job]
Command = Callable[[Job, str], None]


def kinds(store: Store, job: Job) -> list[str]:
    return [event.kind for event in store.events(job.id, limit=10_000)]


def steps(store: Store, job: Job) -> list[int]:
    return [json.loads(event.data)["step"] for event in store.events(job.id, limit=10_000) if event.kind == "step"]


def when(worker: Worker, step: int, act: Callable[[Mailbox], object]) -> None:
    """Make the run itself do something just before a step, and then wait until it is heard."""
    inner = worker.runner

    def run(task: Task, mailbox: Mailbox) -> Iterator[Event]:
        for event in inner(task, mailbox):
            yield event
            if isinstance(event, Stepped) and event.step == step - 1:
                act(mailbox)

    worker.runner = run


def heard(condition: Callable[[], bool]) -> None:
    """Wait for the listening thread, for as long as a busy machine may need."""
    wait_until(condition, "the listening thread")


@pytest.fixture
def order(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Job, str], None]:
    """Return what tells a running job something and waits until its listening thread has heard."""
    targets: list[str | None] = []
    hear = worker_module._Run._read_requests

    def hear_and_tell(self: Any) -> None:
        hear(self)
        targets.append(self.inbox.target_state)

    def order(job: Job, command: str) -> None:
        store.command(job.id, command)
        heard(lambda: targets[-1] == command)

    monkeypatch.setattr(worker_module._Run, "_read_requests", hear_and_tell)
    return order


def test_a_job_finishes(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    assert worker.work_once()
    assert not worker.work_once()
    job = store.job(job.id)
    assert (job.state, job.step, job.total_steps) == ("done", 25, 25)
    assert job.record == {"chain": fake_runner.expected()}
    assert kinds(store, job)[:4] == ["state", "state", "planned", "scale"]
    assert steps(store, job) == list(range(1, 26))
    assert not (store.job_folder(job.id) / worker_module.CHECKPOINTS).exists()
    assert [result.kind for result in store.results(job.id)][-1] == "preview"
    assert sum(result.kind == "final" for result in store.results(job.id)) == 1


def test_steering_reaches_the_run(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()

    def steer(mailbox: Mailbox) -> None:
        store.command(job.id, "set", {"strength": 0.9})
        heard(lambda: any(command.name == "set" for command in mailbox._commands))

    when(worker, 10, steer)
    worker.work_once()
    steered = [json.loads(event.data) for event in store.events(job.id) if event.kind == "steered"]
    assert {"step": 10, "command": "set", "values": {"strength": 0.9}} in steered


def test_stop_keeps_the_result(store: Store, worker: Worker, submit: Submit, order: Command) -> None:
    job = submit()
    when(worker, 6, lambda mailbox: order(job, "stop"))
    worker.work_once()
    job = store.job(job.id)
    assert job.state == "done"
    assert job.stopped
    assert 5 <= job.step < 25
    assert job.record == {"chain": fake_runner.expected(job.step)}


def test_cancel_leaves_no_result(store: Store, worker: Worker, submit: Submit, order: Command) -> None:
    job = submit()
    when(worker, 4, lambda mailbox: order(job, "cancel"))
    worker.work_once()
    assert store.job(job.id).state == "canceled"
    assert not [result for result in store.results(job.id) if result.kind == "final"]


def test_a_snapshot_is_kept(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()

    def ask(mailbox: Mailbox) -> None:
        store.command(job.id, "snapshot")
        heard(lambda: any(command.name == "snapshot" for command in mailbox._commands))

    when(worker, 4, ask)
    worker.work_once()
    assert [result.kind for result in store.results(job.id)].count("snapshot") == 1


def test_a_paused_job_continues_at_its_step(store: Store, worker: Worker, submit: Submit, order: Command) -> None:
    job = submit()
    when(worker, 5, lambda mailbox: order(job, "pause"))
    thread = threading.Thread(target=lambda: (worker.work_once(), store.close()))
    thread.start()
    heard(lambda: store.job(job.id).state == "paused")
    store.command(job.id, "resume")
    thread.join()
    assert store.job(job.id).state == "done"
    assert steps(store, job) == list(range(1, 26))


def test_a_paused_job_is_released_for_others(store: Store, worker: Worker, submit: Submit, order: Command) -> None:
    worker.intervals = replace(worker.intervals, yield_after=0.0)
    job, other = submit(), submit()
    when(worker, 5, lambda mailbox: order(job, "pause") if store.job(job.id).state == "running" else None)
    worker.work_once()
    assert (store.job(job.id).state, store.job(job.id).worker) == ("paused", None)
    worker.work_once()
    assert store.job(other.id).state == "done"
    store.command(job.id, "resume")
    worker.work_once()
    job = store.job(job.id)
    assert job.state == "done"
    assert job.record == {"chain": fake_runner.expected()}
    assert steps(store, job) == list(range(1, 26))


def test_a_stopping_worker_requeues_its_job(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    when(worker, 8, lambda mailbox: worker.stopping.set())
    worker.work()
    assert (store.job(job.id).state, store.job(job.id).failures) == ("queued", 0)
    worker.stopping.clear()
    worker.runner = fake_runner.run
    worker.work_once()
    assert steps(store, job) == list(range(1, 26))


def test_steering_survives_the_worker(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    when(worker, 8, lambda mailbox: worker.stopping.set())
    worker.work()
    store.command(job.id, "set", {"strength": 0.125})
    worker.stopping.clear()
    worker.runner = fake_runner.run
    worker.work_once()
    steered = [json.loads(event.data) for event in store.events(job.id) if event.kind == "steered"]
    assert [event for event in steered if event["command"] == "set"] == [
        {"step": 9, "command": "set", "values": {"strength": 0.125}}
    ]


def test_an_applied_command_is_not_sent_again(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    store.command(job.id, "set", {"strength": 0.125})
    when(worker, 8, lambda mailbox: worker.stopping.set())
    worker.work()
    store.command(job.id, "set", {"strength": 0.25})
    worker.stopping.clear()
    worker.runner = fake_runner.run
    worker.work_once()
    told = [json.loads(event.data) for event in store.events(job.id) if event.kind == "steered"]
    strengths = [event["values"]["strength"] for event in told if event["command"] == "set"]
    assert strengths == [0.125, 0.25]


def test_a_crash_is_retried_three_times(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit(fault="crash")
    for _ in range(3):
        assert worker.work_once()
    assert not worker.work_once()
    job = store.job(job.id)
    assert (job.state, job.failures, job.error) == ("failed", 3, "RuntimeError: the paint is dry")
    assert "fake_runner.py" in (job.traceback or "")


def test_invalid_input_is_tried_once(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit(fault="option")
    worker.work_once()
    assert not worker.work_once()
    assert store.job(job.id).error == "OptionError: strength is wrong; give another"


def test_a_run_without_a_result_is_a_failure(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    worker.runner = lambda task, mailbox: iter(())
    worker.work_once()
    assert store.job(job.id).error == "RuntimeError: the run ended without a result"


def test_a_deleted_job_leaves_no_folder(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    when(worker, 5, lambda mailbox: store.delete_job(job.id))
    worker.work_once()
    assert not store.job_folder(job.id).exists()
    assert store.jobs() == []


def test_a_canceled_job_is_not_run(store: Store, worker: Worker, submit: Submit) -> None:
    job = submit()
    with store.transaction() as connection:
        connection.execute("UPDATE jobs SET target_state = 'cancel' WHERE id = ?", (job.id,))
    worker.work_once()
    assert store.job(job.id).state == "canceled"
    assert steps(store, job) == []


def test_previews_are_thinned(store: Store, worker: Worker, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "PREVIEWS_KEPT", 6)
    job = submit(steps=60)
    worker.work_once()
    kept = [result for result in store.results(job.id) if result.kind == "preview"]
    assert 3 <= len(kept) <= 7
    assert kept[0].step == 1
    files = {path.name for path in store.job_folder(job.id).iterdir()}
    assert files == {result.file for result in store.results(job.id)}


@pytest.mark.parametrize(
    ("event", "kind", "data"),
    [
        (Planned(({"height": 2},), 3, {"a": object}), "planned", {"decisions": {"a": "<class 'object'>"}}),
        (ScaleStarted(0, 1, 2, 3, 4), "scale", {"index": 0, "width": 3}),
        (Stepped(1, 0, 1, float("nan"), {"style": float("inf")}), "step", {"total": None, "losses": {"style": None}}),
        (Snapshot(1, 0, None), "snapshot", {"step": 1}),  # type: ignore[arg-type]
        (Steered(1, "set", {"strength": 0.5}), "steered", {"values": {"strength": 0.5}}),
        (Warned("mind"), "warned", {"message": "mind"}),
        (Finished(1, True), "finished", {"stopped": True}),
    ],
)
def test_every_event_can_be_sent(event: Event, kind: str, data: dict[str, Any]) -> None:
    name, sent = encode_event(event)
    assert name == kind
    assert json.loads(json.dumps(sent, allow_nan=False)).items() >= data.items()


@pytest.mark.slow
def test_the_worker_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, impasto.studio.worker.loop; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
