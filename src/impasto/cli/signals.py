"""Signals that end a command: Ctrl-C, and those of a closed terminal, a shutdown or a batch system.

A run saves its current image on the first signal. Commands without anything to save end immediately. The exit status
is 128 plus the number of the signal, as in a shell.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from impasto.events import Mailbox

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []


def received() -> int | None:
    """Return the number of the first signal that this command received."""
    return _received[0] if _received else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Let every ending signal raise KeyboardInterrupt, as Ctrl-C does; a SIGHUP that is ignored stays ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        raise KeyboardInterrupt

    _received.clear()
    with handled(interrupt):
        yield


@contextmanager
def stop_on_signal(mailbox: Mailbox, what: str = "saving the current image") -> Iterator[None]:
    """Stop a run on the first signal and let it save its result.

    A second Ctrl-C aborts. Any other second signal is ignored, since a closing terminal or a shutdown sends several.

    Args:
        mailbox: receives the command to stop.
        what: what happens now, for the message.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        for other in ENDING:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_IGN)
        again = " (Ctrl-C again to abort)" if number == signal.SIGINT else ""
        print(f"\nstopping: {what}{again}", file=sys.stderr)
        mailbox.post("stop")

    with handled(stop):
        yield


@contextmanager
def handled(handler: signal._HANDLER) -> Iterator[None]:
    """Handle the ending signals that are not ignored, and restore the handlers at the end."""
    before = {number: signal.getsignal(number) for number in ENDING}
    numbers = [number for number in ENDING if before[number] is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
