"""Freed main memory, kept for the next step where the C library would give it back to the system.

Every step takes and frees the same gigabytes of features. glibc hands each block above 32 MiB back at once, and the
system clears its pages anew when they are next touched: half of a step at 2048x2048 px. While a run goes on such blocks
stay, at the price of gaps between them (``memory.GAPS``). Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them
NEVER = -1
USUAL = 32 * 2**20  # what glibc's own rule comes to in a program that frees large blocks
MOST = 2**31 - 1  # mallopt takes an int

_asked: list[int] = []  # by the contexts that the program is in


@contextmanager
def freed_is_kept(largest: int = 8 * USUAL, most: int | None = None) -> Iterator[Callable[[], None]]:
    """Keep freed blocks of up to so many bytes as long as the context lasts.

    torch asks for aligned blocks, and glibc (2.36 was looked at) finds no room for one in the gap that one of the same
    size has left, if the odd bytes beside it were given away meanwhile. So gaps add up, and what the context gives,
    called where nothing large is in use, returns all that is free once the process has grown by ``most`` bytes.

    It holds for the whole process. An inner context takes over and hands back; before and after the outermost all that
    is free goes to the system.
    """
    if not _asked:
        _call("malloc_trim", 0)
    _asked.append(largest)
    _keep(largest)
    began = _resident()

    def settle() -> None:
        if most is not None and _resident() > began + most:
            _call("malloc_trim", 0)

    try:
        yield settle
    finally:
        _asked.remove(largest)
        if _asked:
            _keep(_asked[-1])
        else:
            _call("mallopt", MMAP_THRESHOLD, USUAL)
            _call("mallopt", TRIM_THRESHOLD, 2 * USUAL)
            _call("malloc_trim", 0)


def _keep(largest: int) -> None:
    _call("mallopt", MMAP_THRESHOLD, min(max(largest, USUAL), MOST))
    _call("mallopt", TRIM_THRESHOLD, NEVER)


def _resident() -> int:
    """Return the bytes of main memory that the process has, 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return 0


def _call(name: str, *values: int) -> None:
    try:
        function: Any = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    function(*values)
