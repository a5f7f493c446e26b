"""All options of a run as frozen dataclasses, the only place where defaults and ranges are defined.

One dataclass per concern. ``Options`` joins them, and reads and writes the flat form (``{"strength": 0.5, ...}``) that
the command line, the REST API, the studio and the record inside a saved image share. Values are validated when an
object is constructed: NaN, infinity, unknown names and values out of range raise OptionError with what is allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack, cast, get_type_hints

from impasto.errors import OptionError, suggest
from impasto.options.choices import (
    INIT_NAMES,
    Color,
    ContentLossName,
    NetworkName,
    OptimizerName,
    PoolingName,
    Precision,
    Quality,
    StyleLossName,
    TvNorm,
    Units,
)
from impasto.options.declaration import Declared, declared_in, option
from impasto.options.renamed import current_names
from impasto.options.validation import check, parse_bytes, parse_seconds

if TYPE_CHECKING:
    from impasto.options.option_fields import OptionFields


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the content and style losses."""

    title: ClassVar[str] = "Loss weights"

    strength: float | None = option(
        0.5,
        "balance from 0 (content only) to 1 (style only)",
        low=0.0,
        high=1.0,
        live=True,
        same_targets=True,
        page_rank=1,
        preview=True,
    )
    content_weight: float | None = option(
        None, "raw weight of the content loss, instead of --strength", low=0.0, live=True, raw=True, same_targets=True
    )
    style_weight: float | None = option(
        None, "raw weight of the style loss, instead of --strength", low=0.0, live=True, raw=True, same_targets=True
    )
    tv_weight: float = option(
        0.0, "weight of total variation; higher is smoother", low=0.0, live=True, same_targets=True
    )
    units: Units = option("unitless", "scaling of raw weights; gatys and neural-style as in those programs")

    def __post_init__(self) -> None:
        check(self)
        raw = self.content_weight is not None or self.style_weight is not None
        if raw and self.strength is not None:
            raise OptionError(
                "strength and raw weights are both given: choose --strength, or --content-weight with --style-weight",
                "strength",
            )
        if not raw and self.strength is None:
            raise OptionError("neither strength nor raw weights are given: use --strength 0.5", "strength")
        if not raw and self.units != "unitless":
            raise OptionError(
                f"units is {self.units!r}, which applies to raw weights: add --content-weight and --style-weight, "
                "or omit --units",
                "units",
            )


@dataclass(frozen=True, kw_only=True)
class Features:
    """Network, layers and losses."""

    title: ClassVar[str] = "Network and losses"

    style_layers: str | None = option(
        None, "style layers with weights, such as relu1_1=1+relu3_1=0.5", metavar="LAYER[=WEIGHT]+...", layers=True
    )
    content_layers: str | None = option(
        None, "content layers with weights, such as relu4_2", metavar="LAYER[=WEIGHT]+...", layers=True
    )
    pooling: PoolingName = option("max", "pooling of the network")
    network: NetworkName = option(
        "vgg19", "network that computes the features; vgg16 needs `impasto weights fetch vgg16`"
    )
    style_loss: StyleLossName | None = option(
        None, "style loss; default: moments, or gram where --units names another program"
    )
    content_loss: ContentLossName = option("features", "content loss")
    preservation: float = option(
        0.75, "nearest loss only: match features of the image (0) or of the content (1)", low=0.0, high=1.0
    )
    per_layer_fraction: float = option(
        0.0, "nearest loss only: fraction of the steps, at the end, that match each layer separately", low=0.0, high=1.0
    )
    refresh_every: int | None = option(
        None,
        "resample or re-match every N steps, for losses that sample or match; 0 = once per scale",
        low=0,
        high=1_000_000,
    )
    style_scale: float = option(
        1.0,
        "scale of the style image, which also scales its brush strokes",
        low=0.05,
        high=8.0,
        page_rank=2,
        preview=True,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Initial image, optimizer and schedule."""

    title: ClassVar[str] = "Optimization"

    init: str = option(
        "content",
        "initial image: content, random, style (noise in its colors), fast (feed-forward) or a file",
        metavar="NAME|FILE",
        same_targets=True,
        file=True,
        names=INIT_NAMES,
    )
    seed: int = option(0, "random seed; the same seed produces the same bytes", low=0, high=2**63 - 1)
    optimizer: OptimizerName = option(
        "lbfgs", "L-BFGS, Adam with weight averaging, or Adam on the bands of a Laplacian pyramid", same_targets=True
    )
    step_size: float = option(
        1.0, "step size relative to the default of the optimizer", low=1e-4, high=100.0, live=True, same_targets=True
    )
    quality: Quality = option("standard", "preset number of steps", same_targets=True, page_rank=5)
    steps: int | None = option(
        None,
        "total steps across all scales, or `published` for the step count of the paper",
        low=1,
        high=1_000_000,
        metavar="N|published",
        words=True,
        same_targets=True,
    )
    scales: int | None = option(
        None, "number of scales, coarse to fine; 1 = full size only", low=1, high=12, same_targets=True
    )
    time: str | None = option(
        None, "time limit; the number of steps is planned to fit", metavar="60s|5m|1h", same_targets=True
    )
    tolerance: float = option(
        1e-3,
        "end a scale early when ten steps reduce the loss by less than this fraction; 0 = never",
        low=0.0,
        high=1.0,
        same_targets=True,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.time is not None:
            parse_seconds(self.time)
            if self.steps is not None:
                raise OptionError("time and steps are both given: a time limit plans its own steps, choose one", "time")


@dataclass(frozen=True, kw_only=True)
class Regularizers:
    """Regularizers, in addition to the content and style losses."""

    title: ClassVar[str] = "Regularizers"

    tv_norm: TvNorm | None = option(
        None, "norm of total variation; nine: squared, with diagonals; default: that of --units, or l2"
    )
    edge_weight: float = option(0.0, "weight of the edge loss; 1 weighs it equally with the content loss", low=0.0)
    color_anchor_weight: float = option(
        0.0,
        "weight of the color anchor (low frequencies of the content); 1 weighs it equally with the content loss",
        low=0.0,
    )
    photorealism_weight: float = option(0.0, "weight of the photorealism loss (matting Laplacian)", low=0.0)
    despeckle_weight: float = option(0.0, "weight of the despeckle penalty (isolated pixels)", low=0.0)
    border_weight: float = option(0.0, "weight of the border penalty (artifacts along the border)", low=0.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Control:
    """Colors, blending of styles and protected areas."""

    title: ClassVar[str] = "Colors and regions"

    color: Color = option("style", "source of the colors and how they are transferred", page_rank=3, preview=True)
    final_recolor: float = option(
        0.0, "blend in a final color transfer from the content; 0 = none, 1 = full", low=0.0, high=1.0
    )
    saturation: float = option(
        1.0, "saturation of the colors; 0 = gray, 1 = unchanged", low=0.0, high=4.0, preview=True
    )
    style_blend: str | None = option(
        None,
        "weight of each style, such as 0.7,0.3; default: equal",
        metavar="WEIGHT,WEIGHT...",
        hidden=True,
        preview=True,
    )
    style_scales: str | None = option(
        None, "scale of each style, such as 1,0.5, instead of --style-scale", metavar="SCALE,SCALE...", hidden=True
    )
    rotate_style: float = option(
        0.0, "rotation of the style image in degrees, counterclockwise", low=-360.0, high=360.0, preview=True
    )
    protect_strength: float = option(
        1.0, "how strongly protected areas are kept; 1 = pixel by pixel", low=0.0, high=1.0
    )
    seamless: bool = option(False, "make the image tileable: opposite edges match", preview=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Feed-forward networks in place of optimization."""

    title: ClassVar[str] = "Feed-forward"

    fast: bool = option(False, "one feed-forward pass, for arbitrary styles; needs `impasto weights fetch adain`")
    model: str | None = option(
        None, "one feed-forward pass with a network trained by `impasto train`", metavar="FILE", file=True, server=True
    )

    def __post_init__(self) -> None:
        check(self)
        if self.fast and self.model is not None:
            raise OptionError("fast and model are both given: choose --fast, or --model FILE", "model")

    @property
    def enabled(self) -> bool:
        """Whether a feed-forward network paints the image, without optimization."""
        return self.fast or self.model is not None


@dataclass(frozen=True, kw_only=True)
class Output:
    """Size and format of the output."""

    title: ClassVar[str] = "Output"

    size: str | None = option(
        "512",
        "long side in px, 1.5mp, full, or 36in with --dpi",
        metavar="SIZE",
        number=True,
        same_targets=True,
        page_rank=4,
    )
    dpi: float | None = option(None, "dots per inch, stored in the file", low=1.0, high=10_000.0, same_targets=True)
    bits: Literal[8, 16] = option(8, "bits per channel")
    keep_location: bool = option(False, "keep the GPS location of the photograph", hidden=True)
    no_metadata: bool = option(
        False, "write neither the record of the run nor the EXIF data of the photograph", hidden=True
    )
    max_pixels: int = option(200_000_000, "maximum number of pixels of an input image", low=1, server=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Device, precision and memory."""

    title: ClassVar[str] = "Device and memory"

    device: str = option("auto", "device: auto, cpu, cuda or cuda:1", metavar="DEVICE", server=True)
    precision: Precision = option("auto", "precision of the network; losses are accumulated in higher precision")
    threads: int | None = option(None, "CPU threads", low=1, high=1024, server=True)
    tile: int | None = option(
        None, "tile size in px, a multiple of 16; default: no tiles, or what fits the memory", low=64, high=65536
    )
    memory: str | None = option(None, "memory limit, such as 4GiB; default: 80% of the free memory", metavar="SIZE")
    weights: str | None = option(
        None,
        "VGG-19 weights: a .pth, .safetensors or .h5 file, or vgg19-fp32 if downloaded",
        metavar="FILE",
        file=True,
        server=True,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.tile is not None and self.tile % 16:
            raise OptionError(f"tile is {self.tile}; it must be a multiple of 16, such as 512", "tile")
        if self.memory is not None:
            parse_bytes(self.memory)


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options of a run."""

    loss_weights: LossWeights = field(default_factory=LossWeights)
    features: Features = field(default_factory=Features)
    optimization: Optimization = field(default_factory=Optimization)
    regularizers: Regularizers = field(default_factory=Regularizers)
    control: Control = field(default_factory=Control)
    feed_forward: FeedForward = field(default_factory=FeedForward)
    output: Output = field(default_factory=Output)
    machine: Machine = field(default_factory=Machine)
    recipe: str = "impasto"

    @classmethod
    def of(cls, **given: Unpack[OptionFields]) -> Options:
        """Return options built from flat names; former names of options are accepted.

        Raises:
            OptionError: a name is unknown or a value is not allowed.
        """
        flat: dict[str, Any] = current_names(given)
        recipe = flat.pop("recipe", "impasto")
        known = names()
        for name in flat:
            if name not in known:
                raise OptionError(f"there is no option {name!r}; {suggest(name, known)}", name)
        groups = {
            key: group(**{f.name: flat[f.name] for f in fields(group) if f.name in flat})
            for key, group in GROUPS.items()
        }
        return cls(recipe=recipe, **groups)

    def flat(self) -> OptionFields:
        """Return every option under its flat name, and the name of the recipe."""
        values: dict[str, Any] = {"recipe": self.recipe}
        for key in GROUPS:
            values.update(dataclasses.asdict(getattr(self, key)))
        return cast("OptionFields", values)

    def replace(self, **flat: Unpack[OptionFields]) -> Options:
        """Return a copy with some options changed, by their flat names."""
        return Options.of(**(self.flat() | flat))


GROUPS: dict[str, Any] = {name: kind for name, kind in get_type_hints(Options).items() if name != "recipe"}
"""The dataclass of each group, by its name in ``Options``."""


def declared() -> Iterator[Declared]:
    """Yield every option of a run."""
    for key, group in GROUPS.items():
        yield from declared_in(group, key)


def names() -> set[str]:
    """Return the flat name of every option."""
    return {item.name for item in declared()}


def names_with(
    fact: Literal["live", "raw", "file", "same_targets", "server", "hidden", "page_rank", "preview"],
) -> tuple[str, ...]:
    """Return the names of the options that are declared with a fact, in the order of declaration."""
    return tuple(item.name for item in declared() if item.facts.get(fact))


def limits(name: str) -> tuple[float, float]:
    """Return the minimum and maximum of a numeric option."""
    facts = next(item.facts for item in declared() if item.name == name)
    return facts["low"], facts["high"]
