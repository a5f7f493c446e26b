"""The result of a run: the finished image with its losses and record, and how it is saved.

The reported losses are those of the image as it is saved: quantized to its bit depth, and decoded again for lossy
formats.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError, MachineError
from impasto.files import cache_folder, write_atomically
from impasto.imaging import images
from impasto.imaging.metadata import LARGEST_DPI
from impasto.objective.scale_objective import ScaleObjective
from impasto.options.fields import Options
from impasto.regions.final_recolor import recolored
from impasto.regions.geometry import resize
from impasto.regions.region_tensors import tensor
from impasto.run import record
from impasto.run.prepared_run import PreparedRun
from impasto.run.record import InputEntry, Record
from impasto.run.state import RunState

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

LOSSLESS = frozenset({".png", ".tif", ".tiff"})  # BMP would be, if it had alpha


@dataclass(frozen=True)
class Result:
    """A finished image.

    Args:
        pixels: ``[H, W, 3]`` float32, sRGB in [0, 1], quantized to the bit depth of the output.
        alpha: ``[H, W]`` float32, the alpha of the content, or None.
        options: all options, as resolved.
        losses: weighted terms of each step.
        saved_losses: weighted terms of the image as it is saved.
        steps: number of evaluations of the objective.
        stopped: whether a command stopped the run early.
        record: the record that a saved image contains.
        path: the output file, if it was saved.
        notes: warnings about metadata that could not be written.
    """

    pixels: NDArray[np.float32] = field(repr=False)
    alpha: NDArray[np.float32] | None = field(repr=False)
    options: Options
    losses: list[dict[str, float]] = field(repr=False)
    saved_losses: dict[str, float]
    steps: int
    stopped: bool
    record: Record = field(repr=False)
    path: Path | None = None
    notes: Sequence[str] = ()

    @property
    def picture(self) -> PilImage:
        """The result as a PIL image, with the content's alpha if it had one."""
        from PIL import Image

        rgb = images.quantize(self.pixels, 8)
        if self.alpha is None:
            return Image.fromarray(rgb)
        return Image.fromarray(np.dstack([rgb, images.quantize(self.alpha, 8)]))

    @property
    def tensor(self) -> Tensor:
        """The result as ``[1, 3, H, W]`` float32 in [0, 1]."""
        return tensor(self.pixels).contiguous()


def finish(
    prepared: PreparedRun,
    run: RunState,
    canvas: Tensor,
    scale_objective: ScaleObjective | None = None,
    parents: Sequence[Record] = (),
    network: InputEntry | None = None,
    unsaved: Path | None = None,
) -> Result:
    """Quantize the canvas, compute its losses, save it if the run has an output file, and return the result.

    Args:
        prepared: the prepared run.
        run: the state at its end.
        canvas: ``[1, 3, H, W]`` in [0, 1], enlarged here if the run was stopped before its last scale.
        scale_objective: the objective of the last scale; None if no loss was optimized.
        parents: records of the images that the run started from.
        network: name and hash of the trained network, if it is an input in addition to the images.
        unsaved: folder for the image if its output file cannot be written; then the cache, or a temporary folder.

    Raises:
        MachineError: the output file could not be written, and the image was saved in another folder.
        ImageError: it could not be saved anywhere.
    """
    canvas = resize(canvas, prepared.size)
    if scale_objective is not None and prepared.options.control.final_recolor:
        canvas = canvas.lerp(
            recolored(canvas, prepared.tensors.at(prepared.size)), prepared.options.control.final_recolor
        )
    levels = images.quantize(canvas[0].permute(1, 2, 0).cpu().numpy(), prepared.options.output.bits)
    del canvas  # at a poster's size every copy counts
    pixels = images.unit(levels)
    measured = scale_objective if run.scale == len(prepared.scales) - 1 else None
    saved = {} if measured is None else losses_of(pixels, measured, run, prepared)
    about = record.make(
        prepared.options.flat(),
        prepared.decisions,
        prepared.files,
        steering=run.steering,
        parents=parents,
        output=prepared.output,
    )
    if network is not None:
        about["inputs"]["model"] = network
    about |= {"steps": run.step, "stopped": run.stopped, "losses": saved}
    path: Path | None = None
    notes: list[str] = []
    if prepared.output is not None:
        try:
            path = save(prepared, levels, about, notes)
        except ImageError as error:
            _save_elsewhere(prepared, levels, about, unsaved, error)
    del levels
    if path is not None and measured is not None and path.suffix.lower() not in LOSSLESS:
        read = images.load(path, limits=images.DecodeLimits(max_pixels=pixels.size)).pixels
        saved = losses_of(read, measured, run, prepared)
    return Result(
        pixels, _alpha(prepared), prepared.options, run.losses, saved, run.step, run.stopped, about, path, notes
    )


def losses_of(
    pixels: NDArray[np.float32], scale_objective: ScaleObjective, run: RunState, prepared: PreparedRun
) -> dict[str, float]:
    """Return the weighted terms of an image ``[H, W, 3]`` of the last scale's size."""
    weights = run.live_weights.weights(scale_objective.normalizers, prepared.scales[run.scale].content_factor)
    values = scale_objective.objective.values(tensor(pixels).to(prepared.compute.device))
    return {name: weights[name] * value for name, value in values.items() if weights[name] > 0}


def save(prepared: PreparedRun, pixels: NDArray[np.generic], about: Record, notes: list[str]) -> Path:
    """Write an image ``[H, W, 3]``, uint8, uint16 or float, to the output file, with its record unless switched off.

    Metadata that cannot be written is left out and added to ``notes``.

    Raises:
        ImageError: the file cannot be written.
    """
    assert prepared.output is not None
    options = prepared.options.output
    write = partial(images.save, prepared.output, pixels=pixels, alpha=_alpha(prepared), bits=options.bits)
    if options.no_metadata:
        path = write(dpi=options.dpi)
        record.remove_side_file(path)
        return path
    inside = side = None
    try:
        inside, side = record.for_file(about, prepared.output)
        if side is not None:
            write_atomically(record.side_file(prepared.output), side)
    except Exception as error:
        notes.append(f"the image has no record, because it cannot be written ({error})")
    try:
        path = write(dpi=_dpi(prepared), exif=prepared.files["content"].exif, record=inside)
    except ImageError:
        raise
    except Exception as error:
        notes.append(f"the image has no metadata, because it cannot be written ({error})")
        path, side = write(), None
    if side is None:
        record.remove_side_file(path)
    return path


def _save_elsewhere(
    prepared: PreparedRun, pixels: NDArray[np.generic], about: Record, folder: Path | None, error: ImageError
) -> NoReturn:
    """Save an image whose output file cannot be written in another folder, and raise ImageError with its path."""
    assert prepared.output is not None
    for place in (folder, cache_folder() / "unsaved", Path(tempfile.gettempdir())):
        if place is None:
            continue
        target = place / f"{prepared.output.stem}-{secrets.token_hex(3)}{prepared.output.suffix}"
        with contextlib.suppress(ImageError, OSError):
            place.mkdir(parents=True, exist_ok=True)
            save(replace(prepared, output=target), pixels, about, [])
            raise MachineError(f"{error}; the image was saved as {str(target)!r}") from error
    raise error


def _dpi(prepared: PreparedRun) -> float | None:
    """Return the print resolution of the result: ``--dpi``, or the content's at the same size on paper."""
    content, chosen = prepared.files["content"], prepared.options.output.dpi
    if chosen is not None or content.dpi is None:
        return chosen
    dpi = content.dpi * prepared.size[1] / content.width
    return dpi if 1 <= dpi <= LARGEST_DPI else None


def _alpha(prepared: PreparedRun) -> NDArray[np.float32] | None:
    alpha = prepared.files["content"].alpha
    return None if alpha is None else images.resize(alpha, prepared.size)
