"""Measure the studio: python scripts/measure_studio.py [start] [history] [run] [previews]

Each part starts what it needs in a temporary folder and prints its figures; without a name all parts are measured.
``start`` and ``run`` want Chromium for what is seen in the page.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

CLIENTS = 50
JOBS = 1000
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@contextmanager
def studio(data: Path) -> Iterator[tuple[str, float]]:
    """Start a studio as a person would; yield its address and when the command was given."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "impasto", "studio", "--no-browser", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found.group(), began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        opened = started.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield opened
        opened.close()


def until(client: httpx.Client, key: str, value: Any) -> dict[str, Any]:
    """Ask for the server's health until it is as wanted."""
    while True:
        health: dict[str, Any] = client.get("api/v1/health").json()
        if health[key] == value:
            return health
        time.sleep(0.02)


def sampled(client: httpx.Client, **options: Any) -> dict[str, Any]:
    """Return a wish for the samples."""
    content, style = (client.post(f"api/v1/samples/{name}").json()["id"] for name in ("coffee", "blue_swirls"))
    return {"content": content, "styles": [{"asset": style}], "options": options}


def start(folder: Path) -> None:
    """Time from the command to a page, to one with its controls, and the memory of the idle server."""
    with browser() as opened, studio(folder) as (address, began), httpx.Client(base_url=address) as client:
        client.get("").raise_for_status()
        print(f"page answers after       {time.perf_counter() - began:.2f} s")
        page = opened.new_page()
        page.goto(address)
        page.wait_for_selector("#loaded", state="attached")
        print(f"page loaded in Chromium  {time.perf_counter() - began:.2f} s")
        page.frame_locator("#controls").locator("#option-strength input[type=range]").wait_for()
        print(f"page with its controls   {time.perf_counter() - began:.2f} s")
        page.close()
        time.sleep(3)
        health = client.get("api/v1/health").json()
        print(
            f"idle server              {health['memory_bytes'] / 2**20:.0f} MiB, torch loaded: {health['torch_loaded']}"
        )


def history(folder: Path) -> None:
    """Time the list of many jobs, a third of them waiting."""
    from impasto.studio.store.database import Store
    from impasto.studio.store.records import QueueLimits

    with studio(folder) as (address, _), httpx.Client(base_url=address, timeout=60) as client:
        wish = sampled(client)
        store = Store(folder)
        pictures = {"content": wish["content"], "styles": [{**wish["styles"][0], "weight": 1.0}]}
        assets = [wish["content"], wish["styles"][0]["asset"]]
        for number in range(JOBS):
            job = store.create_job("one", pictures, assets, {"strength": 0.5}, QueueLimits(JOBS + 1, JOBS + 1))
            store.command(job.id, "pause" if number % 3 == 0 else "cancel")
            with store.transaction() as connection:
                rows = [(job.id, step, "preview", f"{step}.jpg", "image/jpeg", 40_000, 256, 170) for step in range(40)]
                connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        until(client, "page", "ready")
        for limit in (24, JOBS):
            took = []
            for _ in range(15):
                began = time.perf_counter()
                answer = client.get("api/v1/jobs", params={"limit": limit})
                took.append(time.perf_counter() - began)
                assert len(answer.json()["jobs"]) == limit
            middle, worst = 1000 * statistics.median(took), 1000 * max(took)
            print(f"list of {limit:4d} of {JOBS} jobs  {middle:.0f} ms (worst {worst:.0f})", flush=True)
        store.close()


def told(client: httpx.Client, job: str) -> Iterator[tuple[int, str, dict[str, Any], float]]:
    """Yield a job's events with the moment when they came."""
    event: dict[str, str] = {}
    with client.stream("GET", f"api/v1/jobs/{job}/events", timeout=120) as stream:
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if not line and "id" in event:
                yield int(event["id"]), event["event"], json.loads(event["data"]), time.perf_counter()
                event = {}
            elif name in ("id", "event", "data"):
                event[name] = value


def run(folder: Path) -> None:
    """Time the first image and changed settings at 256 px, while many clients listen."""
    with studio(folder) as (address, _), httpx.Client(base_url=address) as client:
        until(client, "page", "ready")
        wish = sampled(client, size="256", quality="draft")
        first = client.post("api/v1/jobs", json=wish).json()["id"]
        list(told(client, first))  # the worker has its network now, as after any run
        began = time.perf_counter()
        job = client.post("api/v1/jobs", json=wish | {"options": {"size": "256", "steps": 60}}).json()["id"]
        heard: list[list[int]] = [[] for _ in range(CLIENTS)]

        def listen(place: list[int]) -> None:
            with httpx.Client(base_url=address) as own:
                place += [number for number, *_ in told(own, job)]

        listeners = [threading.Thread(target=listen, args=(place,)) for place in heard]
        for listener in listeners:
            listener.start()
        turned: list[float] = []
        waiting: tuple[int, float] | None = None
        shown = None
        with httpx.Client(base_url=address) as own:
            for number, kind, data, _ in told(client, job):
                picture = data.get("picture") or ("snapshot" if kind == "snapshot" else None)
                if picture and shown is None:
                    own.get(f"api/v1/jobs/{job}/results/{data['step']}").raise_for_status()
                    shown = time.perf_counter() - began
                    print(f"first image            {shown:.2f} s ({kind} {data['step']})")
                if kind == "steered" and waiting is not None and waiting[0] == 0:
                    waiting = (data["step"], waiting[1])
                elif picture and waiting is not None and 0 < waiting[0] <= data["step"]:
                    own.get(f"api/v1/jobs/{job}/results/{data['step']}").raise_for_status()
                    turned.append(time.perf_counter() - waiting[1])
                    waiting = None
                elif kind == "step" and waiting is None and data["step"] % 8 == 0:
                    waiting = (0, time.perf_counter())
                    own.patch(f"api/v1/jobs/{job}", json={"strength": 0.3 + 0.05 * (data["step"] % 8)})
                last = number
        for listener in listeners:
            listener.join()
        print(f"setting to image          {statistics.median(turned):.2f} s (worst {max(turned):.2f} of {len(turned)})")
        whole = sum(place == list(range(1, last + 1)) for place in heard)
        print(f"clients with every event {whole} of {CLIENTS}, {last} events each")


def previews(folder: Path) -> None:
    """Compare runs with previews and without, in turns."""
    from impasto.imaging import samples
    from impasto.studio.store.database import Store
    from impasto.studio.store.records import Asset
    from impasto.studio.worker import runner
    from impasto.studio.worker.loop import Intervals, Worker

    store = Store(folder)
    for name in ("coffee", "blue_swirls"):
        incoming = store.folder / "incoming" / name
        incoming.write_bytes(samples.stored(name)[1])
        store.add_asset(Asset(name, "image/png", ".png", 1, 1, 1, 0.0), incoming)
    pictures = {"content": "coffee", "styles": [{"asset": "blue_swirls", "weight": 1.0}]}
    inner = runner.iter_stylize
    ratios, shown = [], []

    def paint(every: int) -> float:
        runner.iter_stylize = lambda *given, **options: inner(*given, **{**options, "preview_every": every})
        job = store.create_job(
            "one", pictures, ["coffee", "blue_swirls"], {"size": "256", "steps": 30}, purpose="proof"
        )
        Worker(store, runner.run, runner.writers, Intervals()).work_once()
        events = store.events(job.id, limit=10_000)
        steps = [event.created for event in events if event.kind == "step"]
        if every:
            kept = sum(result.kind == "preview" for result in store.results(job.id))
            shown.append(kept / (steps[-1] - steps[0]))
        return steps[-1] - steps[0]

    paint(0)
    for _ in range(5):
        without, with_previews = paint(0), paint(1)
        ratios.append(with_previews / without)
    runner.iter_stylize = inner
    print(f"previews a second        {statistics.median(shown):.1f}")
    print(f"slowed by                {100 * (statistics.median(ratios) - 1):+.1f} % (of {len(ratios)} pairs, "
          f"{100 * (min(ratios) - 1):+.1f} to {100 * (max(ratios) - 1):+.1f})")  # fmt: skip


PARTS = {"start": start, "history": history, "run": run, "previews": previews}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as temporary:
            PARTS[wanted](Path(temporary) / "data")
