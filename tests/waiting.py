"""Wait for a condition instead of a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG_SECONDS = 600.0  # only a process that hangs reaches this limit, however busy the machine is
POLL_SECONDS = 0.005


def wait_until(look: Callable[[], T], what: str) -> T:
    """Poll a function until its result is true, and return the result.

    Args:
        look: the function; it may raise if the condition can no longer become true.
        what: description of the condition for the error message.

    Raises:
        AssertionError: the result was not true within ``HANG_SECONDS``.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not reached within {HANG_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    return found
