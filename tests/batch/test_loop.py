"""The loop of a batch, with an executor without processes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batch_painters
import impasto
from batch_pictures import write_picture
from fake_executor import FakeExecutor
from impasto.batch.events import (
    BatchFinished,
    JobDone,
    JobFailed,
    JobRetried,
    JobSkipped,
    JobStarted,
    StopFlag,
    as_data,
)
from impasto.batch.executor import Task
from impasto.batch.finished import FinishedCheck
from impasto.batch.job import Job, by_painting
from impasto.batch.journal import FAILED, Journal, read
from impasto.errors import OptionError, WeightsError
from impasto.options import recipes

JobsFor = Callable[..., list[Job]]


def paint(jobs: list[Job], folder: Path, executor: FakeExecutor | None = None, **settings: Any) -> list[Any]:
    """Return all events of a batch."""
    executor = executor or FakeExecutor(batch_painters.fake())
    return list(impasto.iter_batch(jobs, folder, executor=executor, **settings))


def kinds(events: list[Any], kind: type[Any]) -> list[str]:
    """Return the outputs of the events of one kind."""
    return [event.job.output for event in events if isinstance(event, kind)]


def test_a_broken_photograph_costs_itself_only(tmp_path: Path, jobs_for: JobsFor) -> None:
    events = paint(jobs_for("a", "broken", "bug", "b"), tmp_path / "out")
    assert kinds(events, JobDone) == ["a_waves.png", "b_waves.png"]
    reasons = {event.job.output: event.reason for event in events if isinstance(event, JobFailed)}
    assert reasons["broken_waves.png"].endswith("is damaged")
    assert reasons["bug_waves.png"] == "unexpected ZeroDivisionError: division by zero"
    assert events[-1] == BatchFinished(2, 0, 2, stopped=False)
    assert "Traceback" in (tmp_path / "out/batch.jsonl").read_text()
    assert len((tmp_path / "out" / FAILED).read_text().splitlines()) == 2


def test_what_exists_is_skipped_by_its_record(tmp_path: Path, jobs_for: JobsFor) -> None:
    jobs, out = jobs_for("a", "b", "c"), tmp_path / "out"
    paint(jobs, out)
    assert len(kinds(paint(jobs, out), JobSkipped)) == 3
    assert len(kinds(paint(jobs, out, force=True), JobDone)) == 3
    write_picture(tmp_path / "b.png", 77)  # a different photograph of the same name
    (out / "c_waves.png").write_bytes((out / "c_waves.png").read_bytes()[:50])
    events = paint(jobs, out)
    assert kinds(events, JobDone) == ["b_waves.png", "c_waves.png"]
    changed = [replace(job, options={**job.options, "strength": 0.9}) for job in jobs]
    assert len(kinds(paint(changed, out), JobDone)) == 3


def test_settings_of_a_painting_are_compared(tmp_path: Path, jobs_for: JobsFor) -> None:
    (job,) = jobs_for("a")
    paint([job], tmp_path / "out")
    check, options = FinishedCheck(tmp_path / "out"), recipes.resolve(threads=1, precision="fp32")
    assert check.is_finished(job, options)
    for other in (
        replace(job, styles=(f"{job.styles[0]},scale=0.5",)),
        replace(job, styles=(*job.styles, job.content)),
        replace(job, protect="faces"),
        replace(job, content=f"{job.content}#0,0,32,32"),
    ):
        assert not check.is_finished(other, options)


def test_records_alone_are_enough(tmp_path: Path, jobs_for: JobsFor) -> None:
    jobs, out = jobs_for("a", "b"), tmp_path / "out"
    paint(jobs, out)
    (out / "batch.jsonl").unlink()
    assert len(kinds(paint(jobs, out), JobSkipped)) == 2
    assert {entry.state for entry in read(out).entries.values()} == {"done"}


def test_a_file_without_a_record_counts_with_its_hash_in_the_journal(tmp_path: Path, jobs_for: JobsFor) -> None:
    def without_record(task: Task, report: Callable[[float], None]) -> str:
        from impasto.files import file_sha256

        return file_sha256(write_picture(Path(task.output)))

    jobs, out = jobs_for("a", "b"), tmp_path / "out"
    paint(jobs, out, FakeExecutor(without_record))
    write_picture(out / "b_waves.png", 5)
    events = paint(jobs, out, FakeExecutor(without_record))
    assert (kinds(events, JobSkipped), kinds(events, JobDone)) == (["a_waves.png"], ["b_waves.png"])


def test_options_of_the_machine_do_not_repaint(tmp_path: Path, jobs_for: JobsFor) -> None:
    jobs, out = jobs_for("a"), tmp_path / "out"
    paint(jobs, out)
    without = [replace(job, options={"precision": "fp32"}) for job in jobs]
    assert kinds(paint(without, out, threads=2), JobSkipped) == ["a_waves.png"]
    explicit = [replace(job, options={"precision": "fp32", "threads": 2}) for job in jobs]
    assert kinds(paint(explicit, out), JobDone) == ["a_waves.png"]


def test_threads_are_those_of_the_first_start(tmp_path: Path, jobs_for: JobsFor) -> None:
    jobs, out = [replace(job, options={"precision": "fp32"}) for job in jobs_for("a", "b")], tmp_path / "out"
    for threads in (3, 5):
        executor = FakeExecutor(batch_painters.fake())
        paint(jobs, out, executor, threads=threads, force=True)
        assert {task.options["threads"] for task in executor.started} == {3}


def test_a_job_that_loses_its_worker_is_tried_elsewhere(tmp_path: Path, jobs_for: JobsFor) -> None:
    nodes = iter(["first", "second", None])
    executor = FakeExecutor(batch_painters.fake(), lose=lambda task: next(nodes))
    events = paint(jobs_for("a"), tmp_path / "out", executor)
    assert kinds(events, JobDone) == ["a_waves.png"]
    assert [event.attempt for event in events if isinstance(event, JobStarted)] == [1, 2, 3]
    assert executor.avoided == [set(), {"first"}, {"second"}]


def test_a_job_that_kills_three_workers_is_given_up(tmp_path: Path, jobs_for: JobsFor) -> None:
    jobs, out = jobs_for("killer", "b"), tmp_path / "out"

    def executor() -> FakeExecutor:
        return FakeExecutor(batch_painters.fake(), lose=lambda task: "n" if "killer" in task.content else None)

    events = paint(jobs, out, executor())
    assert len(kinds(events, JobRetried)) == 2
    (failed,) = (event for event in events if isinstance(event, JobFailed))
    assert failed.reason.startswith("3 workers have died over it")
    again = executor()
    (failed,) = (event for event in paint(jobs, out, again) if isinstance(event, JobFailed))
    assert "--force" in failed.reason
    assert again.started == []
    forced = executor()
    paint(jobs[:1], out, forced, force=True)
    assert forced.started


def test_a_result_that_was_saved_before_its_worker_died_is_not_painted_again(tmp_path: Path, jobs_for: JobsFor) -> None:
    painter = batch_painters.fake()
    lost: list[str] = []

    def lose(task: Task) -> str | None:
        if lost:
            return None
        lost.append(painter(task, lambda fraction: None))
        return "n"

    executor = FakeExecutor(painter, lose=lose)
    events = paint(jobs_for("a"), tmp_path / "out", executor)
    assert len(executor.started) == 1
    assert events[-1] == BatchFinished(0, 1, 0, stopped=False)


def test_a_worker_without_weights_ends_the_batch(tmp_path: Path, jobs_for: JobsFor) -> None:
    with pytest.raises(WeightsError, match="there are no weights"):
        paint(jobs_for("noweights", "b"), tmp_path / "out")
    Journal(tmp_path / "out").close()  # the lock is free


@pytest.mark.parametrize("state", ["finish", "now"])
def test_a_batch_is_stopped_and_continued(tmp_path: Path, jobs_for: JobsFor, state: Any) -> None:
    jobs, out, stop = jobs_for("a", "b", "c", "d"), tmp_path / "out", StopFlag()
    executor, seen = FakeExecutor(batch_painters.fake()), []
    for event in impasto.iter_batch(jobs, out, executor=executor, stop=stop):
        seen.append(event)
        if isinstance(event, JobDone):
            stop.set(state)
    assert seen[-1].stopped
    assert seen[-1].painted == (2 if state == "finish" else 1)
    assert executor.canceled == (state == "now")
    rest = paint(jobs, out)
    assert len(kinds(rest, JobSkipped)) + len(kinds(rest, JobDone)) == 4
    assert len((out / "painted.txt").read_text().splitlines()) == 4


def test_a_stop_after_the_last_job_is_no_stop(tmp_path: Path, jobs_for: JobsFor) -> None:
    stop = StopFlag()
    for event in impasto.iter_batch(
        jobs_for("a"), tmp_path / "out", executor=FakeExecutor(batch_painters.fake()), stop=stop
    ):
        if isinstance(event, JobDone):
            stop.set("finish")
    assert not event.stopped


def test_jobs_are_ordered_by_painting() -> None:
    jobs = [Job(f"{n}.png", (style,), f"{n}") for n, style in enumerate("abab")]
    assert [job.styles[0] for job in by_painting(jobs)] == ["a", "a", "b", "b"]


def test_temporary_files_of_killed_workers_are_removed(tmp_path: Path, jobs_for: JobsFor) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".impasto-0123.tmp").write_bytes(b"half")
    paint(jobs_for("a"), out)
    assert not list(out.glob(".impasto-*"))


def test_two_jobs_with_one_output_are_refused(tmp_path: Path, jobs_for: JobsFor) -> None:
    with pytest.raises(OptionError, match="two images have the output 'a_waves.png'"):
        paint(jobs_for("a") * 2, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_are_checked_before_the_start(tmp_path: Path, jobs_for: JobsFor) -> None:
    with pytest.raises(OptionError, match="strength is 7"):
        paint(jobs_for("a", strength=7), tmp_path / "out")
    with pytest.raises(OptionError, match="has no painting"):
        paint([Job("a.png", (), "x.png")], tmp_path / "out")


def test_events_are_plain_data(tmp_path: Path, jobs_for: JobsFor) -> None:
    data = [as_data(event) for event in paint(jobs_for("a"), tmp_path / "out")]
    assert [line["event"] for line in data] == ["batch", "started", "done", "finished"]
    assert data[1]["output"] == "a_waves.png"


@pytest.mark.slow
def test_memory_stays_flat_over_many_jobs(tmp_path: Path) -> None:
    photo, style = (str(write_picture(tmp_path / f"{name}.png")) for name in "ab")
    jobs = [Job(photo, (style,), f"{number}.png", {"threads": 1, "precision": "fp32"}) for number in range(5000)]
    levels, count = [], 0
    tracemalloc.start()
    for event in impasto.iter_batch(jobs, tmp_path / "out", executor=FakeExecutor(lambda task, report: "0" * 64)):
        count += isinstance(event, JobDone)
        if isinstance(event, JobDone) and count in (500, 5000):
            levels.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert (levels[1] - levels[0]) / 4500 < 1500  # bytes per job: an entry of the journal
