"""From a ``RegionSpec`` to tensors: the styles of each region, the frozen pixels, and whose colors are used.

``build_region_tensors`` returns ``RegionTensors`` at the content's own size; ``at`` resizes them to a canvas. Color
modes, saturation, rotation and transparency act on the images here, before the network sees them, so that the loop
optimizes for them and nothing is corrected afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError, OptionError
from impasto.imaging.images import Picture
from impasto.options.fields import Options, limits
from impasto.regions import masks
from impasto.regions.blend import blend_of, parse_numbers
from impasto.regions.color import recolor, saturate
from impasto.regions.faces import face_mask
from impasto.regions.geometry import periodic, resize, rotated
from impasto.regions.spec import LABELS, ONLY, PROTECT, RegionSpec, StyleSpec, check_count, require_picture

REST = "rest"
GRAY_SPREAD = 1.5 / 255  # between the channels of a gray pixel, which may be rounded
_GRAY_BAND = 1 << 20  # pixels that are compared at a time
FEATHER = 0.012  # of the long side: the width of the soft edge of a protected area


@dataclass(frozen=True, eq=False)
class StyleSource:
    """A style after rotation and color changes, with its mask.

    ``picture`` is ``[1, 3, h, w]``, ``mask`` ``[1, 1, h, w]`` or None, ``scale`` the size of its strokes relative to
    the canvas, ``part`` its weight in a blend.
    """

    picture: Tensor
    mask: Tensor | None
    scale: float
    part: float = 1.0


@dataclass(frozen=True, eq=False)
class Region:
    """A region of the canvas, and the styles that paint it.

    ``name`` is empty for a region that is the whole image; ``mask`` is ``[1, 1, H, W]``, None if it is all ones;
    ``lightness_only`` says that colors are not compared.
    """

    name: str
    mask: Tensor | None
    styles: tuple[StyleSource, ...]
    strength: float | None = None
    lightness_only: bool = False


@dataclass(frozen=True, eq=False)
class RegionTensors:
    """Content, regions and maps of a run.

    Maps are ``[1, 1, H, W]``, or None where they would be all zeros: ``frozen_mask`` is how far a pixel is replaced by
    ``frozen_pixels`` (``[1, 3, H, W]``) whatever the canvas holds; in ``content_chroma_mask`` the content's chroma is
    kept and only lightness is compared; in ``protected`` the content weighs more.
    """

    content: Tensor
    regions: tuple[Region, ...]
    protected: Tensor | None = None
    frozen_mask: Tensor | None = None
    frozen_pixels: Tensor | None = None
    content_chroma_mask: Tensor | None = None
    seamless: bool = False
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def maps(self) -> int:
        """Number of maps of the canvas's size; an image counts as three."""
        found = [
            *(region.mask for region in self.regions),
            self.protected,
            self.frozen_mask,
            self.frozen_pixels,
            self.content_chroma_mask,
        ]
        return sum(part.shape[1] for part in found if part is not None)

    def strengths(self) -> dict[str, float]:
        """Return the strengths set for single regions, by the region's name."""
        return {region.name: region.strength for region in self.regions if region.strength is not None}

    def at(self, size: tuple[int, int]) -> RegionTensors:
        """Return a copy with the content and all maps at a canvas's size ``(height, width)``; styles are unchanged."""
        return replace(
            self,
            content=resize(self.content, size),
            regions=tuple(replace(region, mask=_mask_at(region.mask, size)) for region in self.regions),
            protected=_mask_at(self.protected, size),
            frozen_mask=_mask_at(self.frozen_mask, size),
            frozen_pixels=None if self.frozen_pixels is None else resize(self.frozen_pixels, size),
            content_chroma_mask=_mask_at(self.content_chroma_mask, size),
        )


@dataclass
class _PendingRegion:
    """A region before its styles are loaded: their specs, its mask (None: all of it), and a label mask of the style."""

    name: str
    specs: list[StyleSpec]
    share: Tensor | None = None
    label: Tensor | None = None


def without_hidden_colors(picture: Picture, device: torch.device | str = "cpu") -> Tensor:
    """Return an image ``[1, 3, H, W]`` whose transparent pixels continue the visible ones."""
    pixels = tensor(picture.pixels).to(device)
    alpha = _alpha(picture, pixels)
    return pixels if alpha is None else masks.fill_hidden(pixels, alpha)


def single_style(content: Tensor, style: Tensor, scale: float = 1.0) -> RegionTensors:
    """Return the tensors of a run in which one style paints the whole image."""
    return RegionTensors(content, (Region("", None, (StyleSource(style, None, scale),)),))


def _content_tensors(content: Picture, options: Options, device: torch.device | str) -> tuple[Tensor, Tensor | None]:
    """Return the content ``[1, 3, H, W]``, filled where it is transparent, and its alpha ``[1, 1, H, W]`` or None."""
    original = without_hidden_colors(content, device)
    visible = _alpha(content, original)
    if options.control.seamless:
        if options.machine.tile is not None:
            raise OptionError("seamless needs the whole image in one piece: omit --tile", "seamless")
        original = periodic(original)
    return original, visible


def build_region_tensors(
    region_spec: RegionSpec, content: Picture, options: Options, device: torch.device | str = "cpu"
) -> RegionTensors:
    """Return the tensors of a run.

    Args:
        region_spec: styles, regions and protection.
        content: the content image; transparent pixels are left out of the statistics.
        options: of the run.
        device: of the tensors.

    Raises:
        InputError: a mask does not fit, a label has no match, a blend sums to 0, or there are too many regions.
    """
    settings = options.control
    original, visible = _content_tensors(content, options, device)
    source = saturate(original, settings.saturation)
    pending_regions, notes = _pending_regions(region_spec, content, original)
    rest = _normalize_masks(pending_regions)
    protect = _protection(region_spec, content, original, notes)
    kept = None if protect is None else protect * settings.protect_strength
    regions: list[Region] = []
    frozen_mask = torch.zeros_like(source[:, :1]) if rest is None else rest
    frozen_pixels, chroma = frozen_mask * source, None
    for pending in pending_regions:
        color = _color(pending, content, region_spec, options)
        styles = _styles(pending, region_spec, source, visible, color, options)
        share = torch.ones_like(source[:, :1]) if pending.share is None else pending.share
        if color == "palette":
            frozen_mask, frozen_pixels = frozen_mask + share, frozen_pixels + share * styles[0].picture
            continue
        if color == "content":
            chroma = share if chroma is None else chroma + share
        mask = _without_hidden(pending.share, kept, visible)
        if mask is None or float(mask.sum()) > 1e-3:
            regions.append(Region(pending.name, mask, styles, pending.specs[0].strength, color == "content"))
        else:
            notes.append(
                f"nothing of {pending.name or 'the image'} is left to paint: all of it is protected or transparent"
            )
    if protect is not None and settings.protect_strength == 1:
        top = _feathered(protect)
        frozen_mask, frozen_pixels = top + (1 - top) * frozen_mask, top * original + (1 - top) * frozen_pixels
    stays = float(frozen_mask.max()) > 0
    return RegionTensors(
        content=source,
        regions=_named(regions),
        protected=kept if kept is None or visible is None else kept * visible,
        frozen_mask=frozen_mask.clamp(max=1) if stays else None,
        frozen_pixels=torch.where(frozen_mask > 0, frozen_pixels / frozen_mask.clamp(min=1e-6), source)
        if stays
        else None,
        content_chroma_mask=chroma,
        seamless=settings.seamless,
        notes=tuple(notes),
    )


def _pending_regions(
    region_spec: RegionSpec, content: Picture, original: Tensor
) -> tuple[list[_PendingRegion], list[str]]:
    """Return the regions in the order of their names, those with the same style and settings merged; and notes."""
    size = content.size
    whole = (int(original.shape[-2]), int(original.shape[-1]))
    free = [spec for spec in region_spec.styles if spec.region is None]
    if region_spec.labels:
        pictures = region_spec.pictures
        pairs, notes = masks.pair_labels(
            region_spec.mask(LABELS[0]),
            region_spec.mask(LABELS[1]),
            size,
            pictures[free[0].style].size,
        )
        check_count(len(pairs))
        return [
            _PendingRegion(name, free, masks.resize_mask(there.to(original), whole), here.to(original))
            for name, there, here in sorted(pairs, key=lambda pair: pair[0])
        ], notes
    merged: dict[tuple[object, ...], _PendingRegion] = {}
    for spec in sorted((w for w in region_spec.styles if w.region is not None), key=lambda w: str(w.region)):
        assert spec.region is not None and spec.mask is not None
        mask = masks.load_mask(region_spec.mask(spec.mask), size, f"the mask of region {spec.region}")
        mask = masks.resize_mask(mask.to(original), whole)
        key = _identity(spec, region_spec)
        if key in merged:
            pending = merged[key]
            assert pending.share is not None
            pending.share = (pending.share + mask).clamp(max=1)
            pending.name += f"+{spec.region}"
        else:
            merged[key] = _PendingRegion(spec.region, [spec], mask)
    check_count(len(merged))
    pending_regions = list(merged.values())
    if region_spec.only:
        mask = masks.resize_mask(masks.load_mask(region_spec.mask(ONLY), size, "the mask of --style-only"), whole)
        pending_regions.append(_PendingRegion(REST if pending_regions else "", free, mask.to(original)))
    elif free:
        same = merged.get(_identity(free[0], region_spec)) if len(free) == 1 else None
        if same is not None:  # a region painted like the rest is part of the rest
            pending_regions.remove(same)
        pending_regions.append(_PendingRegion(REST if pending_regions else "", free))
    return pending_regions, []


def _identity(spec: StyleSpec, region_spec: RegionSpec) -> tuple[object, ...]:
    """Return a key: regions with the same images and settings are merged."""
    own_mask = None if spec.style_mask is None else region_spec.mask(spec.style_mask)
    found = require_picture(region_spec.pictures, spec.style), own_mask
    pictures = [None if picture is None else (picture.sha256, picture.crop) for picture in found]
    return (*pictures, spec.scale, spec.rotate, spec.strength, spec.color)


def _normalize_masks(pending_regions: list[_PendingRegion]) -> Tensor | None:
    """Normalize masks where they overlap; assign the remainder to the rest, or return it if no style paints it."""
    placed = [pending for pending in pending_regions if pending.share is not None]
    if not placed:
        return None
    shares = masks.share_out([pending.share for pending in placed if pending.share is not None])
    for pending, share in zip(placed, shares, strict=True):
        pending.share = share
    left = (1 - torch.cat(shares).sum(0, keepdim=True)).clamp(0, 1)
    left = torch.where(left < 1e-5, 0.0, left)
    free = [pending for pending in pending_regions if pending not in placed]
    if free:
        free[0].share = left
        return None
    if float(left.max()) > 0:
        return left
    if len(placed) == 1:
        placed[0].share, placed[0].name = None, ""
    return None


def _protection(region_spec: RegionSpec, content: Picture, like: Tensor, notes: list[str]) -> Tensor | None:
    if region_spec.protect == "faces":
        found = face_mask(content.pixels)
        if found is None:
            notes.append("no face found, so nothing is protected: the detector finds upright frontal faces")
            return None
        return torch.from_numpy(found)[None, None].to(like)
    if region_spec.protect == "mask":
        mask = masks.load_mask(region_spec.mask(PROTECT), content.size, "the mask of --protect")
        return masks.resize_mask(mask.to(like), (int(like.shape[-2]), int(like.shape[-1])))
    return None


def _color(pending: _PendingRegion, content: Picture, region_spec: RegionSpec, options: Options) -> str:
    color = pending.specs[0].color or options.control.color
    if color == "palette":
        return color
    pictures = [content, *(require_picture(region_spec.pictures, spec.style) for spec in pending.specs)]
    # Without any saturation the canvas has no color to choose: that of the gray content is kept exactly.
    return "content" if options.control.saturation == 0 or all(map(_is_gray, pictures)) else color


def _is_gray(picture: Picture) -> bool:
    """Return whether the channels of all visible pixels are equal, but for one 8-bit level."""
    rows = max(1, _GRAY_BAND // picture.width)
    for top in range(0, picture.height, rows):
        band = picture.pixels[top : top + rows]
        spread = band.max(axis=2) - band.min(axis=2)
        if picture.alpha is not None:
            spread = spread[picture.alpha[top : top + rows] > 0]
        if spread.size and float(spread.max()) > GRAY_SPREAD:
            return False
    return True


def _styles(
    pending: _PendingRegion,
    region_spec: RegionSpec,
    source: Tensor,
    visible: Tensor | None,
    color: str,
    options: Options,
) -> tuple[StyleSource, ...]:
    settings = options.control
    blend = blend_of(settings.style_blend, len(pending.specs)) if pending.specs[0].region is None else [1.0]
    scales = [options.features.style_scale] * len(pending.specs)
    if settings.style_scales is not None and pending.specs[0].region is None:
        low, high = limits("style_scale")
        scales = parse_numbers(settings.style_scales, "style_scales", len(pending.specs), low=low, high=high)
    made = []
    for spec, part, scale in zip(pending.specs, blend, scales, strict=True):
        file = require_picture(region_spec.pictures, spec.style)
        picture, mask = tensor(file.pixels).to(source), pending.label
        if spec.style_mask is not None:
            own = region_spec.mask(spec.style_mask)
            mask = masks.load_mask(own, file.size, f"the mask of style {file.name}").to(source)
        mask = None if mask is None else masks.resize_mask(mask, file.size)
        alpha = _alpha(file, picture)
        if alpha is not None:
            picture = masks.fill_hidden(picture, alpha)
            mask = alpha if mask is None else mask * alpha
        picture, mask = rotated(picture, mask, settings.rotate_style if spec.rotate is None else spec.rotate)
        picture = saturate(picture, settings.saturation)
        weight = _without_hidden(pending.share, None, visible)
        if color in ("match", "histogram"):
            picture = recolor(picture, source, color, mask, weight)
        elif color == "palette":
            picture = recolor(source, picture, color, weight, mask)
        made.append(StyleSource(picture, mask, scale if spec.scale is None else spec.scale, part))
    return tuple(made)


def _without_hidden(share: Tensor | None, kept: Tensor | None, visible: Tensor | None) -> Tensor | None:
    """Return a region's mask without protected and transparent pixels; None stands for all ones."""
    mask = share
    for factor in (None if kept is None else 1 - kept, visible):
        if factor is not None:
            mask = factor if mask is None else mask * factor
    return mask


def _named(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Return regions, a single one without a name: its terms are ``style`` and ``content``."""
    if len(regions) == 1 and regions[0].name == REST:
        return (replace(regions[0], name=""),)
    return tuple(regions)


def _feathered(mask: Tensor) -> Tensor:
    """Return a mask with a soft edge, inside the mask where it is large enough."""
    reach = max(1, round(FEATHER * max(mask.shape[-2:])))
    inner = masks.erode(mask, reach)
    if float(inner.sum()) < masks.MIN_LEFT * float(mask.sum()):
        inner = mask
    padded = functional.pad(inner, (reach,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * reach + 1, 1)


def tensor(pixels: NDArray[np.float32]) -> Tensor:
    """Return pixels ``[H, W, 3]`` as ``[1, 3, H, W]``, in the same memory: a large photograph is not copied."""
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)[None]


def _alpha(file: Picture, like: Tensor) -> Tensor | None:
    """Return an image's alpha ``[1, 1, H, W]``, or None if it is opaque."""
    if file.alpha is None or float(file.alpha.min()) >= 1:
        return None
    if not float(file.alpha.max()) > 0:
        raise ImageError(f"{file.name!r} is completely transparent")
    alpha: NDArray[np.float32] = np.ascontiguousarray(file.alpha)
    return torch.from_numpy(alpha)[None, None].to(like)


def _mask_at(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    return None if mask is None else masks.resize_mask(mask, size)
