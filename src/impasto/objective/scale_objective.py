"""The objective of one scale, built from images and options: targets, terms, and the values that normalize them.

Each term is divided by its value at a reference point, so that a strength has a similar effect for all images, sizes
and losses: the content term by its value at noise in the style's colors, the style term by its value at the content,
total variation by that of the style. A floor keeps the divisor from vanishing (an image stylized with itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.imaging import images
from impasto.losses.regularizers.tv import total_variation
from impasto.network.encoder import Encoder
from impasto.objective.loss_factory import PROOF, ScaleContext, proof_loss
from impasto.objective.objective import Objective
from impasto.objective.region_terms import (
    blend_weights,
    build_terms,
    noise_maps,
    style_total_variation,
    term_weights,
)
from impasto.options.fields import Options
from impasto.planning.schedule import Scale
from impasto.regions.canvas_view import CanvasView
from impasto.regions.geometry import resize
from impasto.regions.region_tensors import RegionTensors, tensor
from impasto.runtime.distributed import RowShard

FLOOR = 1e-6
# How much more the style weighs than the content at strength 0.5; chosen by eye over the pairs in docs/default.md.
BALANCE = 3.0
# Weight of a poster's composition relative to its style; docs/posters.md compares other weights.
COMPOSITION = 1.0


@dataclass(frozen=True)
class ScaleObjective:
    """An objective, with the data that a run needs in addition.

    ``normalizers`` divide each term's weight, and contain the weights of blended styles; ``tensors`` has the content's
    own size. Content and noise are computed on access, since no step reads them and they are as large as the image.
    """

    objective: Objective
    normalizers: dict[str, float]
    tensors: RegionTensors
    view: CanvasView

    @property
    def content(self) -> Tensor:
        """The content at this scale, ``[1, 3, H, W]``."""
        return resize(self.tensors.content, (self.objective.height, self.objective.width))

    @property
    def noise(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the style colors at each pixel, ``[1, 3, H or 1, W or 1]``."""
        return noise_maps(self.tensors.at((self.objective.height, self.objective.width)))


def build_scale_objective(
    encoder: Encoder,
    tensors: RegionTensors,
    scale: Scale,
    options: Options,
    style_layers: Mapping[str, float],
    content_layers: Mapping[str, float],
    keep: int = 1,
    shard: RowShard | None = None,
    proof: Tensor | None = None,
) -> ScaleObjective:
    """Return the objective of one scale.

    Args:
        encoder: the encoder.
        tensors: the content and the regions.
        scale: the scale, with the canvas's size.
        options: of the run.
        style_layers, content_layers: weights by layer.
        keep: number of tiles that keep the activations of their first pass.
        shard: the rows that this process owns; all if absent.
        proof: a smaller image ``[1, 3, h, w]`` whose composition is kept, if there is one.
    """
    size = scale.height, scale.width
    at_scale = tensors.at(size)
    view = CanvasView(at_scale)
    with torch.no_grad():
        content = view.as_compared(at_scale.content)
        context = ScaleContext(encoder, content, *size, style_layers, content_layers, options, scale.per_layer)
        terms = build_terms(context, at_scale)
        weights = term_weights(at_scale, options)
        if proof is not None:
            terms[PROOF] = proof_loss(view.as_compared(resize(proof, size)), proof)
            weights[PROOF] = COMPOSITION
    objective = Objective(encoder, terms, *size, tile=options.machine.tile, keep=keep, view=view, shard=shard)
    normalizers = dict.fromkeys(terms, 1.0)
    if options.loss_weights.units == "unitless":
        objective.refresh(at_scale.content, options.optimization.seed)
        normalizers = _normalizers(objective, at_scale, options.optimization.seed)
    normalizers = {name: value / weights.get(name, 1.0) for name, value in normalizers.items()}
    return ScaleObjective(objective, {**normalizers, **blend_weights(at_scale)}, tensors, view)


def _normalizers(objective: Objective, tensors: RegionTensors, seed: int) -> dict[str, float]:
    at_content = objective.values(tensors.content, together=True)
    generator = torch.Generator().manual_seed(seed)
    noise = style_noise(noise_maps(tensors), (objective.height, objective.width), generator)
    at_noise = objective.values(noise, together=True)
    normalizers = {}
    for name in objective.terms:
        kind = name.partition(":")[0]
        if kind == "tv":
            normalizers[name] = max(style_total_variation(tensors, total_variation), FLOOR)
        elif kind in ("content", "guard"):
            normalizers[name] = max(at_noise[name], FLOOR)
        else:
            normalizers[name] = max(at_content[name], FLOOR) / BALANCE
    return normalizers


def style_noise(noise: tuple[Tensor, Tensor], size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return noise ``[1, 3, H, W]`` with the given mean and standard deviation."""
    mean, deviation = noise
    # In place: at a poster's size every copy counts.
    return torch.randn(1, 3, *size, generator=generator).to(mean).mul_(deviation).add_(mean).clamp_(0, 1)


def starting_canvas(
    previous: Tensor | None, scale_objective: ScaleObjective, init: str, generator: torch.Generator
) -> Tensor:
    """Return the canvas that a scale starts from: the enlarged result of the scale before, or the initial image.

    Args:
        previous: the result of the scale before, ``[1, 3, h, w]``, if there was one.
        scale_objective: the objective of this scale.
        init: ``content``, ``random``, ``style`` or an image file.
        generator: random generator for noise.
    """
    size = scale_objective.objective.height, scale_objective.objective.width
    device = scale_objective.tensors.content.device
    if previous is not None:
        return resize(previous, size)
    if init == "content":
        return scale_objective.content.clone()
    if init == "random":
        return torch.rand(1, 3, *size, generator=generator).to(device)
    if init == "style":
        return style_noise(scale_objective.noise, size, generator)
    return resize(tensor(images.load(init).pixels).to(device), size)
