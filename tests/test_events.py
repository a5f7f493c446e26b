"""The mailbox, between threads; events, without torch."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from impasto.events import Command, Mailbox
from waiting import HANG_SECONDS


def test_commands_come_out_once_in_order() -> None:
    box = Mailbox()
    box.post("set", strength=0.7)
    box.post("pause")
    assert box.collect() == [Command("set", {"strength": 0.7}), Command("pause", {})]
    assert box.collect() == []


def test_nothing_is_lost_between_many_threads() -> None:
    box, got, each, posters = Mailbox(), [], 200, 8

    def post(number: int) -> None:
        for index in range(each):
            box.post("set", strength=float(number), index=float(index))

    threads = [threading.Thread(target=post, args=(number,)) for number in range(posters)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        got += box.collect()
    for thread in threads:
        thread.join()
    got += box.collect()
    assert len(got) == each * posters
    for number in range(posters):  # each poster's own order is kept
        assert [c.values["index"] for c in got if c.values["strength"] == number] == list(range(each))


def test_a_command_wakes_who_waits() -> None:
    box, woken = Mailbox(), threading.Event()

    def wait() -> None:
        box.wait(HANG_SECONDS)
        woken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    box.post("resume")
    assert woken.wait(HANG_SECONDS)
    thread.join(HANG_SECONDS)


def test_waiting_ends_at_once_where_a_command_lies() -> None:
    box = Mailbox()
    box.post("stop")
    box.wait(HANG_SECONDS)
    assert [command.name for command in box.collect()] == ["stop"]


def test_waiting_ends_without_a_command() -> None:
    box = Mailbox()
    box.wait(0.001)
    assert box.collect() == []


@pytest.mark.slow
def test_the_vocabulary_needs_no_torch() -> None:
    code = "import sys, impasto.errors, impasto.events, impasto.options.fields; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_a_term_may_have_any_name() -> None:
    box = Mailbox()
    box.post("set", name=1.0, self=2.0)
    assert box.collect() == [Command("set", {"name": 1.0, "self": 2.0})]
