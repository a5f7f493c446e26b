"""Layer names are those of the networks, and an unknown name suggests the nearest."""

from __future__ import annotations

import sys
from subprocess import run

import pytest

from impasto.errors import OptionError
from impasto.options import layer_names


def test_the_names_are_those_of_the_network() -> None:
    convolutions = [name for name in layer_names.layer_names() if name.startswith("conv")]
    counts = enumerate((2, 2, 4, 4, 4), start=1)
    assert convolutions == [f"conv{block}_{i}" for block, count in counts for i in range(1, count + 1)]
    assert layer_names.layer_names is layer_names.layer_names
    assert layer_names.stride("relu5_1") == layer_names.SMALLEST_SIDE


def test_an_unknown_layer_is_reported() -> None:
    with pytest.raises(OptionError, match="style_layers: vgg19 has no layer 'relu9_9'"):
        layer_names.check_layers(["relu1_1", "relu9_9"], option="style_layers")
    with pytest.raises(OptionError, match="vgg16 has no layer 'relu3_4'"):
        layer_names.check_layers(["relu3_4"], "vgg16")


@pytest.mark.slow
def test_torch_is_not_imported() -> None:
    asked = "import sys, impasto.studio.http.preflight; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", asked], check=False).returncode == 0
