"""Masks: the pixels to which a style, a color or protection applies.

Mask images (white is inside, gray is partly inside), label images (one color per region) and alpha become tensors ``[1,
1, H, W]`` in [0, 1], and for each layer of the network the weight of its positions. Masks as weights of the statistics:
Gatys et al., CVPR 2017, section 4; label images in pairs: Champandard, "Semantic style transfer and turning two-bit
doodles into fine artworks", 2016. Difference from the paper: a layer's mask is eroded by its receptive field, as far as
enough of the region is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError, OptionError
from impasto.imaging import images
from impasto.imaging.images import PictureLike

ASPECT_TOLERANCE = 0.01
# Colors of a label image nearer than this (of 442, RGB distance) are one label; JPEG noise stays below.
SAME_LABEL = 48.0
WHITE = 250.0  # levels from which a content label without a match takes the whole style
SMALLEST_LABEL = 0.001  # of the pixels; rarer colors are noise
MIN_LEFT = 0.4  # of a region's weight that an erosion must leave


def load_mask(source: PictureLike, size: tuple[int, int], name: str) -> Tensor:
    """Load a mask.

    Args:
        source: an image as ``images.load`` takes it, or an array ``[H, W]`` of booleans; white is in. An image whose
            transparency varies and whose color does not is read by its alpha.
        size: ``(height, width)`` in px of the image that it belongs to; the mask may have any size of that shape.
        name: what to call it in messages.

    Returns:
        ``[1, 1, h, w]`` float32 in [0, 1], at its own size.

    Raises:
        ImageError: not an image, another shape, or zero everywhere.
    """
    if isinstance(source, np.ndarray) and source.dtype == np.bool_:
        source = source.astype(np.float32)
    picture = images.load(source)
    check_aspect(picture.size, size, name)
    values = picture.pixels.mean(-1, dtype=np.float32)
    if picture.alpha is not None:
        values = picture.alpha if np.ptp(picture.pixels) < 1e-3 else values * picture.alpha
    if not values.max() > 0:
        raise ImageError(f"{name} is zero everywhere: paint the area where it applies in white")
    return torch.from_numpy(np.ascontiguousarray(values))[None, None]


def check_aspect(mask: tuple[int, int], size: tuple[int, int], name: str) -> None:
    """Reject a mask whose aspect ratio is more than 1% off its image's; one px of rounding is allowed.

    Raises:
        ImageError: naming both sizes.
    """
    (h, w), (height, width) = mask, size
    off = abs(w * height / (h * width) - 1)
    rounded = abs(w - h * width / height) <= 1 or abs(h - w * height / width) <= 1
    if off > ASPECT_TOLERANCE and not (rounded and off < 0.05):
        raise ImageError(
            f"{name} is {w}x{h} px and its image {width}x{height}: the aspect ratio differs by {off:.1%}, more than "
            "1%; save the mask at the size of the image"
        )


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a mask at another size, antialiased; masks that sum to one still do."""
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    return functional.interpolate(mask, tuple(size), mode="bilinear", antialias=True).clamp(0, 1)


def share_out(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return masks that sum to one wherever two or more of them meet, and to at most one elsewhere.

    Args:
        masks: ``[1, 1, H, W]`` in [0, 1], of one size.
    """
    if not masks:
        return []
    stacked = torch.cat(list(masks))  # [R, 1, H, W]
    total = stacked.sum(0, keepdim=True)
    meeting = (stacked > 0).sum(0, keepdim=True) > 1
    divisor = torch.where(meeting, total, total.clamp(min=1)).clamp(min=1e-6)
    return list(torch.split(stacked / divisor, 1))


def layer_masks(mask: Tensor, strides: Mapping[str, int], radii: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the weight of each layer's positions.

    A position counts as far as its receptive field is inside the region: the mask is eroded by a third of the layer's
    receptive field, or by as much of it as leaves two fifths of the region. The caller normalizes by each map's sum.

    Args:
        mask: ``[1, 1, H, W]`` in [0, 1] at the canvas's size.
        strides: px between two positions, by layer.
        radii: how many px beyond its cell a position sees, by layer.

    Returns:
        ``[1, 1, H // s, W // s]`` by layer, zero outside the region, never zero everywhere unless the mask is.
    """
    height, width = mask.shape[-2:]
    maps = {}
    for layer, step in strides.items():
        cut = mask[..., : height // step * step, : width // step * step]
        means = functional.avg_pool2d(cut, step) if step > 1 else cut
        # Beyond a third of the theoretical receptive field the effective weights are negligible.
        reach = round(radii[layer] / 3 / step)
        maps[layer] = _eroded_gently(means, reach)
    return maps


def _eroded_gently(cells: Tensor, reach: int) -> Tensor:
    before = float(cells.sum())
    while reach > 0:
        eroded = erode(cells, reach)
        if float(eroded.sum()) >= MIN_LEFT * before:
            return eroded
        reach //= 2
    return cells


def erode(mask: Tensor, reach: int) -> Tensor:
    """Return the least value within ``reach`` cells of each; the region is extended beyond the image's edge."""
    if reach < 1:
        return mask
    size = 2 * reach + 1
    across = functional.max_pool2d(-mask, (1, size), 1, (0, reach))
    return -functional.max_pool2d(across, (size, 1), 1, (reach, 0))


def fill_hidden(picture: Tensor, alpha: Tensor) -> Tensor:
    """Return an image whose transparent pixels continue the visible ones, so that no hidden color reaches the
    network.

    Args:
        picture: ``[1, 3, H, W]``.
        alpha: ``[1, 1, H, W]`` in [0, 1], not zero everywhere.
    """
    seen = (alpha > 0).to(picture)
    return torch.where(seen > 0, picture, _continued(picture * seen, seen))


def _continued(color: Tensor, weight: Tensor) -> Tensor:
    """Average coarser and coarser until everything is covered, then fill the holes from coarse to fine."""
    if float(weight.min()) > 0 or max(weight.shape[-2:]) == 1:
        return color / weight.clamp(min=1e-6)
    halved = [functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (color, weight)]
    coarse = _continued(halved[0], halved[1])
    coarse = functional.interpolate(coarse, tuple(color.shape[-2:]), mode="bilinear", align_corners=False)
    return color + (1 - weight.clamp(0, 1)) * coarse


def pair_labels(
    content: PictureLike, style: PictureLike, content_size: tuple[int, int], style_size: tuple[int, int]
) -> tuple[list[tuple[str, Tensor, Tensor]], list[str]]:
    """Return the regions that two label images share: equal colors pair up.

    Args:
        content, style: label images, one flat color a region; transparent pixels belong to none. White of the
            content that is missing from the style's takes the whole style.
        content_size, style_size: ``(height, width)`` of the images that they belong to.

    Returns:
        ``(name, content mask, style mask)`` by label, the largest first, masks ``[1, 1, H, W]`` of 0 and 1; and notes
        for the user, such as how many pixels were snapped to the nearest label.

    Raises:
        ImageError: a label image of another shape than its image.
        OptionError: a color of the content's labels is missing from the style's.
    """
    notes: list[str] = []
    sides = []
    for source, size, name in (
        (content, content_size, "the content's label image"),
        (style, style_size, "the style's label image"),
    ):
        picture = images.load(source)
        check_aspect(picture.size, size, name)
        levels = np.round(picture.pixels * 255).astype(np.int32)
        there = np.ones(picture.size, bool) if picture.alpha is None else picture.alpha >= 0.5
        if not there.any():
            raise ImageError(f"{name} is transparent everywhere: paint each region in a flat color")
        colors, indices, snapped = _snap(levels, there)
        if snapped:
            notes.append(
                f"{snapped} px of {name} ({snapped / there.sum():.1%}) have a color near a label and were given "
                f"to the nearest of {len(colors)}: PNG keeps labels exact, JPEG does not"
            )
        sides.append((colors, indices))
    (colors, indices), (style_colors, style_indices) = sides
    pairs = []
    for number, color in enumerate(colors):
        distances = np.sqrt(((style_colors - color) ** 2).sum(-1))
        partner = int(distances.argmin())
        missing = bool(distances[partner] > SAME_LABEL)
        if missing and color.min() < WHITE:
            known = ", ".join(_hex(c) for c in style_colors)
            raise OptionError(
                f"label {_hex(color)} of the content ({(indices == number).mean():.1%} of it) has no match "
                f"in the style's label image, which has {known}: add it there, "
                "or make those pixels transparent to leave them unchanged",
                "labels",
            )
        chosen = np.ones_like(style_indices, bool) if missing else style_indices == partner
        pairs.append((_hex(color), _binary(indices == number), _binary(chosen)))
    return pairs, notes


def _snap(levels: NDArray[np.int32], there: NDArray[np.bool_]) -> tuple[NDArray[np.generic], NDArray[np.intp], int]:
    """Return the label colors, each pixel's label (-1 for none), and how many pixels were of another color."""
    packed = levels[..., 0] << 16 | levels[..., 1] << 8 | levels[..., 2]
    values, inverse, counts = np.unique(packed[there], return_inverse=True, return_counts=True)
    unique = np.stack([values >> 16, values >> 8 & 255, values & 255], -1).astype(np.float64)
    # Only flat areas define a label: the mixed colors along an edge are not labels.
    flat = np.bincount(inverse.ravel()[_is_flat(levels)[there]], minlength=len(values))
    votes = flat if flat.any() else counts
    labels: list[int] = []
    for position in np.argsort(-votes, kind="stable"):
        if labels and votes[position] < SMALLEST_LABEL * there.sum():
            break
        if all(((unique[position] - unique[k]) ** 2).sum() > SAME_LABEL**2 for k in labels):
            labels.append(int(position))
    colors = unique[labels]
    # Distances label by label: there are few labels and, after JPEG, many colors.
    distances = np.stack([((unique - color) ** 2).sum(-1) for color in colors])
    nearest = distances.argmin(0)
    indices = np.full(there.shape, -1, np.intp)
    indices[there] = nearest[inverse.ravel()]
    snapped = int(counts[distances.min(0) > 0].sum())
    return colors, indices, snapped


def _is_flat(levels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return where a pixel and its neighbors have nearly one color, ``[H, W]``."""
    planes = torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)[None]
    spread = functional.max_pool2d(planes, 3, 1, 1) + functional.max_pool2d(-planes, 3, 1, 1)
    return np.asarray((spread.amax(1)[0] <= SAME_LABEL / 2).numpy(), bool)


def _hex(color: NDArray[np.generic]) -> str:
    return "#" + "".join(f"{int(value):02x}" for value in color)


def _binary(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
