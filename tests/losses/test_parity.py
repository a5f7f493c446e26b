"""Each loss against its formula, written once more without any of the code under test.

Both run in float64 on the same features, so that all that may differ is rounding. Smoothing and floors are part of a
loss's definition, and the formulas here have them too.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from in_float64 import ROUNDING, H, W, features, near, noise, on_pixels, pair, picture, unit, value, vectors
from loss_cases import LAYERS
from torch import Tensor

from impasto.losses.batchnorm import SMOOTHING as VARIANCE_SMOOTHING
from impasto.losses.batchnorm import BatchNormLoss
from impasto.losses.histogram import QUANTILES, HistogramLoss
from impasto.losses.mmd import GaussianMMDLoss, PolynomialMMDLoss
from impasto.losses.mrf import MRFLoss
from impasto.losses.nearest import MIN_LENGTH, NearestLoss
from impasto.losses.per_layer_nearest import PerLayerNearestLoss
from impasto.losses.regularizers.color_anchor import ColorAnchorLoss
from impasto.losses.regularizers.edges import EdgeLoss
from impasto.losses.regularizers.matting import MattingLoss
from impasto.losses.sliced import SlicedLoss
from impasto.losses.strotss import ROOT_SMOOTHING, SelfSimilarityLoss, StrotssLoss
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.losses.wasserstein import SMOOTHING, WassersteinLoss, trace_of_root

Array = np.ndarray


def root(matrix: Array) -> Array:
    values, basis = np.linalg.eigh(matrix)
    return basis * np.sqrt(values.clip(0)) @ basis.T


@pytest.mark.parametrize("shape", [(H, W), (10, 9)])
def test_wasserstein(shape: tuple[int, int]) -> None:
    canvas, (_, _, _, style) = noise(2, *shape), pair()
    loss = WassersteinLoss(StyleTarget(style, LAYERS, *shape))
    assert loss.is_dual("relu3_1") == (shape == (10, 9))
    expected = 0.0
    for layer, weight in LAYERS.items():
        x, y = vectors(features(canvas), layer), vectors(style, layer)
        a, b = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
        squares = np.linalg.eigvalsh(root(b) @ a @ root(b)).clip(0)
        smoothing = SMOOTHING * np.trace(b) / len(b)
        cross = (np.sqrt(squares + smoothing**2) - smoothing).sum()
        distance = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross
        expected += weight * distance / x.shape[1]
    assert value(loss, canvas) == near(expected)


def test_the_trace_of_a_root_has_its_slope() -> None:
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(6, 4, generator=draws, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: trace_of_root(x @ x.T, 1e-2), (x,))  # rank 4 of 6


def test_batchnorm() -> None:
    canvas, mine, _, theirs = pair()
    expected = 0.0
    for layer, weight in LAYERS.items():
        x, y = vectors(mine, layer), vectors(theirs, layer)
        smoothing = VARIANCE_SMOOTHING * y.var(0).mean()
        deviations = np.sqrt(x.var(0) + smoothing) - np.sqrt(y.var(0) + smoothing)
        expected += weight * ((x.mean(0) - y.mean(0)) ** 2 + deviations**2).mean()
    assert value(BatchNormLoss(StyleTarget(theirs, LAYERS, H, W)), canvas) == near(expected)


def test_polynomial_discrepancy_over_all_pairs() -> None:
    canvas, mine, _, theirs = pair()
    expected = 0.0
    for layer, weight in LAYERS.items():
        x, y = vectors(mine, layer), vectors(theirs, layer)
        c = (y**2).sum(1).mean()

        def kernel(a: Array, b: Array, c: float = c) -> float:
            return float(((a @ b.T + c) ** 2).mean() / a.shape[1] ** 2)

        expected += weight * (kernel(x, x) - 2 * kernel(x, y) + kernel(y, y))
    assert value(PolynomialMMDLoss(StyleTarget(theirs, LAYERS, H, W)), canvas) == near(expected)


def test_gaussian_discrepancy_where_every_position_is_drawn() -> None:
    canvas, style = noise(2, 24, 20), picture(1, 24, 20)
    expected = 0.0
    for layer, weight in LAYERS.items():
        x, y = vectors(features(canvas), layer), vectors(features(style), layer)

        def distances(a: Array, b: Array) -> Array:
            return ((a[:, None] - b[None]) ** 2).sum(2)

        scale = distances(y, y).mean()
        terms = [np.exp(-distances(a, b) / scale).mean() for a, b in ((x, x), (x, y), (y, y))]
        expected += weight * (terms[0] - 2 * terms[1] + terms[2])
    assert value(GaussianMMDLoss(StyleTarget(features(style), LAYERS, 24, 20)), canvas) == near(expected)


def test_sliced() -> None:
    canvas, style = noise(2, H, W), picture(1, H, W)
    loss = SlicedLoss(StyleTarget(features(style), LAYERS, H, W))
    found, expected = value(loss, canvas), 0.0
    for layer, weight in LAYERS.items():
        axes = np.asarray(loss.state()[f"axes {layer}"])
        x, y = (np.sort(vectors(features(part), layer) @ axes, axis=0) for part in (canvas, style))
        expected += weight * ((x - y) ** 2).mean()
    assert found == near(expected)


def matched_by_rank(x: Array, y: Array) -> Array:
    """Return values with each column's ranks replaced by the values of those ranks in another, ties by their middle."""
    matched = np.zeros_like(x)
    for channel in range(x.shape[1]):
        column, wanted = x[:, channel], np.sort(y[:, channel])
        below = np.searchsorted(np.sort(column), column, "left")
        upto = np.searchsorted(np.sort(column), column, "right") - 1
        matched[:, channel] = np.interp((below + upto) / 2, np.arange(len(wanted)), wanted)
    return matched


@pytest.mark.parametrize(("layer", "side"), [("relu1_1", 32), ("relu2_1", 64), ("relu3_1", 128)])
def test_histogram_of_as_many_positions_as_quantiles(layer: str, side: int) -> None:
    canvas, style = noise(2, side, side), picture(1, side, side)
    x, y = vectors(features(canvas), layer), vectors(features(style), layer)
    assert len(x) == QUANTILES
    expected = 0.3 * ((x - matched_by_rank(x, y)) ** 2).mean()
    assert value(HistogramLoss(StyleTarget(features(style), {layer: 0.3}, side, side)), canvas) == near(expected)


def cosines(x: Array, y: Array) -> Array:
    """Return the cosine of each row with its partner, as the losses on matches have it: 1 for two zeros."""
    floor = MIN_LENGTH**2
    lengths = [np.sqrt((part**2).sum(1) + floor) for part in (x, y)]
    return ((x * y).sum(1) + floor) / (lengths[0] * lengths[1])


def test_patches() -> None:
    canvas, mine, _, theirs = pair()
    layer = "relu3_1"

    def patches(parts: dict[str, Tensor]) -> Array:
        maps = np.asarray(parts[layer][0])
        rows, columns = maps.shape[1] - 2, maps.shape[2] - 2
        places = itertools.product(range(rows), range(columns))
        return np.stack([maps[:, r : r + 3, c : c + 3].ravel() for r, c in places])

    x, y = patches(mine), patches(theirs)
    matched = y[(unit(x) @ unit(y).T).argmax(1)]
    expected = ((x - matched) ** 2).mean()
    assert value(MRFLoss(StyleTarget(theirs, {layer: 1.0}, H, W)), canvas) == near(expected)


def test_nearest_neighbors() -> None:
    # Sides that all strides divide; one layer of stride 4 and one of 2, whose cells are averaged.
    canvas, style, content = noise(2, 40, 32), picture(1, 48, 40), picture(5, 40, 32)
    weights = {"relu2_1": 1.0, "relu3_1": 1.0}

    def columns(image: Tensor) -> Array:
        parts = features(image)
        fine = np.asarray(parts["relu2_1"][0])
        count, rows, across = fine.shape
        fine = fine.reshape(count, rows // 2, 2, across // 2, 2).mean((2, 4))
        coarse = np.asarray(parts["relu3_1"][0])
        joined = np.concatenate([fine / count, coarse / len(coarse)])
        return joined.reshape(len(joined), -1).T

    x, y, p = columns(canvas), columns(style), columns(content)
    query = 0.25 * x + 0.75 * p
    match = (unit(query - query.mean(0)) @ unit(y - y.mean(0)).T).argmax(1)
    expected = (1 - cosines(x, y[match])).mean()
    loss = NearestLoss(StyleTarget(features(style), weights, 40, 32), content=features(content), preservation=0.75)
    assert value(loss, canvas) == near(expected)


def test_layers_apart() -> None:
    canvas, mine, _, theirs = pair()
    weights = {"relu2_1": 1.0, "relu3_1": 3.0}
    loss = PerLayerNearestLoss(StyleTarget(theirs, weights, H, W), side=1000)  # every place
    expected = 0.0
    for layer, weight in weights.items():
        x, y = vectors(mine, layer), vectors(theirs, layer)
        match = (unit(x - x.mean(0)) @ unit(y - y.mean(0)).T).argmax(1)
        expected += weight / 4 * (1 - cosines(x, y[match])).mean()
    assert value(loss, canvas) == near(expected)


def test_a_coarse_grid_reaches_every_place_in_time() -> None:
    canvas, mine, _, theirs = pair()
    loss = PerLayerNearestLoss(StyleTarget(theirs, {"relu2_1": 1.0}, H, W), side=8)
    draws, touched = torch.Generator().manual_seed(1), torch.zeros(H // 2, W // 2)
    for _ in range(200):
        loss.refresh(draws, lambda: [(canvas, mine, TileWindow.whole(H, W))])
        row, column, step = loss._grids["relu2_1"]
        touched[row::step, column::step] = 1
    assert step > 1
    assert bool(touched.all())


def hypercolumns(image: Tensor, layers: list[str]) -> Array:
    """Return color and layers at every pixel, brought there by bilinear interpolation between cell centers."""
    height, width = image.shape[-2:]
    found, made = [np.asarray(image[0])], features(image)
    for layer in layers:
        part = np.asarray(made[layer][0])
        step = height // part.shape[1]

        def along(size: int, cells: int, step: int = step) -> tuple[Array, Array, Array]:
            place = np.clip((np.arange(size) + 0.5) / step - 0.5, 0, cells - 1)
            low = np.floor(place).astype(int)
            return low, np.minimum(low + 1, cells - 1), place - low

        r0, r1, down = along(height, part.shape[1])
        c0, c1, across = along(width, part.shape[2])
        rows = part[:, r0] * (1 - down)[:, None] + part[:, r1] * down[:, None]
        found.append(rows[:, :, c0] * (1 - across) + rows[:, :, c1] * across)
    joined = np.concatenate(found)
    return joined.reshape(len(joined), -1).T


def test_strotss() -> None:
    canvas, style, layers = noise(2, 24, 16), picture(1, 24, 16), list(LAYERS)
    x, y = hypercolumns(canvas, layers), hypercolumns(style, layers)

    def relaxed(choice: Array, table: Array) -> float:
        for_x, for_y = choice.argmin(1), choice.argmin(0)
        return float(max(table[np.arange(len(table)), for_x].mean(), table[for_y, np.arange(table.shape[1])].mean()))

    distances = 1 - unit(x) @ unit(y).T
    transport = relaxed(distances, distances)
    moments = np.abs(x.mean(0) - y.mean(0)).mean() + np.abs(np.cov(x.T, bias=True) - np.cov(y.T, bias=True)).mean()
    opponent = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    a, b = x[:, :3] @ opponent.T, y[:, :3] @ opponent.T
    directions, squares = 1 - unit(a) @ unit(b).T, ((a[:, None] - b[None]) ** 2).mean(2)
    smoothed = np.sqrt(squares + ROOT_SMOOTHING**2) - ROOT_SMOOTHING
    palette = relaxed(directions + np.sqrt(squares), directions + smoothed)
    ones = dict.fromkeys(layers, 1.0)
    loss = StrotssLoss(StyleTarget(features(style), ones, 24, 16, picture=style))
    assert value(loss, canvas) == near(transport + moments + palette)


def test_self_similarity() -> None:
    canvas, content, layers = noise(2, 24, 16), picture(1, 24, 16), list(LAYERS)

    def table(image: Tensor) -> Array:
        rows = unit(hypercolumns(image, layers))
        distances = (1 - rows @ rows.T).clip(0)
        return distances / distances.sum(0)

    expected = np.abs(table(canvas) - table(content)).mean() * 24 * 16
    loss = SelfSimilarityLoss(features(content), dict.fromkeys(layers, 1.0), content)
    assert value(loss, canvas) == near(expected)


def test_edges() -> None:
    canvas, content = noise(2, H, W), picture(1, H, W)

    def laplacian(image: Tensor) -> Array:
        gray = np.asarray(image[0]).sum(0)[: H // 4 * 4, : W // 4 * 4]
        cells = gray.reshape(H // 4, 4, W // 4, 4).mean((1, 3))
        found = np.zeros((H // 4 - 2, W // 4 - 2))
        for r, c in np.ndindex(found.shape):
            around = cells[r, c + 1] + cells[r + 2, c + 1] + cells[r + 1, c] + cells[r + 1, c + 2]
            found[r, c] = 4 * cells[r + 1, c + 1] - around
        return found

    expected = ((laplacian(canvas) - laplacian(content)) ** 2).mean()
    assert value(EdgeLoss(content, pools=(4,)), canvas) == near(expected)


def test_color_anchor_is_the_shift_squared() -> None:
    content = picture(1, H, W) * 0.8
    assert value(on_pixels("anchor", content), content + 0.1) == near(0.01)
    everything = value(ColorAnchorLoss(content, frequencies=1000), noise(2, H, W))
    assert everything == near(float((noise(2, H, W) - content).square().mean()))


def test_composition_is_the_difference_of_cells() -> None:
    canvas, proof = noise(2, 19, 13), picture(1, 19, 13) * 0.8
    corners = [(row, column) for row in range(0, 19, 8) for column in range(0, 13, 8)]
    cells = [(canvas - proof)[0, :, row : row + 8, column : column + 8] for row, column in corners]
    expected = sum(float(cell.mean((1, 2)).square().sum()) * cell[0].numel() for cell in cells) / (3 * 19 * 13)
    assert value(on_pixels("composition", proof), canvas) == near(expected)
    assert value(on_pixels("composition", proof), proof + 0.1) == near(0.01)


def test_matting() -> None:
    height, width, epsilon = 8, 7, 1e-4
    canvas, content = noise(2, height, width), picture(1, height, width)
    guide, mine = np.asarray(content[0]), np.asarray(canvas[0])
    laplacian = np.zeros((height * width, height * width))
    for r, c in np.ndindex(height - 2, width - 2):
        window = guide[:, r : r + 3, c : c + 3].reshape(3, 9)
        place = (np.arange(r, r + 3)[:, None] * width + np.arange(c, c + 3)).ravel()
        away = window - window.mean(1, keepdims=True)
        inner = np.linalg.inv(away @ away.T / 9 + epsilon / 9 * np.eye(3))
        laplacian[np.ix_(place, place)] += np.eye(9) - (1 + away.T @ inner @ away) / 9
    expected = sum(float(v @ laplacian @ v) for v in mine.reshape(3, -1)) / ((height - 2) * (width - 2))
    loss = MattingLoss(content, epsilon=epsilon)
    assert value(loss, canvas) == near(expected)


def test_nine_point_variation() -> None:
    x = np.asarray(noise(2, H, W)[0])
    down, across = x[:, 1:] - x[:, :-1], x[..., 1:] - x[..., :-1]
    falling, rising = x[:, 1:, 1:] - x[:, :-1, :-1], x[:, 1:, :-1] - x[:, :-1, 1:]
    straight, diagonal = (down**2).sum() + (across**2).sum(), (falling**2).sum() + (rising**2).sum()
    expected = 2 * (straight / 3 + diagonal / 12) / x.size
    assert value(on_pixels("tv-nine", noise(2, H, W)), noise(2, H, W)) == near(expected)


def test_a_line_is_no_speck_and_a_dot_is() -> None:
    line, dot = (torch.full((1, 3, 20, 20), 0.5, dtype=torch.float64) for _ in range(2))
    line[..., 10, :] = 1.0
    dot[..., 10, 10] = 1.0
    loss = on_pixels("specks", line)
    assert value(loss, line) == 0
    assert value(loss, dot) == near(0.25 / 18**2)


def test_a_frame_is_a_border_and_the_middle_is_not() -> None:
    framed, centered = (torch.full((1, 3, 64, 64), 0.5, dtype=torch.float64) for _ in range(2))
    framed[..., :2, :] = 0.0
    centered[..., 30:34, 30:34] = 0.0
    loss = on_pixels("border", framed)
    assert value(loss, centered) == 0
    # The step lies across one side; each of its 64 pixels and 3 channels counts 0.25.
    assert value(loss, framed) == near(64 * 3 * 0.25 / (6 * 8 * 128))


def test_regions_of_a_summary_add_up() -> None:
    canvas, target = noise(2, 64, 64), picture(1, 64, 64)
    loss = on_pixels("anchor", target)
    whole = loss.summarize(canvas, {}, TileWindow.whole(64, 64))
    halves = [TileWindow(64, 64, 0, 0, 32, 64), TileWindow(64, 64, 32, 0, 64, 64, 16, 0)]
    parts = [loss.summarize(canvas[..., window.read_top :, :], {}, window) for window in halves]
    scale = float(whole.abs().max())
    assert torch.allclose(parts[0] + parts[1], whole, rtol=0, atol=ROUNDING * scale)
