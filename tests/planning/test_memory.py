"""Memory plans: what fits, what gives way first, and what is said where nothing does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import MachineError, OptionError
from impasto.options.validation import parse_bytes
from impasto.planning import memory
from impasto.planning.memory import MIN_PAIRS, SLACK, MemoryModel, MemoryPlan, feature_bytes, free_bytes, plan_memory

GIB = 2**30


def planned(size: int, limit: int | None, **facts: Any) -> MemoryPlan:
    return plan_memory(MemoryModel(size, size, **facts), limit)


def test_without_a_limit_nothing_changes() -> None:
    assert planned(8192, None).is_plain


def test_small_pictures_are_computed_whole() -> None:
    assert planned(512, 4 * GIB).is_plain


def test_large_pictures_are_tiled_and_keep_their_pairs_as_long_as_they_fit() -> None:
    plans = [planned(4096, limit * GIB) for limit in (64, 12, 5, 4)]
    assert plans[0].tile is None
    assert all(made.tile is not None for made in plans[1:])
    assert [made.pairs for made in plans] == sorted((made.pairs for made in plans), reverse=True)
    assert plans[2].bf16_history


def test_what_is_freed_goes_back_before_a_picture_is_tiled() -> None:
    model = MemoryModel(2048, 2048)
    made = [
        plan_memory(model, round(SLACK * needed) + 2**20)
        for needed in (model.peak(MemoryPlan()), model.peak(MemoryPlan()) - 2**20)
    ]
    assert [(one.tile, one.pairs, one.bf16_history, one.release_eagerly) for one in made] == [
        (None, 10, False, False),
        (None, 10, True, False),
    ]
    release_eagerly = [
        MemoryPlan(release_eagerly=True),
        MemoryPlan(None, MIN_PAIRS, bf16_history=True, release_eagerly=True),
    ]
    made = [plan_memory(model, round(SLACK * model.peak(one)) + 2**20) for one in release_eagerly]
    assert [replace(one, bytes=0) for one in made] == release_eagerly


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_where_memory_cannot_be_given_back_no_plan_counts_on_it(optimizer: str) -> None:
    there, not_there = (MemoryModel(2048, 2048, optimizer=optimizer, can_release=gives) for gives in (True, False))
    for tenths in range(20, 160, 3):
        limit = tenths * GIB // 10
        try:
            made = plan_memory(not_there, limit)
        except MachineError:
            continue
        assert not made.release_eagerly
        assert not_there.peak(made) >= there.peak(made)
        assert made.bytes == not_there.peak(made)


def test_a_longer_history_goes_before_a_larger_tile() -> None:
    for limit in (4, 5, 6, 8):
        made = planned(4096, limit * GIB)
        larger = replace(made, tile=1024, kept_tiles=1)
        assert made.tile == 1024 or SLACK * MemoryModel(4096, 4096).peak(larger) > limit * GIB


def test_where_three_pairs_do_not_fit_a_lean_method_takes_over() -> None:
    made = planned(4096, 5 * GIB // 2)
    assert made.first_order
    assert made.tile is not None
    assert planned(4096, 8 * GIB, optimizer="adam").first_order is False


@given(st.integers(64, 9000), st.integers(64, 9000), st.integers(600, 40_000))
def test_a_plan_keeps_to_its_limit(height: int, width: int, mebibytes: int) -> None:
    limit = mebibytes * 2**20
    try:
        made = plan_memory(MemoryModel(height, width), limit)
    except MachineError:
        return
    assert SLACK * made.bytes <= limit + 1
    assert made.first_order or made.pairs >= MIN_PAIRS
    assert made.tile is None or made.tile < max(height, width)
    assert MemoryPlan.from_data(made.as_data()) == made


def test_the_smallest_limit_that_works_works() -> None:
    with pytest.raises(
        MachineError, match=r"4096x4096 px does not fit in 1\.00GiB: the smallest limit .* --memory \d"
    ) as caught:
        planned(4096, GIB)
    least = str(caught.value).partition("--memory ")[2].partition(";")[0]
    assert planned(4096, parse_bytes(least)).first_order


def test_deeper_layers_and_wider_features_take_more() -> None:
    sizes = [feature_bytes(1000, depth, 2, 0) for depth in range(6)]
    assert sizes == sorted(set(sizes))
    assert feature_bytes(1000, 5, 4, 0) > sizes[-1]


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * GIB), ("1.5 gib", 3 * GIB // 2), ("800MB", 800_000_000), ("9", 9)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "many", "4 parsecs", "-1GiB", "0GiB", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"write it as 4GiB or 800MiB") as caught:
        parse_bytes(text)
    assert repr(text) in str(caught.value)


def test_free_memory_is_a_number() -> None:
    assert free_bytes() > 0


@pytest.mark.parametrize(("limit", "allowed"), [("3000000\n", 2_000_000), ("max\n", 5_000_000), (None, 5_000_000)])
def test_free_memory_is_within_the_limit_of_the_control_group(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, allowed: int
) -> None:
    def read(path: Path, **_: object) -> str:
        if limit is None:
            raise FileNotFoundError(path)
        return limit if path.name == "memory.max" else "1000000\n"

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5_000_000))
    monkeypatch.setattr(Path, "read_text", read)
    assert free_bytes() == allowed


def test_memory_that_is_left_over_keeps_first_passes() -> None:
    tight, roomy = planned(4096, 6 * GIB), planned(4096, 12 * GIB)
    assert tight.tile is not None
    assert tight.kept_tiles >= 1
    for limit in (8, 12, 16):
        made = planned(4096, limit * GIB)
        model = MemoryModel(4096, 4096)
        assert made.bytes == model.peak(made) <= limit * GIB
        assert (
            0 <= made.bytes - model.peak(replace(made, kept_tiles=1)) <= (made.kept_tiles - 1) * model.kept(made.tile)
        )
        if made.kept_tiles < model.tiles(made.tile):  # one more would be too much
            assert SLACK * model.peak(replace(made, kept_tiles=made.kept_tiles + 1)) > limit * GIB
    assert roomy.kept_tiles > 1


def test_plans_of_old_records_have_no_kept_tiles() -> None:
    assert MemoryPlan.from_data([512, 3, 1, 0, 99]) == MemoryPlan(512, 3, True, False, 99)
    assert MemoryPlan.from_data([512, 3, 1, 0, 99, 4]) == MemoryPlan(512, 3, True, False, 99, 4)


def test_a_plan_counts_masks_inputs_and_what_a_checkpoint_keeps() -> None:
    model, plain = MemoryModel(1000, 1000), MemoryPlan()
    assert replace(model, masks=2).peak(plain) > replace(model, masks=1).peak(plain) > model.peak(plain)
    assert replace(model, inputs=10**6).peak(plain) - model.peak(plain) == 12 * 10**6
    assert model.state(MemoryPlan(pairs=10)) == 12 * 10**6 * (4 + 20)
    assert model.state(MemoryPlan(pairs=0, first_order=True)) < model.state(MemoryPlan(pairs=3, bf16_history=True))


def test_moving_the_colors_in_the_end_is_counted() -> None:
    plain, moved = MemoryModel(2000, 2000), MemoryModel(2000, 2000, recolor=True)
    small, lean = MemoryPlan(256, 3, bf16_history=True), MemoryPlan(256, 0, first_order=True)
    assert moved.peak(lean) == memory.BASE + 4e6 * (memory.RECOLOR + memory.TARGET * 2)
    assert moved.peak(small) > plain.peak(small)
    with pytest.raises(MachineError, match=r"2000x2000 px does not fit in 1\.50GiB"):
        plan_memory(moved, 3 * 2**29)
    assert plan_memory(plain, 3 * 2**29).tile == 256
