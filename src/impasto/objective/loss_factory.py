"""The tables from names to losses, and how each loss is built.

This is the only place where a name becomes a loss; the losses themselves do not depend on the options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from impasto.losses.batchnorm import BatchNormLoss
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, Normalization, summed_grams
from impasto.losses.histogram import HistogramLoss
from impasto.losses.mmd import GaussianMMDLoss, PolynomialMMDLoss
from impasto.losses.moments import MomentsLoss, summed_moments
from impasto.losses.mrf import MRFLoss
from impasto.losses.nearest import NearestLoss, rotations
from impasto.losses.per_layer_nearest import PerLayerNearestLoss
from impasto.losses.regularizers.borders import BorderLoss
from impasto.losses.regularizers.color_anchor import ColorAnchorLoss
from impasto.losses.regularizers.edges import EdgeLoss
from impasto.losses.regularizers.matting import MattingLoss
from impasto.losses.regularizers.proof_anchor import ProofAnchorLoss, cell_for
from impasto.losses.regularizers.specks import SpeckLoss
from impasto.losses.regularizers.tv import TotalVariationLoss
from impasto.losses.sliced import SlicedLoss
from impasto.losses.strotss import SelfSimilarityLoss, StrotssLoss
from impasto.losses.summaries.blend import Blended, Weighted, mix
from impasto.losses.summaries.protocol import Features, Loss, Maps, Refreshing
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.wasserstein import WassersteinLoss
from impasto.network.encoder import Encoder
from impasto.objective.style_features import StyleFeatures
from impasto.objective.tiling import tiled_features
from impasto.options.builtin_recipes import EIGHT_LAYERS, FIVE_LAYERS
from impasto.options.fields import Options

NORMALIZATIONS: Mapping[str, Normalization] = {"gatys": "gatys", "neural-style": "neural-style"}

HYPERCOLUMN = "relu1_1+relu1_2+relu2_1+relu2_2+relu3_1+relu3_2+relu3_3"


@dataclass(frozen=True)
class ScaleContext:
    """The inputs from which the losses of one scale are built.

    ``content`` is ``[1, 3, height, width]`` as the losses compare it; ``style_layers`` and ``content_layers`` are
    weights by layer; ``per_layer`` selects the last pass of nearest neighbors, which matches each layer separately.
    """

    encoder: Encoder
    content: Tensor
    height: int
    width: int
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    options: Options
    per_layer: bool = False

    def features(self, picture: Tensor, layers: Mapping[str, float]) -> Features:
        """Return the features of an image ``[1, 3, h, w]``, by tiles if it is larger than one."""
        with torch.no_grad():
            side = self.options.machine.tile
            if side is not None and side < max(picture.shape[-2:]):
                return tiled_features(self.encoder, picture, list(layers), side)
            found: Features = self.encoder(picture, list(layers))
            return found

    @cached_property
    def content_features(self) -> Features:
        """The content's features by layer."""
        return self.features(self.content, self.content_layers)

    @property
    def generator(self) -> torch.Generator:
        """A new generator with the seed of the run, for the first samples."""
        return torch.Generator().manual_seed(self.options.optimization.seed)

    def target(self, style: StyleFeatures, mask: Maps | None) -> StyleTarget:
        """Return the ``StyleTarget`` of a style, for the part of the canvas inside a mask by layer."""
        size = self.height, self.width
        return StyleTarget(style.features, self.style_layers, *size, mask, style.mask, style.picture)

    def with_interval(self, loss: Loss) -> Loss:
        """Return a loss with the refresh interval of the options."""
        every = self.options.features.refresh_every
        if every is not None and isinstance(loss, Refreshing):
            loss.refresh_every = every
        return loss


@dataclass(frozen=True)
class StyleLoss:
    """A row of the table of style losses.

    ``build`` creates the loss; ``layers`` are its default layers. A loss whose statistics mix linearly has
    ``statistics``, which sums them over a style's tiles: the styles of a blend are then mixed before they are compared,
    otherwise the losses against each style are averaged.
    """

    build: Callable[[ScaleContext, StyleTarget], Loss]
    layers: str = FIVE_LAYERS
    statistics: Callable[[Iterable[tuple[Features, Maps | None]]], dict[str, Tensor]] | None = None


def _gram(context: ScaleContext, target: StyleTarget) -> Loss:
    return GramLoss(target, normalization=NORMALIZATIONS.get(context.options.loss_weights.units, "relative"))


def _nearest(context: ScaleContext, target: StyleTarget) -> Loss:
    assert target.picture is not None
    rotated = (context.features(picture, target.weights) for picture in rotations(target.picture)[1:])
    if context.per_layer:
        return PerLayerNearestLoss(target, rotated=rotated, generator=context.generator)
    content, preservation = context.features(context.content, target.weights), context.options.features.preservation
    return NearestLoss(target, rotated=rotated, content=content, preservation=preservation)


# To add a style loss, add a row here and its name to ``StyleLossName`` in ``options/choices.py``.
STYLE_LOSSES: dict[str, StyleLoss] = {
    "moments": StyleLoss(lambda _, target: MomentsLoss(target), EIGHT_LAYERS, summed_moments),
    "gram": StyleLoss(_gram, statistics=summed_grams),
    "wasserstein": StyleLoss(lambda _, target: WassersteinLoss(target)),
    "batchnorm": StyleLoss(lambda _, target: BatchNormLoss(target)),
    "mmd": StyleLoss(lambda _, target: PolynomialMMDLoss(target)),
    "mmd-gauss": StyleLoss(lambda _, target: GaussianMMDLoss(target)),
    "sliced": StyleLoss(lambda _, target: SlicedLoss(target)),
    "histogram": StyleLoss(lambda _, target: HistogramLoss(target), "relu1_1=0.5+relu4_1=0.5"),
    "mrf": StyleLoss(lambda _, target: MRFLoss(target), "relu3_1=0.5+relu4_1=0.5"),
    "nearest": StyleLoss(_nearest, f"{HYPERCOLUMN}+relu4_1+relu4_2+relu4_3"),
    "strotss": StyleLoss(
        lambda context, target: StrotssLoss(target, generator=context.generator), f"{HYPERCOLUMN}+relu4_3+relu5_3"
    ),
}


def _content_features(context: ScaleContext, mask: Maps | None) -> Loss:
    half_sum = context.options.loss_weights.units == "gatys"
    return ContentLoss(context.content_features, context.content_layers, mask=mask, half_sum=half_sum)


def _self_similarity(context: ScaleContext, mask: Maps | None) -> Loss:
    features, layers = context.content_features, context.content_layers
    return SelfSimilarityLoss(features, layers, context.content, mask=mask, generator=context.generator)


# Default layers and constructor. To add a content loss, add a row and its name to ``ContentLossName``.
CONTENT_LOSSES: dict[str, tuple[str, Callable[[ScaleContext, Maps | None], Loss]]] = {
    "features": ("relu4_2", _content_features),
    "self-similarity": (f"{HYPERCOLUMN}+relu4_3+relu5_3", _self_similarity),
}


def style_loss_name(options: Options) -> str:
    """Return the name of the style loss: the option's value, or the default for the options' units."""
    if options.features.style_loss is not None:
        return options.features.style_loss
    return "gram" if options.loss_weights.units in NORMALIZATIONS else "moments"


def default_style_layers(options: Options) -> str:
    """Return the default layers of the style loss."""
    return STYLE_LOSSES[style_loss_name(options)].layers


def default_content_layers(options: Options) -> str:
    """Return the default layers of the content loss."""
    return CONTENT_LOSSES[options.features.content_loss][0]


def style_loss(
    context: ScaleContext, styles: Sequence[StyleFeatures], mask: Maps | None = None, blend: Sequence[float] = (1.0,)
) -> Loss:
    """Return the style loss against one style or a blend of several.

    Args:
        context: the inputs of the scale.
        styles: features of each style.
        mask: weight of each of the canvas's positions by layer, ``[1, 1, H/s, W/s]``; all ones if absent.
        blend: weight of each style, 0 or more, not all 0.
    """
    row = STYLE_LOSSES[style_loss_name(context.options)]
    make: Callable[[Sequence[float]], Loss]
    if row.statistics is not None:
        raw = [row.statistics(style.iter_tiles()) for style in styles]
        size = context.height, context.width

        def make(weights: Sequence[float]) -> Loss:
            target = StyleTarget({}, context.style_layers, *size, mask, statistics=mix(raw, weights))
            return context.with_interval(row.build(context, target))
    else:
        # Built once: the samples and matches of the losses persist when the blend changes.
        losses = [context.with_interval(row.build(context, context.target(style, mask))) for style in styles]

        def make(weights: Sequence[float]) -> Loss:
            return losses[0] if len(losses) == 1 else Weighted(losses, weights)

    return make([1.0]) if len(styles) == 1 else Blended(blend, make)


def content_loss(context: ScaleContext, mask: Maps | None = None) -> Loss:
    """Return the content loss inside a mask by layer, ``[1, 1, H/s, W/s]``; everywhere if absent."""
    _, build = CONTENT_LOSSES[context.options.features.content_loss]
    return context.with_interval(build(context, mask))


def total_variation_loss(height: int, width: int, options: Options) -> TotalVariationLoss:
    """Return the total variation loss, by default in the norm of the options' units."""
    norm, wrap = options.regularizers.tv_norm, options.control.seamless
    if options.loss_weights.units in NORMALIZATIONS:
        # neural-style-pt sums absolute differences of values from 0 to 255.
        scale = 255.0 if norm in (None, "l1") else 255.0**2
        return TotalVariationLoss(height, width, norm=norm or "l1", factor=scale * 3 * height * width, wrap=wrap)
    return TotalVariationLoss(height, width, norm=norm or "l2", wrap=wrap)


PROOF = "guard:proof"  # the name of the term below


def proof_loss(enlarged: Tensor, proof: Tensor) -> ProofAnchorLoss:
    """Return the loss that keeps a poster close to its proof.

    Args:
        enlarged: the proof as the losses compare it, ``[1, 3, H, W]`` at the canvas's size.
        proof: the proof at its own size, ``[1, 3, h, w]``.
    """
    return ProofAnchorLoss(enlarged, cell=cell_for(proof.shape[-2:], enlarged.shape[-2:]))


REGULARIZERS: Mapping[str, tuple[str, Callable[[Tensor], Loss]]] = {
    "guard:edges": ("edge_weight", EdgeLoss),
    "guard:anchor": ("color_anchor_weight", ColorAnchorLoss),
    "guard:photo": ("photorealism_weight", MattingLoss),
    "guard:specks": ("despeckle_weight", lambda content: SpeckLoss(*content.shape[-2:])),
    "guard:border": ("border_weight", lambda content: BorderLoss(*content.shape[-2:])),
}


def regularizer_losses(content: Tensor, options: Options) -> dict[str, Loss]:
    """Return the regularizers with a positive weight by term.

    Args:
        content: ``[1, 3, H, W]`` as the losses compare it.
        options: options of the run.
    """
    weights = {name: getattr(options.regularizers, option) for name, (option, _) in REGULARIZERS.items()}
    return {name: REGULARIZERS[name][1](content) for name, weight in weights.items() if weight > 0}
