"""Blue swirls: oil in ribbons that wind around vortices.

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

# (x, y, reach, arms): the place in units of the height, how tightly ribbons wind (the sign turns them), and how many
# ribbons run into the eye; whole numbers keep the ribbons closed around it.
VORTICES = (
    (0.40, 0.42, 1.55, 2),
    (0.97, 0.66, -1.45, 2),
    (0.86, 0.20, 0.95, -1),
    (0.12, 0.86, -0.95, 1),
    (0.60, 0.88, 0.80, -1),
    (1.24, 0.24, -0.80, 1),
    (0.10, 0.14, 0.85, -1),
    (1.26, 0.92, 0.70, -1),
)

# One turn of a ribbon, from its dark outline over the lit crest and back.
RIBBON = np.array(
    [
        [0.00, 6, 12, 52],
        [0.09, 14, 30, 112],
        [0.24, 24, 66, 178],
        [0.40, 30, 118, 206],
        [0.54, 48, 170, 206],
        [0.66, 128, 214, 214],
        [0.75, 238, 244, 226],
        [0.82, 150, 216, 224],
        [0.88, 16, 104, 150],
        [0.94, 10, 34, 96],
        [1.00, 6, 12, 52],
    ]
)
DEEP = np.array(
    [
        [0.00, 6, 10, 44],
        [0.20, 24, 26, 104],
        [0.40, 40, 56, 160],
        [0.58, 52, 92, 196],
        [0.72, 104, 156, 226],
        [0.80, 206, 222, 240],
        [0.86, 40, 70, 160],
        [1.00, 6, 10, 44],
    ]
)
SEA = np.array(
    [
        [0.00, 4, 26, 56],
        [0.20, 6, 66, 100],
        [0.40, 12, 116, 136],
        [0.58, 48, 168, 162],
        [0.70, 150, 218, 190],
        [0.78, 246, 246, 214],
        [0.85, 40, 140, 150],
        [0.93, 6, 50, 84],
        [1.00, 4, 26, 56],
    ]
)


def _swirl_phase(points: Floats, bend: Floats, scale: float) -> tuple[Floats, Floats]:
    """Return the ribbons' phase and the direction along them.

    The phase is that of a product of complex powers of the distance to each eye, so it closes around every eye, its
    level lines are logarithmic spirals there, and between the eyes they part and join.
    """
    x = points[..., 0] / scale + sample(bend[..., 0], points)
    y = points[..., 1] / scale + sample(bend[..., 1], points)
    phase = 1.1 * y + 0.5 * x
    slope_x, slope_y = np.full_like(x, 0.5), np.full_like(x, 1.1)
    for eye_x, eye_y, reach, arms in VORTICES:
        dx, dy = x - eye_x, y - eye_y
        square = dx * dx + dy * dy + 4e-4
        phase = phase + reach * 0.5 * np.log(square) + arms * np.arctan2(dy, dx) / (2 * np.pi)
        turn = arms / (2 * np.pi)
        slope_x = slope_x + (reach * dx - turn * dy) / square
        slope_y = slope_y + (reach * dy + turn * dx) / square
    steep = np.hypot(slope_x, slope_y) + 1e-9
    return phase, np.stack([-slope_y / steep, slope_x / steep], axis=-1)


def blue_swirls(long_side: int = 768, seed: int = 7) -> Bytes:
    """Paint ribbons of blue, teal and white around vortices.

    Args:
        long_side: the width in pixels; the height is three quarters of it.
        seed: of every choice the brush makes.

    Returns:
        ``[H, W, 3]`` uint8, sRGB.
    """
    rng = np.random.default_rng(seed)
    width, height = long_side * OVERSAMPLING, round(long_side * 0.75) * OVERSAMPLING
    unit = width / 1536
    bend = np.stack([smooth_noise(height, width, 190 * unit, rng) * 0.016 for _ in range(2)], axis=-1)
    mood = smooth_noise(height, width, 330 * unit, rng)
    canvas = new_canvas(height, width, (10, 22, 74))

    def field(points: Floats) -> Floats:
        return _swirl_phase(points, bend, height)[1]

    def colors(points: Floats) -> tuple[Floats, Floats]:
        turn = _swirl_phase(points, bend, height)[0] % 1.0
        local = sample(mood, points)[:, None] + rng.normal(0, 0.25, (len(points), 1))
        plain, deep, sea = ramp(RIBBON, turn), ramp(DEEP, turn), ramp(SEA, turn)
        to_sea, to_deep = np.clip(local - 0.2, 0, 1), np.clip(-local - 0.2, 0, 1)
        return plain * (1 - to_sea - to_deep) + sea * to_sea + deep * to_deep, turn

    # (width, length, spacing, bristles, streak, spread of color): broad first, fine last
    for broad, length, spacing, bristles, streak, spread in (
        (46, 210, 40, 16, 9, 10),
        (32, 190, 25, 12, 11, 13),
        (22, 150, 19, 9, 12, 15),
        (13, 110, 24, 6, 13, 18),
    ):
        starts = scatter(height, width, spacing * unit, rng)
        tint, turn = colors(starts)
        order = np.argsort(rng.normal(0, 0.5, len(starts)) + tint.mean(axis=1) / 255)
        starts, tint, turn = starts[order], tint[order], turn[order]
        tint = tint + rng.normal(0, spread, (len(starts), 1)) + rng.normal(0, spread / 2, (len(starts), 3))
        widths = broad * unit * rng.uniform(0.7, 1.25, len(starts))
        paths = trace(field, starts, length * unit, 15)
        stroke(canvas, paths, widths, tint, Brush(bristles=bristles, streak=streak), rng)

    starts = scatter(height, width, 14 * unit, rng)
    _, turn = colors(starts)
    for low, high, tint_of, breadth, reach in (
        (0.96, 1.03, (5, 8, 40), 9.0, 150),  # outlines
        (0.735, 0.765, (250, 250, 236), 9.0, 110),  # crests
        (0.46, 0.49, (92, 206, 222), 7.0, 90),
        (0.30, 0.325, (18, 44, 140), 7.0, 90),
    ):
        chosen = starts[((turn - low) % 1.0) < (high - low)]
        tint = np.array(tint_of) + rng.normal(0, 9, (len(chosen), 3))
        widths = breadth * unit * rng.uniform(0.6, 1.3, len(chosen))
        paths = trace(field, chosen, reach * unit, 13)
        stroke(canvas, paths, widths, tint, Brush(bristles=3, streak=8, load=55), rng)

    return reduced(light(canvas, 0.55, linen(height, width, 5)))
