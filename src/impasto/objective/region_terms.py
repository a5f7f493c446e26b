"""The losses of one scale by term, and the weight of each term.

The terms are ``style`` and ``content`` for a region that is the whole image, ``style:sky`` and ``content:sky`` for a
region named sky, ``tv``, and the regularizers. Masks are weights inside the losses, each normalized by its own sum, and
the weight of a region's terms is multiplied by its share of the image, so that the gradient at a pixel does not depend
on the size of its region.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.losses.summaries.blend import blend_name
from impasto.losses.summaries.protocol import Loss
from impasto.objective.loss_factory import (
    REGULARIZERS,
    ScaleContext,
    content_loss,
    regularizer_losses,
    style_loss,
    total_variation_loss,
)
from impasto.objective.style_features import at_layers, style_at, style_features
from impasto.options.fields import Options
from impasto.options.layer_names import stride
from impasto.regions import masks
from impasto.regions.color import desaturated
from impasto.regions.region_tensors import Region, RegionTensors, StyleSource

PROTECTED = "protected"
PROTECTION = 10.0  # how much more the content weighs where it is protected, at protect_strength 1


def build_terms(context: ScaleContext, tensors: RegionTensors) -> dict[str, Loss]:
    """Return the losses of a scale by term.

    Args:
        context: encoder, content, layers and options of the scale.
        tensors: the run's tensors at the canvas's size.
    """
    encoder, tile, layers = context.encoder, context.options.machine.tile, list(context.style_layers)
    losses: dict[str, Loss] = {}
    for region in tensors.regions:
        styles = [style_features(source, region, tensors, encoder, layers, tile) for source in region.styles]
        mask = None if region.mask is None else at_layers(region.mask, layers, encoder)
        losses[_term("style", region)] = style_loss(context, styles, mask, [source.part for source in region.styles])
        losses[_term("content", region)] = content_loss(context, _content_mask(region.mask, context))
    if tensors.protected is not None and tensors.regions:
        losses[f"content:{PROTECTED}"] = content_loss(context, _content_mask(tensors.protected, context))
    losses["tv"] = total_variation_loss(context.height, context.width, context.options)
    return {**losses, **regularizer_losses(context.content, context.options)}


def term_weights(tensors: RegionTensors, options: Options) -> dict[str, float]:
    """Return the factors of terms whose weight is not 1: shares of the image, weights of regularizers."""
    weights: dict[str, float] = {}
    for region in tensors.regions:
        share = 1.0 if region.mask is None else float(region.mask.mean())
        weights[_term("style", region)] = weights[_term("content", region)] = share
    if tensors.protected is not None and tensors.regions:
        weights[f"content:{PROTECTED}"] = PROTECTION * max(float(tensors.protected.mean()), 1e-6)
    return weights | {name: getattr(options.regularizers, option) for name, (option, _) in REGULARIZERS.items()}


def blend_weights(tensors: RegionTensors) -> dict[str, float]:
    """Return the weight of each style in a blend, by the name under which commands change it; empty without a blend."""
    blended = [region.styles for region in tensors.regions if len(region.styles) > 1]
    return {blend_name(index): source.part for styles in blended for index, source in enumerate(styles)}


def _term(kind: str, region: Region) -> str:
    return f"{kind}:{region.name}" if region.name else kind


def _content_mask(mask: Tensor | None, context: ScaleContext) -> dict[str, Tensor] | None:
    if mask is None:
        return None
    layers = list(context.content_layers)
    return masks.layer_masks(mask, {layer: stride(layer) for layer in layers}, dict.fromkeys(layers, 0))


def noise_maps(tensors: RegionTensors) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the style colors at each pixel, ``[1, 3, H or 1, W or 1]``."""
    if len(tensors.regions) == 1 and tensors.regions[0].mask is None and len(tensors.regions[0].styles) == 1:
        return _statistics(tensors.regions[0].styles[0], tensors.regions[0], tensors)
    mean, deviation = tensors.content.mean((2, 3), keepdim=True), tensors.content.std((2, 3), keepdim=True)
    for region in tensors.regions:
        found = [_statistics(source, region, tensors) for source in region.styles]
        parts = [source.part for source in region.styles]
        total = sum(parts)
        own = [sum(part / total * stats[k] for part, stats in zip(parts, found, strict=True)) for k in (0, 1)]
        share = torch.ones_like(tensors.content[:, :1]) if region.mask is None else region.mask
        mean, deviation = (base * (1 - share) + new * share for base, new in zip((mean, deviation), own, strict=True))
    return mean, deviation


def _statistics(source: StyleSource, region: Region, tensors: RegionTensors) -> tuple[Tensor, Tensor]:
    picture = style_at(source.picture, max(tensors.content.shape[-2:]) * source.scale)
    if region.lightness_only:
        picture = desaturated(picture)
    if source.mask is None:
        return picture.mean((2, 3), keepdim=True), picture.std((2, 3), keepdim=True)
    mask = masks.resize_mask(source.mask, (int(picture.shape[-2]), int(picture.shape[-1])))
    share = mask / mask.sum()
    mean = (picture * share).sum((2, 3), keepdim=True)
    return mean, ((picture - mean).square() * share).sum((2, 3), keepdim=True).sqrt()


def style_total_variation(tensors: RegionTensors, total_variation: Callable[[Tensor], float]) -> float:
    """Return the total variation of the styles, weighted by their shares of the image."""
    found, weight = 0.0, 0.0
    for region in tensors.regions:
        share = 1.0 if region.mask is None else float(region.mask.mean())
        for source in region.styles:
            picture = style_at(source.picture, max(tensors.content.shape[-2:]) * source.scale)
            found += share * source.part * total_variation(picture)
            weight += share * source.part
    return found / weight if weight > 0 else total_variation(tensors.content)
