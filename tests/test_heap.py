"""Freed blocks: kept while a run goes on, given back after it."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from impasto import heap

BLOCK = 64 * 2**20
PAGES = BLOCK // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    yield
    heap.give_back()


def pages_touched(times: int) -> int:
    """Return how many pages the system had to bring for so many blocks, taken and freed one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(BLOCK // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def test_a_block_that_was_freed_is_used_again() -> None:
    heap.keep_freed(2 * BLOCK)
    pages_touched(1)
    assert pages_touched(4) < PAGES
    heap.give_back()
    assert pages_touched(4) > 3 * PAGES


def test_at_the_end_the_system_has_its_memory_back() -> None:
    heap.keep_freed(2 * BLOCK)
    pages_touched(1)
    kept = resident()
    heap.give_back()
    assert resident() < kept - BLOCK // 2


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    heap.keep_freed(BLOCK)
    heap.give_back()
