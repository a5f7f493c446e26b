"""A store that an older version wrote opens, and its jobs go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from impasto.studio.store import exports
from impasto.studio.store.database import Store
from impasto.studio.store.lease import claim

VERSION_3 = Path(__file__).with_name("store_version_3.sql")
DONE, PAUSED, PROOF, QUEUED = (digit * 16 for digit in "1234")


@pytest.fixture
def old(tmp_path: Path) -> Store:
    connection = sqlite3.connect(tmp_path / "studio.sqlite3")
    connection.executescript(VERSION_3.read_text(encoding="utf-8"))
    connection.close()
    return Store(tmp_path)


def test_jobs_of_an_old_store_are_read(old: Store) -> None:
    assert [job.id for job in old.jobs()] == [QUEUED, PROOF, PAUSED, DONE]
    done, paused = old.job(DONE), old.job(PAUSED)
    assert (done.state, done.target_state, done.step) == ("done", "run", 3)
    assert done.record is not None
    assert list(done.record) == ["chain"]
    assert (paused.state, paused.target_state, paused.steering) == ("paused", "pause", {"strength": 0.9})
    assert old.asset(done.pictures["content"]).name == "cat.png"
    assert [result.kind for result in old.results(DONE)] == ["preview", "preview", "final", "preview"]


def test_jobs_of_an_old_store_go_on(old: Store) -> None:
    old.command(PAUSED, "resume")
    claimed = [lease.job.id for _ in range(3) if (lease := claim(old, "w", 1e6))]
    assert claimed == [PAUSED, QUEUED, PROOF]


def test_exports_of_an_old_store_are_kept(old: Store) -> None:
    film, report = exports.get(old, DONE, "film"), exports.get(old, DONE, "report")
    assert (film.state, film.file, film.media_type, film.size) == ("ready", "film.mp4", "video/mp4", 17)
    assert report.state == "waiting"
