"""Trained networks as files, and painting with them: .safetensors by torch, .onnx by onnxruntime.

``load`` returns a ``Model``, which stylizes images ``[1, 3, H, W]`` in [0, 1] of any size. Nothing in a file is ever
executed; its format, version and every key are checked. An image larger than ``MAX_UNTILED`` px is painted in tiles:
the means and deviations of the instance normalizations come from one pass over the image reduced to that size, so all
tiles agree. An exported network paints the whole image in one piece.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import MachineError, OptionError, WeightsError
from impasto.feedforward.adain import MAX_UNTILED, TILE, tiles
from impasto.feedforward.network import HALO, STYLE_INPUT_SIDE, Moments, Shape, StyleNetwork, current_names
from impasto.files import write_atomically
from impasto.imaging import images
from impasto.losses.summaries.protocol import at_least_float32
from impasto.regions.geometry import resize

FORMAT = "impasto-style-network"
VERSION = 2  # version 1 called three modules of the network otherwise; it is still read
READABLE_VERSIONS = ("1", "2")
SUFFIXES = (".safetensors", ".onnx")


class Painter(Protocol):
    """Paints an image: a network in torch, or an exported one."""

    def __call__(self, picture: Tensor, style: Tensor | None, tile: int | None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network and its file's metadata.

    ``about`` has the ``style``'s name, its ``thumbnail`` (PNG, base64), the training options and the version.
    """

    shape: Shape
    about: Mapping[str, Any]
    name: str
    sha256: str
    painter: Painter = field(repr=False)

    def to(self, device: torch.device, dtype: torch.dtype) -> Model:
        """Return the model computing on a device with its convolutions in ``dtype``; an exported one is unchanged."""
        if not isinstance(self.painter, TorchPainter):
            return self
        network = self.painter.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return replace(self, painter=TorchPainter(network, device, dtype))

    def style_thumbnail(self) -> images.Picture:
        """Return a small image of the style that the network was trained on, under the file's name."""
        thumbnail = images.load(io.BytesIO(base64.b64decode(self.about["thumbnail"])))
        return images.Picture(thumbnail.pixels, name=self.name, sha256=self.sha256)

    def __call__(self, picture: Tensor, style: Tensor | None = None, tile: int | None = None) -> Tensor:
        """Return the painted image ``[1, 3, H, W]``.

        Args:
            picture: ``[1, 3, H, W]`` in [0, 1].
            style: ``[1, 3, h, w]`` for an arbitrary-style network.
            tile: side of a tile in px, a multiple of 16; chosen by the size if absent.
        """
        if self.shape.any_style:
            assert style is not None, "checked by the caller"
            style = _at_input_size(style)
        return self.painter(picture, style, tile)


@dataclass(frozen=True, eq=False)
class TorchPainter:
    """A network in torch; its convolutions compute in ``dtype``."""

    network: StyleNetwork
    device: torch.device
    dtype: torch.dtype

    def __call__(self, picture: Tensor, style: Tensor | None, tile: int | None) -> Tensor:
        """Return the painted image."""
        height, width = picture.shape[-2:]
        picture = picture.to(self.device).contiguous(memory_format=torch.channels_last)
        low = self.dtype not in (torch.float32, torch.float64)
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=low):
            parameters = self.network.style_parameters(None if style is None else style.to(self.device))
            if tile is None and height * width <= MAX_UNTILED:
                return self.network.paint(picture, parameters, Moments())
            side = tile or TILE
            moments = Moments()
            self.network.paint(_reduced(picture), parameters, moments)
            moments.fixed = True
            canvas = picture.new_empty(1, 3, height, width)
            for top, bottom, left, right in tiles(height, width, side):
                t, l = max(0, top - HALO), max(0, left - HALO)  # noqa: E741
                part = picture[..., t : bottom + HALO, l : right + HALO]
                done = self.network.paint(part, parameters, moments)
                canvas[..., top:bottom, left:right] = done[..., top - t : bottom - t, left - l : right - l]
            return canvas


@dataclass(frozen=True, eq=False)
class OnnxPainter:
    """An exported network in onnxruntime."""

    session: Any

    def __call__(self, picture: Tensor, style: Tensor | None, tile: int | None) -> Tensor:
        """Return the painted image."""
        if tile is not None:
            raise OptionError("an exported network does not support tiles: omit --tile", "tile")
        inputs = {"picture": picture.cpu().contiguous().numpy()}
        if style is not None:
            inputs["style"] = style.cpu().contiguous().numpy()
        (painted,) = self.session.run(["painted"], inputs)
        return torch.from_numpy(painted)


def describe(shape: Shape, about: Mapping[str, object]) -> dict[str, str]:
    """Return the metadata of a network's file, as text by key."""
    return {"format": FORMAT, "version": str(VERSION), "shape": json.dumps(asdict(shape)), "about": json.dumps(about)}


def thumbnail(pixels: NDArray[np.float32]) -> str:
    """Return an image ``[H, W, 3]``, reduced to 64 px, as PNG in base64."""
    height, width = pixels.shape[:2]
    factor = 64 / max(height, width)
    size = max(16, round(height * factor)), max(16, round(width * factor))
    return base64.b64encode(images.encode(images.resize(pixels, size), "png")).decode()


def save(path: str | Path, network: StyleNetwork, about: Mapping[str, object]) -> Path:
    """Write a network in half precision, atomically."""
    from safetensors.torch import save as as_bytes

    path = Path(path)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    write_atomically(path, as_bytes(tensors, describe(network.shape, about)))
    return path


def load(path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Model:
    """Read a network.

    Args:
        path: a ``.safetensors`` that ``impasto train`` wrote, or an ``.onnx`` of ``impasto export``.
        device: device of the network; an exported network uses the CPU.
        dtype: dtype of its convolutions.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or of a newer version.
        MachineError: onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{str(path)!r} is not a trained network: use a .safetensors or .onnx file")
    data = file_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if path.suffix.lower() == ".onnx":
        session, facts = _session(path, data)
        shape, about = _checked(path, facts)
        return Model(shape, about, path.name, digest, OnnxPainter(session))
    network, about = read(path, data)
    network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Model(network.shape, about, path.name, digest, TorchPainter(network, torch.device(device), dtype))


def file_bytes(path: Path) -> bytes:
    """Return the bytes of a network's file, or raise WeightsError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the network {str(path)!r} cannot be read ({error.strerror}): check the name") from None


def read(path: Path, data: bytes) -> tuple[StyleNetwork, Mapping[str, Any]]:
    """Return the network in a .safetensors file, in float32, and the file's metadata."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        tensors = current_names(from_bytes(data))
        facts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"the network {str(path)!r} is damaged ({error}): train or export it again") from None
    shape, about = _checked(path, facts)
    network = StyleNetwork(shape)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise WeightsError(
                f"the network {str(path)!r} is damaged or of a different kind: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'absent')}"
            )
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise WeightsError(f"the network {str(path)!r} is damaged: it has NaN or infinite values")
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network, about


def _session(path: Path, data: bytes) -> tuple[Any, Mapping[str, str]]:
    try:
        import onnxruntime
    except ImportError:
        raise MachineError('onnxruntime is not installed: python -m pip install "impasto[export]"') from None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common ancestor but this
        raise WeightsError(f"the network {str(path)!r} is damaged: {str(error).splitlines()[0]}") from None
    return session, session.get_modelmeta().custom_metadata_map


def _checked(path: Path, facts: Mapping[str, str]) -> tuple[Shape, Mapping[str, Any]]:
    if facts.get("format") != FORMAT:
        raise WeightsError(f"{str(path)!r} was not written by impasto train")
    try:
        about, version = json.loads(facts["about"]), facts["version"]
        if version not in READABLE_VERSIONS:
            raise WeightsError(
                f"the network {str(path)!r} has version {version}, written by impasto "
                f"{about.get('impasto', 'of an unknown version')}, and this impasto reads versions up to {VERSION}: "
                "pip install --upgrade impasto, or train it again"
            )
        shape = Shape(**json.loads(facts["shape"]))
        sound = 4 <= shape.width <= 128 and 1 <= shape.blocks <= 5
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"the network {str(path)!r} is damaged (its metadata: {error}): train or export it again"
        ) from None
    if not sound:
        raise WeightsError(f"the network {str(path)!r} is damaged: {shape} is outside what training allows")
    return shape, about


def _at_input_size(style: Tensor) -> Tensor:
    """Return a painting reduced to ``STYLE_INPUT_SIDE`` for the style predictor."""
    height, width = style.shape[-2:]
    factor = min(1.0, STYLE_INPUT_SIDE / max(height, width))
    size = max(32, round(height * factor)), max(32, round(width * factor))
    return resize(at_least_float32(style), size)


def _reduced(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    factor = min(1.0, float(np.sqrt(MAX_UNTILED / (height * width))))
    size = max(16, round(height * factor)), max(16, round(width * factor))
    return resize(picture, size)
