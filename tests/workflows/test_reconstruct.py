"""What layers keep: content comes back from shallow layers, style forgets where things lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impasto.errors import ImageError, OptionError
from impasto.imaging import images
from impasto.run.target_cache import TargetCache
from impasto.workflows.reconstruct import Reconstruction, iter_reconstruct
from random_weights import state_before

FEW: dict[str, Any] = {"size": "48", "steps": 25, "precision": "fp32"}


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first two blocks."""
    return TargetCache(state_before("conv3"))


@pytest.mark.slow
def test_content_comes_back_and_style_does_not(
    tmp_path: Path, tiny_picture: NDArray[np.uint8], cache: TargetCache
) -> None:
    output = tmp_path / "reconstruction.png"
    parts: list[Reconstruction] = list(
        iter_reconstruct(tiny_picture, output, ["relu1_1", "relu2_1"], ["relu1_1", "relu2_1"], FEW, cache=cache)
    )
    assert [(part.kind, part.layers) for part in parts] == [
        ("content", "relu1_1"),
        ("content", "relu2_1"),
        ("style", "relu1_1"),
        ("style", "relu1_1+relu2_1"),
    ]
    small = images.resize(tiny_picture / np.float32(255), parts[0].pixels.shape[:2])
    away = [float(np.sqrt(np.square(part.pixels - small).mean())) for part in parts]
    assert away[0] < 0.5 * min(away[2:])
    drawn = images.load(output)
    assert drawn.height > 2 * 36
    assert drawn.width > 2 * 48


@pytest.mark.parametrize(
    ("content", "style", "message"),
    [
        (["relu9_1"], ["relu1_1"], r"content_from: vgg19 has no layer 'relu9_1'"),
        (["relu1_1"], ["relu1_9"], r"style_from: vgg19 has no layer 'relu1_9'"),
    ],
)
def test_a_layer_that_is_not_there_is_said(
    tmp_path: Path, tiny_picture: NDArray[np.uint8], content: list[str], style: list[str], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        list(iter_reconstruct(tiny_picture, tmp_path / "out.png", content, style))


def test_an_output_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="so its format is unknown"):
        list(iter_reconstruct("missing.png", tmp_path / "out.doc", ["relu1_1"], ["relu1_1"]))
