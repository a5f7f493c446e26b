"""Brush strokes: paths along a field of directions, laid down bristle by bristle and lit from the side.

In come paths in pixels with a width and a color each; out goes an sRGB image. A canvas is ``[H, W, 4]`` uint8, the
fourth channel being the height of the paint, which ``light`` turns into the relief that a thick stroke has. The
layering from broad to fine follows A. Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes"
(SIGGRAPH 1998), section 2; the departures: colors come from a function and not from a photograph, strokes are bundles
of bristles and not circles swept along a spline, and the relief is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Field = Callable[[Floats], Floats]

SUBPIXEL_BITS = 4
OVERSAMPLING = 2  # images are painted this much larger and reduced


@dataclass(frozen=True)
class Brush:
    """How a layer of strokes is laid down; lengths in canvas pixels.

    ``bristles`` share a stroke's width. ``streak`` is how far their colors differ (0 to 255), ``ragged`` the part of
    the length over which they start and lift, ``dry`` the share that carries no paint, ``load`` the paint's height.
    """

    bristles: int = 8
    streak: float = 14.0
    ragged: float = 0.12
    dry: float = 0.06
    load: float = 40.0


def new_canvas(height: int, width: int, color: tuple[int, int, int]) -> Bytes:
    """Return an even ground.

    Args:
        height: rows in pixels.
        width: columns in pixels.
        color: sRGB, 0 to 255.

    Returns:
        ``[H, W, 4]`` uint8: red, green, blue and the paint's height.
    """
    canvas = np.empty((height, width, 4), np.uint8)
    canvas[:] = (*color, 96)
    return canvas


def smooth_noise(height: int, width: int, cell: float, rng: np.random.Generator) -> Floats:
    """Return noise without edges finer than a cell.

    Args:
        height: rows in pixels.
        width: columns in pixels.
        cell: the distance between independent values, in pixels.
        rng: where the randomness comes from.

    Returns:
        ``[H, W]`` with mean near 0 and deviation near 1.
    """
    import cv2

    rows, columns = int(np.ceil(height / cell)) + 3, int(np.ceil(width / cell)) + 3
    coarse = rng.standard_normal((rows, columns))
    fine = cv2.resize(coarse, (int(columns * cell), int(rows * cell)), interpolation=cv2.INTER_CUBIC)
    margin = int(cell)
    return np.asarray(fine[margin : margin + height, margin : margin + width], np.float64) * 1.3


def sample(grid: Floats, points: Floats) -> Floats:
    """Return a grid's values at the nearest pixels.

    Args:
        grid: ``[H, W]`` or ``[H, W, C]``.
        points: ``[..., 2]`` as (x, y) in pixels; points outside take the border's value.

    Returns:
        ``[...]`` or ``[..., C]``.
    """
    columns = np.clip(points[..., 0], 0, grid.shape[1] - 1).astype(np.intp)
    rows = np.clip(points[..., 1], 0, grid.shape[0] - 1).astype(np.intp)
    return np.asarray(grid[rows, columns])


def scatter(height: int, width: int, spacing: float, rng: np.random.Generator) -> Floats:
    """Return points on a jittered grid in random order, so that strokes cover evenly and show no rows.

    Args:
        height: rows in pixels.
        width: columns in pixels.
        spacing: the mean distance of neighbors in pixels.
        rng: where the randomness comes from.

    Returns:
        ``[N, 2]`` as (x, y).
    """
    xs, ys = np.meshgrid(np.arange(0, width + spacing, spacing), np.arange(0, height + spacing, spacing))
    points = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64)
    points += rng.uniform(-0.7, 0.7, points.shape) * spacing
    return np.asarray(rng.permutation(points))


def trace(field: Field, starts: Floats, length: float, points: int) -> Floats:
    """Follow a field of directions both ways from each start.

    Args:
        field: maps ``[N, 2]`` positions to ``[N, 2]`` unit directions.
        starts: ``[N, 2]`` as (x, y), the middle of each path.
        length: of each path, in pixels.
        points: on each path, odd.

    Returns:
        ``[N, points, 2]``.
    """
    half = points // 2
    step = length / (points - 1)
    paths = np.empty((len(starts), points, 2))
    paths[:, half] = starts
    for way in (-1, 1):
        position = starts.copy()
        heading = field(position) * way
        for index in range(1, half + 1):
            direction = field(position + heading * (step / 2))  # the midpoint rule keeps spirals from opening
            against = np.sum(direction * heading, axis=1, keepdims=True) < 0
            heading = np.where(against, -direction, direction)
            position = position + heading * step
            paths[:, half + way * index] = position
    return paths


def normals(paths: Floats) -> Floats:
    """Return unit vectors across each path, ``[N, T, 2]`` for ``[N, T, 2]``."""
    along = np.gradient(paths, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True) + 1e-9
    return np.stack([-along[..., 1], along[..., 0]], axis=2)


def stroke(
    canvas: Bytes, paths: Floats, widths: Floats, colors: Floats, brush: Brush, rng: np.random.Generator
) -> None:
    """Lay strokes onto a canvas in the order given.

    Args:
        canvas: ``[H, W, 4]`` uint8, painted over.
        paths: ``[N, T, 2]`` as (x, y) in pixels.
        widths: ``[N]`` in pixels.
        colors: ``[N, 3]`` sRGB, 0 to 255.
        brush: how bristles differ.
        rng: where the randomness comes from.
    """
    import cv2

    count, points, _ = paths.shape
    across = np.linspace(-0.5, 0.5, brush.bristles)
    along = np.linspace(0, 1, points)
    swell = np.clip(np.minimum(along, 1 - along) * 6, 0, 1) ** 0.5 * 0.7 + 0.3  # narrower where it lands and lifts
    wobble = rng.normal(0, 0.25 / brush.bristles, (count, brush.bristles))
    offsets = (across + wobble) * (widths[:, None] * (1 - 1 / brush.bristles))  # [N, B]
    lanes = paths[:, None] + normals(paths)[:, None] * (offsets[:, :, None] * swell)[..., None]  # [N, B, T, 2]
    fixed = np.rint(lanes * (1 << SUBPIXEL_BITS)).astype(np.int32)

    streaks = rng.normal(0, brush.streak, (count, brush.bristles, 1)) * np.array([1.0, 1.0, 0.8])
    ridge = (2 * np.abs(across)) ** 3 * 0.8  # paint is pushed to the rim of a stroke
    heights = 110 + brush.load * (rng.normal(0, 0.7, (count, brush.bristles)) + ridge + rng.normal(0, 0.4, (count, 1)))
    paint = np.concatenate([colors[:, None] + streaks, heights[..., None]], axis=2)
    paint = np.clip(paint, 0, 255).astype(int)

    lift = round(brush.ragged * points)
    first = rng.integers(0, lift + 1, (count, brush.bristles))
    last = points - rng.integers(0, lift + 1, (count, brush.bristles))
    wet = rng.random((count, brush.bristles)) >= brush.dry
    thickness = np.maximum(1, np.rint(widths / brush.bristles * 1.35)).astype(int)
    order = np.argsort(rng.random((count, brush.bristles)), axis=1)
    for n in range(count):
        for b in order[n]:
            if wet[n, b]:
                lane = fixed[n, b, first[n, b] : last[n, b]]
                tint = paint[n, b].tolist()
                cv2.polylines(canvas, [lane], False, tint, int(thickness[n]), cv2.LINE_AA, SUBPIXEL_BITS)


def light(canvas: Bytes, depth: float, weave: Floats | None = None) -> Bytes:
    """Return the image as seen with a lamp at the upper left.

    Args:
        canvas: ``[H, W, 4]`` uint8.
        depth: how strongly the relief shades; 0 gives flat paint.
        weave: ``[H, W]`` added to the paint's height, for the cloth below.

    Returns:
        ``[H, W, 3]`` uint8, sRGB.
    """
    import cv2

    height: NDArray[np.float32] = canvas[..., 3].astype(np.float32)
    if weave is not None:
        height = height + weave.astype(np.float32)
    height = np.asarray(cv2.GaussianBlur(height, (0, 0), 1.0), np.float32)
    slope = np.asarray(cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1), np.float32)
    shade = np.tanh(slope / 160.0)[..., None] * depth
    color = canvas[..., :3].astype(np.float32)
    lit = np.where(shade > 0, color + (255 - color) * shade * 0.45, color * (1 + shade))
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)


def linen(height: int, width: int, depth: float) -> Floats:
    """Return the height of a plain-woven cloth, ``[H, W]`` within plus and minus ``depth``."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(depth * (np.sin(rows * 1.25) * np.sin(columns * 1.25)))


def reduced(picture: Bytes) -> Bytes:
    """Return an image at its final size: ``[H, W, 3]`` for one ``OVERSAMPLING`` times as large."""
    import cv2

    size = (picture.shape[1] // OVERSAMPLING, picture.shape[0] // OVERSAMPLING)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def ramp(stops: Floats, position: Floats) -> Floats:
    """Return colors between stops.

    Args:
        stops: ``[N, 4]``, each a position in 0..1 and a color.
        position: ``[...]`` in 0..1.

    Returns:
        ``[..., 3]`` in the stops' units.
    """
    return np.stack([np.interp(position, stops[:, 0], stops[:, c]) for c in (1, 2, 3)], axis=-1)
