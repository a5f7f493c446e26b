"""The encoder against an independent forward pass, and what its names, sizes and fields of view promise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.errors import ImageError, OptionError
from impasto.imaging import samples
from impasto.network.convolution import max_pooled
from impasto.network.encoder import Encoder, Padding, Pooling
from impasto.network.weights import vgg19_state
from impasto.network.weights.vgg19 import CAFFE_MEAN_BGR
from impasto.options.layer_names import (
    BLOCKS,
    CHANNELS,
    Network,
    channels,
    check_layers,
    layer_names,
    receptive_radius,
    stride,
)
from rounding import assert_as_exact, assert_same, epsilon

State = dict[str, Tensor]
FIVE = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda x: functional.max_pool2d(x, 2),
    "average": lambda x: 1.43 * functional.avg_pool2d(x, 2),
    "l2": lambda x: 0.65 * (functional.lp_pool2d(x, 2.0, 2).square() + 1e-8).sqrt(),  # bounded slope where all is 0
}


@pytest.fixture(scope="module")
def state() -> State:
    """Return the real weights."""
    return vgg19_state()


@pytest.fixture(scope="module")
def canvas(tiny_picture: NDArray[np.uint8]) -> Tensor:
    """Return an image ``[1, 3, 96, 128]`` with smooth parts and edges."""
    small = torch.from_numpy(tiny_picture).permute(2, 0, 1)[None].float() / 255
    return functional.interpolate(small, scale_factor=2, mode="bilinear")


def drawn_state(last: str, *, positive: bool = False, network: Network = "vgg19") -> State:
    """Return seeded weights up to a convolution that keep activations at their size; ``positive`` ones let all pass."""
    generator, made, before = torch.Generator().manual_seed(5), {}, 3
    for block, (count, after) in enumerate(zip(BLOCKS[network], CHANNELS, strict=True), start=1):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            weight = torch.full((after, before, 3, 3), 1 / (9 * before))
            if not positive:
                weight = torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
            made[f"{name}.weight"], made[f"{name}.bias"] = weight, torch.full((after,), 1e-3)
            if positive and name == "conv1_1":  # the means must not push everything below zero
                made[f"{name}.bias"] += 200
            before = after
            if name == last:
                return made
    raise AssertionError(last)


def plain(state: State, canvas: Tensor, wanted: list[str], padding: Padding, pooling: Pooling) -> dict[str, Tensor]:
    """Return features by the textbook: BGR less the means, convolution, activation, pooling, in the canvas's dtype."""
    x = canvas.flip(1) * 255 - torch.tensor(CAFFE_MEAN_BGR, dtype=canvas.dtype).view(1, 3, 1, 1)
    found = {}
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for index in range(1, count + 1):
            mode = padding if padding == "circular" or (block, index) == (1, 1) else "zeros"
            x = functional.pad(x, (1, 1, 1, 1), mode="constant" if mode == "zeros" else mode)
            kernel, bias = (state[f"conv{block}_{index}.{part}"].to(x) for part in ("weight", "bias"))
            x = functional.conv2d(x, kernel, bias)
            found[f"conv{block}_{index}"] = x
            x = functional.relu(x)
            found[f"relu{block}_{index}"] = x
        x = POOLINGS[pooling](x)
    return {name: found[name] for name in wanted}


def apart(one: Tensor, other: Tensor) -> float:
    """Return the distance of two maps relative to the second."""
    return float((one.double() - other.double()).norm() / other.double().norm())


@pytest.mark.parametrize("padding", ["replicate", "zeros", "circular"])
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_features_are_those_of_the_textbook(state: State, canvas: Tensor, padding: Padding, pooling: Pooling) -> None:
    wanted, canvas = ["conv1_1", "relu1_1", "conv2_2", "relu3_4", "relu4_2", "conv5_1"], canvas[..., ::2, ::2]
    double = {name: tensor.double() for name, tensor in state.items()}
    net = Encoder(double, padding=padding, pooling=pooling, dtype=torch.float64)
    found, exact = net(canvas.double(), wanted), plain(double, canvas.double(), wanted, padding, pooling)
    for name in wanted:
        assert found[name].shape == (1, channels(name), *_cells(canvas, name))
    assert_same(found, exact)
    found = Encoder(state, padding=padding, pooling=pooling)(canvas, wanted)
    expected = plain(state, canvas, wanted, padding, pooling)
    assert_as_exact(found, expected, exact, least=rounding_to("conv5_1", torch.float32))


def rounding_to(layer: str, dtype: torch.dtype) -> float:
    """Return what rounding may do down to a layer: one to the dtype, and the products of its kernels, a convolution."""
    names = [name for name in layer_names() if name.startswith("conv")]
    above = names[: names.index(layer.replace("relu", "conv")) + 1]
    before = [3, *(channels(name) for name in above[:-1])]
    return epsilon(dtype, layers=len(above), terms=9 * sum(before))


def _cells(canvas: Tensor, layer: str) -> tuple[int, int]:
    return canvas.shape[-2] // stride(layer), canvas.shape[-1] // stride(layer)


@pytest.mark.parametrize("size", [(64, 96), (33, 51)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_pushes_back_as_torch_does(size: tuple[int, int], dtype: torch.dtype) -> None:
    drawn = torch.randn(1, 8, *size, generator=torch.Generator().manual_seed(6)).relu().mul(4).round()  # equals abound
    drawn = drawn.to(dtype).contiguous(memory_format=torch.channels_last)
    one, other = drawn.clone().requires_grad_(True), drawn.clone().requires_grad_(True)
    pooled, expected = max_pooled(one), functional.max_pool2d(other, 2)
    assert torch.equal(pooled, expected)
    slope = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(7)).to(dtype)
    (found,) = torch.autograd.grad(pooled, one, slope)
    assert torch.equal(found, torch.autograd.grad(expected, other, slope)[0])


def test_the_whole_network_is_there(state: State, canvas: Tensor) -> None:
    names = layer_names()
    assert names[:4] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2"]
    assert len(names) == 32
    assert set(Encoder(state)(canvas, names)) == set(names)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["average", "l2"])
def test_activations_keep_their_size_under_any_pooling(state: State, pooling: Pooling) -> None:
    for sample in ("cat", "blue_swirls"):
        picture = torch.from_numpy(samples.load(sample)).permute(2, 0, 1)[None].float() / 255
        canvas = functional.interpolate(picture, size=(96, 128), mode="bilinear", antialias=True)
        usual, other = (Encoder(state, pooling=kind)(canvas, FIVE) for kind in ("max", pooling))
        for name in FIVE:
            ratio = float(other[name].square().mean().sqrt() / usual[name].square().mean().sqrt())
            assert 1 / 1.8 < ratio < 1.8, (sample, name, ratio)


def test_bfloat16_is_close_to_float32(state: State, canvas: Tensor) -> None:
    exact, coarse = (Encoder(state, dtype=dtype)(canvas, FIVE) for dtype in (torch.float32, torch.bfloat16))
    for name in FIVE:
        assert coarse[name].dtype == torch.bfloat16
        assert apart(coarse[name], exact[name]) < rounding_to(name, torch.bfloat16), name
        grams = [torch.einsum("bchw,bdhw->cd", f.float(), f.float()) for f in (coarse[name], exact[name])]
        assert apart(grams[0], grams[1]) < rounding_to(name, torch.bfloat16), name


def test_no_frame_around_a_constant_picture(state: State) -> None:
    gray = torch.full((1, 3, 32, 32), 0.3, dtype=torch.float64)
    smooth, framed = (
        Encoder(state, padding=kind, dtype=torch.float64)(gray, ["relu1_1"])["relu1_1"]
        for kind in ("replicate", "zeros")
    )
    assert_same(smooth, smooth[..., :1, :1].expand_as(smooth))
    assert float(framed.std((2, 3)).max()) > 1


def test_circular_padding_knows_no_edge(canvas: Tensor) -> None:
    net, canvas = Encoder(drawn_state("conv3_1"), padding="circular", dtype=torch.float64), canvas.double()
    moved = net(canvas.roll((32, -16), (2, 3)), ["relu3_1"])["relu3_1"]
    still = net(canvas, ["relu3_1"])["relu3_1"].roll((8, -4), (2, 3))
    assert_same(moved, still)


@pytest.mark.parametrize("layer", ["relu1_1", "conv1_2", "relu2_1", "relu3_1", "relu3_3", "relu4_2", "relu5_1"])
def test_the_field_of_view_is_what_the_gradient_reaches(layer: str) -> None:
    net = Encoder(drawn_state("conv5_1", positive=True), pooling="average")
    cell, reach = stride(layer), receptive_radius([layer])
    position = -(-reach // cell)  # so far in that the edge is out of sight
    size = (2 * position + 1) * cell
    leaf = torch.full((1, 3, size, size), 0.5, requires_grad=True)
    net(leaf, [layer])[layer][..., position, position].sum().backward()
    assert leaf.grad is not None
    seen = leaf.grad.abs().sum((0, 1)).sum(0).nonzero().flatten()
    assert int(seen.min()) == position * cell - reach
    assert int(seen.max()) == (position + 1) * cell - 1 + reach


def test_the_field_of_view_of_several_layers_is_the_largest() -> None:
    assert receptive_radius(["relu1_1", "relu4_1", "relu2_2"]) == receptive_radius(["relu4_1"])
    assert receptive_radius([]) == 0
    assert receptive_radius(["relu5_1"], "vgg16") < receptive_radius(["relu5_1"], "vgg19")


def test_nothing_is_computed_beyond_the_deepest_layer(canvas: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Encoder(drawn_state("conv3_2"))  # it has no more weights than these
    done: list[str] = []
    layer = net._layer
    monkeypatch.setattr(net, "_layer", lambda x, name, *rest: (done.append(f"conv{name}"), layer(x, name, *rest))[1])
    assert set(net(canvas, ["relu3_2", "relu1_1"])) == {"relu3_2", "relu1_1"}
    assert done == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"]
    done.clear()
    net(canvas, ["conv2_1"])
    assert done[-1] == "conv2_1"
    done.clear()
    assert net(canvas, []) == {}
    assert done == []


def test_the_layers_of_vgg16() -> None:
    assert len(layer_names("vgg16")) == 26
    assert "relu3_4" not in layer_names("vgg16")
    with pytest.raises(OptionError, match="vgg16 has no layer 'relu3_4'"):
        Encoder(drawn_state("conv2_1", network="vgg16"), network="vgg16")(torch.rand(1, 3, 16, 16), ["relu3_4"])


@pytest.mark.parametrize(
    ("wrong", "near"), [("relu6_1", "relu"), ("relu_4_1", "relu4_1"), ("relu1_3", "relu"), ("Relu4_1", "relu4_1")]
)
def test_an_unknown_layer_meets_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(
        OptionError, match=f"style_layers: vgg19 has no layer '{wrong}'; did you mean '{near}"
    ) as caught:
        check_layers(["relu1_1", wrong], option="style_layers")
    assert caught.value.option == "style_layers"
    with pytest.raises(OptionError, match=f"no layer '{wrong}'"):
        Encoder(drawn_state("conv1_1"))(torch.rand(1, 3, 16, 16), [wrong])


@pytest.mark.parametrize("question", [stride, channels])
def test_a_name_that_is_no_layer_has_no_facts(question: Callable[[str], int]) -> None:
    with pytest.raises(OptionError, match="there is no layer 'pool4'"):
        question("pool4")


def test_a_picture_too_small_for_a_layer() -> None:
    net = Encoder(drawn_state("conv5_1"))
    assert net(torch.rand(1, 3, 16, 17), ["relu5_1"])["relu5_1"].shape == (1, 512, 1, 1)
    with pytest.raises(ImageError, match=r"17x15 px is too small for layer relu5_1: .* at least 16 px"):
        net(torch.rand(1, 3, 15, 17), ["relu1_1", "relu5_1"])


def test_an_unknown_pooling_meets_the_nearest() -> None:
    with pytest.raises(OptionError, match="pooling is 'avg'; did you mean 'average'") as caught:
        Encoder(drawn_state("conv1_1"), pooling="avg")  # type: ignore[arg-type]
    assert caught.value.option == "pooling"


def test_the_network_is_not_trained(state: State) -> None:
    net = Encoder(state)
    assert list(net.parameters()) == []
    assert not any(buffer.requires_grad for buffer in net.buffers())


def test_a_float32_copy_has_the_rounded_weights(state: State, canvas: Tensor) -> None:
    rounded = {name: t if name.startswith("conv1_1") else t.bfloat16().float() for name, t in state.items()}
    half = Encoder(state, dtype=torch.bfloat16)
    copied, plain = half.to_float32(), Encoder(rounded)
    assert copied.dtype == torch.float32
    assert half.dtype == half.conv2_1_weight.dtype == torch.bfloat16
    assert torch.equal(copied(canvas, ["relu4_1"])["relu4_1"], plain(canvas, ["relu4_1"])["relu4_1"])


def test_the_canvas_is_left_alone(canvas: Tensor) -> None:
    before = canvas.clone()
    net = Encoder(drawn_state("conv2_1"))
    both = net(canvas, ["conv1_1", "relu1_1", "conv2_1"])
    assert torch.equal(canvas, before)
    assert torch.equal(functional.relu(both["conv1_1"]), both["relu1_1"])
    assert float(both["conv1_1"].min()) < 0  # the activation was not taken in place
