"""Total variation of images that tile."""

from __future__ import annotations

import pytest
import torch

from impasto.losses.regularizers.tv import Norm, TotalVariationLoss
from impasto.losses.summaries.tile_window import TileWindow
from rounding import assert_same


@pytest.mark.parametrize("norm", ["l1", "l2", "nine"])
def test_wrapped_it_does_not_matter_where_a_picture_begins(norm: Norm) -> None:
    canvas = torch.rand(1, 3, 11, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def value(picture: torch.Tensor, wrap: bool) -> float:
        loss = TotalVariationLoss(11, 14, norm=norm, wrap=wrap)
        return float(loss.value(loss.summarize(picture, {}, TileWindow.whole(11, 14))))

    turned = canvas.roll((3, 5), (2, 3))
    assert_same(value(turned, True), value(canvas, True))
    assert value(turned, False) != pytest.approx(value(canvas, False), rel=1e-6)
    assert value(canvas, True) > value(canvas, False)
