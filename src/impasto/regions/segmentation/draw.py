"""The masks that a run names instead of files, drawn for its images.

Input: a ``RegionSpec`` and the content. Output: the same spec with a mask for each name, the hashes of the masks and of
what drew them, and notes for the user. Where named masks of the content's regions overlap, the more specific one has
the pixels: points that were clicked on, then faces, person, foreground, sky, background. A region whose name matches
nothing in the image is omitted; for a protected or painted part that is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from impasto.errors import OptionError
from impasto.imaging import images
from impasto.regions.segmentation.names import MASK_NAMES, PRECEDENCE
from impasto.regions.segmentation.opencv import Pixels
from impasto.regions.segmentation.pairing import Levels, pair
from impasto.regions.segmentation.segmenter import Segmenter, mask_hash
from impasto.regions.spec import AUTO, LABELS, ONLY, PROTECT, RegionSpec, require_picture

WHAT = {"person": "person", "foreground": "foreground", "faces": "face", "facial-features": "face", "sky": "sky"}


def draw_masks(spec: RegionSpec, content: images.Picture) -> tuple[RegionSpec, list[str]]:
    """Return a spec with the masks that it names, and notes.

    Args:
        spec: of the run; one without names is returned as it is.
        content: the image that it applies to.

    Raises:
        OptionError: what is to be protected or painted is not in the image.
        WeightsError: the networks have not been fetched.
    """
    if not spec.drawn:
        return spec, []
    segmenters = {"content": Segmenter(content.pixels)}
    found: dict[str, tuple[Pixels | None, str]] = {}
    labels = _labels(spec, content) if LABELS[0] in spec.drawn else {}
    for role, about in spec.drawn.items():
        if role in LABELS:
            continue
        of = _picture_of(role)
        if of not in segmenters:
            segmenters[of] = Segmenter(require_picture(spec.pictures, of).pixels)
        found[role] = segmenters[of].mask(about["name"]), segmenters[of].model(about["name"])
    masks = _exclusive({role: mask for role, (mask, _) in found.items() if mask is not None}, spec)
    notes = _missing(spec, masks, content.name)
    drawn, pictures = {}, {}
    for role, mask in masks.items():
        about, digest = spec.drawn[role], mask_hash(mask)
        if about.get("sha256", digest) != digest:
            notes.append(f"the mask {about['name']!r} differs from that of the recorded run, and so may the image")
        drawn[role] = {"name": about["name"], "model": found[role][1], "sha256": digest}
        pictures[role] = images.load(mask)
    for role, levels in labels.items():
        pictures[role] = images.load(levels)
        drawn[role] = {"name": AUTO, "model": "vgg19", "sha256": pictures[role].sha256}
        if spec.drawn[role].get("sha256", pictures[role].sha256) != pictures[role].sha256:
            notes.append("the labels differ from those of the recorded run, and so may the image")
    if any(about["name"] == "person" for about in spec.drawn.values()) and not segmenters["content"].faces:
        notes.append(
            f"no face in {content.name!r}: 'person' selects the foreground, which may be an animal or an object"
        )
    styles = tuple(
        style for style in spec.styles if style.mask is None or style.mask in masks or style.mask in spec.pictures
    )
    return replace(spec, styles=styles, drawn=drawn, masks=pictures), notes


def _labels(spec: RegionSpec, content: images.Picture) -> dict[str, Levels]:
    """Return the label images of the content and its style, by role."""
    style = require_picture(spec.pictures, spec.styles[0].style)
    return dict(zip(LABELS, pair(content.pixels, style.pixels), strict=True))


def _picture_of(role: str) -> str:
    """Return the image that a mask belongs to; the mask of a painting is named after the painting."""
    return role.removesuffix(" mask") if role.endswith(" mask") else "content"


def _exclusive(masks: dict[str, Pixels], spec: RegionSpec) -> dict[str, Pixels]:
    """Return masks where those of regions do not overlap: the more specific name has the pixels."""

    def rank(role: str) -> int:
        name = spec.drawn[role]["name"]
        return PRECEDENCE.index(name) if name in PRECEDENCE else -1

    regions = sorted((role for role in masks if role.startswith("mask ")), key=rank)
    result = dict(masks)
    for position, role in enumerate(regions):
        above = [masks[other] for other in regions[:position] if rank(other) < rank(role)]
        if above:
            left = masks[role] * (1 - np.maximum.reduce(above))
            result[role] = np.asarray(np.round(left * 255) / 255, np.float32)
    return {role: mask for role, mask in result.items() if float(mask.max()) > 0}


def _missing(spec: RegionSpec, masks: Mapping[str, Pixels], picture: str) -> list[str]:
    """Return notes on regions that are left out.

    Raises:
        OptionError: what is to be protected or painted is missing, or no style is left.
    """
    notes = []
    for role in spec.drawn:
        if role in masks or role in LABELS:
            continue
        name = spec.drawn[role]["name"]
        what = f"no {WHAT.get(name, name)} found in {picture!r}"
        if role in (PROTECT, ONLY):
            option = "protect" if role == PROTECT else "style_only"
            raise OptionError(
                f"{what}, so --{option.replace('_', '-')} {name} cannot be applied: pass a mask file, or a point "
                f"such as 0.42,0.31, or one of {', '.join(MASK_NAMES)}",
                option,
            )
        if role.endswith(" mask"):
            raise OptionError(f"no {WHAT.get(name, name)} found in {_picture_of(role)!r}: pass a mask file", "style")
        if not any(style.mask is None or style.mask in masks or style.mask in spec.pictures for style in spec.styles):
            raise OptionError(f"{what}, and no other region is to be painted: pass a mask file", "regions")
        notes.append(f"{what}: its region is left out, and painted like the rest")
    return notes
