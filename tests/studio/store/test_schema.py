"""A store written by an older version opens, and its jobs continue."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import fake_runner
import pytest
from fastapi.testclient import TestClient
from problem_asserts import HOME

from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.store import exports
from impasto.studio.store.database import Store
from impasto.studio.store.lease import claim
from impasto.studio.worker.loop import Worker

VERSION_3 = Path(__file__).with_name("store_version_3.sql")
DONE, PAUSED, PROOF, QUEUED = (digit * 16 for digit in "1234")


def version_3(folder: Path, change: str = "") -> Store:
    """Open a store of version 3 after a change to it, in SQL."""
    connection = sqlite3.connect(folder / "studio.sqlite3")
    connection.executescript(VERSION_3.read_text(encoding="utf-8"))
    connection.executescript(change)
    connection.close()
    return Store(folder)


@pytest.fixture
def old(tmp_path: Path) -> Store:
    return version_3(tmp_path)


def test_jobs_of_an_old_store_are_read(old: Store) -> None:
    assert [job.id for job in old.jobs()] == [QUEUED, PROOF, PAUSED, DONE]
    done, paused = old.job(DONE), old.job(PAUSED)
    assert (done.state, done.target_state, done.step) == ("done", "run", 3)
    assert done.record is not None
    assert list(done.record) == ["chain"]
    assert (paused.state, paused.target_state, paused.steering) == ("paused", "pause", {"strength": 0.9})
    assert old.asset(done.pictures["content"]).name == "cat.png"
    assert [result.kind for result in old.results(DONE)] == ["preview", "preview", "final", "preview"]


def test_jobs_of_an_old_store_continue(old: Store) -> None:
    old.command(PAUSED, "resume")
    claimed = [lease.job.id for _ in range(4) if (lease := claim(old, "w", 1e6))]
    assert claimed == [f"{DONE}-report", PAUSED, QUEUED, PROOF]


def test_an_old_store_gets_the_tables_of_a_new_one(old: Store, tmp_path: Path) -> None:
    def tables(store: Store) -> list[tuple[str, ...]]:
        rows = store.connection().execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        return [(row["name"], " ".join(row["sql"].split())) for row in rows]

    assert tables(old) == tables(Store(tmp_path / "new"))
    assert old.connection().execute("PRAGMA foreign_key_check").fetchall() == []
    assert old.connection().execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_canceled_job_of_an_old_store_is_canceled(tmp_path: Path) -> None:
    old = version_3(
        tmp_path,
        f"""UPDATE jobs SET state = 'cancelled' WHERE id = '{QUEUED}';
        UPDATE events SET data = '{{"state": "cancelled"}}' WHERE job = '{QUEUED}';""",
    )
    assert [job.id for job in old.jobs(state="canceled")] == [QUEUED]
    assert [event.data for event in old.events(QUEUED)] == ['{"state": "canceled"}']


WAITING = ""
RUNNING = "UPDATE keepsakes SET state = 'making', worker = 'x', token = 'y', lease_until = 9e9 WHERE kind = 'report'"


@pytest.mark.parametrize("change", [WAITING, RUNNING], ids=["waiting", "running"])
def test_exports_of_an_old_store_are_kept(tmp_path: Path, change: str) -> None:
    old = version_3(tmp_path, change)
    (old.job_folder(DONE)).mkdir()
    (old.job_folder(DONE) / "film.mp4").write_bytes(b"film of an old day")
    asset = old.asset(old.job(DONE).pictures["content"])
    old.asset_path(asset).write_bytes(b"")
    with TestClient(create_app(Studio(old)), base_url=HOME) as client:
        path = f"/api/v1/jobs/{DONE}/exports"
        assert client.get(f"{path}/film").json() == {"kind": "film", "state": "ready", "error": None, "size": 17}
        assert client.get(f"{path}/film/file").content == b"film of an old day"
        assert client.get(f"{path}/report").json()["state"] == "waiting"
        worker = Worker(old, fake_runner.run, fake_runner.writers, fake_runner.exporters)
        assert worker.work_once()
        assert client.get(f"{path}/report").json()["state"] == "ready"
        assert client.get(f"{path}/report/file").text == "report of 9 events"
        sizes = sum(result.size for result in old.results(DONE)) + 17 + len("report of 9 events")
        assert client.get(f"/api/v1/jobs/{DONE}").json()["disk_bytes"] == sizes


def test_a_failed_export_of_an_old_store_says_why_and_is_retried(tmp_path: Path) -> None:
    old = version_3(tmp_path, "UPDATE keepsakes SET state = 'failed', error = 'E: no' WHERE kind = 'report'")
    failed = exports.get(old, DONE, "report")
    assert (failed.state, failed.error) == ("failed", "E: no")
    assert exports.request(old, DONE, "report").state == "queued"
