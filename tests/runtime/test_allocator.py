"""Freed blocks are retained or returned immediately, depending on the context, and returned at its end."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import re
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from impasto.planning.memory import MemoryPlan
from impasto.runtime import allocator

BLOCK = 64 * 2**20
PAGES = BLOCK // resource.getpagesize()
PR_SET_THP_DISABLE = 41  # of prctl, from linux/prctl.h
T = TypeVar("T")
FEW: dict[str, Any] = {
    "size": 48,
    "steps": 3,
    "scales": 1,
    "tv_weight": 0.0,
    "style_layers": "relu1_1+relu2_1",
    "content_layers": "relu2_1",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are"),
]


def library() -> Any:
    """Return the C library with the types of what is called here."""
    found: Any = ctypes.CDLL(None)
    found.malloc.restype, found.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found.free.argtypes = [ctypes.c_void_p]
    return found


def refuse_huge_pages() -> None:
    library().prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def alone(measure: Callable[[], T]) -> T:
    """Return what a function gives in a process of its own, whose heap has no gaps that others have left.

    Pages are small there, whatever the system prefers, so that their number does not depend on it.
    """
    with multiprocessing.get_context("spawn").Pool(1, initializer=refuse_huge_pages) as pool:
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


def held() -> int:
    """Return how many bytes the system holds for this process, in memory or, if it is short of that, swapped out."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return sum(2**10 * int(size) for size in re.findall(r"^(?:VmRSS|VmSwap):\s+(\d+) kB$", status, re.MULTILINE))


def kept_and_given_back() -> tuple[int, int, int]:
    """Return the pages touched within a context and after it, and how many bytes went back at its end."""
    with allocator.retain_freed_memory(2 * BLOCK):
        pages_touched(1)
        within, kept = pages_touched(4), held()
    returned = kept - held()
    return within, pages_touched(4), returned


def test_a_block_that_was_freed_is_used_again_and_goes_back_at_the_end() -> None:
    within, after, returned = alone(kept_and_given_back)
    assert within < PAGES
    assert after > 3 * PAGES
    assert returned > BLOCK // 2


def handed_back() -> tuple[int, int]:
    with allocator.retain_freed_memory(2 * BLOCK):
        with allocator.release_freed_memory():
            within = pages_touched(4)
        pages_touched(1)
        return within, pages_touched(4)


def test_a_context_within_a_context_hands_back() -> None:
    within, after = alone(handed_back)
    assert within > 3 * PAGES
    assert after < PAGES


def small_ones() -> int:
    c = library()
    with allocator.retain_freed_memory(2**20):
        for turn in range(5):
            if turn == 1:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            blocks = [c.malloc(allocator.DEFAULT_THRESHOLD // 2) for _ in range(4)]
            for block in blocks:
                ctypes.memset(block, 1, allocator.DEFAULT_THRESHOLD // 2)
            for block in blocks:
                c.free(block)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_small_pictures_keep_their_blocks_too() -> None:
    assert alone(small_ones) < PAGES


def left_out_of_order() -> int:
    kept, release_eagerly, other = (
        allocator.retain_freed_memory(2 * BLOCK),
        allocator.release_freed_memory(),
        allocator.release_freed_memory(),
    )
    for context in (release_eagerly, kept, other):
        context.__enter__()
    release_eagerly.__exit__(None, None, None)
    other.__exit__(None, None, None)
    pages_touched(1)
    touched = pages_touched(4)
    kept.__exit__(None, None, None)
    return touched


def test_contexts_may_end_in_any_order() -> None:
    assert alone(left_out_of_order) < PAGES


def grown_by(blocks: int, size: int) -> int:
    """Return how many bytes stay with the process where every second of some blocks is freed."""
    c = library()
    with allocator.retain_freed_memory(BLOCK), allocator.release_freed_memory():
        before = held()
        taken = [c.malloc(size) for _ in range(blocks)]
        for block in taken:
            ctypes.memset(block, 1, size)
        for block in taken[::2]:
            c.free(block)
        grown = held() - before
        for block in taken[1::2]:
            c.free(block)
        return grown


def test_blocks_go_back_from_between_others() -> None:
    assert alone(partial(grown_by, 8, 2 * allocator.RELEASE_FROM)) < 5 * 2 * allocator.RELEASE_FROM


def first_block_lies_at(wanted: str | None) -> int:
    if wanted is not None:
        os.environ[allocator.HUGE_PAGES] = wanted
    allocator.ask_for_huge_pages()
    import torch

    return int(torch.empty(2 * allocator.RELEASE_FROM, dtype=torch.uint8).data_ptr() % resource.getpagesize())


@pytest.mark.slow
def test_torch_asks_for_huge_pages_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(allocator.HUGE_PAGES, raising=False)
    assert alone(partial(first_block_lies_at, None)) == 0  # it aligns blocks to pages then, and to 64 bytes otherwise
    assert alone(partial(first_block_lies_at, "0")) != 0


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    with allocator.retain_freed_memory(BLOCK):
        pass
    assert not allocator.can_release()


@pytest.mark.parametrize(
    ("plan", "keeps"), [(MemoryPlan(), True), (MemoryPlan(release_eagerly=True), False), (MemoryPlan(tile=64), False)]
)
def test_the_plan_says_what_becomes_of_freed_memory(
    tiny_picture: Any, tiny_style: Any, plan: MemoryPlan, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here, so that the processes above start without torch.
    from impasto.options.recipes import resolve
    from impasto.run.prepared_run import prepare
    from impasto.run.target_cache import TargetCache
    from random_weights import state_before
    from runs import stylize

    def paint(plan: MemoryPlan) -> Any:
        taken = {"plans": [[*size, *plan.as_data()]]}
        return stylize(tiny_picture, tiny_style, cache=cache, decisions=taken, **FEW).pixels

    asked: list[int] = []
    monkeypatch.setattr(
        allocator, "_call", lambda name, *values: asked.append(values[-1]) if name == "mallopt" else None
    )
    size, cache = prepare(tiny_picture, tiny_style, resolve(**FEW)).size, TargetCache(state_before("conv3"))
    done = paint(plan)
    assert (allocator.NEVER in asked) == keeps
    assert allocator.RELEASE_FROM in asked
    assert asked[-2:] == [allocator.DEFAULT_THRESHOLD, 2 * allocator.DEFAULT_THRESHOLD]
    assert np.array_equal(done, paint(MemoryPlan(tile=plan.tile)))
