"""The training loss of a network: the objective of the optimizer, evaluated at the network's output.

For network outputs and their contents, ``[B, 3, S, S]`` in [0, 1], it returns the weighted losses and the gradient with
respect to the outputs, from which the network is trained. Content and style losses, their layers and their weights are
those of ``impasto stylize`` with the same options; the normalizers that make them unitless are averaged over a few
photographs, so that one weight fits all of them.
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
    content_loss,
    default_content_layers,
    default_style_layers,
    style_loss,
    total_variation_loss,
)
from impasto.objective.objective import Objective
from impasto.objective.scale_objective import build_scale_objective
from impasto.objective.style_features import StyleFeatures, style_at
from impasto.options.fields import Options
from impasto.options.validation import parse_weights
from impasto.planning.schedule import Scale
from impasto.regions.region_tensors import single_style
from impasto.run.live_weights import LiveWeights


@dataclass(eq=False)
class TrainingObjective:
    """The objective of a training run.

    Args:
        encoder: the network that the losses are measured on.
        options: strength, losses, layers, as for ``stylize``.
        side: side of the images in px. Smaller images can also be evaluated; painting and strokes keep their size.
    """

    encoder: Encoder
    options: Options
    side: int

    def __post_init__(self) -> None:
        features = self.options.features
        self.style_layers = parse_weights(features.style_layers or default_style_layers(self.options))
        self.content_layers = parse_weights(features.content_layers or default_content_layers(self.options))
        self.weights: dict[str, float] = {}

    def style_loss(self, painting: Tensor, side: int) -> Loss:
        """Return the style loss of a painting ``[1, 3, h, w]`` for images of ``side`` px."""
        with torch.no_grad():
            as_compared = style_at(painting, self.side * self.options.features.style_scale)
            features = self.encoder(as_compared, list(self.style_layers))
            return style_loss(self._context(as_compared, side), [StyleFeatures(features, None, as_compared)])

    def fit_weights(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Set the losses' weights from pairs of a photograph and a painting, each ``[1, 3, h, w]``."""
        sums: dict[str, float] = {}
        for photograph, painting in pairs:
            tensors = single_style(photograph, painting, self.options.features.style_scale)
            scale = Scale(self.side, self.side, 1)
            found = build_scale_objective(
                self.encoder, tensors, scale, self.options, self.style_layers, self.content_layers
            )
            for name, value in found.normalizers.items():
                sums[name] = sums.get(name, 0.0) + value / len(pairs)
        self.weights = LiveWeights.of(self.options, {}).weights(sums, 1.0)

    def loss_and_gradient(
        self, painted: Tensor, pictures: Tensor, style: Loss, seed: int = 0
    ) -> tuple[dict[str, float], Tensor]:
        """Return the mean weighted losses of painted images, and their gradient ``[B, 3, S, S]``.

        Args:
            painted: ``[B, 3, S, S]``, the network's output.
            pictures: ``[B, 3, S, S]``, its input.
            style: as ``style_loss`` returns it for their side.
            seed: for losses that draw samples.
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
            "content": content_loss(self._context(content, side)),
            "tv": total_variation_loss(side, side, self.options),
        }
        return Objective(self.encoder, terms, side, side)

    def _context(self, picture: Tensor, side: int) -> ScaleContext:
        return ScaleContext(self.encoder, picture, side, side, self.style_layers, self.content_layers, self.options)
