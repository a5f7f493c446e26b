"""The real runner: regions, protection, blends, timelapses, reports and crashes."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_runner
import numpy as np
import pytest
import torch

from impasto.events import Stepped
from impasto.run import record
from impasto.studio.store import exports
from impasto.studio.store.database import Store
from impasto.studio.store.lease import release_dead
from impasto.studio.store.records import Asset, Job
from impasto.studio.worker import runner
from impasto.studio.worker.loop import Intervals, Worker
from waiting import wait_until

SIDE = 64
STEPS = 36
KILLS = 10
PACE = Intervals(poll=0.01, preview=0.0, idle=0.01)


def put(store: Store, pixels: Any, called: str = "") -> str:
    """Store an image and return its id."""
    body = fake_runner.png(pixels)
    name = hashlib.sha256(body).hexdigest()
    incoming = store.folder / "incoming" / name
    incoming.write_bytes(body)
    store.add_asset(Asset(name, "image/png", ".png", len(body), *pixels.shape[1::-1], 0.0, called), incoming)
    return name


def noise(seed: int) -> Any:
    """Return an image with something at every size."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(0, 256, (8, 8, 3)).repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)
    return (0.7 * coarse + 0.3 * dice.integers(0, 256, (SIDE, SIDE, 3))).astype(np.uint8)


def halves() -> Any:
    mask = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[:, : SIDE // 2] = 255
    return mask


def order(store: Store, **options: Any) -> Job:
    """Queue a small job with everything: a blend, a region, a protected half."""
    names = ("cat.png", "waves.png", "", "", "left half.png")
    pixels = (*map(noise, range(4)), halves())
    content, first, second, third, mask = map(put, [store] * 5, pixels, names)
    corner = np.zeros((SIDE, SIDE, 3), np.uint8)
    corner[:16, :16] = 255
    pictures = {
        "content": content,
        "styles": [{"asset": first, "weight": 3.0}, {"asset": second, "weight": 1.0}],
        "regions": [{"name": "left", "mask": mask, "asset": third, "strength": 0.9}],
        "masks": {"protect": put(store, corner)},
    }
    assets = [content, first, second, third, mask, pictures["masks"]["protect"]]  # type: ignore[index]
    return store.create_job("one", pictures, assets, {"size": str(SIDE), "quality": "draft", **options})


def worker(store: Store) -> Worker:
    return Worker(store, runner.run, runner.writers, runner.exporters, PACE, max_failures=1000)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch's threads out of processes that are forked from this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def uninterrupted_job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Job]:
    """A job that ran in peace."""
    store = Store(tmp_path_factory.mktemp("peace") / "data")
    job = order(store, steps=STEPS, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_NO_INDEX", "1")  # as in the process of a worker
        worker(store).work_once()
    return store, store.job(job.id)


def final(store: Store, job: Job) -> bytes:
    (one,) = [result for result in store.results(job.id) if result.kind == "final"]
    return (store.job_folder(job.id) / one.file).read_bytes()


def test_all_settings_reach_the_engine(uninterrupted_job: tuple[Store, Job]) -> None:
    _, job = uninterrupted_job
    assert (job.state, job.error) == ("done", None)
    assert job.record is not None
    placed = job.record["decisions"]["placement"]
    assert [style.get("region") for style in placed["styles"]] == [None, None, "left"]
    assert placed["styles"][2]["strength"] == 0.9
    assert placed["protect"] == "mask"
    assert job.record["options"]["style_blend"] == "0.75,0.25"
    assert {"content", "style", "style 2", "style left", "mask left", "protect"} <= set(job.record["inputs"])


def test_images_keep_the_names_of_the_user(uninterrupted_job: tuple[Store, Job], tmp_path: Path) -> None:
    _, job = uninterrupted_job
    assert job.record is not None
    inputs = job.record["inputs"]
    assert [inputs[part]["name"] for part in ("content", "style", "mask left")] == [
        "cat.png", "waves.png", "left half.png",
    ]  # fmt: skip
    assert inputs["content"]["sha256"] == job.pictures["content"]
    assert inputs["style 2"]["name"] == job.pictures["styles"][1]["asset"] + ".png"
    other = Store(tmp_path / "data")
    broken = put(other, noise(0), "cat.png")
    other.asset_path(other.asset(broken)).write_bytes(b"\x89PNG\r\n\x1a\n")
    failed = other.create_job("one", {"content": broken, "styles": [{"asset": broken, "weight": 1.0}]}, [broken], {})
    worker(other).work_once()
    error = str(other.job(failed.id).error)
    assert "'cat.png'" in error
    assert broken not in error


def test_protected_areas_are_unchanged(uninterrupted_job: tuple[Store, Job]) -> None:
    from impasto.imaging import images

    store, job = uninterrupted_job
    painted = images.quantize(images.load(store.job_folder(job.id) / f"{job.step:07d}-final.png").pixels)
    assert np.abs(painted[2:12, 2:12].astype(int) - noise(0)[2:12, 2:12]).max() <= 2
    assert np.abs(painted[30:].astype(int) - noise(0)[30:]).mean() > 5


@pytest.mark.slow
def test_a_timelapse_and_a_report_of_a_real_run(uninterrupted_job: tuple[Store, Job]) -> None:
    import av

    store, job = uninterrupted_job
    for kind in ("film", "report"):
        exports.request(store, job.id, kind)
        assert worker(store).work_once()
        made = exports.get(store, job.id, kind)
        assert (made.state, made.error) == ("done", None)
    with av.open(str(store.job_folder(job.id) / "film.mp4")) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (SIDE, SIDE)
        assert film.streams.video[0].frames > 30
    page = (store.job_folder(job.id) / "report.html").read_text(encoding="utf-8")
    assert page.count("<polyline") >= 3
    assert "style_blend" in page
    assert "<h1>cat.png in the style of waves.png</h1>" in page
    assert "overflow-wrap: anywhere" in page
    assert sum(file.is_dir() for file in store.job_folder(job.id).iterdir()) == 0


@pytest.mark.slow
def test_an_instant_preview_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced: what counts is that its image is shown before the first step and changes nothing."""
    from impasto.events import Finished

    inner = runner.iter_stylize
    asked: list[dict[str, Any]] = []

    def stand_in(content: Any, style: Any, **options: Any) -> Iterator[Any]:
        if not options.get("fast"):
            yield from inner(content, style, **options)
            return
        asked.append(options)
        yield Finished(0, False, type("Painted", (), {"pixels": np.full((8, 8, 3), 0.5, np.float32)}))

    weights = tmp_path / "weights"
    monkeypatch.setattr(runner, "iter_stylize", stand_in)
    monkeypatch.setattr(runner, "stored", lambda name: weights)
    store = Store(tmp_path / "data")
    finals = []
    for there in (False, True):
        if there:
            weights.touch()
        job = order(store, steps=3, strength=0.7)
        worker(store).work_once()
        first = [event.kind for event in store.events(job.id)][2]
        assert first == ("snapshot" if there else "planned")
        finals.append(final(store, store.job(job.id)))
    assert finals[0] == finals[1]
    assert [(options["size"], options["strength"]) for options in asked] == [(str(SIDE), 0.7)]


def child(folder: Path, last: int) -> None:
    """Be a worker until killed, and stand still after a step; checkpoints come at every step."""
    paint = runner.iter_stylize

    def until_last(*given: Any, **options: Any) -> Iterator[Any]:
        for event in paint(*given, **options):
            if isinstance(event, Stepped) and event.step > last:
                signal.pause()
            yield event

    runner.iter_stylize = until_last
    runner.CHECKPOINT_SECONDS = 0.0
    store = Store(folder)
    release_dead(store)
    worker(store).work()


def kept(store: Store, job: Job) -> set[str]:
    """Return the names of a job's files, half written ones as well."""
    return {name for _, _, names in os.walk(store.job_folder(job.id)) for name in names}


def await_moment(store: Store, job: Job, goal: int, changes: int) -> None:
    """Wait for a step and some changes of files after it: the middle of writing a checkpoint, or between two."""

    def reached(step: int) -> bool:
        now = store.job(job.id)
        return now.over or now.step >= step

    wait_until(lambda: reached(goal), f"step {goal}")
    for _ in range(changes):
        before = kept(store, job)
        wait_until(lambda before=before: kept(store, job) != before or reached(goal + 3), "a file")


@pytest.mark.slow
def test_ten_kills_of_the_real_worker(uninterrupted_job: tuple[Store, Job], tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    job = order(store, steps=STEPS, threads=1)
    store.close()
    dice = np.random.default_rng(7)
    deaths = []
    for kill in range(KILLS + 1):
        goal = (kill + 1) * STEPS // (KILLS + 2)
        process = os.fork()  # torch and the network are there already: a life is all painting
        if process == 0:
            try:
                child(store.folder, goal + 3 if kill < KILLS else STEPS)
            finally:
                os._exit(1)
        await_moment(store, job, goal if kill < KILLS else STEPS + 1, dice.integers(4))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        deaths.append(store.job(job.id).step)
        store.close()
    ended = store.job(job.id)
    assert ended.state == "done", (deaths, ended.error)
    assert all(step < STEPS for step in deaths[:KILLS]), deaths
    events = store.events(job.id, limit=100_000)
    assert [event.kind for event in events].count("finished") == 1
    assert fake_runner.steps_told(events) == ended.step == uninterrupted_job[1].step
    assert final(store, ended) == final(*uninterrupted_job)
    assert record.text(ended.record or {}) == record.text(uninterrupted_job[1].record or {})
