"""Wait for a condition and never for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG_SECONDS = 600.0  # reached only by what will never end, however busy the machine
LOOK_SECONDS = 0.005


def wait_until(look: Callable[[], T], what: str) -> T:
    """Look until the answer is true and return it.

    Args:
        look: returns something true once what was waited for has happened; may raise where it never will.
        what: what is waited for, for the message.

    Raises:
        AssertionError: it did not happen in ``HANG_SECONDS``.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {HANG_SECONDS:.0f} s in vain for {what}")
        time.sleep(LOOK_SECONDS)
    return found
