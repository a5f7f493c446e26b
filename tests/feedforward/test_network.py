"""Networks that paint, and their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import required
from impasto.errors import OptionError, WeightsError
from impasto.feedforward import model
from impasto.feedforward.network import Moments, Shape, StyleNetwork
from rounding import assert_as_exact, assert_same, epsilon

SMALL = Shape(width=4, blocks=1)


def _network(shape: Shape = SMALL) -> StyleNetwork:
    torch.manual_seed(5)
    network = StyleNetwork(shape).eval()
    torch.nn.init.normal_(network.head.weight, std=0.2)
    if network.style_predictor is not None:
        torch.nn.init.normal_(network.style_predictor.matrix.weight, std=0.5)
    return network


def _saved(path: Path, shape: Shape = SMALL) -> Path:
    about = {"style": "a.jpg", "impasto": "9.9.9", "thumbnail": model.thumbnail(np.full((40, 60, 3), 0.25, np.float32))}
    return model.save(path, _network(shape), about)


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 48)])
def test_any_size_stays(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        painted = _network()(torch.rand(1, 3, *size))
    assert painted.shape == (1, 3, *size)
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_an_untrained_network_leaves_the_picture() -> None:
    picture = torch.rand(1, 3, 32, 32) * 0.8 + 0.1
    torch.manual_seed(0)
    with torch.inference_mode():
        assert torch.allclose(StyleNetwork(SMALL)(picture), picture, atol=0.05)


def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    network, pictures = _network().double(), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with torch.inference_mode():
        assert_same(network(pictures)[1:], network(pictures[1:]))


def test_a_network_of_any_style_heeds_the_painting() -> None:
    network, picture = _network(Shape(4, 1, any_style=True)), torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        first, second = (network(picture, torch.full((1, 3, 64, 64), gray)) for gray in (0.1, 0.9))
    assert not torch.allclose(first, second, atol=1e-3)


def test_tiles_with_fixed_moments_equal_the_whole(tmp_path: Path) -> None:
    painter = model.load(_saved(tmp_path / "a.safetensors", Shape(4, 5))).painter
    assert isinstance(painter, model.TorchPainter)
    picture = torch.rand(1, 3, 208, 240, generator=torch.Generator().manual_seed(0))
    # So small an image is not reduced, so the moments of the first pass are its own.
    found, plain = painter(picture, None, 64), painter(picture, None, None)
    painter.network.double()
    exact = painter(picture.double(), None, None)
    assert_same(painter(picture.double(), None, 64), exact)
    # Fifteen convolutions of up to 16 channels; moments of each are sums over the image.
    assert_as_exact(found, plain, exact, least=epsilon(torch.float32, layers=30, terms=15 * 9 * 16 + 208 * 240))


def test_tiles_of_a_large_picture_have_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The image is beyond what is painted whole, so its moments come from a reduced one; all tiles share them.
    monkeypatch.setattr(model, "MAX_UNTILED", 10_000)
    painter = model.load(_saved(tmp_path / "a.safetensors", Shape(4, 5))).painter
    assert isinstance(painter, model.TorchPainter)
    rough = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    picture = functional.interpolate(rough.double(), (272, 336), mode="bicubic").clamp(0, 1)
    moments = Moments()
    with torch.inference_mode():
        network = painter.network.double()
        network.paint(model._reduced(picture), network.style_parameters(None), moments)
        moments.fixed = True
        whole = network.paint(picture, network.style_parameters(None), moments)
        tiled = painter(picture, None, 64)
        assert_same(tiled, whole)
        assert not torch.allclose(network(picture), whole, atol=1e-3)  # its own moments are others


def test_fixed_moments_are_used() -> None:
    network, moments = _network(), Moments()
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        whole = network.paint(picture, network.style_parameters(None), moments)
        moments.fixed = True
        assert torch.equal(network.paint(picture, network.style_parameters(None), moments), whole)
        assert not torch.allclose(
            network.paint(picture / 2, network.style_parameters(None), moments), network(picture / 2)
        )


def test_a_file_gives_back_the_network(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.safetensors")
    loaded, picture = model.load(path), torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        assert torch.allclose(loaded(picture), _network()(picture), atol=5e-3)  # it is kept in half precision
    thumbnail = loaded.style_thumbnail()
    assert thumbnail.name == "a.safetensors"
    assert thumbnail.sha256 == loaded.sha256
    assert np.allclose(thumbnail.pixels, 0.25, atol=0.01)


def test_a_file_of_version_1_paints_the_same() -> None:
    loaded = model.load(Path(__file__).parent / "version_1.safetensors")
    picture = torch.linspace(0, 1, 3 * 16 * 20).view(1, 3, 16, 20)
    with torch.inference_mode():
        painted = loaded(picture)
    # As the code that wrote the file painted it.
    expected = torch.tensor([0.0538, 0.0648, 0.1121, 0.1087, 0.1040])
    assert torch.allclose(painted.flatten()[:5], expected, atol=2e-3)
    assert float(painted.double().mean()) == pytest.approx(0.56474, abs=1e-3)


def test_old_names_of_an_any_style_network_are_renamed(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = _network(Shape(4, 1, any_style=True))
    old = {
        name.replace("stem.", "enter.").replace("head.", "leave.").replace("style_predictor.", "reader."): value
        for name, value in network.state_dict().items()
    }
    assert not old.keys() & {"stem.weight", "head.weight", "style_predictor.matrix.weight"}
    facts = model.describe(network.shape, {"impasto": "0.1.0"}) | {"version": "1"}
    save_file(old, tmp_path / "old.safetensors", facts)
    painter = model.load(tmp_path / "old.safetensors").painter
    assert isinstance(painter, model.TorchPainter)
    found, expected = painter.network.state_dict(), network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    picture, style = (torch.rand(1, 3, *size, dtype=torch.float64) for size in ((32, 40), (64, 64)))
    painter.network.double()
    with torch.inference_mode():
        assert_same(painter(picture, style, None), network.double()(picture, style))


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match=r"'a\.pth' is not a trained network: use a \.safetensors or \.onnx file"):
        model.load("a.pth")
    with pytest.raises(WeightsError, match=r"absent\.safetensors' cannot be read .* check the name"):
        model.load(tmp_path / "absent.safetensors")
    path = _saved(tmp_path / "a.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"cut\.safetensors' is damaged"):
        model.load(tmp_path / "cut.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match=r"foreign\.safetensors' was not written by impasto train"):
        model.load(tmp_path / "foreign.safetensors")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"bad\.onnx' is damaged"):
        model.load(tmp_path / "bad.onnx")


def test_another_version_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    facts = model.describe(SMALL, {"impasto": "9.9.9"}) | {"version": "7"}
    save_file({"x": torch.zeros(2)}, tmp_path / "new.safetensors", facts)
    with pytest.raises(
        WeightsError, match=r"has version 7, written by impasto 9\.9\.9, and this impasto reads versions up to 2"
    ):
        model.load(tmp_path / "new.safetensors")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"about": "{"}, r"'.*a\.safetensors' is damaged \(its metadata: Expecting property name"),
        ({"shape": '{"depth": 3}'}, "is damaged .* unexpected keyword argument 'depth'"),
        ({"shape": '{"width": 100000}'}, "is damaged: .*100000.* is outside what training allows"),
    ],
)
def test_damaged_facts_are_named(tmp_path: Path, facts: dict[str, str], said: str) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors", model.describe(SMALL, {}) | facts)
    with pytest.raises(WeightsError, match=said):
        model.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("change", ["lacks", "shape", "nan"])
def test_damaged_tensors_are_named(tmp_path: Path, change: str) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = dict(_network().state_dict())
    if change == "lacks":
        del tensors["up1.bias"]
    else:
        tensors["up1.bias"] = torch.zeros(3) if change == "shape" else tensors["up1.bias"] * float("nan")
    save_file(tensors, tmp_path / "a.safetensors", model.describe(SMALL, {}))
    said = {"lacks": r"up1\.bias is missing", "shape": r"up1\.bias is \(3,\)", "nan": "has NaN or infinite values"}
    with pytest.raises(WeightsError, match=said[change]):
        model.load(tmp_path / "a.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("any_style", [False, True])
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
def test_exported_networks_paint_the_same(tmp_path: Path, any_style: bool) -> None:
    required.module("onnxruntime")
    required.module("onnxscript")
    from impasto.feedforward.export import TOLERANCE, to_onnx

    path = _saved(tmp_path / "a.safetensors", Shape(4, 1, any_style=any_style))
    assert to_onnx(path, tmp_path / "a.onnx") <= TOLERANCE
    exported, original = model.load(tmp_path / "a.onnx"), model.load(path)
    assert exported.shape == original.shape
    assert exported.about == original.about
    style = torch.rand(1, 3, 50, 40) if any_style else None
    for size in ((33, 70), (96, 64)):
        picture = torch.rand(1, 3, *size)
        assert (exported(picture, style) - original(picture, style)).abs().max() <= TOLERANCE
    with pytest.raises(OptionError, match="does not support tiles: omit --tile"):
        exported(torch.rand(1, 3, 32, 32), style, 64)


def test_export_refuses_other_files(tmp_path: Path) -> None:
    from impasto.errors import ImageError
    from impasto.feedforward.export import to_onnx

    with pytest.raises(ImageError, match=r"use the suffix \.onnx"):
        to_onnx(tmp_path / "a.safetensors", tmp_path / "a.txt")
    with pytest.raises(WeightsError, match=r"use the \.safetensors file of impasto train"):
        to_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    with pytest.raises(WeightsError, match="cannot be read"):
        to_onnx(tmp_path / "a.safetensors", tmp_path / "b.onnx")


def test_facts_are_text() -> None:
    facts = model.describe(SMALL, {"style": "ä.jpg"})
    assert all(isinstance(value, str) for value in facts.values())
    assert Shape(**json.loads(facts["shape"])) == SMALL
