"""The restrictions on tests (network, processes, optional dependencies) are enforced."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import required
import waiting


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_connecting_to_another_machine_is_refused(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as connection, pytest.raises(RuntimeError, match="mark it `network`"):
        connection.connect(address)


def test_looking_up_a_name_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"look up example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_connecting_to_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        assert connection.getpeername() == server.getsockname()


def test_a_quick_test_cannot_start_a_process() -> None:
    with pytest.raises(RuntimeError, match="mark it `slow`"):
        subprocess.run([sys.executable, "-c", ""], check=False)
    with pytest.raises(RuntimeError, match="mark it `slow`"):
        os.fork()


@pytest.mark.slow
def test_a_slow_test_can_start_a_process() -> None:
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_missing_dependency_skips_and_fails_on_ci(ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("IMPASTO_OFFLINE", "1")
    monkeypatch.setattr("impasto.network.weights.stored", lambda name: Path("there is no such file"))
    kind = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(kind, match="no_such_module is not installed"):
        required.module("no_such_module")
    with pytest.raises(kind, match="no-such-program or no-such-browser is not installed"):
        required.program("no-such-program", "no-such-browser")
    with pytest.raises(kind, match="offline, and adain has not been fetched"):
        required.weights("adain")


def test_missing_weights_fail_if_there_is_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    monkeypatch.setenv("IMPASTO_OFFLINE", "0")
    monkeypatch.setattr("impasto.network.weights.stored", lambda name: Path("there is no such file"))
    with pytest.raises(pytest.fail.Exception, match="run: impasto weights fetch adain"):
        required.weights("adain")


def test_an_installed_dependency_is_returned() -> None:
    assert required.module("json") is json
    assert Path(required.program("no-such-program", "sh")).name == "sh"


def test_waiting_returns_the_result_and_fails_on_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, 0, "here"])
    assert waiting.wait_until(lambda: next(answers), "an answer") == "here"
    monkeypatch.setattr(waiting, "HANG_SECONDS", -1.0)
    with pytest.raises(AssertionError, match="a miracle: not reached"):
        waiting.wait_until(lambda: False, "a miracle")


def test_every_test_sees_the_same_random_numbers() -> None:
    assert torch.initial_seed() == 20160627
