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


class _Wish:
    """What a context asks of glibc: the block that is mapped by itself, and how much free memory may stay."""

    def __init__(self, mapped: int, free: int) -> None:
        self.thresholds = ((MMAP_THRESHOLD, min(mapped, MOST)), (TRIM_THRESHOLD, free))


_USUAL = _Wish(USUAL, 2 * USUAL)
_asked: list[_Wish] = []  # by the contexts that the program is in


def ask_for_huge_pages() -> None:
    """Let torch ask Linux for huge pages, unless the environment says otherwise.

    It takes effect in a process that has not used torch yet, and where the system has them on request (``madvise`` or
    ``always`` in ``/sys/kernel/mm/transparent_hugepage/enabled``).
    """
    os.environ.setdefault(HUGE_PAGES, "1")


def can_give_back() -> bool:
    """Whether ``freed_goes_back`` has any effect: whether the C library is glibc."""
    return _function("mallopt") is not None and _function("malloc_trim") is not None


def freed_is_kept(largest: int = 8 * USUAL) -> AbstractContextManager[None]:
    """Keep freed blocks of up to so many bytes, 32 MiB at the least, as long as the context lasts.

    It holds for the whole process. An inner context takes over and hands back; before and after each all that is free
    goes to the system.
    """
    return _in_force(_Wish(max(largest, USUAL), NEVER))


def freed_goes_back() -> AbstractContextManager[None]:
    """Give freed blocks of 1 MiB or more back at once as long as the context lasts; contexts nest likewise."""
    return _in_force(_Wish(LARGE, 2 * USUAL))


@contextmanager
def _in_force(wish: _Wish) -> Iterator[None]:
    _call("malloc_trim", 0)
    _asked.append(wish)
    _set()
    try:
        yield
    finally:
        _asked.remove(wish)
        _set()
        _call("malloc_trim", 0)


def _set() -> None:
    """Set glibc's thresholds to what the innermost context asks for."""
    for name, value in (_asked[-1] if _asked else _USUAL).thresholds:
        _call("mallopt", name, value)


def _call(name: str, *values: int) -> None:
    function = _function(name)
    if function is not None:
        function(*values)


def _function(name: str) -> Any:
    """Return a function of the C library, None where it has none of this name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # not glibc
        return None
