"""What becomes of freed main memory: kept for the next step, or given back at once so that a limit is kept.

Every step takes and frees the same gigabytes of features. Where the C library gives a large block back to the system,
its pages are cleared anew when they are next touched; where it keeps the block, gaps add up between those in use: torch
asks for aligned blocks, and glibc (2.36 was looked at) finds no room for one in the gap that one of the same size has
left, if the odd bytes beside it were given away meanwhile. So pictures for which there is memory are computed with
``freed_is_kept``, tiles and what has to be frugal with ``freed_goes_back``, which takes what is alive and nothing more.
With huge pages (``ask_for_huge_pages``) bringing a page is a fifth of the work. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them
NEVER = -1
USUAL = 32 * 2**20  # what glibc's own rule comes to in a program that frees large blocks
LARGE = 2**20  # blocks from here on go back at once, by ``freed_goes_back``
MOST = 2**31 - 1  # mallopt takes an int
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch's own switch: it asks for them for every block of 2 MiB or more

_asked: list[int] = []  # by the contexts that the program is in


def ask_for_huge_pages() -> None:
    """Let torch ask Linux for huge pages, unless the environment says otherwise.

    It takes effect in a process that has not used torch yet, and where the system has them on request (``madvise`` or
    ``always`` in ``/sys/kernel/mm/transparent_hugepage/enabled``).
    """
    os.environ.setdefault(HUGE_PAGES, "1")


@contextmanager
def freed_is_kept(largest: int = 8 * USUAL) -> Iterator[None]:
    """Keep freed blocks of up to so many bytes as long as the context lasts.

    It holds for the whole process. An inner context takes over and hands back; before and after each all that is free
    goes to the system.
    """
    _call("malloc_trim", 0)
    _asked.append(largest)
    _set()
    try:
        yield
    finally:
        _asked.remove(largest)
        _set()
        _call("malloc_trim", 0)


def freed_goes_back() -> AbstractContextManager[None]:
    """Give freed blocks of 1 MiB or more back at once as long as the context lasts; contexts nest likewise."""
    return freed_is_kept(LARGE)


def _set() -> None:
    """Set glibc's thresholds to what the innermost context asks for."""
    largest = _asked[-1] if _asked else USUAL
    _call("mallopt", MMAP_THRESHOLD, min(largest, MOST))
    _call("mallopt", TRIM_THRESHOLD, NEVER if largest > USUAL else 2 * USUAL)


def _call(name: str, *values: int) -> None:
    try:
        function: Any = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    function(*values)
