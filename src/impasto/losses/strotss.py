"""Style by relaxed optimal transport, and content by self-similarity, on sampled hypercolumns.

Kolkin, Salavon & Shakhnarovich, Style Transfer by Relaxed Optimal Transport and Self-Similarity, CVPR 2019. Points are
random pixels; a hypercolumn is the color and the features of all layers at a point.

* ``StrotssLoss``: relaxed earth mover's distance (the larger of the two one-sided mean nearest distances, cosine),
  plus the mean absolute difference of means and of covariances, plus the relaxed distance of the colors in an
  opponent basis (cosine and Euclidean). Differences from the paper: 1024 points of the style instead of 5000, drawn at
  the same fractions as those of the canvas, so that an image is at distance 0 from itself; points are redrawn every 4
  steps instead of at each; roots are smoothed at 1e-4; if features are in bfloat16, so are the products of pairs and of
  covariances.
* ``SelfSimilarityLoss``: N times the mean absolute difference of the tables of pairwise cosine distances of N
  points, each column divided by its sum. 0 for any image with the same pairwise distances as the content; multiplying
  all features by a number leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.hypercolumns import HALO_PX, at_points
from impasto.losses.summaries.moment_sums import mean_and_covariance, self_product
from impasto.losses.summaries.protocol import Features, Maps, Sweep
from impasto.losses.summaries.sampling import indices_from_fractions, scatter, stratified_samples
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow

SAMPLES = 1024
STYLE_SAMPLES = 1024
ROOT_SMOOTHING = 1e-4
COSINE_FLOOR = 1e-3  # a vector shorter than this (black) has no direction, and no steep gradient

# An orthonormal basis of color: gray, and two opponents.
OPPONENT = ((1 / 3**0.5, 1 / 3**0.5, 1 / 3**0.5), (1 / 2**0.5, 0.0, -1 / 2**0.5), (1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5))


class _Points:
    """The points of one canvas: drawn fractions, and the buffer of hypercolumns that tiles fill."""

    def __init__(self, layers: tuple[str, ...], height: int, width: int, mask: Maps | None, samples: int) -> None:
        self.layers = layers
        self.cells = height * width
        self.count = min(samples, self.cells)
        self.mask = None if mask is None else _at_pixels(mask, height, width)
        self.fractions = torch.empty(0)
        self.index = torch.empty(0)

    def use(self, fractions: Tensor) -> None:
        self.fractions = fractions
        self.index = indices_from_fractions(fractions, self.cells, self.mask)

    def fill(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        vectors, which = at_points(canvas, features, self.layers, window, self.index)
        return scatter(vectors, which, self.count)


class StrotssLoss:
    """Relaxed earth mover's distance, moments and palette.

    Args:
        target: image, features and mask of the style, size and mask of the canvas. Weights multiply the layers'
            features; the finest map of a mask is used.
        palette: factor of the palette term.
        samples, style_samples: maximum number of points of the canvas and of the style.
        generator: generator of the first points; by default with a fixed seed.
    """

    refresh_every: int | None = 4
    halo_px = HALO_PX

    def __init__(
        self,
        target: StyleTarget,
        *,
        palette: float = 1.0,
        samples: int = SAMPLES,
        style_samples: int = STYLE_SAMPLES,
        generator: torch.Generator | None = None,
    ) -> None:
        assert target.picture is not None, "StrotssLoss compares the style's pixels: give StyleTarget its image"
        self.layers, style = target.layers, target.style
        self._palette = palette
        self._factors = _column_factors(style, target.weights)
        self._points = _Points(self.layers, target.height, target.width, target.mask, samples)
        style_height, style_width = target.picture.shape[-2:]
        self._picture = target.picture.detach()
        self._style = {layer: style[layer].detach() for layer in self.layers}
        self._products = _product_dtype(style)
        self._style_points = _Points(self.layers, style_height, style_width, target.style_mask, style_samples)
        self._draw(generator or torch.Generator().manual_seed(0))

    def _draw(self, generator: torch.Generator) -> None:
        counts = self._points.count, self._style_points.count
        drawn = stratified_samples(counts[0], generator)
        other = drawn if counts[0] == counts[1] else stratified_samples(counts[1], generator)
        self.load_state({"canvas": drawn, "style": other})

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new points."""
        self._draw(generator)

    def state(self) -> dict[str, Tensor]:
        """Return the drawn fractions."""
        return {"canvas": self._points.fractions, "style": self._style_points.fractions}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._points.use(state["canvas"])
        self._style_points.use(state["style"])
        window = TileWindow.whole(*self._picture.shape[-2:])
        with torch.no_grad():
            self._target = self._style_points.fill(self._picture, self._style, window) * self._factors
            self._target_moments = mean_and_covariance(self._target, self._products)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the hypercolumns of the points inside the tile at their rows, flattened."""
        return self._points.fill(canvas, features, window).flatten()

    def value(self, summary: Tensor) -> Tensor:
        """Return transport plus moments plus palette."""
        drawn = summary.view(self._points.count, -1) * self._factors.to(summary.dtype)
        target = self._target.to(summary.dtype)
        total = relaxed_transport(drawn, target, dtype=self._products)
        total = total + moment_distance(drawn, self._target_moments, self._products)
        if self._palette:
            basis = summary.new_tensor(OPPONENT).T
            colors = drawn[:, :3] @ basis, target[:, :3] @ basis
            total = total + self._palette * relaxed_transport(*colors, euclidean=True)
        return total


class SelfSimilarityLoss:
    """Difference of the tables of pairwise cosine distances.

    Args:
        content: the content's features by layer, ``[1, C, H/s, W/s]``.
        weights: the layers are its keys; weights multiply the layers' features.
        picture: the content at the canvas's size, ``[1, 3, H, W]``.
        mask: weight of each position by layer, ``[1, 1, H/s, W/s]``; by default all ones. The finest map is used.
        samples: maximum number of points.
        generator: generator of the first points; by default with a fixed seed.
    """

    refresh_every: int | None = 4
    halo_px = HALO_PX

    def __init__(
        self,
        content: Features,
        weights: Mapping[str, float],
        picture: Tensor,
        *,
        mask: Maps | None = None,
        samples: int = SAMPLES,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers = tuple(weights)
        self._factors = _column_factors(content, weights)
        self._picture = picture.detach()
        self._content = {layer: content[layer].detach() for layer in self.layers}
        self._products = _product_dtype(content)
        height, width = picture.shape[-2:]
        self._points = _Points(self.layers, height, width, mask, samples)
        self.refresh(generator or torch.Generator().manual_seed(0), lambda: ())

    def refresh(self, generator: torch.Generator, sweep: Sweep) -> None:
        """Draw new points."""
        self.load_state({"canvas": stratified_samples(self._points.count, generator)})

    def state(self) -> dict[str, Tensor]:
        """Return the drawn fractions."""
        return {"canvas": self._points.fractions}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._points.use(state["canvas"])
        with torch.no_grad():
            points = self._points.fill(self._picture, self._content, TileWindow.whole(*self._picture.shape[-2:]))
            self._target = self_similarity(points * self._factors, self._products)

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the hypercolumns of the points inside the tile at their rows, flattened."""
        return self._points.fill(canvas, features, window).flatten()

    def value(self, summary: Tensor) -> Tensor:
        """Return N times the mean absolute difference of the tables."""
        drawn = summary.view(self._points.count, -1) * self._factors.to(summary.dtype)
        return (
            self_similarity(drawn, self._products) - self._target.to(summary.dtype)
        ).abs().mean() * self._points.count


def relaxed_transport(x: Tensor, y: Tensor, *, euclidean: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    """Return the larger of the two mean distances to the nearest vector of the other set.

    Args:
        x: ``[N, D]``.
        y: ``[M, D]``.
        euclidean: add ``sqrt(|x - y|^2 / D)`` to the cosine distance.
        dtype: dtype of the products that select the pairs; that of the vectors if absent.
    """
    with torch.no_grad():
        # Only the nearest pairs have a gradient, so the whole table is needed only to select them.
        table = 1 - (_directions(x).to(dtype or x.dtype) @ _directions(y).to(dtype or x.dtype).T).to(x.dtype)
        if euclidean:
            table = table + torch.cdist(x, y) / x.shape[1] ** 0.5
        for_x, for_y = table.argmin(1), table.argmin(0)
    one = _pair_distance(x, y[for_x], euclidean).mean()
    other = _pair_distance(x[for_y], y, euclidean).mean()
    return torch.maximum(one, other)


def _directions(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1, eps=COSINE_FLOOR)


def _pair_distance(x: Tensor, y: Tensor, euclidean: bool) -> Tensor:
    cosine = (_directions(x) * _directions(y)).sum(1)
    if not euclidean:
        return 1 - cosine
    squares = (x - y).square().mean(1)
    return 1 - cosine + (squares + ROOT_SMOOTHING**2).sqrt() - ROOT_SMOOTHING


def moment_distance(x: Tensor, target: tuple[Tensor, Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """Return the mean absolute difference of the mean, plus that of the covariance, of ``[N, D]`` from a target."""
    mean, covariance = mean_and_covariance(x, dtype)
    away = (mean - target[0].to(x.dtype)).abs().mean()
    return away + (covariance - target[1].to(x.dtype)).abs().mean()


def self_similarity(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the pairwise cosine distances of ``[N, D]``, each column divided by its sum, ``[N, N]``."""
    table = (1 - self_product(_directions(x).T, dtype)).clamp_min(0)
    return table / table.sum(0, keepdim=True).clamp_min(1e-6 * len(x))


def _product_dtype(features: Features) -> torch.dtype | None:
    """Return bfloat16 if features are in bfloat16, since more precise products would not add information."""
    half = next(iter(features.values())).dtype == torch.bfloat16
    return torch.bfloat16 if half else None


def _column_factors(features: Features, weights: Mapping[str, float]) -> Tensor:
    parts = [torch.ones(3)] + [torch.full((features[layer].shape[1],), weight) for layer, weight in weights.items()]
    return torch.cat(parts).to(next(iter(features.values())).device)


def _at_pixels(mask: Maps, height: int, width: int) -> Tensor:
    """Return the finest map of a mask at the image's size, ``[1, 1, H, W]``."""
    finest = max(mask.values(), key=lambda part: part.shape[-1])
    if tuple(finest.shape[-2:]) == (height, width):
        return finest
    return functional.interpolate(finest, (height, width), mode="nearest")
