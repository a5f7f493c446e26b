"""Ember dabs: an evening by the water in dabs of divided color.

In come a long side in pixels and a seed; out goes an sRGB image, the same for the same two. Painted at twice the
size and reduced, so that bristles end softly.
"""

from __future__ import annotations

import numpy as np

from sample_styles.brush import (
    OVERSAMPLING,
    Brush,
    Bytes,
    Floats,
    light,
    linen,
    new_canvas,
    ramp,
    reduced,
    sample,
    scatter,
    smooth_noise,
    stroke,
    trace,
)

EMBER_SKY = np.array(
    [
        [0.00, 255, 240, 176],
        [0.10, 255, 214, 104],
        [0.22, 250, 160, 58],
        [0.38, 232, 92, 48],
        [0.55, 186, 48, 70],
        [0.75, 120, 40, 104],
        [1.00, 62, 34, 96],
    ]
)
EMBER_SUN = (0.84, 0.40)
EMBER_SHORE = 0.60


def _ember_colors(points: Floats, scale: float, crest: Floats) -> tuple[Floats, Floats]:
    """Return what an evening by the water looks like at some points: colors and the dabs' directions."""
    x, y = points[..., 0] / scale, points[..., 1] / scale
    sun_x, sun_y = EMBER_SUN
    away = np.hypot(x - sun_x, (y - sun_y) * 1.25)
    color = ramp(EMBER_SKY, np.clip(away * 1.05 + 0.05 * np.sin(9 * y + 4 * np.sin(3 * x)), 0, 1))
    color = np.where((away < 0.085)[..., None], np.array([255.0, 238.0, 168.0]), color)
    along = np.stack([-(y - sun_y) * 1.25, x - sun_x], axis=-1) + np.array([0.25, 0.0])

    ridge = sample(crest, np.stack([points[..., 0], np.zeros_like(x)], axis=-1))
    hill = (y > ridge) & (y < EMBER_SHORE)
    glow = np.clip(1 - np.abs(x - sun_x) * 1.6, 0, 1)[..., None]
    slope = np.array([74.0, 34.0, 92.0]) * (1 - glow) + np.array([168.0, 52.0, 62.0]) * glow
    color = np.where(hill[..., None], slope, color)
    along = np.where(hill[..., None], np.array([1.0, -0.35]), along)

    water = y >= EMBER_SHORE
    mirrored = np.hypot(x - sun_x, (2 * EMBER_SHORE - y - sun_y) * 0.8)
    calm = ramp(EMBER_SKY, np.clip(mirrored * 1.05 + 0.14, 0, 1)) * 0.86
    path = np.exp(-(((x - sun_x - 0.02 * np.sin(40 * y)) / (0.05 + 0.16 * (y - EMBER_SHORE))) ** 2))[..., None]
    calm = calm * (1 - 0.75 * path) + np.array([255.0, 206.0, 110.0]) * 0.75 * path
    swell = (0.5 + 0.5 * np.sin(95 * y * y + 3 * np.sin(5 * x)))[..., None]
    calm = calm * (0.66 + 0.34 * swell) + np.array([60.0, 30.0, 96.0]) * 0.3 * (1 - swell)
    color = np.where(water[..., None], calm, color)
    along = np.where(water[..., None], np.stack([np.ones_like(x), 0.16 * np.cos(9 * x + 30 * y)], axis=-1), along)
    return color, along / (np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9)


def ember_dabs(long_side: int = 768, seed: int = 5) -> Bytes:
    """Paint an evening by the water in dabs of red, ochre and violet.

    Args:
        long_side: the width in pixels; the height is three quarters of it.
        seed: of every choice the brush makes.

    Returns:
        ``[H, W, 3]`` uint8, sRGB.
    """
    rng = np.random.default_rng(seed)
    width, height = long_side * OVERSAMPLING, round(long_side * 0.75) * OVERSAMPLING
    unit = width / 1536
    crest = 0.52 + 0.035 * smooth_noise(1, width, 150 * unit, rng) + 0.012 * smooth_noise(1, width, 40 * unit, rng)
    canvas = new_canvas(height, width, (84, 36, 74))

    def field(points: Floats) -> Floats:
        return _ember_colors(points, height, crest)[1]

    accents = np.array([[70, 70, 168], [255, 232, 140], [206, 34, 50], [146, 60, 140], [246, 140, 40], [52, 120, 140]])
    for broad, length, spacing, bristles, strays in (
        (44, 84, 30, 12, 0.1),
        (27, 52, 18, 8, 0.16),
        (17, 32, 16, 6, 0.24),
    ):
        starts = scatter(height, width, spacing * unit, rng)
        tint = _ember_colors(starts, height, crest)[0]
        # Divided color: a stray dab leans toward a pure pigment, and the eye mixes it with its neighbors.
        stray = (rng.random(len(starts)) < strays * (1.25 - tint.mean(axis=1) / 255))[:, None] * rng.uniform(
            0.35, 0.8, (len(starts), 1)
        )
        tint = tint * (1 - stray) + accents[rng.integers(0, len(accents), len(starts))] * stray
        tint = tint * rng.normal(1, 0.11, (len(starts), 1)) + rng.normal(0, 11, (len(starts), 3))
        widths = broad * unit * rng.uniform(0.55, 1.25, len(starts))
        paths = trace(field, starts, length * unit, 7)
        stroke(canvas, paths, widths, tint, Brush(bristles=bristles, streak=11, ragged=0.2, load=38), rng)
    return reduced(light(canvas, 0.6, linen(height, width, 6)))
