"""Freed blocks: kept while a run goes on, given back after it."""

from __future__ import annotations

import ctypes
import platform
import resource
from pathlib import Path
from typing import Any

import pytest

from impasto import heap

BLOCK = 64 * 2**20
PAGES = BLOCK // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")


@pytest.fixture
def library() -> Any:
    """Return the C library with the types of what is called here."""
    found: Any = ctypes.CDLL(None)
    found.malloc.restype, found.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found.free.argtypes = [ctypes.c_void_p]
    return found


def pages_touched(library: Any, times: int) -> int:
    """Return how many pages the system had to bring for so many blocks, taken and freed one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = library.malloc(BLOCK)
        ctypes.memset(block, 1, BLOCK)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def test_a_block_that_was_freed_is_used_again(library: Any) -> None:
    with heap.freed_is_kept(2 * BLOCK):
        pages_touched(library, 1)
        assert pages_touched(library, 4) < PAGES
    assert pages_touched(library, 4) > 3 * PAGES


def test_a_context_within_a_context_hands_back(library: Any) -> None:
    with heap.freed_is_kept(2 * BLOCK):
        with heap.freed_is_kept(heap.USUAL):
            pass
        pages_touched(library, 1)
        assert pages_touched(library, 4) < PAGES


def test_at_the_end_the_system_has_its_memory_back(library: Any) -> None:
    with heap.freed_is_kept(2 * BLOCK):
        pages_touched(library, 1)
        kept = resident()
    assert resident() < kept - BLOCK // 2


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    with heap.freed_is_kept(BLOCK):
        pass


def test_growth_beyond_what_is_allowed_goes_back_at_once(library: Any) -> None:
    with heap.freed_is_kept(2 * BLOCK, most=BLOCK // 2) as settle:
        pages_touched(library, 1)
        kept = resident()
        settle()
        assert resident() < kept - BLOCK // 2
    with heap.freed_is_kept(2 * BLOCK, most=4 * BLOCK) as settle:
        pages_touched(library, 1)
        settle()
        assert pages_touched(library, 1) < PAGES
