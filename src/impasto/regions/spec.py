"""Styles, regions, labels and protection as plain data, with the images that they name.

Styles such as ``a.jpg``, ``a.jpg@mask.png,scale=0.5``, ``sky.png=a.jpg,strength=0.8``, or the same as Python objects,
become a ``RegionSpec``, which a record stores as JSON. Nothing is computed here; ``region_tensors`` turns it into
tensors.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypeAlias, TypedDict, cast, get_args

from impasto.errors import ImageError, OptionError, suggest
from impasto.imaging import images
from impasto.imaging.images import PictureLike
from impasto.options.choices import Color
from impasto.options.fields import limits
from impasto.regions.segmentation.names import MASK_NAMES, drawn_name
from impasto.regions.spec_text import SETTINGS, split_region, split_text

_RANGES = {"scale": limits("style_scale"), "rotate": limits("rotate_style"), "strength": limits("strength")}
MAX_REGIONS = 32
PROTECT, ONLY = "protect", "style only"  # roles of masks that belong to no region
LABELS, AUTO = ("labels content", "labels style"), "auto"


class StyleFields(TypedDict, total=False):
    """A style as a mapping."""

    style: PictureLike
    style_mask: PictureLike | None
    scale: float | None
    rotate: float | None


class RegionFields(StyleFields, total=False):
    """A region as a mapping."""

    mask: PictureLike
    name: str | None
    strength: float | None
    color: str | None


StyleLike: TypeAlias = PictureLike | StyleFields | Sequence[PictureLike | StyleFields] | None
RegionLike: TypeAlias = str | tuple[PictureLike, PictureLike | StyleFields] | RegionFields
Regions: TypeAlias = Iterable[RegionLike] | Mapping[PictureLike, PictureLike | StyleFields]


@dataclass(frozen=True, kw_only=True)
class StyleSpec:
    """A style and the part of the content that it paints.

    ``style``, ``mask`` and ``style_mask`` are keys of ``RegionSpec.pictures``; without ``mask`` the style paints
    everything outside the regions. ``scale``, ``rotate``, ``strength`` and ``color`` default to the options of the run.
    """

    style: str
    region: str | None = None
    mask: str | None = None
    style_mask: str | None = None
    scale: float | None = None
    rotate: float | None = None
    strength: float | None = None
    color: str | None = None


class SpecData(TypedDict):
    """A ``RegionSpec`` as JSON, without the images; ``styles`` has the fields of ``StyleSpec`` that are set."""

    styles: list[dict[str, Any]]
    labels: bool
    protect: str | None
    only: NotRequired[bool]
    drawn: NotRequired[dict[str, dict[str, str]]]


@dataclass(frozen=True)
class RegionSpec:
    """All styles with their regions, and the protected part of the content.

    ``pictures`` maps roles such as ``style 2`` or ``mask sky`` to images; ``labels`` says whether two label images
    are among them; ``protect`` is ``mask`` or None, or ``faces`` in records of earlier versions; ``only`` says that
    the styles without a region paint a mask. ``drawn`` has the roles of masks that are drawn by name: the ``name``, and
    once they are drawn the hashes ``model`` and ``sha256``; ``masks`` are those masks.
    """

    styles: tuple[StyleSpec, ...]
    labels: bool = False
    protect: str | None = None
    pictures: Mapping[str, images.Picture] = field(default_factory=dict, repr=False, compare=False)
    only: bool = False
    drawn: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    masks: Mapping[str, images.Picture] = field(default_factory=dict, repr=False, compare=False)

    def mask(self, role: str) -> images.Picture:
        """Return the mask of a role, drawn or from a file.

        Raises:
            ImageError: it is missing, as in a record that was altered.
        """
        return self.masks[role] if role in self.masks else require_picture(self.pictures, role)

    @property
    def is_plain(self) -> bool:
        """Whether one style paints the whole image, without labels or protection."""
        return (
            len(self.styles) == 1
            and self.styles[0] == StyleSpec(style="style")
            and not self.labels
            and not self.protect
            and not self.only
        )

    def as_data(self) -> SpecData:
        """Return the JSON data that a record stores, without the images."""
        styles = [
            {key: value for key, value in dataclasses.asdict(s).items() if value is not None} for s in self.styles
        ]
        data: SpecData = {"styles": styles, "labels": self.labels, "protect": self.protect}
        if self.only:
            data["only"] = True
        if self.drawn:
            data["drawn"] = {role: dict(about) for role, about in self.drawn.items()}
        return data

    @classmethod
    def from_data(cls, data: SpecData, pictures: Mapping[str, images.Picture]) -> RegionSpec:
        """Return the spec from the data of ``as_data`` and its images by role."""
        styles = tuple(StyleSpec(**entry) for entry in data["styles"])
        rest = pictures, data.get("only", False), data.get("drawn", {})
        return cls(styles, data["labels"], data["protect"], *rest)


def parse_regions(
    style: StyleLike,
    *,
    regions: Regions = (),
    labels: Sequence[PictureLike] | str | None = None,
    protect: PictureLike | None = None,
    style_only: PictureLike | None = None,
    limits: images.DecodeLimits | None = None,
) -> RegionSpec:
    """Parse styles, regions, labels and protection, and load their images.

    Args:
        style: a style or a list of them, or None if every region has its own. A style is an image as ``images.load``
            takes it, a text ``FILE[#x,y,w,h][@MASK][,scale=..][,rotate=..]``, or a mapping with ``style`` and those
            settings.
        regions: each a text ``MASK=STYLE[,strength=..][,color=..]...``, a pair of mask and style, or a mapping with
            ``mask``, ``style`` and settings; or all of them as a mapping from mask to style.
        labels: two label images, the content's and the style's, or ``"auto"`` to pair similar parts.
        protect: a mask of what stays unchanged.
        style_only: a mask of what the styles without a region paint; masks may be names, see ``segmentation.names``.
        limits: for ``images.load``.

    Raises:
        OptionError: settings contradict each other or cannot be parsed.
        ImageError: an image cannot be read.
    """
    loaded = _Loaded(limits or images.DecodeLimits())
    placed: list[StyleSpec] = []
    for number, text in enumerate(_as_list(style), start=1):
        settings = _parse_style(text)
        part = "style" if number == 1 else f"style {number}"
        placed.append(_load_style(settings, part, None, loaded))
    entries = list(regions.items()) if isinstance(regions, Mapping) else list(regions or ())
    taken: set[str] = set()
    for entry in entries:
        mask, settings = _parse_region(entry)
        name = _name(mask, settings.pop("name", None), taken)
        loaded.mask(f"mask {name}", mask)
        placed.append(_load_style(settings, f"style {name}", name, loaded))
    if not placed:
        raise OptionError("no style: pass a painting, or regions with --region MASK=PAINTING", "style")
    pictures = loaded.pictures
    if "style" not in pictures:
        # The first region's painting is the style of the run wherever only one can be named.
        pictures = loaded.pictures = {"style": pictures[placed[0].style], **pictures}
    if labels is not None:
        _check_labels(labels, placed, entries)
        for role, source in zip(LABELS, (None, None) if labels == AUTO else labels, strict=True):
            loaded.labels(role, source)
    if protect is not None:
        loaded.mask(PROTECT, protect)
    if style_only is not None:
        _check_only(labels, placed)
        loaded.mask(ONLY, style_only)
    more = pictures, style_only is not None, loaded.drawn
    return RegionSpec(tuple(placed), labels is not None, None if protect is None else "mask", *more)


@dataclass
class _Loaded:
    """The images of a spec by role, and the names of masks to draw."""

    limits: images.DecodeLimits
    pictures: dict[str, images.Picture] = field(default_factory=dict)
    drawn: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def picture(self, role: str, source: Any) -> None:
        self.pictures[role] = images.load(source, limits=self.limits)

    def labels(self, role: str, source: Any) -> None:
        if source is None:
            self.drawn[role] = {"name": AUTO}
        else:
            self.picture(role, source)

    def mask(self, role: str, source: Any) -> None:
        if (name := drawn_name(source)) is not None:
            self.drawn[role] = {"name": name}
        else:
            self.picture(role, _array(source))


def _check_only(labels: Sequence[Any] | None, placed: Sequence[StyleSpec]) -> None:
    if labels is not None:
        raise OptionError("labels and style_only cannot be combined: make the other areas transparent", "style_only")
    if all(spec.region is not None for spec in placed):
        raise OptionError("style_only needs a painting without a region: pass one as the second argument", "style_only")


def _check_labels(labels: Sequence[Any], placed: Sequence[StyleSpec], regions: Sequence[Any]) -> None:
    if labels != AUTO and (isinstance(labels, (str, Path)) or len(labels) != 2):
        raise OptionError("labels must be two images: the content's labels, then the style's", "labels")
    if regions:
        raise OptionError("labels and regions cannot be combined: use either --labels or --region", "labels")
    if len(placed) != 1 or placed[0].style_mask is not None:
        raise OptionError("labels divide a single style: pass one painting, without a mask", "labels")


def _as_list(style: StyleLike) -> Sequence[PictureLike | StyleFields]:
    if style is None:
        return []
    return style if isinstance(style, (list, tuple)) else [cast("PictureLike | StyleFields", style)]


def _load_style(
    settings: dict[str, Any],
    part: str,
    region: str | None,
    loaded: _Loaded,
) -> StyleSpec:
    loaded.picture(part, settings.pop("style"))
    mask, style_mask = settings.pop("style_mask", None), None
    if mask is not None:
        style_mask = f"{part} mask"
        loaded.mask(style_mask, mask)
    return StyleSpec(
        style=part,
        region=region,
        mask=None if region is None else f"mask {region}",
        style_mask=style_mask,
        **_settings(settings, region or part),
    )


def _array(source: Any) -> Any:
    """Return a boolean mask as float32, anything else unchanged."""
    if type(source).__name__ == "ndarray" and source.dtype == bool:
        return source.astype("float32")
    return source


def _parse_style(text: Any) -> dict[str, Any]:
    if isinstance(text, Mapping):
        unknown = set(text) - {"style", "style_mask", "scale", "rotate"}
        if unknown:
            raise OptionError(
                f"a style has no setting {min(unknown)!r}; choose from: style, style_mask, scale, rotate", "style"
            )
        return dict(text)
    found = split_text(text)
    for key in ("strength", "color"):
        if key in found:
            raise OptionError(f"a style has no {key}: use --{key} for all of it, or set it for a region", "style")
    return found


def _parse_region(entry: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(entry, str):
        mask, found, style = split_region(entry)
        if not found or not mask or not style:
            raise OptionError(f"region {entry!r} cannot be parsed: write MASK=PAINTING, as in sky.png=a.jpg", "regions")
        return mask, split_text(style)
    if isinstance(entry, Mapping):
        unknown = set(entry) - {"mask", "style", "style_mask", "name", *SETTINGS}
        if unknown or "mask" not in entry or "style" not in entry:
            allowed = ", ".join(["mask", "style", "style_mask", "name", *SETTINGS])
            wrong = f"has no setting {min(unknown)!r}" if unknown else "needs a mask and a style"
            raise OptionError(f"a region {wrong}; choose from: {allowed}", "regions")
        settings = {**dict(entry), **split_text(entry["style"])}
        return settings.pop("mask"), settings
    if isinstance(entry, (list, tuple)) and len(entry) == 2:
        mask, style = entry
        return mask, dict(style) if isinstance(style, Mapping) else split_text(style)
    raise OptionError(f"region {entry!r} cannot be parsed: pass a mask and a style", "regions")


def _settings(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        if key == "color":
            if value not in get_args(Color):
                raise OptionError(f"color of {name} is {value!r}; {suggest(str(value), get_args(Color))}", "color")
            settings[key] = value
            continue
        low, high = _RANGES[key]
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise OptionError(f"{key} of {name} is {value!r}; it must be between {low:g} and {high:g}", key)
        settings[key] = number
    return settings


def _name(mask: Any, given: Any, taken: set[str]) -> str:
    """Return a unique name for a region: the given one, or that of its mask file."""
    if not given and (drawn := drawn_name(mask)):
        given = drawn if drawn in MASK_NAMES else "selection"
    stem = str(given) if given else Path(images.split_crop(mask)[0]).stem if isinstance(mask, (str, Path)) else "region"
    stem = re.sub(r"[^\w-]+", "_", stem) or "region"
    stem = f"region_{stem}" if stem.isdigit() else stem  # numbers name the styles of a blend
    name, number = stem, 1
    while name in taken or name in ("rest", "protected", "mask"):
        number += 1
        name = f"{stem}{number}"
    taken.add(name)
    return name


def check_count(count: int) -> None:
    """Check that there are at most ``MAX_REGIONS`` regions.

    Raises:
        OptionError: there are more.
    """
    if count > MAX_REGIONS:
        raise OptionError(
            f"{count} regions with different styles or settings exceed the maximum of {MAX_REGIONS}: "
            "merge regions by giving them the same style and settings, or paint in several runs",
            "regions",
        )


def require_picture(pictures: Mapping[str, images.Picture], part: str) -> images.Picture:
    """Return an image of a spec by its role.

    Raises:
        ImageError: it is missing, as in a record that was altered.
    """
    if part not in pictures:
        raise ImageError(f"the image {part!r} of the regions is missing")
    return pictures[part]
