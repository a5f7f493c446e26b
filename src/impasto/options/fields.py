"""All options of a run as frozen dataclasses, the only place where defaults are defined.

One dataclass a concern; ``Options`` joins them and reads and writes the flat form (``{"strength": 0.5, ...}``) that the
command line, the REST API, the studio and the record inside a saved picture share. Values are checked when an object is
made: NaN, infinity, unknown names and values out of range raise OptionError with what is allowed.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from impasto.errors import OptionError, suggest
from impasto.options.validation import check, parse_bytes, without_none
from impasto.options.validation import parse_seconds as parse_seconds  # noqa: PLC0414 - handed on
from impasto.options.validation import parse_weights as parse_weights  # noqa: PLC0414 - handed on

Init = Literal["content", "random", "style", "fast"]
OptimizerName = Literal["lbfgs", "adam", "pyramid"]
Quality = Literal["draft", "standard", "fine"]
Units = Literal["unitless", "gatys", "neural-style", "plain"]
Precision = Literal["auto", "fp32", "bf16"]
Color = Literal["style", "content", "match", "histogram", "palette"]
PoolingName = Literal["max", "average", "l2"]
NetworkName = Literal["vgg19", "vgg16"]
StyleLossName = Literal[
    "moments",
    "gram",
    "wasserstein",
    "batchnorm",
    "mmd",
    "mmd-gauss",
    "sliced",
    "histogram",
    "mrf",
    "nearest",
    "strotss",
]
ContentLossName = Literal["features", "self-similarity"]
TvNorm = Literal["l1", "l2", "nine"]


def option(default: Any, text: str, **facts: Any) -> Any:
    """Declare an option: its default, one line of help, and facts such as ``low``, ``high``, ``metavar``, ``live``.

    ``live`` marks what can be changed while a run goes on.
    """
    return field(default=default, metadata={"help": text, **facts})


@dataclass(frozen=True, kw_only=True)
class Tradeoff:
    """Weights of the content and style losses."""

    strength: float | None = option(
        0.5, "balance from 0 (content only) to 1 (style only)", low=0.0, high=1.0, live=True
    )
    content_weight: float | None = option(
        None, "raw weight of the content loss, instead of --strength", low=0.0, live=True
    )
    style_weight: float | None = option(None, "raw weight of the style loss, instead of --strength", low=0.0, live=True)
    tv_weight: float = option(0.0, "weight of total variation; higher is smoother", low=0.0, live=True)
    units: Units = option("unitless", "weight convention of the raw weights")

    def __post_init__(self) -> None:
        check(self)
        raw = self.content_weight is not None or self.style_weight is not None
        if raw and self.strength is not None:
            raise OptionError(
                "strength and raw weights are both given: choose --strength, or --content-weight with --style-weight",
                "strength",
            )
        if not raw and self.strength is None:
            raise OptionError(
                "neither strength nor raw weights are given: --strength 0.5 is the usual start", "strength"
            )
        if not raw and self.units != "unitless":
            raise OptionError(
                f"units is {self.units!r}, which is for raw weights: give --content-weight and --style-weight too, "
                "or omit --units",
                "units",
            )


@dataclass(frozen=True, kw_only=True)
class Features:
    """Network, layers and losses."""

    style_layers: str | None = option(
        None, "style layers with weights, such as relu1_1=1+relu3_1=0.5", metavar="LAYER[=WEIGHT]+...", kind="layers"
    )
    content_layers: str | None = option(
        None, "content layers with weights, such as relu4_2", metavar="LAYER[=WEIGHT]+...", kind="layers"
    )
    pooling: PoolingName = option("max", "pooling of the network")
    network: NetworkName = option(
        "vgg19", "network that computes the features; vgg16 needs `impasto weights fetch vgg16`"
    )
    style_loss: StyleLossName | None = option(
        None, "style loss; default: moments, or gram with a foreign weight convention (--units)"
    )
    content_loss: ContentLossName = option("features", "content loss")
    preservation: float = option(
        0.75, "nearest: match features of the image (0) or of the content (1)", low=0.0, high=1.0
    )
    per_layer_fraction: float = option(
        0.0, "nearest: fraction of the steps, at the end, that match each layer separately", low=0.0, high=1.0
    )
    refresh_every: int | None = option(
        None,
        "steps between resampling or matching, for losses that do either; 0: once per scale",
        low=0,
        high=1_000_000,
    )
    style_scale: float = option(1.0, "scale of the style image, and so of its strokes", low=0.05, high=8.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Initial image, optimizer and schedule."""

    init: str = option(
        "content",
        "initial image: content, random, style (noise in its colors), fast (feed-forward) or a file",
        metavar="NAME|FILE",
    )
    seed: int = option(0, "random seed; the same seed gives the same bytes", low=0, high=2**63 - 1)
    optimizer: OptimizerName = option(
        "lbfgs", "L-BFGS, Adam with averaging, or Adam on the bands of a Laplacian pyramid"
    )
    step_size: float = option(
        1.0, "step size relative to the default of the optimizer", low=1e-4, high=100.0, live=True
    )
    quality: Quality = option("standard", "preset number of steps")
    steps: int | None = option(
        None,
        "steps over all scales, or published for the number in the paper",
        low=1,
        high=1_000_000,
        metavar="N|published",
        words=True,
    )
    scales: int | None = option(None, "number of scales, coarse to fine; 1: full size only", low=1, high=12)
    time: str | None = option(None, "time limit; the number of steps is planned to fit", metavar="60s|5m|1h")
    tolerance: float = option(
        1e-3, "end a scale early when ten steps reduce the loss by less than this fraction; 0: never", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        check(self)
        if self.time is not None:
            parse_seconds(self.time)
            if self.steps is not None:
                raise OptionError("time and steps are both given: the one plans the other, choose one", "time")


@dataclass(frozen=True, kw_only=True)
class Regularizers:
    """Regularizers beside the content and style losses."""

    tv_norm: TvNorm | None = option(None, "norm of total variation; default: that of --units, or l2")
    edge_weight: float = option(0.0, "weight of the edge loss; 1 is as much as the content loss", low=0.0)
    color_anchor_weight: float = option(
        0.0,
        "weight of the color anchor: keep the low frequencies of the content; 1 is as much as the content loss",
        low=0.0,
    )
    photorealism_weight: float = option(0.0, "weight of the photorealism loss (matting Laplacian)", low=0.0)
    despeckle_weight: float = option(0.0, "weight against isolated pixels", low=0.0)
    border_weight: float = option(0.0, "weight against artifacts along the border", low=0.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Control:
    """Colors, blending of styles and protected areas."""

    color: Color = option("style", "source of the colors and how they are transferred")
    final_recolor: float = option(
        0.0, "final color transfer from the content, matched to the style; 0: none, 1: full", low=0.0, high=1.0
    )
    saturation: float = option(1.0, "saturation of the colors: 0 is gray, 1 unchanged", low=0.0, high=4.0)
    style_blend: str | None = option(
        None, "weight of each style, such as 0.7,0.3; default: equal", metavar="PART,PART..."
    )
    style_scales: str | None = option(
        None, "scale of each style, such as 1,0.5, instead of --style-scale", metavar="SCALE,SCALE..."
    )
    rotate_style: float = option(
        0.0, "rotation of the style image in degrees, counterclockwise", low=-360.0, high=360.0
    )
    protect_strength: float = option(1.0, "how strongly protected areas are kept; 1: pixel by pixel", low=0.0, high=1.0)
    seamless: bool = option(False, "make the image tileable: opposite edges match")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Feed-forward networks in place of optimization."""

    fast: bool = option(False, "one feed-forward pass for any style; needs `impasto weights fetch adain`")
    model: str | None = option(None, "one feed-forward pass with a network trained by `impasto train`", metavar="FILE")

    def __post_init__(self) -> None:
        check(self)
        if self.fast and self.model is not None:
            raise OptionError("fast and model are both given: choose --fast, or --model FILE", "model")

    @property
    def enabled(self) -> bool:
        """Whether a network paints, and nothing is optimized."""
        return self.fast or self.model is not None


@dataclass(frozen=True, kw_only=True)
class Output:
    """Size and format of the output."""

    size: str | None = option("512", "long side in px, 1.5mp, full, or 36in with --dpi", metavar="SIZE", number=True)
    dpi: float | None = option(None, "dots per inch, stored in the file", low=1.0, high=10_000.0)
    bits: Literal[8, 16] = option(8, "bits per channel")
    keep_location: bool = option(False, "keep the GPS location of the photograph")
    no_metadata: bool = option(False, "write neither the record of the run nor the EXIF data of the photograph")
    max_pixels: int = option(200_000_000, "largest input image in pixels", low=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Device, precision and memory."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1", metavar="DEVICE")
    precision: Precision = option("auto", "precision of the network; losses are accumulated in higher precision")
    threads: int | None = option(None, "CPU threads", low=1, high=1024)
    tile: int | None = option(
        None, "tile size in px, a multiple of 16; default: no tiles, or what fits the memory", low=64, high=65536
    )
    memory: str | None = option(None, "memory limit, such as 4GiB; default: 80 % of the free memory", metavar="SIZE")
    weights: str | None = option(
        None, "VGG-19 weights: a .pth, .safetensors or .h5 file, or vgg19-fp32 if downloaded", metavar="FILE"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.tile is not None and self.tile % 16:
            raise OptionError(f"tile is {self.tile}; give a multiple of 16, such as 512", "tile")
        if self.memory is not None:
            parse_bytes(self.memory)


GROUPS: dict[str, type[Any]] = {
    "tradeoff": Tradeoff,
    "features": Features,
    "optimization": Optimization,
    "regularizers": Regularizers,
    "control": Control,
    "feed_forward": FeedForward,
    "output": Output,
    "machine": Machine,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Every setting of a run."""

    tradeoff: Tradeoff = field(default_factory=Tradeoff)
    features: Features = field(default_factory=Features)
    optimization: Optimization = field(default_factory=Optimization)
    regularizers: Regularizers = field(default_factory=Regularizers)
    control: Control = field(default_factory=Control)
    feed_forward: FeedForward = field(default_factory=FeedForward)
    output: Output = field(default_factory=Output)
    machine: Machine = field(default_factory=Machine)
    recipe: str = "impasto"

    @classmethod
    def of(cls, **flat: Any) -> Options:
        """Make options from flat names.

        Raises:
            OptionError: a name is unknown or a value not allowed.
        """
        recipe = flat.pop("recipe", "impasto")
        flat = current_names(flat)
        known = names()
        for name in flat:
            if name not in known:
                raise OptionError(f"no option is called {name!r}; {suggest(name, known)}", name)
        groups = {
            key: group(**{f.name: flat[f.name] for f in fields(group) if f.name in flat})
            for key, group in GROUPS.items()
        }
        return cls(recipe=recipe, **groups)

    def flat(self) -> dict[str, Any]:
        """Return every option under its flat name, the recipe's name included."""
        values: dict[str, Any] = {"recipe": self.recipe}
        for key in GROUPS:
            values.update(dataclasses.asdict(getattr(self, key)))
        return values

    def replace(self, **flat: Any) -> Options:
        """Return the options with some of them changed, by their flat names."""
        return Options.of(**{**self.flat(), **flat})


RENAMED = {
    "apart": "per_layer_fraction",
    "recolour": "final_recolor",
    "anchor_weight": "color_anchor_weight",
    "photo_weight": "photorealism_weight",
    "speck_weight": "despeckle_weight",
}
"""Former names of options, as records and recipes saved by earlier versions have them."""


def current_names(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored option values under the current names of the options.

    Args:
        flat: values by flat name, as written by this or an earlier version.
    """
    return {RENAMED.get(name, name): value for name, value in flat.items()}


@dataclass(frozen=True)
class Declared:
    """One option as a command line or a form needs it."""

    name: str
    group: str
    type: Any
    default: Any
    choices: tuple[Any, ...] | None
    optional: bool
    facts: Mapping[str, Any]


def declared() -> Iterator[Declared]:
    """Yield every option with its type, default, choices and facts."""
    for key, group in GROUPS.items():
        hints = typing.get_type_hints(group)
        for item in fields(group):
            kind, optional = without_none(hints[item.name])
            choices = get_args(kind) if get_origin(kind) is Literal else None
            base = type(choices[0]) if choices else kind
            yield Declared(item.name, key, base, item.default, choices, optional, item.metadata)


def names() -> set[str]:
    """Return the flat name of every option."""
    return {item.name for group in GROUPS.values() for item in fields(group)}
