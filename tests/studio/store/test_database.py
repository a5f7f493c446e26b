"""The store: migrations, limits, commands and transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.errors import RecordError
from impasto.studio.store import schema
from impasto.studio.store.database import Store
from impasto.studio.store.lease import claim
from impasto.studio.store.records import Asset, ConflictError, Job, NotFoundError, Purpose, QueueFullError, QueueLimits

Submit = Callable[..., Job]


def test_a_newer_store_is_rejected(tmp_path: Path) -> None:
    Store(tmp_path).connection().execute("PRAGMA user_version = 99")
    with pytest.raises(RecordError, match=f"version 99.*up to {len(schema.MIGRATIONS)}: update Impasto"):
        Store(tmp_path)


def test_migrations_run_in_order_and_once(tmp_path: Path) -> None:
    connection = schema.connect(tmp_path / "one.sqlite3")
    schema.migrate(connection, ("CREATE TABLE a (x INTEGER);",))
    steps = ("CREATE TABLE a (x INTEGER);", "ALTER TABLE a ADD COLUMN y INTEGER;\nINSERT INTO a VALUES (1, 2);")
    schema.migrate(connection, steps)
    schema.migrate(connection, steps)
    assert [tuple(row) for row in connection.execute("SELECT x, y FROM a")] == [(1, 2)]
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 2


def test_a_broken_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    connection = schema.connect(tmp_path / "one.sqlite3")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, ("CREATE TABLE a (x INTEGER);\nCREATE TABLE a (x INTEGER);",))
    assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 0


def test_the_store_uses_a_write_ahead_log(store: Store) -> None:
    assert store.connection().execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_job_is_read_as_it_was_created(store: Store, submit: Submit) -> None:
    job = submit(strength=0.25, seed=7)
    assert Store(store.folder).job(job.id) == job
    assert (job.state, job.options) == ("queued", {"strength": 0.25, "seed": 7})
    assert [json.loads(event.data) for event in store.events(job.id)] == [{"state": "queued"}]


def test_jobs_are_listed_newest_first_in_pages(store: Store, submit: Submit) -> None:
    made = [submit().id for _ in range(5)]
    first = store.jobs(limit=2)
    rest = store.jobs(limit=9, before=first[-1].number)
    assert [job.id for job in [*first, *rest]] == made[::-1]
    store.command(made[0], "cancel")
    assert [job.id for job in store.jobs(state="canceled")] == [made[0]]
    assert store.counts()["queued"] == 4


def test_queue_position_counts_the_jobs_before(store: Store, submit: Submit) -> None:
    jobs = [submit() for _ in range(3)]
    assert store.waiting() == {jobs[0].id: 0, jobs[1].id: 1, jobs[2].id: 2}
    store.command(jobs[0].id, "cancel")
    assert store.waiting() == {jobs[1].id: 0, jobs[2].id: 1}


def test_a_job_of_an_unknown_asset_is_rejected(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no asset 'x': upload"):
        store.create_job("one", {}, ["x"], {})
    assert store.jobs() == []


def test_a_job_stored_by_an_earlier_version_has_the_current_names(store: Store, asset: Asset) -> None:
    stored = store.create_job("one", {}, [asset.id], {"apart": 0.2, "strength": 0.5})
    assert store.job(stored.id).options == {"per_layer_fraction": 0.2, "strength": 0.5}


def test_one_client_cannot_fill_the_queue(store: Store, asset: Asset, submit: Submit) -> None:
    limits = QueueLimits(queue=5, client=2, retry_after=9)
    for _ in range(2):
        store.create_job("greedy", {}, [asset.id], {}, limits)
    with pytest.raises(QueueFullError, match="2 of your jobs are waiting, and 2 are allowed") as refused:
        store.create_job("greedy", {}, [], {}, limits)
    assert refused.value.retry_after == 9
    for name in ("a", "b", "c"):
        store.create_job(name, {}, [], {}, limits)
    with pytest.raises(QueueFullError, match="5 jobs are waiting, and 5 are allowed"):
        store.create_job("d", {}, [], {}, limits)


def test_clients_take_turns(store: Store, clock: Callable[[], float], submit: Submit) -> None:
    flood = [submit("greedy") for _ in range(3)]
    one = submit("modest")
    order = []
    for _ in range(4):
        clock.now += 1  # type: ignore[attr-defined]
        lease = claim(store, "w", 60)
        assert lease is not None
        order.append(lease.job.id)
        lease.fail("x", "x", final=True)
    assert order == [flood[0].id, one.id, flood[1].id, flood[2].id]


def test_images_come_before_proofs(store: Store, clock: Callable[[], float]) -> None:
    purposes: tuple[Purpose, ...] = ("proof", "proof", "picture", "proof", "picture")
    made = [store.create_job("one", {}, [], {}, purpose=purpose) for purpose in purposes]
    other = store.create_job("two", {}, [], {}, purpose="proof")
    expected = [made[2], other, made[4], made[0], made[1], made[3]]
    waiting = store.waiting()
    assert [waiting[job.id] for job in made] == [2, 3, 0, 4, 1]
    order = []
    for _ in expected:
        clock.now += 1  # type: ignore[attr-defined]
        lease = claim(store, "w", 60)
        assert lease is not None
        order.append(lease.job.number)
        lease.fail("x", "x", final=True)
    assert order == [job.number for job in expected]


def test_deleting_a_job_deletes_everything(store: Store, submit: Submit, asset: Asset) -> None:
    job = submit()
    store.command(job.id, "set", {"strength": 0.1})
    store.job_folder(job.id).mkdir()
    with pytest.raises(ConflictError, match=r"1 job\(s\) in the history use this image"):
        store.delete_asset(asset.id)
    store.delete_job(job.id)
    assert not store.job_folder(job.id).exists()
    for table in ("jobs", "events", "commands", "uses"):
        assert store.connection().execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
    store.delete_asset(asset.id)
    assert not store.asset_path(asset).exists()
    for gone in (lambda: store.job(job.id), lambda: store.asset(asset.id), lambda: store.delete_job(job.id)):
        with pytest.raises(NotFoundError, match="there is no"):
            gone()


def test_the_same_bytes_twice_are_one_asset(store: Store, asset: Asset, picture: bytes) -> None:
    again = store.folder / "incoming" / "two"
    again.write_bytes(picture)
    assert store.add_asset(replace(asset, created=5.0), again) == replace(asset, created=5.0)
    assert [kept.id for kept in store.assets()] == [asset.id]
    assert not again.exists()


def test_a_name_is_kept_until_a_new_one_is_uploaded(store: Store, asset: Asset, picture: bytes) -> None:
    for told, kept in (("cat.png", "cat.png"), ("", "cat.png"), ("dog.png", "dog.png")):
        incoming = store.folder / "incoming" / "again"
        incoming.write_bytes(picture)
        assert store.add_asset(replace(asset, name=told), incoming).name == kept


def test_assets_of_old_stores_have_no_name(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    connection = schema.connect(tmp_path / "old" / "studio.sqlite3")
    schema.migrate(connection, schema.MIGRATIONS[:2])
    connection.execute("INSERT INTO assets VALUES ('a', 'image/png', '.png', 1, 2, 3, 4.0)")
    connection.close()
    assert Store(tmp_path / "old").asset("a").name == ""


def test_steering_accumulates(store: Store, submit: Submit) -> None:
    job = submit()
    store.command(job.id, "set", {"strength": 0.1, "tv_weight": 2.0})
    assert store.command(job.id, "set", {"strength": 0.9}).steering == {"strength": 0.9, "tv_weight": 2.0}


@pytest.mark.parametrize(
    ("inbox", "state"),
    [
        (["pause"], "paused"),
        (["pause", "resume"], "queued"),
        (["pause", "stop"], "canceled"),
        (["stop"], "canceled"),
        (["cancel"], "canceled"),
        (["resume"], "queued"),
    ],
)
def test_a_job_without_a_worker_changes_immediately(store: Store, submit: Submit, inbox: list[str], state: str) -> None:
    job = submit()
    for order in inbox:
        job = store.command(job.id, order)  # type: ignore[arg-type]
    assert job.state == state


def test_a_finished_job_accepts_no_commands(store: Store, submit: Submit) -> None:
    job = store.command(submit().id, "cancel")
    with pytest.raises(ConflictError, match="the job is canceled and accepts no more commands"):
        store.command(job.id, "set", {"strength": 0.1})


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ("stop", "resume", "will stop and cannot"),
        ("stop", "pause", "being stopped"),
        ("cancel", "stop", "being canceled"),
        ("cancel", "resume", "will cancel and cannot"),
    ],
)
def test_contradictory_commands_are_rejected(store: Store, submit: Submit, first: str, then: str, message: str) -> None:
    job = submit()
    assert claim(store, "w", 60) is not None
    store.command(job.id, first)  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match=message):
        store.command(job.id, then)  # type: ignore[arg-type]


def test_a_failed_transaction_changes_nothing(store: Store, submit: Submit) -> None:
    job = submit()

    def stumble() -> None:
        with store.transaction() as connection:
            store.set_state(connection, job.id, "failed")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert store.job(job.id) == job
