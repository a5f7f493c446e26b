"""Turning and joining edges."""

from __future__ import annotations

import math

import pytest
import torch

from impasto.regions.geometry import periodic, rotated


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3, 4])
def test_quarter_turns_are_exact(quarters: int) -> None:
    picture = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    turned, mask = rotated(picture, None, 90.0 * quarters)
    assert torch.equal(turned, torch.rot90(picture, quarters, (-2, -1)))
    assert mask is None


@pytest.mark.parametrize("degrees", [30.0, -45.0, 100.0])
def test_a_turn_moves_the_direction_of_strokes(degrees: float) -> None:
    _, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    stripes = (0.5 + 0.5 * torch.sin(columns / 2)).expand(1, 3, 96, 96)
    turned, mask = rotated(stripes, None, degrees)
    assert mask is not None
    inside = turned[..., 40:-40, 40:-40]
    down = (inside[..., 1:, :] - inside[..., :-1, :])[..., :-1]
    across = (inside[..., 1:] - inside[..., :-1])[..., :-1, :]
    # Principal direction of the gradient, counter-clockwise from the right.
    angle = 0.5 * math.atan2(-2 * float((across * down).sum()), float((across**2 - down**2).sum()))
    off = (math.degrees(angle) - degrees + 90) % 180 - 90
    assert abs(off) < 3


def test_a_turn_leaves_out_the_empty_corners() -> None:
    picture = torch.ones(1, 3, 40, 60)
    turned, mask = rotated(picture, None, 45.0)
    assert mask is not None
    assert turned.shape[-2:] == mask.shape[-2:]
    assert mask[0, 0, 0, 0] == 0
    assert mask[0, 0, mask.shape[-2] // 2, mask.shape[-1] // 2] == 1
    # Half covered pixels along the edge are right to a quarter on the average: 200 px of edge, 50 px of area.
    assert float(mask.sum()) == pytest.approx(40 * 60, rel=0.02)
    _, half = rotated(picture, 0.5 * torch.ones(1, 1, 40, 60), 45.0)
    assert half is not None
    assert float(half.sum()) == pytest.approx(20 * 60, rel=0.03)


def test_opposite_edges_meet() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 56), indexing="ij")
    picture = (0.2 + 0.3 * rows + 0.3 * columns**2).expand(1, 3, 40, 56)
    joined = periodic(picture)
    for axis in (-1, -2):
        seam = (joined.select(axis, 0) - joined.select(axis, -1)).abs().max()
        assert (picture.select(axis, 0) - picture.select(axis, -1)).abs().max() > 20 * seam


def test_a_periodic_picture_stays_as_it_is() -> None:
    angle = 2 * math.pi * torch.arange(32) / 32
    picture = (0.5 + 0.2 * torch.sin(angle)[:, None] + 0.2 * torch.cos(2 * angle)[None]).expand(1, 3, 32, 32)
    # Between the last row and the first it makes a step like that between two rows: 0.04, half of it on each side.
    assert (periodic(picture) - picture).abs().max() < 0.05
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.equal(periodic(flat), flat)
