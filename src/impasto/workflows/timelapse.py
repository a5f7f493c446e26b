"""Write a timelapse of a run as .mp4, .gif or .webp.

The first steps change the image most, so the timelapse starts slowly: at time t (0 to 1) it shows step
``steps * t ** EASE``, interpolated linearly between two steps. Frames are encoded during the run and not kept in
memory; the last one is the finished image. PyAV encodes the file, no other program is needed.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from impasto.errors import OptionError, suggest
from impasto.events import Event, Finished, Planned, Stepped
from impasto.files import disk_shortfall, why_not_writable
from impasto.imaging import images

if TYPE_CHECKING:
    from impasto.run.result import Result

EASE = 2.2
SECONDS = 6.0
HOLD_SECONDS = 2.0
LONG_SIDE = {".mp4": 1080, ".webp": 640, ".gif": 480}
RATE = {".mp4": 30, ".webp": 20, ".gif": 15}
BYTES = {".mp4": 0.15, ".webp": 0.3, ".gif": 1.0}  # per pixel and frame, upper bound

Frame = NDArray[np.float32]


class Timelapse:
    """Writes the timelapse of a run; call it with every event.

    Args:
        path: output file, an .mp4, .gif or .webp.
        seconds: duration of the run in the timelapse; the finished image is shown for two more.

    Raises:
        OptionError: the suffix is not supported; or, when the run begins, the folder cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str], seconds: float = SECONDS) -> None:
        self.path = Path(path)
        self._suffix = self.path.suffix.lower()
        if self._suffix not in RATE:
            raise OptionError(f"--timelapse {self.path.name!r}: {suggest(self._suffix, RATE)}", "timelapse")
        self._part = self.path.with_name(f".{self.path.stem}.part{self._suffix}")
        self._frames = round(seconds * RATE[self._suffix])
        self._written = 0
        self._total = 1
        self._size = (0, 0)
        self._before: tuple[int, Frame] | None = None
        self._sink: _Sink | None = None

    def __call__(self, event: Event[Result]) -> None:
        """Handle an event: the plan opens the file, steps with a preview add frames, the last event closes it."""
        if isinstance(event, Planned):
            last = event.scales[-1]
            self._total = event.total_steps
            self._size = timelapse_size(last["height"], last["width"], LONG_SIDE[self._suffix])
            self._make_folder()
        elif isinstance(event, Stepped) and event.preview is not None:
            self._add(event.step, event.preview)
        elif isinstance(event, Finished) and event.result is not None:
            self._end(event.result.pixels)

    def _make_folder(self) -> None:
        if (reason := why_not_writable(self.path.parent)) is not None:
            raise OptionError(f"--timelapse {self.path}: the folder {reason}", "timelapse")
        frames = self._frames + round(HOLD_SECONDS * RATE[self._suffix])
        size = int(frames * self._size[0] * self._size[1] * BYTES[self._suffix])
        if (short := disk_shortfall([(self.path.parent, size, "the timelapse")])) is not None:
            raise OptionError(f"--timelapse {self.path}: {short}", "timelapse")

    def close(self) -> None:
        """Delete an unfinished timelapse."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        self._part.unlink(missing_ok=True)

    def _add(self, step: int, preview: NDArray[np.uint8]) -> None:
        if self._sink is None:
            self._sink = _Sink(self._part, self._suffix, self._size)
        due = [i for i in range(self._written, self._frames) if shown_step(i, self._frames, self._total) <= step]
        frame: Frame | None = None
        if due or step >= shown_step(self._written, self._frames, self._total) - 1:
            frame = images.resize(preview.astype(np.float32) / np.float32(255), self._size)
        for index in due:
            assert frame is not None
            self._sink.write(self._mixed(shown_step(index, self._frames, self._total), step, frame))
        self._written += len(due)
        if frame is not None:
            self._before = step, frame

    def _mixed(self, at: float, step: int, frame: Frame) -> Frame:
        """Return the image at a step by interpolation between the two nearest previews."""
        if self._before is None or self._before[0] >= step:
            return frame
        earlier, picture = self._before
        share = min(1.0, max(0.0, (at - earlier) / (step - earlier)))
        return picture + np.float32(share) * (frame - picture)

    def _end(self, pixels: Frame) -> None:
        if self._sink is None:
            self._sink = _Sink(self._part, self._suffix, self._size)
        final = images.resize(pixels, self._size)
        for _ in range(max(1, round(HOLD_SECONDS * RATE[self._suffix]))):
            self._sink.write(final)
        self._sink.close()
        self._sink = None
        self._part.replace(self.path)


def shown_step(frame: int, frames: int, total: int) -> float:
    """Return the step that a frame shows, from 1 to ``total``; the first steps have the most frames."""
    return 1.0 + (total - 1) * math.pow(frame / max(1, frames - 1), EASE)


def timelapse_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return the size of a timelapse, in even numbers as video formats require."""
    factor = min(1.0, long_side / max(height, width))
    return max(2, 2 * round(height * factor / 2)), max(2, 2 * round(width * factor / 2))


class _Sink:
    """Encodes frames, ``[H, W, 3]`` float32, to a file."""

    def __init__(self, path: Path, suffix: str, size: tuple[int, int]) -> None:
        self._rate, self._count = RATE[suffix], 0
        height, width = size
        options = {"loop": "0"} if suffix != ".mp4" else {"movflags": "+faststart"}
        self._file: Any = av.open(str(path), "w", options=options)
        codec, layout = {
            ".mp4": ("libx264", "yuv420p"),
            ".webp": ("libwebp_anim", "yuv420p"),
            ".gif": ("gif", "pal8"),
        }[suffix]
        self._stream: Any = self._file.add_stream(codec, rate=self._rate, width=width, height=height, pix_fmt=layout)
        if suffix == ".mp4":
            # A quality at which brush strokes, which are fine detail, are preserved.
            self._stream.options = {"crf": "18", "preset": "medium"}
        elif suffix == ".webp":
            self._stream.options = {"quality": "80"}
        self._palette = _palette_graph(size, self._rate) if suffix == ".gif" else None

    def write(self, frame: Frame) -> None:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(images.quantize(frame), np.uint8), format="rgb24")
        picture.pts, picture.time_base = self._count, Fraction(1, self._rate)
        self._count += 1
        if self._palette is not None:
            self._palette.push(picture)
        else:
            self._encode(picture)

    def close(self) -> None:
        if self._palette is not None and self._count:
            self._palette.push(None)
            for _ in range(self._count):
                self._encode(self._palette.pull())
        if self._count:
            self._encode(None)
        self._file.close()

    def _encode(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            self._file.mux(packet)


def _palette_graph(size: tuple[int, int], rate: int) -> Any:
    """Return a filter graph that maps all frames to the best 256 colors of the whole timelapse."""
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(width=size[1], height=size[0], format="rgb24", time_base=Fraction(1, rate))
    split, make, use = graph.add("split"), graph.add("palettegen"), graph.add("paletteuse", "dither=sierra2_4a")
    source.link_to(split)
    split.link_to(make, 0, 0)
    split.link_to(use, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
