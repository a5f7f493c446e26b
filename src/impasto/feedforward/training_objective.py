"""What a network learns from: the optimiser's own objective, asked about the pictures that the network paints.

In: painted pictures and what they should show, ``[B, 3, S, S]`` in [0, 1]. Out: weighted losses, and the gradient with
respect to the painted pictures, which the network is trained by. Content and style terms, their layers and their
weights are those of ``impasto stylize`` with the same options; the sizes that make them unitless are averaged over a
few photographs, so that one weight serves them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.summaries.protocol import Loss
from impasto.network.encoder import Encoder
from impasto.objective.loss_factory import (
    ScaleContext,
    content_maker,
    default_content_layers,
    default_style_layers,
    smoothness,
    style_maker,
)
from impasto.objective.objective import Objective
from impasto.objective.region_terms import StyleFeatures, style_at
from impasto.objective.scale_objective import build_scale_objective
from impasto.options.fields import Options, parse_weights
from impasto.planning.schedule import Scale
from impasto.regions.region_tensors import single_style
from impasto.run.engine import Knobs


@dataclass(eq=False)
class Teacher:
    """The objective of a training run.

    Args:
        encoder: the network that the losses are measured on.
        options: strength, losses, layers, as for ``stylize``.
        side: of the pictures in px. Smaller ones may be marked too; the painting keeps its size, and so do strokes.
    """

    encoder: Encoder
    options: Options
    side: int

    def __post_init__(self) -> None:
        features = self.options.features
        self.style_layers = parse_weights(features.style_layers or default_style_layers(self.options))
        self.content_layers = parse_weights(features.content_layers or default_content_layers(self.options))
        self.weights: dict[str, float] = {}

    def style(self, painting: Tensor, side: int) -> Loss:
        """Return the style term of a painting ``[1, 3, h, w]`` for pictures of a side."""
        with torch.no_grad():
            as_compared = style_at(painting, self.side * self.options.features.style_scale)
            features = self.encoder(as_compared, list(self.style_layers))
            return style_maker(self._stage(as_compared, side))([StyleFeatures(features, None, as_compared)], None)(
                [1.0]
            )

    def calibrate(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Set the terms' weights from a few photographs, each with a painting."""
        tradeoff = self.options.tradeoff
        content = 1.0 if tradeoff.content_weight is None else tradeoff.content_weight
        style = 1.0 if tradeoff.style_weight is None else tradeoff.style_weight
        knobs = Knobs(tradeoff.strength, content, style, tradeoff.tv_weight, unitless=tradeoff.units == "unitless")
        sums: dict[str, float] = {}
        for photograph, painting in pairs:
            control = single_style(photograph, painting, self.options.features.style_scale)
            scale = Scale(self.side, self.side, 1)
            found = build_scale_objective(
                self.encoder, control, scale, self.options, self.style_layers, self.content_layers
            )
            for name, value in found.normalizers.items():
                sums[name] = sums.get(name, 0.0) + value / len(pairs)
        self.weights = knobs.weights(sums, 1.0)

    def mark(self, painted: Tensor, pictures: Tensor, style: Loss, seed: int = 0) -> tuple[dict[str, float], Tensor]:
        """Return the mean weighted losses of painted pictures, and their gradient ``[B, 3, S, S]``.

        Args:
            painted: ``[B, 3, S, S]``, what the network made.
            pictures: ``[B, 3, S, S]``, what it was made of.
            style: as ``style`` returned it for their side.
            seed: of the samples that some losses draw.
        """
        gradients, losses = torch.empty_like(painted), dict.fromkeys(("content", "style", "tv"), 0.0)
        count = len(painted)
        for index in range(count):
            canvas, content = painted[index : index + 1].detach(), pictures[index : index + 1]
            objective = self._objective(content, style)
            objective.refresh(canvas, seed)
            found = objective.evaluate(canvas, self.weights)
            gradients[index] = found.gradient[0] / count
            for name, value in found.losses.items():
                losses[name] += value / count
        return losses, gradients

    def _objective(self, content: Tensor, style: Loss) -> Objective:
        side = int(content.shape[-1])
        terms: Mapping[str, Loss] = {
            "style": style,
            "content": content_maker(self._stage(content, side))(None),
            "tv": smoothness(side, side, self.options),
        }
        return Objective(self.encoder, terms, side, side)

    def _stage(self, picture: Tensor, side: int) -> ScaleContext:
        return ScaleContext(self.encoder, picture, side, side, self.style_layers, self.content_layers, self.options)
