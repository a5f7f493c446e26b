"""The weights file that a run reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import impasto
from impasto.network.weights import vgg19_state
from runs import stylize

Pixels = NDArray[np.uint8]
FEW: dict[str, Any] = {"size": 48, "steps": 3, "scales": 1, "tv_weight": 0.0}


def test_the_chosen_weights_are_read(tiny_picture: Pixels, tiny_style: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    state = vgg19_state()
    torch.save(state, path)
    mine = stylize(tiny_picture, tiny_style, weights=path, **FEW)
    usual = stylize(tiny_picture, tiny_style, **FEW)
    assert np.array_equal(mine.pixels, usual.pixels)
    with pytest.raises(impasto.ImpastoError, match=r"no VGG-19 weights at .*missing\.pth"):
        stylize(tiny_picture, tiny_style, weights=tmp_path / "missing.pth", **FEW)


def test_fetched_weights_go_by_their_name(
    tiny_picture: Pixels, tiny_style: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    with pytest.raises(impasto.ImpastoError, match=r"no VGG-19 weights at .*vgg19-fp32\.safetensors"):
        stylize(tiny_picture, tiny_style, weights="vgg19-fp32", **FEW)
