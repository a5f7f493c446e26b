"""Metrics of how well an image matches its content and its style, none of which is optimized.

``METRICS`` lists the metrics and whether lower or higher is better. The metrics on VGG-19 are marked "same network":
they favor images that were optimized on that network and are not independent evidence.

* ``lpips``: Zhang, Isola, Efros, Shechtman & Wang, CVPR 2018, version 0.1 on AlexNet, of image and content.
* ``style_distance``: means and covariances of AlexNet's five activations, each as a distance relative to the norm of
  the style's: for a layer with mean m and covariance S, (|m - m_style| / |m_style| + |S - S_style| / |S_style|) / 2 in
  the Euclidean and Frobenius norms, averaged over the layers. 0 is the style itself, about 1 a blank image.
* ``vgg_style``: the sliced Wasserstein distance of Heitz et al. (CVPR 2021) with fixed directions, on VGG-19's relu1_1,
  2_1, 3_1 and 4_1, each relative to the spread of the style's projections. Difference from the paper: at most
  ``POSITIONS`` positions per layer on a regular grid, compared at ``QUANTILES`` quantiles, so images of different
  sizes can be compared.
* ``ssim``: Wang et al. 2004 on luma, with the paper's Gaussian window.
* ``palette``: sliced Wasserstein-2 distance of the colors in OKLab (Ottosson 2020), in OKLab's own unit: a shift of
  every color by d gives d.
* ``specks``: energy that a 3x3 median removes, relative to that of the style. 1 is as rough as the style.
* ``border``: the largest step between neighboring bands near the edge, relative to the mean step further in. 1 to 3
  means no frame; a style that was photographed with its margin has a frame.

Scale: for networks and SSIM the image is reduced to at most ``long_side`` pixels, the content resized to its size and
the long side of the style to its long side, so that strokes are compared at the scale at which they appear. Specks and
border are measured on the image at full size; there a larger style is reduced, and a smaller one is not enlarged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError, OptionError
from impasto.imaging import images
from impasto.imaging.images import PictureLike
from impasto.losses.summaries.moment_sums import mean_and_covariance
from impasto.network import weights
from impasto.network.encoder import Encoder
from impasto.options.layer_names import layer_names
from impasto.regions.color import to_oklab
from impasto.regions.region_tensors import tensor

if TYPE_CHECKING:
    Pixels = NDArray[np.float32]

LONG_SIDE = 512
MIN_SIDE = 64  # below this, AlexNet's last layer has hardly any positions
VGG_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
DIRECTIONS = 64
POSITIONS = 16384
QUANTILES = 512
SPECK_FLOOR = (0.5 / 255) ** 2  # what rounding to 8 bits can cause
BORDER_FLOOR = (1 / 255) ** 2
BANDS = 13
FRAME_BANDS = 4


@dataclass(frozen=True)
class Metric:
    """A metric: ``better`` is ``lower`` or ``higher``; ``independent`` is False on the network of the encoder."""

    better: str
    independent: bool
    meaning: str


METRICS: Mapping[str, Metric] = {
    "lpips": Metric("lower", True, "perceptual distance from the content (LPIPS, AlexNet)"),
    "style_distance": Metric("lower", True, "distance from the style in means and covariances of AlexNet features"),
    "vgg_style": Metric("lower", False, "distance from the style on VGG-19 (sliced Wasserstein; same network)"),
    "ssim": Metric("higher", True, "structural similarity to the content (SSIM)"),
    "palette": Metric("lower", True, "distance of the colors from those of the style (OKLab)"),
    "specks": Metric("lower", True, "isolated pixels; 1 = as many as in the style"),
    "border": Metric("lower", True, "frame along the edge; 1 to 3 = none"),
}


def evaluate(
    out: PictureLike, content: PictureLike, style: PictureLike, *, long_side: int = LONG_SIDE
) -> dict[str, float]:
    """Evaluate one image against its content and its style.

    Args:
        out: the image to evaluate; like the others a path, a ``Picture``, or an array ``[H, W, 3]``.
        content: the content image.
        style: the style image.
        long_side: largest side in px at which networks and SSIM compare, at least 64.

    Returns:
        One finite number for each name in ``METRICS``.

    Raises:
        WeightsError: the weights of AlexNet are not downloaded; the message names the command.
        ImageError: an image cannot be read, or is too small.
        OptionError: ``long_side`` is too small.
    """
    return Evaluator(content, style, long_side=long_side)(out)


class Evaluator:
    """Evaluates any number of images against one content and one style, which are prepared once.

    Args:
        content: as in ``evaluate``.
        style: as in ``evaluate``.
        long_side: as in ``evaluate``.
    """

    def __init__(self, content: PictureLike, style: PictureLike, *, long_side: int = LONG_SIDE) -> None:
        if long_side < MIN_SIDE:
            raise OptionError(f"long_side is {long_side}; it must be at least {MIN_SIDE}", "long_side")
        self.long_side = long_side
        self.alexnet = weights.alexnet_state()
        self.linear = weights.lpips_alex_state()
        names = layer_names()
        needed = names[: names.index(VGG_LAYERS[-1])]
        state = weights.vgg19_state()
        self.vgg = Encoder({name: value for name, value in state.items() if name.partition(".")[0] in needed})
        self.content = _pixels(content, "content")
        self.style = _pixels(style, "style")
        self._prepared: dict[tuple[int, int], _Prepared] = {}

    def __call__(self, out: PictureLike) -> dict[str, float]:
        """Return the metrics of one image, as ``evaluate`` does."""
        pixels = _pixels(out, "picture")
        size = evaluation_size(pixels.shape[0], pixels.shape[1], self.long_side)
        with torch.inference_mode():
            if size not in self._prepared:
                self._prepared[size] = self._prepare(size)
            prepared = self._prepared[size]
            seen = images.resize(pixels, size)
            features = alexnet_features(tensor(seen), self.alexnet)
            return {
                "lpips": lpips_distance(features, prepared.content_features, self.linear),
                "style_distance": statistics_distance([statistics(layer) for layer in features], prepared.statistics),
                "vgg_style": quantile_distance(self._quantiles(seen), prepared.quantiles),
                "ssim": structural_similarity(seen, prepared.content),
                "palette": palette_distance(seen, prepared.style),
                "specks": self._specks(pixels),
                "border": border_energy(pixels),
            }

    def _prepare(self, size: tuple[int, int]) -> _Prepared:
        content = images.resize(self.content, size)
        style = images.resize(self.style, _with_long_side(self.style, max(size)))
        style_features = alexnet_features(tensor(style), self.alexnet)
        return _Prepared(
            content=content,
            style=style,
            content_features=alexnet_features(tensor(content), self.alexnet),
            statistics=[statistics(layer) for layer in style_features],
            quantiles=self._quantiles(style),
        )

    def _quantiles(self, pixels: Pixels) -> list[Tensor]:
        features = self.vgg(tensor(pixels), VGG_LAYERS)
        return [projected_quantiles(features[layer][0]) for layer in VGG_LAYERS]

    def _specks(self, pixels: Pixels) -> float:
        height, width = _with_long_side(self.style, max(pixels.shape[:2]))
        smaller = height <= self.style.shape[0]
        style = images.resize(self.style, (height, width)) if smaller else self.style
        return (speck_energy(pixels) + SPECK_FLOOR) / (speck_energy(style) + SPECK_FLOOR)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Content and style, prepared for images of one size."""

    content: Pixels
    style: Pixels
    content_features: list[Tensor]
    statistics: list[tuple[Tensor, Tensor]]
    quantiles: list[Tensor]


def table(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the metrics of images as plain data for a table or a JSON file.

    Args:
        rows: the result of ``evaluate`` by the name of the image.

    Returns:
        ``metrics`` (direction, independence and meaning by name), ``rows`` (one dict per image), and ``best`` (the
        name of the best image by metric; the first one of equals).
    """
    best: dict[str, str] = {}
    for metric, about in METRICS.items():
        column = {name: values[metric] for name, values in rows.items()}
        if column:
            best[metric] = (min if about.better == "lower" else max)(column, key=column.__getitem__)
    return {
        "metrics": {name: asdict(about) for name, about in METRICS.items()},
        "rows": [{"name": name, **values} for name, values in rows.items()],
        "best": best,
    }


def alexnet_features(canvas: Tensor, state: Mapping[str, Tensor]) -> list[Tensor]:
    """Return AlexNet's five activations after ReLU.

    Args:
        canvas: ``[B, 3, H, W]``, sRGB in [0, 1].
        state: as returned by ``weights.alexnet_state``.

    Returns:
        ``[B, 64, H/4, W/4]``, ``[B, 192, H/8, W/8]``, then ``[B, 384 or 256, H/16, W/16]`` three times, about.
    """
    mean, deviation = canvas.new_tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    x = (canvas - mean) / deviation
    features = []
    for index, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)), start=1):
        if index in (2, 3):
            x = functional.max_pool2d(x, 3, 2)
        x = functional.conv2d(x, state[f"conv{index}.weight"], state[f"conv{index}.bias"], stride, padding).relu()
        features.append(x)
    return features


def lpips_distance(first: Sequence[Tensor], second: Sequence[Tensor], linear: Mapping[str, Tensor]) -> float:
    """Return LPIPS between two images of one size; 0 if they are equal.

    Args:
        first: AlexNet's activations of one image, ``[1, C, h, w]`` each.
        second: those of the other.
        linear: ``lin1`` ``[C]`` and so on, as returned by ``weights.lpips_alex_state``.
    """
    total = 0.0
    for index, (one, other) in enumerate(zip(first, second, strict=True), start=1):
        unit = one / (one.norm(dim=1, keepdim=True) + 1e-10)
        difference = unit - other / (other.norm(dim=1, keepdim=True) + 1e-10)
        total += float((difference.square() * linear[f"lin{index}"].view(1, -1, 1, 1)).sum(1).mean())
    return total


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean ``[C]`` and covariance ``[C, C]`` over the positions of ``[1, C, h, w]``, float64."""
    return mean_and_covariance(features[0].flatten(1).T.double())


def statistics_distance(found: Sequence[tuple[Tensor, Tensor]], style: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the distance of means and covariances relative to the norm of the style's, averaged over the layers."""
    parts = [
        float((one - other).norm() / (other.norm() + 1e-6))
        for pair, target in zip(found, style, strict=True)
        for one, other in zip(pair, target, strict=True)
    ]
    return sum(parts) / len(parts)


def projected_quantiles(features: Tensor) -> Tensor:
    """Return the quantiles of features along fixed random directions.

    Args:
        features: ``[C, h, w]``.

    Returns:
        ``[DIRECTIONS, QUANTILES]`` ascending; invariant to permutations of the sampled positions.
    """
    channels, height, width = features.shape
    step = max(1, int(np.ceil(np.sqrt(height * width / POSITIONS))))
    flat = features[:, ::step, ::step].flatten(1)  # [C, N]
    generator = torch.Generator().manual_seed(channels)
    directions = functional.normalize(torch.randn(DIRECTIONS, channels, generator=generator), dim=1)
    ordered = (directions.to(flat) @ flat).sort(dim=1).values  # [D, N]
    return _at_quantiles(ordered, QUANTILES)


def _at_quantiles(ordered: Tensor, count: int) -> Tensor:
    """Read ``count`` evenly spaced quantiles off sorted rows ``[D, N]``, linearly between neighbors."""
    last = ordered.shape[1] - 1
    place = ((torch.arange(count, dtype=torch.float64) + 0.5) / count * (last + 1) - 0.5).clamp(0, last)
    below = place.floor().long()
    above = (below + 1).clamp(max=last)
    return torch.lerp(ordered[:, below], ordered[:, above], (place - below).to(ordered.dtype))


def quantile_distance(found: Sequence[Tensor], style: Sequence[Tensor]) -> float:
    """Return the root mean square difference of quantiles over the style's spread, averaged over the layers."""
    parts = []
    for one, other in zip(found, style, strict=True):
        spread = (other - other.mean(1, keepdim=True)).square().mean()
        parts.append(float(((one - other).square().mean() / (spread + 1e-12)).sqrt()))
    return sum(parts) / len(parts)


def structural_similarity(first: Pixels, second: Pixels) -> float:
    """Return SSIM of the luma of two images; 1 if they are equal."""
    from skimage.metrics import structural_similarity as ssim

    luma = np.array([0.299, 0.587, 0.114], np.float32)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(ssim(first @ luma, second @ luma, data_range=1.0, **window))  # type: ignore[no-untyped-call]


def palette_distance(first: Pixels, second: Pixels) -> float:
    """Return the sliced Wasserstein-2 distance between two images' colors in OKLab.

    The directions are orthogonal triples, so that a shift of every color by d gives exactly d.
    """
    generator = torch.Generator().manual_seed(3)
    bases = torch.linalg.qr(torch.randn(16, 3, 3, generator=generator, dtype=torch.float64))[0]
    directions = bases.reshape(-1, 3)  # [48, 3]
    quantiles = []
    for pixels in (first, second):
        step = max(1, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / POSITIONS))))
        colors = torch.from_numpy(oklab(pixels[::step, ::step])).reshape(-1, 3)
        quantiles.append(_at_quantiles((directions.to(colors) @ colors.T).sort(dim=1).values, QUANTILES))
    return float((3 * (quantiles[0] - quantiles[1]).square().mean()).sqrt())


def speck_energy(pixels: Pixels) -> float:
    """Return the mean square of the difference between ``[H, W, 3]`` and its 3x3 median."""
    import cv2

    return float(np.mean(np.square(pixels - cv2.medianBlur(np.ascontiguousarray(pixels), 3))))


def border_energy(pixels: Pixels) -> float:
    """Return how abruptly the image changes near its edge, relative to the change between bands further in.

    Each side is cut into bands that run along it, and bands into blocks. The step from a band to the next is the change
    of the blocks' color and of their spread of lightness in OKLab, averaged along the side before it is squared:
    detail averages out, a frame does not. A frame may be as wide as ``FRAME_BANDS`` bands of a 128th of the long side;
    the step at its inner edge is what counts.

    Args:
        pixels: ``[H, W, 3]``.

    Returns:
        1 to 3 where there is no frame (half of all photographs: 1.1 to 3.0); larger the stronger it is.
    """
    band = max(2, min(round(max(pixels.shape[:2]) / 128), min(pixels.shape[:2]) // (2 * BANDS + 4)))
    steps = np.zeros(BANDS - 1)
    colors = oklab(pixels)
    for turn in range(4):
        side = np.rot90(colors, turn)[: band * BANDS]
        blocks = side.shape[1] // band
        cells = side[:, : blocks * band].reshape(BANDS, band, blocks, band, 3)
        looks = np.concatenate([cells.mean((1, 3)), cells[..., 0].std((1, 3))[..., None]], axis=2)
        own = looks[:, BANDS:-BANDS]  # the corners belong to the bands of two sides
        steps += np.square(np.diff(own, axis=0).mean(1)).sum(1)
    edge, inside = steps[:FRAME_BANDS].max(), steps[FRAME_BANDS:].mean()
    return float(np.sqrt((edge + BORDER_FLOOR) / (inside + BORDER_FLOOR)))


def oklab(pixels: Pixels) -> Pixels:
    """Return OKLab coordinates ``[H, W, 3]`` of sRGB in [0, 1] (Ottosson 2020); white is (1, 0, 0).

    They are in float32, in float64 for pixels in float64.
    """
    kind = np.float64 if pixels.dtype == np.float64 else np.float32
    picture = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=kind))
    lab: Pixels = to_oklab(picture).permute(1, 2, 0).numpy()
    return lab


def evaluation_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return the size for evaluation: at most ``long_side``, but at least 64 px on the short side."""
    factor = min(1.0, max(long_side / max(height, width), MIN_SIDE / min(height, width)))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _with_long_side(pixels: Pixels, long_side: int) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    factor = max(long_side / max(height, width), MIN_SIDE / min(height, width))
    return round(height * factor), round(width * factor)


def _pixels(source: PictureLike, name: str) -> Pixels:
    picture = images.load(source)
    if min(picture.size) < MIN_SIDE:
        raise ImageError(
            f"the {name} is {picture.width}x{picture.height} px, too small to evaluate: it needs at least "
            f"{MIN_SIDE} px per side"
        )
    return picture.pixels
