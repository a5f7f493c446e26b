"""What the network sees of a picture: its content from single layers, its style from growing sets of layers, on one
sheet.

In: a picture. Out: the sheet after figure 1 of Gatys, Ecker & Bethge, CVPR 2016: above, pictures found from noise
that have the same features in one layer; below, pictures that have the same style statistics in the first one, two,
... layers, whatever lies where. Departure: the noise has the picture's colors, and the default loss and optimizer
of this program are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.api import Inputs, iter_run, last
from impasto.imaging import contact_sheet, images
from impasto.options import recipes
from impasto.options.layer_names import check_layers
from impasto.run.target_cache import TargetCache

SIZE = "192"
STEPS = 60


@dataclass(frozen=True)
class Reconstruction:
    """A picture found from what a layer, or a set of layers joined with ``+``, keeps; ``kind`` is content or style."""

    kind: str
    layers: str
    number: int
    count: int
    pixels: NDArray[np.float32]


def iter_anatomy(
    picture: Any,
    output: str | Path,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    *,
    cache: TargetCache | None = None,
    **options: Any,
) -> Iterator[Reconstruction]:
    """Reconstruct a picture from what single layers keep, and draw the sheet at the end.

    Args:
        picture: path, array, tensor or PIL image.
        output: where the sheet goes.
        content_layers: one reconstruction each.
        style_layers: one reconstruction for the first, the first two, and so on.
        cache: what other runs have prepared.
        options: such as ``size``, ``steps`` and ``seed``; the strength and the layers are set here.

    Raises:
        InputError: the picture, a layer or an option cannot be used.
    """
    check_layers(content_layers, option="content_from")
    check_layers(style_layers, option="style_from")
    target = images.check_output(output, [picture])
    source = images.load(picture)
    usual = {"size": SIZE, "steps": STEPS, "init": "style", "scales": 1}
    sets = ["+".join(style_layers[: count + 1]) for count in range(len(style_layers))]
    first = style_layers[0]  # what weighs nothing is given a layer that is computed anyway
    plans = [
        ("content", layer, {"strength": 0.0, "content_layers": layer, "style_layers": layer})
        for layer in content_layers
    ]
    plans += [("style", layers, {"strength": 1.0, "style_layers": layers, "content_layers": first}) for layers in sets]
    chosen = [recipes.resolve(**{**usual, **options, **settings}) for _, _, settings in plans]
    cache = cache or TargetCache()
    found: dict[str, list[NDArray[np.float32]]] = {"content": [], "style": []}
    for number, ((kind, layers, _), resolved) in enumerate(zip(plans, chosen, strict=True), start=1):
        pixels = last(iter_run(Inputs(source, source), resolved, cache=cache)).pixels
        found[kind].append(pixels)
        yield Reconstruction(kind, layers, number, len(plans), pixels)
    captions = [list(content_layers), [f"up to {layer}" for layer in style_layers]]
    columns = max(len(row) for row in captions)
    shown = [*found["content"]], [*found["style"]]
    drawn = contact_sheet.draw(
        [[*row, *[None] * (columns - len(row))] for row in shown],
        ["content", "style"],
        [""] * columns,
        [[*row, *[""] * (columns - len(row))] for row in captions],
    )
    images.save(target, drawn)
