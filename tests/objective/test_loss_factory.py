"""Two tables have every style loss and every content loss, and a row is all it takes to add one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor

from impasto.events import Stepped
from impasto.losses.summaries.protocol import Features, Maps
from impasto.losses.summaries.style_target import StyleTarget
from impasto.losses.summaries.tile_window import TileWindow
from impasto.objective.loss_factory import CONTENT_LOSSES, STYLE_LOSSES, ScaleContext, StyleLoss
from impasto.options import fields
from impasto.options.choices import ContentLossName, StyleLossName
from impasto.run.target_cache import TargetCache
from random_weights import state_before
from runs import iter_stylize


class MeanLoss:
    """Squared distance of the mean features from the style's."""

    halo_px = 0
    refresh_every: int | None = None

    def __init__(self, target: StyleTarget) -> None:
        self.layers, self._positions = target.layers, target.positions
        self._means = torch.cat([target.vectors(layer).float().mean(0) for layer in self.layers])

    def summarize(self, canvas: Tensor, features: Features, window: TileWindow) -> Tensor:
        """Return the mean features of the window."""
        return torch.cat([features[layer].float().sum((0, 2, 3)) / self._positions[layer] for layer in self.layers])

    def value(self, summary: Tensor) -> Tensor:
        """Return the mean squared distance."""
        return (summary - self._means).square().mean()


def test_the_table_has_every_name_of_the_option() -> None:
    assert set(STYLE_LOSSES) == set(get_args(StyleLossName))
    assert set(CONTENT_LOSSES) == set(get_args(ContentLossName))


def test_one_row_and_one_name_add_a_loss(tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STYLE_LOSSES, "mean", StyleLoss(lambda _, target: MeanLoss(target), "relu1_1+relu2_1"))
    monkeypatch.setattr(fields, "StyleLossName", Literal["mean"])
    cache, settings = TargetCache(state_before("conv3_1")), {"size": 48, "steps": 4, "scales": 1}
    events = iter_stylize(*tiny_files, style_loss="mean", content_layers="relu2_1", cache=cache, **settings)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert steps[-1].total < steps[0].total


def test_one_row_and_one_name_add_a_content_loss(
    tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(context: ScaleContext, mask: Maps | None) -> MeanLoss:
        size = context.height, context.width
        return MeanLoss(StyleTarget(context.content_features, context.content_layers, *size))

    monkeypatch.setitem(CONTENT_LOSSES, "mean", ("relu1_1+relu2_1", build))
    monkeypatch.setattr(fields, "ContentLossName", Literal["mean"])
    cache, settings = TargetCache(state_before("conv3_1")), {"size": 48, "steps": 4, "scales": 1, "init": "random"}
    events = iter_stylize(*tiny_files, content_loss="mean", style_layers="relu2_1", cache=cache, **settings)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert steps[-1].losses["content"] < steps[0].losses["content"]
