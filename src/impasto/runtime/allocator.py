"""Control whether freed main memory is retained for the next step or returned to the system immediately.

Every step allocates and frees the same gigabytes of features. If the C library returns a large block to the system, its
pages are zeroed again when they are next touched. If it retains the block, gaps accumulate between the blocks in use:
torch asks for aligned blocks, and glibc (2.36 was examined) cannot reuse the gap that a block of the same size has left
once the remaining bytes next to it have been allocated. So images that fit into memory are computed under
``retain_freed_memory``; tiles, and whatever has to stay within a limit, under ``release_freed_memory``, which takes
what is alive and nothing more. Huge pages (``ask_for_huge_pages``) cut the cost of touching new pages to a fifth.

Side effect: both contexts change glibc's thresholds (``mallopt``) for the whole process and restore glibc's usual
values at the end. With any other C library they do nothing.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them
NEVER = -1
DEFAULT_THRESHOLD = 32 * 2**20  # where glibc's dynamic threshold ends up in a program that frees large blocks
RELEASE_FROM = 2**20  # bytes; ``release_freed_memory`` returns blocks of at least this size immediately
MAX_INT = 2**31 - 1  # mallopt takes an int
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch's switch; it covers every block of 2 MiB or more


class _MallocThresholds:
    """The thresholds one context sets: the size from which a block is mapped on its own, and the free memory kept."""

    def __init__(self, mapped: int, free: int) -> None:
        self.thresholds = ((MMAP_THRESHOLD, min(mapped, MAX_INT)), (TRIM_THRESHOLD, free))


_DEFAULT = _MallocThresholds(DEFAULT_THRESHOLD, 2 * DEFAULT_THRESHOLD)
_active: list[_MallocThresholds] = []  # of the contexts entered, innermost last


def ask_for_huge_pages() -> None:
    """Let torch ask Linux for huge pages, unless the environment says otherwise.

    It takes effect in a process that has not used torch yet, where the system grants them on request (``madvise`` or
    ``always`` in ``/sys/kernel/mm/transparent_hugepage/enabled``).
    """
    os.environ.setdefault(HUGE_PAGES, "1")


def can_release() -> bool:
    """Whether ``release_freed_memory`` has any effect: whether the C library is glibc."""
    return _function("mallopt") is not None and _function("malloc_trim") is not None


def retain_freed_memory(largest: int = 8 * DEFAULT_THRESHOLD) -> AbstractContextManager[None]:
    """Retain freed blocks for reuse while the context lasts.

    The setting applies to the whole process. Contexts nest: the innermost one counts. On entry and on exit all free
    memory is returned to the system.

    Args:
        largest: the largest block to retain, in bytes; at least 32 MiB is used.
    """
    return _applied(_MallocThresholds(max(largest, DEFAULT_THRESHOLD), NEVER))


def release_freed_memory() -> AbstractContextManager[None]:
    """Return freed blocks of 1 MiB or more to the system immediately while the context lasts.

    The setting applies to the whole process. Contexts nest: the innermost one counts.
    """
    return _applied(_MallocThresholds(RELEASE_FROM, 2 * DEFAULT_THRESHOLD))


@contextmanager
def _applied(thresholds: _MallocThresholds) -> Iterator[None]:
    _call("malloc_trim", 0)
    _active.append(thresholds)
    _set()
    try:
        yield
    finally:
        _active.remove(thresholds)
        _set()
        _call("malloc_trim", 0)


def _set() -> None:
    """Set glibc's thresholds to those of the innermost context, or to the default."""
    for name, value in (_active[-1] if _active else _DEFAULT).thresholds:
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
