"""Reconstruct an image from the features of a network, layer by layer.

The result is a contact sheet like figure 1 of Gatys, Ecker & Bethge, CVPR 2016. The upper row shows images that,
starting from noise, were optimized to match the features of one layer; the lower row shows images that match the style
statistics of the first one, two, ... layers. Differences from the paper: the noise has the colors of the image, and
the default loss and optimizer of this program are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from impasto.api import Inputs, iter_run, last
from impasto.imaging import contact_sheet, images
from impasto.imaging.images import PictureLike
from impasto.options import recipes
from impasto.options.layer_names import check_layers
from impasto.options.option_fields import OptionFields
from impasto.run.target_cache import TargetCache

SIZE = "192"
STEPS = 60


@dataclass(frozen=True)
class Reconstruction:
    """An image reconstructed from a layer, or from layers joined with ``+``; ``kind`` is content or style."""

    kind: str
    layers: str
    number: int
    count: int
    pixels: NDArray[np.float32]


def iter_reconstruct(
    picture: PictureLike,
    output: str | Path,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    options: OptionFields | None = None,
    *,
    cache: TargetCache | None = None,
) -> Iterator[Reconstruction]:
    """Reconstruct an image from its features, yield each reconstruction, and write the sheet at the end.

    Args:
        picture: path, array, tensor or PIL image.
        output: file of the sheet.
        content_layers: layers whose content is reconstructed, one by one.
        style_layers: layers whose style is reconstructed: the first one, the first two, and so on.
        cache: networks and targets shared with other runs.
        options: options of the runs, such as ``size``; ``strength`` and the layers are set here.

    Raises:
        InputError: the image, a layer or an option cannot be used.
    """
    check_layers(content_layers, option="content_from")
    check_layers(style_layers, option="style_from")
    target = images.check_output(output, [picture])
    source = images.load(picture)
    usual: dict[str, object] = {"size": SIZE, "steps": STEPS, "init": "style", "scales": 1}
    sets = ["+".join(style_layers[: count + 1]) for count in range(len(style_layers))]
    first = style_layers[0]  # the content loss has weight 0 here, and this layer is computed anyway
    plans = [
        ("content", layer, {"strength": 0.0, "content_layers": layer, "style_layers": layer})
        for layer in content_layers
    ]
    plans += [("style", layers, {"strength": 1.0, "style_layers": layers, "content_layers": first}) for layers in sets]
    chosen = [
        recipes.resolve(**cast(OptionFields, {**usual, **(options or {}), **settings})) for _, _, settings in plans
    ]
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
