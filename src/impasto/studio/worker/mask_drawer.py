"""Masks by name for the page, drawn in a process of its own, so that the server loads no network.

Input: an image of the store and a name or points (``regions.segmentation.names``). Output: the mask as a PNG. The
process starts with the first mask; what it computes of an image is kept for the next clicks on it.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.regions.segmentation.segmenter import Segmenter

LONG_SIDE_PX = 1600  # of the masks; a run resizes them to its canvas


class MaskDrawer:
    """Draws masks, one at a time."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def draw(self, path: Path, name: str) -> bytes | None:
        """Return a mask as a PNG, or None where the image has nothing of that name.

        Raises:
            InputError: the networks have not been fetched, or the image cannot be read.
        """
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            try:
                return self._pool.submit(_png, path, name).result()
            except BrokenProcessPool:  # it was killed; the next mask starts a new one
                self._pool = None
                raise

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None


@lru_cache(maxsize=2)
def _segmenter(path: Path) -> Segmenter:
    from impasto.imaging import images
    from impasto.regions.segmentation.opencv import shrunk
    from impasto.regions.segmentation.segmenter import Segmenter

    return Segmenter(shrunk(images.load(path).pixels, LONG_SIDE_PX))


def _png(path: Path, name: str) -> bytes | None:
    import numpy as np

    from impasto.imaging import images

    mask = _segmenter(path).mask(name)
    if mask is None or not mask.any():
        return None
    return images.encode(np.repeat(np.round(mask[..., None] * 255).astype(np.uint8), 3, -1), "png")
