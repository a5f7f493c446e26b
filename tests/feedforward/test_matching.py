"""Maps that give features the statistics of others."""

from __future__ import annotations

import torch

from impasto.feedforward.matching import Affine, Statistics, blend, statistics, transport, weaken
from rounding import assert_same


def _features(seed: int, channels: int = 6, *, turn: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(1, channels, 40, 50, generator=generator, dtype=torch.float64)
    if turn:
        mix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
        found = torch.einsum("ij,bjhw->bihw", mix, found)
    return found + torch.randn(1, channels, 1, 1, generator=generator, dtype=torch.float64)


def test_statistics_are_those_of_the_whole_whatever_the_parts() -> None:
    features = _features(0)
    rows = features[0].flatten(1)
    found = statistics([(features[..., :13, :], None), (features[..., 13:, :], None)])
    assert_same([found.mean, found.covariance], [rows.mean(1), rows.cov(correction=0)])


def test_weights_of_zero_and_one_choose_positions() -> None:
    features = _features(1)
    weight = torch.zeros(1, 1, 40, 50)
    weight[..., :20, :] = 1
    chosen, cut = statistics([(features, weight)]), statistics([(features[..., :20, :], None)])
    assert_same([chosen.mean, chosen.covariance], [cut.mean, cut.covariance])


def test_mean_and_covariance_arrive() -> None:
    content, style = _features(2), _features(3)
    target = statistics([(style, None)])
    moved = statistics([(transport(statistics([(content, None)]), target)(content), None)])
    assert_same(moved.mean, target.mean)
    # The floor gives up a little of the directions with least variance.
    assert (moved.covariance - target.covariance).norm() < 0.02 * target.covariance.norm()


def test_features_with_the_right_statistics_stay() -> None:
    content = _features(4)
    own = statistics([(content, None)])
    assert torch.allclose(transport(own, own)(content), content, atol=2e-2)


def _whiten(source: Statistics, target: Statistics) -> Affine:
    """Remove the source's covariance and apply the target's, by symmetric square roots."""
    (values, vectors), (wanted, axes) = (torch.linalg.eigh(part.covariance) for part in (source, target))
    matrix = (axes * wanted.sqrt()) @ axes.T @ (vectors * values.rsqrt()) @ vectors.T
    return Affine(matrix, target.mean - matrix @ source.mean)


def test_transport_moves_least() -> None:
    content, style = _features(5), _features(6)
    source, target = statistics([(content, None)]), statistics([(style, None)])
    by_transport, by_whitening = (
        (map_of(source, target)(content) - content).square().mean() for map_of in (transport, _whiten)
    )
    assert by_transport <= by_whitening


def test_features_without_variance_stay_finite() -> None:
    flat = torch.full((1, 6, 8, 8), 0.3)
    source, target = statistics([(flat, None)]), statistics([(_features(7), None)])
    assert torch.isfinite(transport(source, target)(flat)).all()
    assert torch.isfinite(transport(target, source)(_features(7))).all()


def test_weaken_goes_from_nothing_to_all_and_blends_mix() -> None:
    features = _features(8)
    one = Affine(torch.eye(6).double() * 2, torch.ones(6).double())
    assert_same(weaken(one, 0.0)(features), features)
    assert_same(weaken(one, 1.0)(features), one(features))
    assert_same(blend([(0.5, one), (0.5, one)])(features), one(features))
