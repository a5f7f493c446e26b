"""The server process: it responds, restarts its workers, and loses nothing when it is killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import fake_runner
import httpx
import numpy as np
import pytest

from impasto.errors import InputError
from impasto.studio.server import Settings, _address, _bound_socket, access_rules, is_loopback, serve
from waiting import HANG_SECONDS, wait_until

START = """
import sys
from pathlib import Path
from impasto.studio.server import Settings, serve
settings = Settings(Path(sys.argv[1]), port=0, module="fake_runner", browser=False, controls=False)
serve(settings, lambda line: print(line, flush=True))
"""


ODD = "a+b&c#d%41"  # all of it means something in an address
MINE = "mine"
EVERYWHERE = ".".join("0000")


class Started:
    """A studio in a process of its own."""

    def __init__(self, data: Path) -> None:
        paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        self.endless = data.with_name("endless")
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(data)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "REHEARSAL_ENDLESS": str(self.endless)},
        )
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        self.client = httpx.Client(base_url=found.group() + "api/v1", timeout=HANG_SECONDS)

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def submit(self, **options: Any) -> str:
        """Queue a job; the rehearsal's own options go through steps that the API knows."""
        body = fake_runner.png(np.full((40, 60, 3), 9, np.uint8))
        asset = self.client.post("/assets", content=body).raise_for_status().json()["id"]
        job = {"content": asset, "styles": [{"asset": asset}], "options": options}
        made = self.client.post("/jobs", json=job)
        return str(made.raise_for_status().json()["id"])

    def until(self, path: str, wanted: Any) -> Any:
        """Ask until the answer is as wanted, however slow the machine."""

        def look() -> Any:
            answer = self.get(path)
            return answer if wanted(answer) else None

        return wait_until(look, f"{path} to be as wanted")

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        self.client.close()
        self.process.send_signal(how)
        self.process.wait(HANG_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start_studio(tmp_path: Path) -> Iterator[Any]:
    started: list[Started] = []

    def start() -> Started:
        started.append(Started(tmp_path / "data"))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def test_a_job_from_upload_to_result_without_torch(start_studio: Any) -> None:
    studio = start_studio()
    job = studio.submit(steps=30)
    done = studio.until(f"/jobs/{job}", lambda job: job["state"] == "done")
    assert done["record"] == {"chain": fake_runner.expected(30)}
    health = studio.get("/health")
    assert health["status"] == "ok"
    assert not health["torch_loaded"]
    assert health["memory_bytes"] < 300 << 20
    assert studio.client.get(str(studio.client.base_url).replace("/api/v1/", "/")).text.startswith("<!doctype html>")
    studio.end()
    assert studio.process.returncode in (0, -signal.SIGINT, 130)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_studio_and_its_job_continues_later(start_studio: Any, number: signal.Signals) -> None:
    studio = start_studio()
    studio.endless.touch()
    job = studio.submit(steps=100, step_size=20.0)
    studio.until(f"/jobs/{job}", lambda job: job["step"] > 3)
    studio.end(number)
    assert studio.process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
    studio.endless.unlink()
    again = start_studio()
    assert again.until(f"/jobs/{job}", lambda job: job["state"] == "done")["step"] == 100


def test_killed_workers_and_a_killed_server_lose_nothing(start_studio: Any) -> None:
    studio = start_studio()
    studio.endless.touch()
    job = studio.submit(steps=100, step_size=20.0)
    studio.until(f"/jobs/{job}", lambda job: job["step"] > 3)
    worker = int(_worker_of(studio, job).split(":")[1])
    os.kill(worker, signal.SIGKILL)
    studio.until("/health", lambda health: health["restarts"] == 1)
    studio.end(signal.SIGKILL)
    studio.endless.unlink()
    studio = start_studio()
    done = studio.until(f"/jobs/{job}", lambda job: job["state"] == "done")
    assert done["step"] >= 100
    assert done["record"] == {"chain": fake_runner.expected(done["step"])}
    text = studio.client.get(f"/jobs/{job}/events").text
    assert text.count("event: finished") == 1
    assert text.count("event: resumed") >= 1


def _worker_of(studio: Started, job: str) -> str:
    import sqlite3

    data = Path(studio.process.args[-1])  # type: ignore[index, arg-type]
    with contextlib.closing(sqlite3.connect(data / "studio.sqlite3")) as connection:
        return str(connection.execute("SELECT worker FROM jobs WHERE id = ?", (job,)).fetchone()[0])


def test_many_listeners_receive_every_event(start_studio: Any) -> None:
    studio = start_studio()
    job = studio.submit(steps=60)
    heard: list[str] = []

    def listen() -> None:
        with httpx.Client(timeout=HANG_SECONDS) as client:
            heard.append(client.get(f"{studio.client.base_url}jobs/{job}/events").text)

    threads = [threading.Thread(target=listen) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [[int(found) for found in re.findall(r"^id: (\d+)$", text, re.MULTILINE)] for text in heard]
    assert len(numbers) == 50
    assert all(one == list(range(1, len(one) + 1)) for one in numbers)
    assert all('"state": "done"' in text for text in heard)


def test_one_studio_per_folder_and_one_server_per_port(start_studio: Any, tmp_path: Path) -> None:
    studio = start_studio()
    with pytest.raises(InputError, match="another studio uses"):
        serve(Settings(tmp_path / "data"))
    with pytest.raises(InputError, match="cannot listen on 127.0.0.1 port"):
        serve(Settings(tmp_path / "other", port=studio.client.base_url.port))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("box", False)],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert (access_rules(Settings(Path(), host=host)).token is None) is loopback


def test_tokens(tmp_path: Path) -> None:
    assert access_rules(Settings(tmp_path, host=EVERYWHERE, token=MINE)).token == MINE
    assert access_rules(Settings(tmp_path, token=MINE)).token == MINE
    first, second = (access_rules(Settings(tmp_path, host=EVERYWHERE)).token for _ in range(2))
    assert first != second
    for wrong in ("", "a b", "a;b", "é", "a\n"):
        with pytest.raises(InputError, match="visible ASCII"):
            access_rules(Settings(tmp_path, token=wrong))


def test_the_token_in_the_address_is_quoted(tmp_path: Path) -> None:
    rules = access_rules(settings := Settings(tmp_path, host=EVERYWHERE, token=ODD))
    with _bound_socket(replace(settings, host="127.0.0.1", port=0)) as listener:
        query = urlsplit(_address(settings, listener, rules)).query
    assert parse_qsl(query) == [("token", ODD)]


def test_an_unusable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"--data .*file: the folder cannot be created \(File exists\)"):
        serve(Settings(tmp_path / "file"))


def test_small_responses_are_sent_immediately(tmp_path: Path) -> None:
    import asyncio
    import socket

    async def visited(listener: socket.socket) -> int:
        reached: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            reached.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server = await asyncio.start_server(answer, sock=listener.dup())
        with socket.create_connection(listener.getsockname()):
            found = await reached
        server.close()
        await server.wait_closed()
        return found

    with _bound_socket(Settings(tmp_path, port=0)) as listener:
        assert asyncio.run(visited(listener)) != 0
