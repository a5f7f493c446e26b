"""Hatched ink: a pen drawing of hills under a low sun, on warm paper.

In come a long side in pixels and a seed; out goes an sRGB image, the same for the same two. Drawn at twice the size
and reduced, so that pen lines end softly.
"""

from __future__ import annotations

import numpy as np

from sample_styles.brush import OVERSAMPLING, Bytes, Floats, reduced, smooth_noise

CLOUD, BUSH = 1000, 2000  # the kinds of round forms, added to their number


def _lumps(height: int, width: int, rng: np.random.Generator) -> list[tuple[float, float, float, int]]:
    """Return round forms as (x, y, radius, id), back to front: clouds in the sky, then bushes down the hills."""
    lumps = []
    for centre_x, centre_y, size in ((0.20, 0.17, 0.085), (0.60, 0.10, 0.06), (0.90, 0.27, 0.075)):
        for _ in range(9):
            x = centre_x + rng.normal(0, 0.065)
            radius = size * rng.uniform(0.45, 1.0) * max(0.4, 1 - abs(x - centre_x) * 6)
            lumps.append((x * width, (centre_y + rng.normal(0, 0.012)) * height, radius * height, CLOUD))
    bushes = []
    for _ in range(46):
        depth = rng.random() ** 0.8
        bushes.append((rng.random() * width, (0.52 + 0.50 * depth) * height, (0.016 + 0.07 * depth) * height, BUSH))
    for bush_x, bush_y, radius, kind in sorted(bushes, key=lambda bush: bush[1]):
        for _ in range(4):
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
            x, y = bush_x + np.cos(angle) * reach * radius, bush_y + np.sin(angle) * reach * radius * 0.7
            lumps.append((x, y, radius * rng.uniform(0.6, 0.85), kind))
    return lumps


def _landscape(height: int, width: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Return a landscape to draw: tone (0 dark to 1 light), pen angle, bulge and form number, each ``[H, W]``."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = columns / height, rows / height
    from_sun = np.hypot(x - 0.98, y - 0.30)
    tone = np.clip(0.42 + 0.55 * y + 0.10 * smooth_noise(height, width, height / 5, rng), 0.3, 0.86)
    tone = np.where(from_sun < 0.11, 1.0, np.maximum(tone, 1.12 - 1.7 * from_sun))
    angle = np.full_like(x, 0.04)
    bulge = 0.030 * smooth_noise(height, width, height / 3, rng)
    form = np.where(from_sun < 0.11, 1.0, 0.0)
    for index in range(6):
        crest = 0.44 + 0.10 * index + 0.045 * np.sin(x[0] * (3.1 + index) + index * 2.2 + rng.uniform(0, 3))
        crest += 0.022 * smooth_noise(1, width, height / 7, rng)[0]
        inside = y > crest
        fall = np.clip((y - crest) / 0.2, 0, 1)
        slope = np.gradient(crest)[None, :] * height
        shade = 0.80 - 0.45 * fall + 0.45 * slope + 0.09 * smooth_noise(height, width, height / 9, rng) - 0.03 * index
        tone = np.where(inside, shade, tone)
        angle = np.where(inside, (0.5, -0.35, 0.75, -0.6, 0.35, -0.8)[index], angle)
        bulge = np.where(inside, 0.10 * np.sqrt(fall) - 0.8 * (crest[None, :] - 0.5), bulge)
        form = np.where(inside, 2.0 + index, form)
    for number, (at_x, at_y, radius, kind) in enumerate(_lumps(height, width, rng)):
        top, left = max(0, int(at_y - 1.1 * radius)), max(0, int(at_x - 1.1 * radius))
        box = np.s_[top : max(0, int(at_y + 1.1 * radius) + 1), left : max(0, int(at_x + 1.1 * radius) + 1)]
        across, down = (columns[box] - at_x) / radius, (rows[box] - at_y) / radius
        rim = 1 + 0.05 * np.sin(np.arctan2(down, across) * 9 + number)
        inside = np.hypot(across, down) < rim
        dome = np.sqrt(np.clip(1 - (across**2 + down**2) / rim**2, 0, 1))
        facing = -0.1 * across - 0.75 * down + 0.55 * dome + 0.35 * across * (at_x < 0.7 * width)
        tone[box][inside] = ((0.66 + 0.42 * facing) if kind == CLOUD else (0.20 + 0.75 * facing))[inside]
        angle[box][inside] = 0.4 if kind == CLOUD else 0.9
        bulge[box][inside] = (dome * radius / height * 0.8)[inside]
        form[box][inside] = kind + number
    return np.clip(tone, 0.07, 1), angle, bulge, form


def _hatching(tone: Floats, angle: Floats, bulge: Floats, unit: float, rng: np.random.Generator) -> Floats:
    """Return ``[H, W]`` ink (0 to 1): one family of lines after another, each where the tone is dark enough."""
    height, width = tone.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    ink = np.zeros_like(tone)
    for turn, spacing, start in ((0.0, 11.0, 0.86), (1.05, 11.0, 0.60), (-0.75, 10.0, 0.42), (1.7, 9.0, 0.24)):
        pitch = spacing * unit
        tremble = smooth_noise(height, width, 46 * unit, rng) * 0.9 * unit
        across = rows * np.cos(angle + turn) - columns * np.sin(angle + turn) + bulge * height + tremble
        number = np.floor(across / pitch).astype(np.int64)
        crowding = np.clip(np.hypot(*np.gradient(across)), 0.6, 4.0)  # where lines run closer, they are finer
        away = np.abs(across / pitch - number - 0.5) * pitch / crowding
        jitter = rng.normal(0, 0.035, 4096)[number % 4096]  # each line begins and ends a little elsewhere
        need = start - tone + jitter + 0.05 * smooth_noise(height, width, 26 * unit, rng)
        half = (0.8 + 3.4 * np.clip(need, 0, 0.6)) * np.clip(need / 0.04, 0, 1) * unit / np.sqrt(crowding)
        half *= 1 + 0.18 * smooth_noise(height, width, 18 * unit, rng)
        ink = np.maximum(ink, np.clip(half - away + 0.5, 0, 1) * (need > 0))
    return ink


def hatched_ink(long_side: int = 768, seed: int = 11) -> Bytes:
    """Draw hills under a low sun with a pen, the darker the place the more layers of hatching.

    Args:
        long_side: the width in pixels; the height is three quarters of it.
        seed: of the landscape and the hand's unsteadiness.

    Returns:
        ``[H, W, 3]`` uint8, sRGB.
    """
    import cv2

    rng = np.random.default_rng(seed)
    width, height = long_side * OVERSAMPLING, round(long_side * 0.75) * OVERSAMPLING
    unit = width / 1536
    tone, angle, bulge, form = _landscape(height, width, rng)
    ink = _hatching(tone, angle, bulge, unit, rng)

    edge = np.zeros(form.shape, np.uint8)
    edge[:, 1:] |= (form[:, 1:] != form[:, :-1]).astype(np.uint8)
    edge[1:] |= (form[1:] != form[:-1]).astype(np.uint8)
    away = cv2.distanceTransform(1 - edge, cv2.DIST_L2, 5)
    pressure = 1.7 + 1.1 * smooth_noise(height, width, 60 * unit, rng) + 1.6 * (0.6 - tone)
    ink = np.maximum(ink, np.clip(np.clip(pressure, 0.5, 4.5) * unit - away + 0.5, 0, 1))

    grain = smooth_noise(height, width, 3, rng) * 2.2 + smooth_noise(height, width, 120 * unit, rng) * 3.0
    paper = np.array([239.0, 224.0, 192.0]) + grain[..., None] * np.array([1.0, 1.1, 1.5])
    flow = np.clip(0.90 + 0.07 * smooth_noise(height, width, 9 * unit, rng), 0.6, 1)  # the pen runs now wet, now dry
    cover = (ink * flow)[..., None]
    drawn = paper * (1 - cover) + np.array([30.0, 24.0, 34.0]) * cover
    picture = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    return reduced(picture)
