"""Maps that give features the statistics of others."""

from __future__ import annotations

import pytest
import torch

from impasto.fast.matching import MATCHINGS, Affine, blend, statistics, weaken


def _features(seed: int, channels: int = 6, *, turn: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(1, channels, 40, 50, generator=generator, dtype=torch.float64)
    if turn:
        mix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
        found = torch.einsum("ij,bjhw->bihw", mix, found)
    return (found + torch.randn(1, channels, 1, 1, generator=generator, dtype=torch.float64)).float()


def test_statistics_are_those_of_the_whole_whatever_the_parts() -> None:
    features = _features(0)
    rows = features[0].flatten(1).double()
    found = statistics([(features[..., :13, :], None), (features[..., 13:, :], None)])
    assert torch.allclose(found.mean, rows.mean(1), atol=1e-5)
    assert torch.allclose(found.covariance, rows.cov(correction=0), atol=1e-4)


def test_weights_of_zero_and_one_choose_positions() -> None:
    features = _features(1)
    weight = torch.zeros(1, 1, 40, 50)
    weight[..., :20, :] = 1
    chosen, cut = statistics([(features, weight)]), statistics([(features[..., :20, :], None)])
    assert torch.allclose(chosen.mean, cut.mean, atol=1e-5)
    assert torch.allclose(chosen.covariance, cut.covariance, atol=1e-4)


@pytest.mark.parametrize("name", ["whiten", "transport"])
def test_mean_and_covariance_arrive(name: str) -> None:
    content, style = _features(2), _features(3)
    target = statistics([(style, None)])
    moved = statistics([(MATCHINGS[name](statistics([(content, None)]), target)(content), None)])
    assert torch.allclose(moved.mean, target.mean, atol=1e-3)
    # The floor gives up a little of the directions with least variance.
    assert (moved.covariance - target.covariance).norm() < 0.02 * target.covariance.norm()


def test_scale_matches_each_channel_alone() -> None:
    content, style = _features(2), _features(3)
    target = statistics([(style, None)])
    moved = statistics([(MATCHINGS["scale"](statistics([(content, None)]), target)(content), None)])
    assert torch.allclose(moved.mean, target.mean, atol=1e-3)
    assert torch.allclose(moved.covariance.diagonal(), target.covariance.diagonal(), rtol=1e-3)


@pytest.mark.parametrize("name", MATCHINGS)
def test_features_with_the_right_statistics_stay(name: str) -> None:
    content = _features(4)
    own = statistics([(content, None)])
    assert torch.allclose(MATCHINGS[name](own, own)(content), content, atol=2e-2)


def test_transport_moves_least() -> None:
    content, style = _features(5), _features(6)
    source, target = statistics([(content, None)]), statistics([(style, None)])
    moved = {name: (MATCHINGS[name](source, target)(content) - content).square().mean() for name in MATCHINGS}
    assert moved["transport"] <= moved["whiten"]


@pytest.mark.parametrize("name", MATCHINGS)
def test_features_without_variance_stay_finite(name: str) -> None:
    flat = torch.full((1, 6, 8, 8), 0.3)
    source, target = statistics([(flat, None)]), statistics([(_features(7), None)])
    assert torch.isfinite(MATCHINGS[name](source, target)(flat)).all()
    assert torch.isfinite(MATCHINGS[name](target, source)(_features(7))).all()


def test_weaken_goes_from_nothing_to_all_and_blends_mix() -> None:
    features = _features(8)
    one = Affine(torch.eye(6).double() * 2, torch.ones(6).double())
    assert torch.allclose(weaken(one, 0.0)(features), features, atol=1e-5)
    assert torch.allclose(weaken(one, 1.0)(features), one(features), atol=1e-5)
    assert torch.allclose(blend([(0.5, one), (0.5, one)])(features), one(features), atol=1e-5)
