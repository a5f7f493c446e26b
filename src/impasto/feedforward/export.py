"""A trained network as ONNX, for any image size, compared with PyTorch.

A network of ``impasto train`` is exported to an ``.onnx`` file of opset ``OPSET`` with the inputs ``picture`` ``[1, 3,
height, width]`` (and ``style`` for an arbitrary-style network), the output ``painted``, and the network's metadata, so
that ``stylize --model`` accepts it like the original. Each side is at least 16 px.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import ImageError, MachineError, WeightsError
from impasto.feedforward.model import OnnxPainter, describe, file_bytes, load, read
from impasto.feedforward.network import StyleNetwork
from impasto.files import write_atomically

OPSET = 18
TOLERANCE = 1e-3
PROBES = ((64, 48), (37, 50))


def to_onnx(path: str | Path, target: str | Path) -> float:
    """Export a network.

    Args:
        path: its ``.safetensors`` file.
        target: the ``.onnx`` file to write.

    Returns:
        The maximum difference from PyTorch over images of several sizes, at most ``TOLERANCE``.

    Raises:
        WeightsError: the file cannot be read, is not a network, or the two disagree.
        MachineError: onnx, onnxscript or onnxruntime is not installed.
        ImageError: the target is not an .onnx file.
    """
    path, target = Path(path), Path(target)
    if target.suffix.lower() != ".onnx":
        raise ImageError(f"{str(target)!r} is not a name for an exported network: use the suffix .onnx")
    if path.suffix.lower() != ".safetensors":
        raise WeightsError(f"{str(path)!r} is not a trained network: use the .safetensors file of impasto train")
    network, about = read(path, file_bytes(path))
    network.eval()
    write_atomically(target, _exported(network, describe(network.shape, about)))
    return _difference(network, target)


def _exported(network: StyleNetwork, facts: dict[str, str]) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter writes through it
    except ImportError as error:
        raise MachineError(f'{error.name} is not installed: python -m pip install "impasto[export]"') from None
    names = ["picture", "style"] if network.shape.any_style else ["picture"]
    # Sides that differ from every other size, so that none is taken for a constant.
    example = tuple(torch.rand(1, 3, 70 + 8 * k, 90 + 8 * k) for k, _ in enumerate(names))
    sides = {2: torch.export.Dim("height", min=16), 3: torch.export.Dim("width", min=16)}
    style = {2: torch.export.Dim("style_height", min=32), 3: torch.export.Dim("style_width", min=32)}
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        opset_version=OPSET,
        input_names=names,
        output_names=["painted"],
        dynamic_shapes=(sides, style)[: len(names)],
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _difference(network: StyleNetwork, target: Path) -> float:
    """Return the maximum difference between the exported network and PyTorch's.

    Raises:
        WeightsError: it exceeds ``TOLERANCE``.
    """
    painter = load(target).painter
    assert isinstance(painter, OnnxPainter)
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for size in PROBES:
        picture = torch.rand(1, 3, *size, generator=generator)
        style: Tensor | None = torch.rand(1, 3, 64, 80, generator=generator) if network.shape.any_style else None
        with torch.inference_mode():
            ours = network(picture, style)
        worst = max(worst, float((painter(picture, style, None) - ours).abs().max()))
    if not worst <= TOLERANCE:
        target.unlink()
        raise WeightsError(
            f"the exported network differs from PyTorch's by {worst:.1e}, more than {TOLERANCE:g}: the file was removed"
        )
    return worst
