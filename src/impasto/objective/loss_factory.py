"""Which loss a name stands for, and what it is built from.

In: names and numbers of the options, the encoder, the content and the styles of an area. Out: losses. This is the
only place where a name becomes a loss; a loss itself knows no options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from impasto.losses.batchnorm import BatchNormLoss
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, Normalization, summed_grams
from impasto.losses.histogram import HistogramLoss
from impasto.losses.mmd import GaussianMMDLoss, PolynomialMMDLoss
from impasto.losses.moments import MomentsLoss, summed_moments
from impasto.losses.mrf import MRFLoss
from impasto.losses.nearest import NearestLoss, turned
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
from impasto.losses.summaries.blend import Weighted, mix
from impasto.losses.summaries.protocol import Features, Loss, Maps, Refreshing
from impasto.losses.summaries.sampling import positions
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.wasserstein import WassersteinLoss
from impasto.network.encoder import Encoder
from impasto.objective.region_terms import MakeStyle, StyleFeatures
from impasto.objective.tiling import tiled_features
from impasto.options.builtin_recipes import EIGHT_LAYERS, FIVE_LAYERS
from impasto.options.fields import Options, StyleLossName

NORMALIZATIONS: Mapping[str, Normalization] = {"gatys": "gatys", "neural-style": "neural-style"}

HYPERCOLUMN = "relu1_1+relu1_2+relu2_1+relu2_2+relu3_1+relu3_2+relu3_3"
STYLE_LAYERS: Mapping[str, str] = {
    "moments": EIGHT_LAYERS,
    "histogram": "relu1_1=0.5+relu4_1=0.5",
    "mrf": "relu3_1=0.5+relu4_1=0.5",
    "nearest": f"{HYPERCOLUMN}+relu4_1+relu4_2+relu4_3",
    "strotss": f"{HYPERCOLUMN}+relu4_3+relu5_3",
}
CONTENT_LAYERS: Mapping[str, str] = {
    "features": "relu4_2",
    "self-similarity": f"{HYPERCOLUMN}+relu4_3+relu5_3",
}


def style_loss_name(options: Options) -> StyleLossName:
    """Return the style loss: the one asked for, or that of the units."""
    if options.features.style_loss is not None:
        return options.features.style_loss
    return "gram" if options.tradeoff.units in NORMALIZATIONS else "moments"


def default_style_layers(options: Options) -> str:
    """Return the layers of a style loss where none are asked for."""
    return STYLE_LAYERS.get(style_loss_name(options), FIVE_LAYERS)


def default_content_layers(options: Options) -> str:
    """Return the layers of a content loss where none are asked for."""
    return CONTENT_LAYERS[options.features.content_loss]


@dataclass(frozen=True)
class ScaleContext:
    """What style and content losses of one scale are built from.

    ``content`` is ``[1, 3, height, width]`` as the losses see it; ``style_layers`` and ``content_layers`` are weights.
    ``apart`` says that this is the pass in which nearest neighbors are sought layer by layer.
    """

    encoder: Encoder
    content: Tensor
    height: int
    width: int
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    options: Options
    apart: bool = False

    def features(self, picture: Tensor, layers: Mapping[str, float]) -> Features:
        """Return the features of a picture."""
        with torch.no_grad():
            side = self.options.machine.tile
            if side is not None and side < max(picture.shape[-2:]):
                return tiled_features(self.encoder, picture, list(layers), side)
            found: Features = self.encoder(picture, list(layers))
            return found

    def paced(self, loss: Loss) -> Loss:
        """Return a loss that renews what it has drawn or matched as often as asked for."""
        every = self.options.features.refresh_every
        if every is not None and isinstance(loss, Refreshing):
            loss.refresh_every = every  # type: ignore[attr-defined]
        return loss


Builder = Callable[[ScaleContext, StyleFeatures, "Maps | None"], Loss]
SizedLoss = Callable[[StyleTarget], Loss]


def _sized(kind: SizedLoss, stage: ScaleContext, style: StyleFeatures, mask: Maps | None) -> Loss:
    return kind(StyleTarget(style.features, stage.style_layers, stage.height, stage.width, mask, style.mask))


def _nearest(stage: ScaleContext, style: StyleFeatures, mask: Maps | None) -> Loss:
    layers = stage.style_layers
    turns = (stage.features(picture, layers) for picture in turned(style.picture)[1:])
    masks = None
    if style.mask is not None:
        masks = [{layer: m.rot90(k, (2, 3)) for layer, m in style.mask.items()} for k in range(4)]
    styles, size = chain([style.features], turns), (stage.height, stage.width)
    if stage.apart:
        draws = torch.Generator().manual_seed(stage.options.descent.seed)
        return PerLayerNearestLoss(styles, layers, *size, mask=mask, style_masks=masks, generator=draws)
    return NearestLoss(
        styles,
        layers,
        *size,
        mask=mask,
        style_masks=masks,
        content=stage.features(stage.content, layers),
        preservation=stage.options.features.preservation,
    )


def _strotss(stage: ScaleContext, style: StyleFeatures, mask: Maps | None) -> Loss:
    return StrotssLoss(
        style.picture,
        style.features,
        stage.style_layers,
        stage.height,
        stage.width,
        mask=mask,
        style_mask=style.mask,
        generator=torch.Generator().manual_seed(stage.options.descent.seed),
    )


# Losses against one style; "moments" and "gram" mix their statistics first, see style_maker.
STYLE_LOSSES: Mapping[str, Builder] = {
    "wasserstein": partial(_sized, WassersteinLoss),
    "batchnorm": partial(_sized, BatchNormLoss),
    "mmd": partial(_sized, PolynomialMMDLoss),
    "mmd-gauss": partial(_sized, GaussianMMDLoss),
    "sliced": partial(_sized, SlicedLoss),
    "histogram": partial(_sized, HistogramLoss),
    "mrf": partial(_sized, MRFLoss),
    "nearest": _nearest,
    "strotss": _strotss,
}


def style_maker(stage: ScaleContext) -> MakeStyle:
    """Return what builds an area's style loss: linear statistics of its styles are mixed, other losses weighted."""
    name, units = style_loss_name(stage.options), stage.options.tradeoff.units
    layers, size = stage.style_layers, (stage.height, stage.width)

    def moments(styles: Sequence[StyleFeatures], mask: Maps | None) -> Callable[[Sequence[float]], Loss]:
        raw = [summed_moments(style.iter_tiles()) for style in styles]
        return lambda parts: MomentsLoss(mix(raw, parts), layers, *size, mask=mask)

    def gram(styles: Sequence[StyleFeatures], mask: Maps | None) -> Callable[[Sequence[float]], Loss]:
        grams = [summed_grams(style.iter_tiles()) for style in styles]
        places, kind = positions(layers, *size, mask), NORMALIZATIONS.get(units, "relative")
        return lambda parts: GramLoss(mix(grams, parts), layers, places, mask=mask, normalization=kind)

    def separate(styles: Sequence[StyleFeatures], mask: Maps | None) -> Callable[[Sequence[float]], Loss]:
        # Built once: what they have drawn or matched outlives a change of the parts.
        losses = [stage.paced(STYLE_LOSSES[name](stage, style, mask)) for style in styles]
        return lambda parts: losses[0] if len(losses) == 1 else Weighted(losses, parts)

    return {"moments": moments, "gram": gram}.get(name, separate)


def content_maker(stage: ScaleContext) -> Callable[[Maps | None], Loss]:
    """Return what builds a content loss from a mask by layer."""
    features = stage.features(stage.content, stage.content_layers)
    if stage.options.features.content_loss == "self-similarity":
        return lambda mask: stage.paced(
            SelfSimilarityLoss(
                stage.content,
                features,
                stage.content_layers,
                mask=mask,
                generator=torch.Generator().manual_seed(stage.options.descent.seed),
            )
        )
    half_sum = stage.options.tradeoff.units == "gatys"
    return lambda mask: ContentLoss(features, stage.content_layers, mask=mask, half_sum=half_sum)


def smoothness(height: int, width: int, options: Options) -> TotalVariationLoss:
    """Return the total variation term, in the units' own measure where none is asked for."""
    norm, wrap = options.guards.tv_norm, options.control.seamless
    if options.tradeoff.units in NORMALIZATIONS:
        # neural-style-pt sums absolute differences of values from 0 to 255.
        scale = 255.0 if norm in (None, "l1") else 255.0**2
        return TotalVariationLoss(height, width, norm=norm or "l1", factor=scale * 3 * height * width, wrap=wrap)
    return TotalVariationLoss(height, width, norm=norm or "l2", wrap=wrap)


PROOF = "guard:proof"  # the name of the term below


def composition(enlarged: Tensor, proof: Tensor) -> ProofAnchorLoss:
    """Return the term that holds a poster near its proof.

    Args:
        enlarged: the proof as the losses see it, ``[1, 3, H, W]`` at the canvas's size.
        proof: as it is, ``[1, 3, h, w]``.
    """
    return ProofAnchorLoss(enlarged, cell=cell_for(proof.shape[-2:], enlarged.shape[-2:]))


REGULARIZERS: Mapping[str, tuple[str, Callable[[Tensor], Loss]]] = {
    "guard:edges": ("edge_weight", EdgeLoss),
    "guard:anchor": ("anchor_weight", ColorAnchorLoss),
    "guard:photo": ("photo_weight", MattingLoss),
    "guard:specks": ("speck_weight", lambda content: SpeckLoss(*content.shape[-2:])),
    "guard:border": ("border_weight", lambda content: BorderLoss(*content.shape[-2:])),
}


def regularizers(content: Tensor, options: Options) -> tuple[dict[str, Loss], dict[str, float]]:
    """Return the further terms that are asked for, and the weight of each.

    Args:
        content: ``[1, 3, H, W]`` as the losses see it.
        options: of the run.
    """
    weights = {name: getattr(options.guards, option) for name, (option, _) in REGULARIZERS.items()}
    wanted = {name: weight for name, weight in weights.items() if weight > 0}
    return {name: REGULARIZERS[name][1](content) for name in wanted}, wanted
