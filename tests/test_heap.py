"""Freed blocks: kept while a run goes on, given back after it."""

from __future__ import annotations

import ctypes
import multiprocessing
import platform
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from impasto import heap

BLOCK = 64 * 2**20
PAGES = BLOCK // resource.getpagesize()
T = TypeVar("T")

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")


def library() -> Any:
    """Return the C library with the types of what is called here."""
    found: Any = ctypes.CDLL(None)
    found.malloc.restype, found.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found.free.argtypes = [ctypes.c_void_p]
    return found


def alone(measure: Callable[[], T]) -> T:
    """Return what a function gives in a process of its own, whose heap has no gaps that others have left."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure)


def pages_touched(times: int) -> int:
    """Return how many pages the system had to bring for so many blocks, taken and freed one after the other."""
    c = library()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = c.malloc(BLOCK)
        ctypes.memset(block, 1, BLOCK)
        c.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def kept_and_given_back() -> tuple[int, int, int]:
    """Return the pages touched within a context and after it, and how many bytes went back at its end."""
    with heap.freed_is_kept(2 * BLOCK):
        pages_touched(1)
        within, kept = pages_touched(4), resident()
    returned = kept - resident()
    return within, pages_touched(4), returned


def test_a_block_that_was_freed_is_used_again_and_goes_back_at_the_end() -> None:
    within, after, returned = alone(kept_and_given_back)
    assert within < PAGES
    assert after > 3 * PAGES
    assert returned > BLOCK // 2


def handed_back() -> int:
    with heap.freed_is_kept(2 * BLOCK):
        with heap.freed_is_kept(heap.USUAL):
            pass
        pages_touched(1)
        return pages_touched(4)


def test_a_context_within_a_context_hands_back() -> None:
    assert alone(handed_back) < PAGES


def returned_beyond(most: int) -> int:
    with heap.freed_is_kept(2 * BLOCK, most=most) as settle:
        pages_touched(1)
        kept = resident()
        settle()
        return kept - resident()


def test_growth_beyond_what_is_allowed_goes_back_at_once() -> None:
    assert alone(partial(returned_beyond, BLOCK // 2)) > BLOCK // 2
    assert alone(partial(returned_beyond, 4 * BLOCK)) < BLOCK // 2


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    with heap.freed_is_kept(BLOCK):
        pass
