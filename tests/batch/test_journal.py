"""The journal: what it remembers, torn lines, and the lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from impasto.batch.job import Job
from impasto.batch.journal import FAILED, JOURNAL, Journal, read
from impasto.batch.manifest import Defaults, read_manifest
from impasto.batch.naming import Namer
from impasto.errors import InputError, OptionError

JOB = Job("a.png", ("s.png",), "a_s.png", {"strength": 0.7})


def test_a_journal_is_read_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({"threads": 1}, 1)
        journal.start(JOB, 1)
        journal.write("lost", output="a_s.png", reason="killed", node="n")
        journal.start(JOB, 2)
        journal.write("done", output="a_s.png", seconds=2.0, sha256="abc")
        before = journal.state
    after = read(tmp_path)
    assert after == before
    entry = after.entries["a_s.png"]
    assert (entry.job, entry.state, entry.attempts, entry.lost, entry.sha256) == (JOB, "done", 2, 0, "abc")
    assert after.pinned == {"threads": 1}


def test_what_is_pinned_first_stays(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({"threads": 1}, 1)
        journal.begin({"threads": 2, "precision": "fp32"}, 1)
    assert read(tmp_path).pinned == {"threads": 1, "precision": "fp32"}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_ignored(tmp_path: Path, cut: int) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({}, 1)
        journal.start(JOB, 1)
        journal.write("done", output="a_s.png", seconds=2.0, sha256="abc")
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(tmp_path) as journal:
        assert journal.state.entries["a_s.png"].state == ("done" if cut == 1 else "started")
        journal.write("failed", output="a_s.png", reason="x")
    assert read(tmp_path).entries["a_s.png"].state == "failed"


def test_lost_workers_are_counted_until_the_job_changes(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for attempt in (1, 2):
            journal.start(JOB, attempt)
            journal.write("lost", output="a_s.png", reason="killed", node="n")
        assert journal.state.entries["a_s.png"].lost == 2
        journal.start(Job("b.png", ("s.png",), "a_s.png"), 1)
        assert journal.state.entries["a_s.png"].lost == 0


def test_a_second_batch_in_the_folder_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(OptionError, match="a batch is already running in"):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_failures_are_a_manifest(tmp_path: Path) -> None:
    photo, style = tmp_path / "a.png", tmp_path / "s.png"
    photo.write_bytes(b"x")
    job = Job(str(photo), (str(style),), "x/a_s.png", {"strength": 0.7}, "faces")
    with Journal(tmp_path) as journal:
        journal.start(job, 1)
        journal.write("failed", output=job.output, reason="it is damaged")
    assert json.loads((tmp_path / FAILED).read_text())["reason"] == "it is damaged"
    assert read_manifest(tmp_path / FAILED, Defaults((), {}), Namer()) == [job]
    with Journal(tmp_path) as journal:
        journal.start(job, 1)
        journal.write("done", output=job.output, seconds=1.0, sha256="")
    assert not (tmp_path / FAILED).exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"event": "batch", "format": 99, "pinned": {}}', "newer version"), ('{"a": 1}', "not a line of a journal")],
)
def test_a_foreign_file_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / JOURNAL).write_text(f"{line}\n")
    with pytest.raises(InputError, match=message):
        Journal(tmp_path)
    assert (tmp_path / JOURNAL).read_text() == f"{line}\n"
